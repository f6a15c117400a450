"""Structural checks of files before any library opens them."""

from service.errors import BrokenImageError, TooManyPixelsError
from service.images.formats import Source
from service.images.untrusted import avif, gif, jpeg, tiff

_MOST_FRAMES = 10_000
_DIRECTORIES_IN_JPEG = (b"Exif\x00\x00", b"MPF\x00")


def refuse(data: bytes, kind: Source, max_pixels: int) -> None:
    """Raise BrokenImageError or TooManyPixelsError for a file that would take excessive time or memory."""
    if kind == "jpeg":
        _refuse_jpeg(data)
    if kind == "gif":
        _refuse_gif(data, max_pixels)
    if kind == "avif":
        _refuse_pixels(kind, "a picture", avif.coded_pixels(data), max_pixels)
    if kind == "tiff":
        if not tiff.is_modest(data):
            raise _broken(kind, "its directory names more bytes than it has")
        # A tile is decoded whole, however small the image.
        if (page := tiff.first_page(data)) is not None:
            pixels = page.numbers.get(tiff.TILE_WIDTH, 0) * page.numbers.get(tiff.TILE_HEIGHT, 0)
            _refuse_pixels(kind, "a tile", pixels, max_pixels)


def _refuse_pixels(kind: Source, what: str, pixels: int, most: int) -> None:
    if pixels > most:
        expected = f"at most {most} pixels"
        raise TooManyPixelsError(
            f"the {kind.upper()} has {what} of {pixels} pixels; expected {expected}", value=pixels, expected=expected
        )


def _refuse_jpeg(data: bytes) -> None:
    found = jpeg.structure(data)
    if found.scans > jpeg.MOST_SCANS:
        raise _broken("jpeg", f"it has more than {jpeg.MOST_SCANS} scans")
    for kind in _DIRECTORIES_IN_JPEG:  # Pillow joins and reads the segments of a kind when it opens the file
        parts = [content.removeprefix(kind) for _, content in found.segments if content.startswith(kind)]
        if not tiff.is_modest(b"".join(parts)):
            raise _broken("jpeg", "its metadata names more bytes than it has")


def _refuse_gif(data: bytes, max_pixels: int) -> None:
    """Refuse frames that are too large: a frame is decoded whole, even outside the canvas."""
    found = gif.parse(data, _MOST_FRAMES)
    beyond = sum(max(0, frame.width * frame.height - found.width * found.height) for frame in found.frames)
    _refuse_pixels("gif", "frames beyond its canvas", beyond, max_pixels)


def _broken(kind: Source, why: str) -> BrokenImageError:
    return BrokenImageError(f"the {kind.upper()} is refused: {why}", value=kind, expected="an undamaged image")
