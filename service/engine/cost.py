"""The cost model: seconds = a + b x pixels for each model, fitted to the measured passes."""

from dataclasses import dataclass

_FORGETTING_FACTOR = 0.98
_SMALLEST_PIXELS = 4096
"""A smaller image counts as this many: its time is that of a call. Otherwise a client that sends images of one pixel
would make the predictions for all others grow a thousandfold, and their deadlines fail."""

_TYPICAL_SECONDS_PER_PIXEL = 1e-6
"""The assumption for a model without measurements."""


@dataclass
class _Line:
    """The sums of a weighted least-squares line. Older measurements count less (exponential forgetting)."""

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        # minimise relative errors: a pass of twice the pixels has a quarter of the weight
        x = max(x, _SMALLEST_PIXELS)
        weight = 1.0 / x**2
        self.weight = _FORGETTING_FACTOR * self.weight + weight
        self.x = _FORGETTING_FACTOR * self.x + weight * x
        self.y = _FORGETTING_FACTOR * self.y + weight * y
        self.xx = _FORGETTING_FACTOR * self.xx + weight * x * x
        self.xy = _FORGETTING_FACTOR * self.xy + weight * x * y

    def coefficients(self) -> tuple[float, float]:
        spread = self.weight * self.xx - self.x**2
        if spread <= 1e-6 * self.weight * self.xx:  # all passes had one size: a line through the origin
            return 0.0, self.y / self.x
        slope = (self.weight * self.xy - self.x * self.y) / spread
        start = (self.y - slope * self.x) / self.weight
        if slope < 0:
            return 0.0, self.y / self.x
        return (start, slope) if start >= 0 else (0.0, self.xy / self.xx)


class CostModel:
    """Predicts the seconds of a forward pass. Workers write and the event loop reads: each call is atomic."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def observe(self, key: str, pixels: int, seconds: float) -> None:
        """Record a pass of model `key` over `pixels`."""
        line = self._lines.get(key, _Line())
        fresh = _Line(line.weight, line.x, line.y, line.xx, line.xy)
        fresh.add(pixels, seconds)
        self._lines[key] = fresh  # replace instead of change: a concurrent reader sees the old line or the new one

    def adopt(self, key: str, like: str) -> None:
        """Copy the measurements of model `like` to model `key` of the same shape."""
        if like in self._lines:
            self._lines[key] = self._lines[like]

    def predict(self, key: str, pixels: int, passes: int = 1) -> float:
        """Predict the seconds of `pixels` in all, divided into `passes`."""
        line = self._lines.get(key)
        if line is None:
            return pixels * _TYPICAL_SECONDS_PER_PIXEL
        start, slope = line.coefficients()
        return passes * start + pixels * slope
