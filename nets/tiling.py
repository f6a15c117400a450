"""Cuts a picture into overlapping windows that a network computes one at a time, and joins the outputs."""

import math
from dataclasses import dataclass

from nets.pixels import Picture


@dataclass(frozen=True)
class Window:
    """A window and its core, both in input pixels of the whole picture.

    A network reads the window: height x width pixels from (top, left). Of its output only the core is kept:
    core_height x core_width pixels from (core_top, core_left), at least the halo away from each edge of the window that
    is not an edge of the picture.
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
        """Input pixels that the network computes."""
        return self.height * self.width


def windows(height: int, width: int, halo: int, most_pixels: int, multiple_of: int = 1) -> list[Window]:
    """Cover a picture with windows of at most `most_pixels`, in reading order. Their cores do not overlap.

    Each core has `halo` pixels around it, or an edge of the picture. No core is narrower than half the halo, whatever
    the limit: windows may exceed a limit below `pixels_of_smallest_window`. With `multiple_of` 1, all
    windows have one size, so that they can share a batch; otherwise their corners lie on multiples of it. A picture of
    at most `most_pixels` is one window. Raises ValueError for an empty picture or a negative halo.
    """
    if min(height, width) < 1 or halo < 0:
        raise ValueError(f"cannot cut {height} x {width} with a halo of {halo}")
    rows, columns = 1, 1
    most_rows, most_columns = (max(1, side // max(1, halo // 2)) for side in (height, width))
    while (
        math.prod(_most_length(*side, halo, multiple_of) for side in ((height, rows), (width, columns))) > most_pixels
    ):
        if rows < most_rows and (height / rows >= width / columns or columns == most_columns):
            rows += 1  # the longer side of the core is divided
        elif columns < most_columns:
            columns += 1
        else:
            break
    across = _spans(width, columns, halo, multiple_of)
    return [
        Window(
            top, left, bottom - top, right - left, core_top, core_left, core_bottom - core_top, core_right - core_left
        )
        for top, bottom, core_top, core_bottom in _spans(height, rows, halo, multiple_of)
        for left, right, core_left, core_right in across
    ]


def pixels_of_smallest_window(halo: int, multiple_of: int = 1) -> int:
    """Return the smallest limit that the windows of every picture keep."""
    return (3 * halo + multiple_of) ** 2


def cut(picture: Picture, window: Window) -> Picture:
    """Return the pixels of a window as a view: (H, W, 3) -> (height, width, 3)."""
    return picture[window.top : window.top + window.height, window.left : window.left + window.width]


def paste(output: Picture, window: Window, scale: int, whole: Picture) -> None:
    """Copy the core of a window's output, (scale height, scale width, 3), to its place in `whole`."""
    y, x = (window.core_top - window.top) * scale, (window.core_left - window.left) * scale
    height, width = window.core_height * scale, window.core_width * scale
    top, left = window.core_top * scale, window.core_left * scale
    whole[top : top + height, left : left + width] = output[y : y + height, x : x + width]


def _window_length(side: int, count: int, halo: int) -> int:
    """Return the side of a window when `side` is divided into `count` cores."""
    return side if count == 1 else min(side, -(-side // count) + 2 * halo)


def _most_length(side: int, count: int, halo: int, multiple_of: int) -> int:
    """Return `_window_length` with what moving the corners to multiples adds at most."""
    return min(side, _window_length(side, count, halo) + multiple_of - 1)


def _spans(side: int, count: int, halo: int, multiple_of: int) -> list[tuple[int, int, int, int]]:
    """Divide one side. Returns (start, end, core start, core end) of each window."""
    length = _window_length(side, count, halo)
    spans = []
    for i in range(count):
        core_start, core_end = side * i // count, side * (i + 1) // count
        start = min(max(0, core_start - halo), side - length)
        end = start + length
        if multiple_of > 1:
            end = min(side, max(end, core_end + halo))
            start -= start % multiple_of
        spans.append((start, end, core_start, core_end))
    return spans
