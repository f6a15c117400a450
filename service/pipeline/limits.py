"""How large a picture and its answer may be: said before any pixel is decoded."""

from service.errors import TooManyPixelsError
from service.images.formats import MAX_SIDE_PX, Format
from service.images.types import Header
from service.settings import Settings


def refuse_pixels(settings: Settings, header: Header, frames: int, scale: int) -> None:
    """Raise TooManyPixelsError for more pixels than are taken: what networks answer, too, has a limit.

    scale: how many times as long they make each side.
    """
    most, why = settings.max_pixels, ""
    if (by_answer := settings.max_output_pixels // scale**2) < most:
        most, limit = by_answer, settings.max_output_pixels
        why = f": the network makes each side {scale} times as long, and an answer has at most {limit}"
    if header.height * header.width * frames <= most:
        return
    size = f"{header.width} x {header.height}" + (f", {frames} frames" if frames > 1 else "")
    expected = f"at most {most} pixels{why}"
    raise TooManyPixelsError(f"the picture is {size}; expected {expected}", value=size, expected=expected)


def refuse_whole(working: tuple[int, int], most: int | None) -> None:
    """Raise TooManyPixelsError where networks would work on more pixels than they can; None: they can on any."""
    height, width = working
    if most is not None and height * width > most:
        expected = f"at most {most} pixels: this network runs whole pictures only"
        raise TooManyPixelsError(
            f"the network would work on {width} x {height}; expected {expected}",
            value=f"{width} x {height}",
            expected=expected,
        )


def refuse_long_side(side: int, kind: Format) -> None:
    """Raise TooManyPixelsError for an answer that its format cannot hold."""
    if side > MAX_SIDE_PX[kind]:
        raise TooManyPixelsError(
            f"the answer would have a side of {side} pixels, {kind} holds at most {MAX_SIDE_PX[kind]}; try format=png",
            parameter="format",
            value=kind,
            expected=f"a side of at most {MAX_SIDE_PX[kind]} pixels, or format=png",
        )
