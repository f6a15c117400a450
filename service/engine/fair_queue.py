"""Whose turn it is: what each owner has had of the device. Start-time fair queueing (Goyal, Vin, Cheng, 1996).

Seconds are as predicted. Who comes back after a while begins where the others are now: nobody saves up, or pays for,
the time in which nothing was asked for. When nobody asks for anything, all are even again.
"""

_REMEMBERED = 1024


class Shares:
    """Seconds by owner, on a clock that goes as fast as the device serves. Its user holds a lock."""

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._now = 0.0

    def of(self, owner: str) -> float:
        """What an owner has had; who has least goes first."""
        return max(self._had.get(owner, 0.0), self._now)

    def rest(self) -> None:
        """Nothing is left to do: what anybody had until now, he took from nobody."""
        self._now = max(self._had.values(), default=self._now)
        self._had.clear()

    def begin(self, owner: str, seconds: float) -> float:
        """Charge an owner for something that is begun. Returns what he had before."""
        before = self.of(owner)
        self._now = before
        self._had[owner] = before + seconds
        if len(self._had) > _REMEMBERED:  # keys come and go
            self._had = {name: had for name, had in self._had.items() if had > self._now}
        return before
