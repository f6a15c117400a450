"""Limits on the size of the input and the output, checked before any pixel is decoded."""

import math
from collections.abc import Iterable

from service.errors import TooManyPixelsError
from service.images.formats import MAX_SIDE_PX, Format
from service.images.types import Header
from service.settings import Settings


def largest_factor(
    settings: Settings, header: Header, frames: int, factors: Iterable[int], output: Format | None, memory: int = 1
) -> float:
    """Return the largest factor whose output is within the limits; 1 if no network enlarges so many pixels.

    factors: those of the networks. A factor between two of them needs the output of the larger one, too. memory: of a
    pixel, in multiples of that of 8-bit colours.
    """
    pixels = header.height * header.width * frames
    longest = math.floor(100 * MAX_SIDE_PX[output or "png"] / max(header.height, header.width)) / 100
    for network in sorted(factors, reverse=True):
        factor = min(float(network), longest)
        between = pixels * network**2 if factor < network else 0
        held = memory * pixels * (1 + factor**2) + between
        if pixels * network**2 <= settings.max_output_pixels and held <= settings.max_pixels_in_flight:
            return max(1.0, factor)
    return 1.0


def refuse_pixels(settings: Settings, header: Header, frames: int, scale: int, fitting: float = 1.0) -> None:
    """Raise TooManyPixelsError if the input or the networks' output has too many pixels.

    scale: the factor by which the networks enlarge each side. fitting: the largest factor that would be allowed.
    """
    most, why = settings.max_pixels, ""
    if (by_output := settings.max_output_pixels // scale**2) < most:
        most, limit = by_output, settings.max_output_pixels
        why = f": the network makes each side {scale} times as long, and an output has at most {limit}{_hint(fitting)}"
    if header.height * header.width * frames <= most:
        return
    size = f"{header.width} x {header.height}" + (f", {frames} frames" if frames > 1 else "")
    expected = f"at most {most} pixels{why}"
    raise TooManyPixelsError(f"the picture is {size}; expected {expected}", value=size, expected=expected)


def refuse_memory(settings: Settings, pixels: int, fitting: float = 1.0) -> None:
    """Raise TooManyPixelsError for a picture that could never be admitted, because all the memory is too little for it.

    pixels: input, output and what is between, in pixels of 8-bit colours. fitting: the largest factor that would fit.
    """
    most = settings.max_pixels_in_flight
    if pixels > most:
        raise TooManyPixelsError(
            f"the picture and its output need the memory of {pixels} pixels in 8-bit colours; expected at most {most}"
            f"{_hint(fitting)}",
            value=pixels,
            expected=f"at most {most} pixels, 16 bits and transparency counting double",
        )


def refuse_whole(working: tuple[int, int], most: int | None) -> None:
    """Raise TooManyPixelsError if networks that cannot tile the picture would get more than `most` pixels."""
    height, width = working
    if most is not None and height * width > most:
        expected = f"at most {most} pixels: this network cannot tile an image of this shape"
        raise TooManyPixelsError(
            f"the network would work on {width} x {height}; expected {expected}",
            value=f"{width} x {height}",
            expected=expected,
        )


def refuse_long_side(side: int, output: Format, fitting: float = 1.0) -> None:
    """Raise TooManyPixelsError if the output format cannot hold a side of that many pixels.

    fitting: the largest factor that would be allowed.
    """
    most = MAX_SIDE_PX[output]
    if side > most:
        raise TooManyPixelsError(
            f"the output would have a side of {side} pixels, {output} holds at most {most}; "
            f"try format=png{_hint(fitting)}",
            parameter="format",
            value=output,
            expected=f"a side of at most {most} pixels, or format=png",
        )


def _hint(fitting: float) -> str:
    return f"; factor={fitting:g} would fit" if fitting > 1 else ""
