"""Limits on the size of the input and the output, checked before any pixel is decoded."""

from service.errors import TooManyPixelsError
from service.images.formats import MAX_SIDE_PX, Format
from service.images.types import Header
from service.settings import Settings


def refuse_pixels(settings: Settings, header: Header, frames: int, scale: int) -> None:
    """Raise TooManyPixelsError if the input or the networks' output has too many pixels.

    scale: the factor by which the networks enlarge each side.
    """
    most, why = settings.max_pixels, ""
    if (by_output := settings.max_output_pixels // scale**2) < most:
        most, limit = by_output, settings.max_output_pixels
        why = f": the network makes each side {scale} times as long, and an output has at most {limit}"
    if header.height * header.width * frames <= most:
        return
    size = f"{header.width} x {header.height}" + (f", {frames} frames" if frames > 1 else "")
    expected = f"at most {most} pixels{why}"
    raise TooManyPixelsError(f"the picture is {size}; expected {expected}", value=size, expected=expected)


def refuse_whole(working: tuple[int, int], most: int | None) -> None:
    """Raise TooManyPixelsError if networks that run whole pictures only would get more than `most` pixels."""
    height, width = working
    if most is not None and height * width > most:
        expected = f"at most {most} pixels: this network runs whole pictures only"
        raise TooManyPixelsError(
            f"the network would work on {width} x {height}; expected {expected}",
            value=f"{width} x {height}",
            expected=expected,
        )


def refuse_long_side(side: int, output: Format) -> None:
    """Raise TooManyPixelsError if the output format cannot hold a side of that many pixels."""
    most = MAX_SIDE_PX[output]
    if side > most:
        raise TooManyPixelsError(
            f"the output would have a side of {side} pixels, {output} holds at most {most}; try format=png",
            parameter="format",
            value=output,
            expected=f"a side of at most {most} pixels, or format=png",
        )
