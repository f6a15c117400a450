"""Cutting a picture into windows that a network can see one at a time."""

from dataclasses import dataclass

from nets.pixels import Picture


@dataclass(frozen=True)
class Window:
    """What is read, and the part of it whose answer counts, both in input pixels of the whole picture.

    The answer is read from (top, left), height x width; of it, the core (core_top, core_left), core_height x core_width
    is kept: everything further than the halo from an edge that is not the picture's own.
    """

    top: int
    left: int
    height: int
    width: int
    core_top: int
    core_left: int
    core_height: int
    core_width: int

    @property
    def pixels(self) -> int:
        """Pixels that are computed."""
        return self.height * self.width


def windows(height: int, width: int, halo: int, most_pixels: int, multiple_of: int = 1) -> list[Window]:
    """Cover a picture with windows of at most about `most_pixels`, in reading order; their cores are disjoint.

    Each core has `halo` pixels around it, or the picture's edge. Windows are of one size where `multiple_of` is 1, so
    that they can share a batch; else their corners lie on multiples of it. A picture of at most `most_pixels` is one
    window. Raises ValueError for a picture without pixels, or a halo below zero.
    """
    if min(height, width) < 1 or halo < 0:
        raise ValueError(f"cannot cut {height} x {width} with a halo of {halo}")
    rows, columns = 1, 1
    while rows * columns < height * width:
        window_height, window_width = _reach(height, rows, halo), _reach(width, columns, halo)
        if window_height * window_width <= most_pixels:
            break
        if height / rows >= width / columns:  # the core's longer side
            rows += 1
        else:
            columns += 1
    across = _spans(width, columns, halo, multiple_of)
    return [
        Window(
            top, left, bottom - top, right - left, core_top, core_left, core_bottom - core_top, core_right - core_left
        )
        for top, bottom, core_top, core_bottom in _spans(height, rows, halo, multiple_of)
        for left, right, core_left, core_right in across
    ]


def cut(picture: Picture, window: Window) -> Picture:
    """What a window reads: (H, W, 3) -> (height, width, 3), a view."""
    return picture[window.top : window.top + window.height, window.left : window.left + window.width]


def paste(answer: Picture, window: Window, scale: int, whole: Picture) -> None:
    """Put a window's answer, (scale height, scale width, 3), where it belongs: only its core."""
    y, x = (window.core_top - window.top) * scale, (window.core_left - window.left) * scale
    height, width = window.core_height * scale, window.core_width * scale
    top, left = window.core_top * scale, window.core_left * scale
    whole[top : top + height, left : left + width] = answer[y : y + height, x : x + width]


def _reach(side: int, count: int, halo: int) -> int:
    """The side of a window where `side` is cut into `count` cores."""
    return side if count == 1 else min(side, -(-side // count) + 2 * halo)


def _spans(side: int, count: int, halo: int, multiple_of: int) -> list[tuple[int, int, int, int]]:
    """Along one side: (start, end) of each window, (start, end) of its core."""
    reach = _reach(side, count, halo)
    spans = []
    for i in range(count):
        core_start, core_end = side * i // count, side * (i + 1) // count
        start = min(max(0, core_start - halo), side - reach)
        end = start + reach
        if multiple_of > 1:
            end = min(side, max(end, core_end + halo))
            start -= start % multiple_of
        spans.append((start, end, core_start, core_end))
    return spans
