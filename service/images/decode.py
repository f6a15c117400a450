"""Decoding of untrusted bytes. Every limit is checked before memory is allocated. Runs on a codec thread."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from service.errors import (
    BodyError,
    BrokenImageError,
    ServiceError,
    TooManyFramesError,
    TooManyPixelsError,
    UnsupportedImageError,
)
from service.images import deep, jpeg, metadata, png, png_colour
from service.images.animation import frames, plays
from service.images.colour import PROFILE_HEADER, Colours
from service.images.formats import ANIMATING, DEEP, SOURCE_MEDIA_TYPES, Source, guess, sniff
from service.images.origin import origin_of
from service.images.raster import (
    GREY_MODES,
    Raster,
    from_array,
    from_deep,
    from_image,
    from_samples,
    has_alpha,
    unsupported,
)
from service.images.types import Decoded, DecodeOptions, Header, Origin
from service.images.untrusted import apng, avif, checks, gain_map, gif, tiff, tiff_samples, webp
from service.images.untrusted import jpeg as jpeg_file
from service.images.untrusted import png as png_file
from service.images.vips import refuse_warnings

_DEPTH_HEADER, _FRAMES_HEADER, _GAIN_MAP_HEADER = "Impasto-Depth", "Impasto-Frames", "Impasto-Gain-Map"


def measure(data: bytes, max_pixels: int, max_frames: int) -> Header:
    """Read the header of an image. Raises the errors of `decode`, as far as they show before decoding.

    max_pixels: limit on what a decoder may allocate. Raises TooManyFramesError for an animation above `max_frames`.
    """
    _refuse_samples(data)
    with _opened(data, max_pixels) as (image, kind):
        bits = _bits(data, image, kind)
        if image.mode in {"I", "F"}:
            raise unsupported(f"a {kind.upper()} of mode {image.mode}")
        count = _count(data, image, kind, max_frames)
        animated = kind in ANIMATING and count > 1
        if animated and count > max_frames:
            raise TooManyFramesError(
                f"the animation has {count} frames or more; expected at most {max_frames}",
                value=count,
                expected=f"at most {max_frames} frames",
            )
        if kind == "gif":
            found = gif.parse(data, count)
            return Header(kind, found.height, found.width, count, animated, found.may_be_transparent, bits)
        lossless = kind == "webp" and webp.is_lossless(data)
        return Header(kind, image.height, image.width, count, animated, has_alpha(image), bits, lossless)


def decode(data: bytes, header: Header, options: DecodeOptions) -> Decoded:
    """Decode an image that was measured.

    Raises BodyError (empty), UnsupportedImageError (another format or sample type), TooManyPixelsError (read from the
    header, before any pixel is decoded) and BrokenImageError (a supported format, but damaged).
    """
    with _opened(data) as (image, kind):
        icc = _profile(data, image, kind)
        kept = metadata.collect(data, image, kind, options.metadata == "keep")
        shown = list(_rasters(data, image, header, options))
        times = gif.parse(data, 1).plays if kind == "gif" else plays(image)
        colours = Colours(shown[0][0], icc, options)
        origin = _origin(image, kind, header, shown[0][0]) if options.judging else "clean"
        done = []
        while shown:  # frees each raster as soon as it is converted
            done.append(colours.frame(*shown.pop(0)))
    declared = {PROFILE_HEADER: colours.effect} if colours.effect else {}
    if header.bits > 8 and done[0].pixels.dtype.itemsize == 1:
        declared[_DEPTH_HEADER] = "8"
    if options.frames < header.frames:
        declared[_FRAMES_HEADER] = f"{options.frames}/{header.frames}"
    if gain_map.is_in(data, header.format):
        declared[_GAIN_MAP_HEADER] = "dropped"
    return Decoded(done, options.enlarging, colours.grey, colours.back, colours.icc, times, kept, declared, origin)


def _refuse_samples(data: bytes) -> None:
    """Raise UnsupportedImageError for a TIFF with unsupported samples or compression, which Pillow calls damaged."""
    if sniff(data) == "tiff" and (what := tiff_samples.unsupported(data)) is not None:
        raise unsupported(what)


@contextmanager
def _opened(data: bytes, max_pixels: int | None = None) -> Iterator[tuple[Image.Image, Source]]:
    """Open an image and read its header. Errors in the enclosed block become ServiceErrors too.

    max_pixels: limit on what a decoder may allocate; None if it was checked before.
    """
    if not data:
        raise BodyError("the body is empty", expected=f"an image: {', '.join(SOURCE_MEDIA_TYPES.values())}")
    kind = sniff(data)
    if kind is None:
        raise UnsupportedImageError(
            f"the body looks like {guess(data)}; expected {', '.join(SOURCE_MEDIA_TYPES.values())}",
            value=guess(data),
            expected=list(SOURCE_MEDIA_TYPES.values()),
        )
    try:
        if max_pixels is not None:
            checks.refuse(data, kind, max_pixels)
        with Image.open(io.BytesIO(_for_decoders(data, kind)), formats=[_plugin(kind)]) as image:
            if kind == "png":
                _widen_colour_key(image, data)
            yield image, kind
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = "a smaller picture" if max_pixels is None else f"at most {max_pixels} pixels"
        raise TooManyPixelsError(f"{error}; expected {expected}", expected=expected) from error
    except ServiceError:
        raise
    except Exception as error:  # decoders raise any kind for damaged files, also AttributeError and MemoryError
        if kind == "tiff" and isinstance(error, UnidentifiedImageError) and (what := tiff_samples.describe(data)):
            raise unsupported(what) from error
        told = str(error).partition(" <_io.")[0]  # Pillow adds the repr of the file object, with a memory address
        why = " ".join(told.split())
        raise BrokenImageError(
            f"the {kind.upper()} cannot be decoded: {why}", value=kind, expected="an undamaged image"
        ) from error


def _plugin(kind: Source) -> str:
    """Return Pillow's name of the format. The HEIC plugin is imported for the first such file."""
    if kind != "heic":
        return kind.upper()
    import pi_heif  # noqa: PLC0415  # 20 MB that most processes never need

    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    return "HEIF"


def _for_decoders(data: bytes, kind: Source) -> bytes:
    """Return the parts of the file that matter to the pixels: decoders refuse some files for other parts."""
    match kind:
        case "jpeg":
            return jpeg_file.structure(data).image()
        case "png":
            return png_file.for_decoders(data)
        case "webp":
            return webp.with_true_alpha(data)
    return data


def _widen_colour_key(image: Image.Image, data: bytes) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits to 8 bits: Pillow scales the samples only."""
    bits, key = png.bits(data), image.info.get("transparency")
    if image.mode == "L" and bits in {2, 4} and isinstance(key, int):
        most = 2**bits - 1
        image.info["transparency"] = (key & most) * (255 // most)


def _profile(data: bytes, image: Image.Image, kind: Source) -> bytes | None:
    """Return the ICC profile of the file, or one made from the colour fields of a PNG or HEIC."""
    if kind == "png":
        facts = png_file.facts(data)
        said = png_colour.profile_of(facts, image.mode in GREY_MODES)
        return said if b"cICP" in facts and said else image.info.get("icc_profile") or said
    if kind == "heic" and "icc_profile" not in image.info and (said := image.info.get("nclx_profile")):
        code_points = bytes([said["color_primaries"] & 255, said["transfer_characteristics"] & 255, 0, 1])
        return png_colour.profile_of({b"cICP": code_points}, grey=False)
    return image.info.get("icc_profile") or None


def _origin(image: Image.Image, kind: Source, header: Header, first: Raster) -> Origin:
    """Find the origin of an image by its first picture."""
    return origin_of(kind, header.lossless, getattr(image, "quantization", {}), first.pixels)


def _rasters(data: bytes, image: Image.Image, header: Header, options: DecodeOptions) -> Iterator[tuple[Raster, float]]:
    """Decode the pictures, with the milliseconds that each is shown."""
    orientation = _orientation(data, image, header)
    if header.format == "tiff" and (why := tiff_samples.damage(data)) is not None:
        raise OSError(why)
    if header.format == "tiff" and tiff_samples.is_fax(data):
        refuse_warnings(data)
    if header.bits == 16 and not header.animated and header.format in {"png", "tiff"}:
        deep_answer = options.enlarging and options.output_format in DEEP
        raster = from_deep(_for_decoders(data, header.format), image.mode, orientation)
        yield raster if deep_answer else raster.in_eight_bits(), 0.0
        return
    if header.format == "jpeg":
        yield from_array(jpeg.read(data), orientation), 0.0
        return
    if header.format == "gif":
        yield from _gif_rasters(data, options.frames)
        return
    if header.format == "png" and header.animated:
        yield from _shown_rasters(list(apng.composed(data, options.frames)), apng.is_grey(data), orientation)
        return
    if header.format == "tiff":
        orientation = 1  # Pillow has applied it
    for each, milliseconds in frames(image, options.frames):
        yield from_image(each, orientation), milliseconds


def _gif_rasters(data: bytes, count: int) -> list[tuple[Raster, float]]:
    found = gif.parse(data, count)
    return _shown_rasters(list(gif.composed(data, found)), found.is_grey, 1)


def _shown_rasters(shown: list[tuple[apng.Rgba, float]], grey: bool, orientation: int) -> list[tuple[Raster, float]]:
    """Remove unused channels: colour if the file is grey, and alpha if all frames are opaque."""
    channels = [0] if grey else [0, 1, 2]
    if any((pixels[..., 3] < 255).any() for pixels, _ in shown):
        channels.append(3)
    return [(from_samples(pixels[..., channels], orientation), milliseconds) for pixels, milliseconds in shown]


def _orientation(data: bytes, image: Image.Image, header: Header) -> int:
    exif = image.info.get("exif", b"")
    return tiff.orientation(data if header.format == "tiff" else exif if isinstance(exif, bytes) else b"")


def _bits(data: bytes, image: Image.Image, kind: Source) -> int:
    match kind:
        case "png":
            return png.bits(data)
        case "tiff":
            return deep.tiff_bits(image)
        case "avif":
            return avif.bits(data)
        case "heic":
            return int(image.info.get("bit_depth", 8))
    return 8


def _count(data: bytes, image: Image.Image, kind: Source, max_frames: int) -> int:
    """Count the pictures in the file; of a GIF, at most one more than the limit."""
    match kind:
        case "gif":
            return len(gif.parse(data, max_frames + 1).frames)
        case "tiff":
            return tiff.page_count(data)
        case "jpeg" | "bmp" | "heic":  # further pictures in a JPEG are previews
            return 1
    return getattr(image, "n_frames", 1) - int(getattr(image, "default_image", False))
