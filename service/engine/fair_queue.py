"""Start-time fair queueing (Goyal, Vin and Cheng 1996): owners share the device evenly, by predicted seconds.

Each owner has a start tag: the virtual time at which its next window starts. The owner with the lowest tag goes first.
An owner that returns after a pause starts at the present virtual time: it neither saves up device time nor pays for the
time in which it asked for nothing. All owners are even again when the queue is empty.
"""

_MAX_OWNERS = 1024


class FairQueue:
    """The start tags of all owners, in seconds of virtual time. The caller must hold a lock."""

    def __init__(self) -> None:
        self._tags: dict[str, float] = {}
        self._virtual_time = 0.0

    def __len__(self) -> int:
        """Return the number of owners with a tag of their own."""
        return len(self._tags)

    def start_tag(self, owner: str) -> float:
        """Return the start tag of an owner. The lowest goes first."""
        return max(self._tags.get(owner, 0.0), self._virtual_time)

    def charge(self, owner: str, seconds: float) -> None:
        """Start a window of an owner: advance the virtual time to its tag, and its tag by `seconds`."""
        self._virtual_time = self.start_tag(owner)
        self._tags[owner] = self._virtual_time + seconds
        if len(self._tags) > _MAX_OWNERS:  # forget owners that are idle
            self._tags = {name: tag for name, tag in self._tags.items() if tag > self._virtual_time}

    def reset(self) -> None:
        """Make all owners even. Called when the queue is empty: what an owner received took nothing from others."""
        self._virtual_time = max(self._tags.values(), default=self._virtual_time)
        self._tags.clear()
