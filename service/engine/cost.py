"""How long the device takes: seconds = a + b x pixels for each model, fitted to what is measured."""

from dataclasses import dataclass

_MEMORY = 0.98
_TYPICAL_SECONDS_PER_PIXEL = 1e-6
"""A guess for a model of which nothing was measured."""


@dataclass
class _Line:
    """Weighted sums for a straight line by least squares; older measurements count less and less."""

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        # Relative errors are what matters: a pass of twice the pixels counts a quarter.
        importance = 1.0 / max(x, 1.0) ** 2
        self.weight = _MEMORY * self.weight + importance
        self.x = _MEMORY * self.x + importance * x
        self.y = _MEMORY * self.y + importance * y
        self.xx = _MEMORY * self.xx + importance * x * x
        self.xy = _MEMORY * self.xy + importance * x * y

    def coefficients(self) -> tuple[float, float]:
        spread = self.weight * self.xx - self.x**2
        if spread <= 1e-6 * self.weight * self.xx:  # all of one size: a line through the origin
            return 0.0, self.y / self.x
        slope = (self.weight * self.xy - self.x * self.y) / spread
        start = (self.y - slope * self.x) / self.weight
        if slope < 0:
            return 0.0, self.y / self.x
        return (start, slope) if start >= 0 else (0.0, self.xy / self.xx)


class CostModel:
    """Predicts the seconds of a forward pass. Used on the event loop and told by the workers; each call is atomic."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def observe(self, key: str, pixels: int, seconds: float) -> None:
        """A pass of model `key` over `pixels` took `seconds`."""
        line = self._lines.get(key, _Line())
        fresh = _Line(line.weight, line.x, line.y, line.xx, line.xy)
        fresh.add(pixels, seconds)
        self._lines[key] = fresh  # replaced, not changed: who reads meanwhile sees one or the other

    def adopt(self, key: str, like: str) -> None:
        """Expect of model `key` what is known of another one of its shape."""
        if like in self._lines:
            self._lines[key] = self._lines[like]

    def predict(self, key: str, pixels: int, passes: int = 1) -> float:
        """Seconds for `pixels` in all, in so many passes."""
        line = self._lines.get(key)
        if line is None:
            return pixels * _TYPICAL_SECONDS_PER_PIXEL
        start, slope = line.coefficients()
        return passes * start + pixels * slope
