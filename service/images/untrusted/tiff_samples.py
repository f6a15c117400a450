"""The sample types of a TIFF, and whether all samples are in the file, read without decoding.

libtiff fills unreadable parts with black and ignores data after a complete tile. This module therefore checks the
bounds of every strip and tile, and the checksums of deflate.
"""

import zlib
from collections.abc import Mapping

from service.images.untrusted import tiff
from service.images.untrusted.tiff import Directory

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 259, 262, 277
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _SAMPLE_FORMAT = 273, 278, 279, 284, 339
_TILE_OFFSETS, _TILE_BYTES = 324, 325
_SUBSAMPLING, _YCBCR = 530, 6

_NONE, _LZW, _OLD_JPEG, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 5, 6, 7, 8, 32773, 32946
_FAX = frozenset({2, 3, 4})
_READ = _FAX | frozenset({_NONE, _LZW, _OLD_JPEG, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE})
_READ_IN_EIGHT_BITS = frozenset({34925, 50000, 50001})
"""Compressions that Pillow's libtiff decodes. The libtiff of libvips, which reads 16 bits, does not."""

_COMPRESSIONS: Mapping[int, str] = {
    9: "JBIG (T.85)",
    10: "JBIG (T.43)",
    32766: "NeXT",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_PHOTOMETRICS: Mapping[int, str] = {
    8: "CIE Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_PIECE_BYTES = 2**20
_KINDS = {2: "signed integers", 3: "floating-point numbers", 5: "complex integers", 6: "complex numbers"}


def unsupported(data: bytes) -> str | None:
    """Name what is unsupported in the first page; None if everything is supported."""
    page = tiff.first_page(data)
    if page is None:
        return None
    compression, bits = page.numbers.get(_COMPRESSION, _NONE), page.integers(data, _BITS) or (1,)
    if compression not in _READ and (max(bits) > 8 or compression not in _READ_IN_EIGHT_BITS):
        return f"a TIFF of {max(bits)} bits compressed with {_COMPRESSIONS.get(compression, f'method {compression}')}"
    kinds = {value for value in page.integers(data, _SAMPLE_FORMAT) if value in _KINDS}
    if kinds:
        return f"a TIFF with samples that are {_KINDS[min(kinds)]} of {max(bits)} bits"
    if max(bits) not in {1, 2, 4, 8, 16} or (max(bits) == 16 and len(set(bits)) > 1):
        return f"a TIFF with samples of {', '.join(str(each) for each in sorted(set(bits)))} bits"
    photometric = page.numbers.get(_PHOTOMETRIC, 1)
    return f"a TIFF in {_PHOTOMETRICS[photometric]}" if photometric in _PHOTOMETRICS else None


def describe(data: bytes) -> str | None:
    """Describe the samples of the first page; None if it is damaged or empty."""
    page = tiff.first_page(data)
    if page is None or not page.is_in(data) or not {_WIDTH, _HEIGHT, _BITS} <= page.entries.keys():
        return None
    if not page.entries.keys() & {_STRIP_OFFSETS, _TILE_OFFSETS}:
        return None
    bits = "/".join(str(each) for each in page.integers(data, _BITS))
    planes = ", one plane a sample" if page.numbers.get(_PLANAR) == 2 else ""
    return (
        f"a TIFF of {page.numbers.get(_SAMPLES, 1)} samples of {bits} bits{planes}, "
        f"photometric interpretation {page.numbers.get(_PHOTOMETRIC, 1)}, "
        f"compression {page.numbers.get(_COMPRESSION, _NONE)}"
    )


def is_fax(data: bytes) -> bool:
    """Return whether the first page has a fax compression: libtiff only warns of damage in it."""
    page = tiff.first_page(data)
    return page is not None and page.numbers.get(_COMPRESSION) in _FAX


def damage(data: bytes) -> str | None:
    """Name what is missing or damaged in the samples of the first page; None if nothing is."""
    page = tiff.first_page(data)
    if page is None:
        return None
    tiled = _TILE_OFFSETS in page.entries
    offsets = page.integers(data, _TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    counts = page.integers(data, _TILE_BYTES if tiled else _STRIP_BYTES)
    if not offsets or len(counts) < len(offsets):
        return None  # libtiff estimates them, or refuses
    compression = page.numbers.get(_COMPRESSION, _NONE)
    sizes = _sizes(data, page, tiled)
    for index, (offset, count, size) in enumerate(zip(offsets, counts, sizes, strict=False)):
        name = f"{'tile' if tiled else 'strip'} {index + 1} of {len(offsets)}"
        if offset + count > len(data) and (compression != _NONE or offset + size[0] > len(data)):
            return f"the file is truncated: {name} ends at byte {offset + count} of {len(data)}"
        if compression == _NONE and count < size[0]:
            return f"{name} has {count} bytes; expected {size[0]}"
        if compression in {_DEFLATE, _OLD_DEFLATE}:
            why = _deflate_damage(data[offset : offset + count], size[1])
            if why:
                return f"{name} is damaged: {why}"
    return None


def _sizes(data: bytes, page: Directory, tiled: bool) -> list[tuple[int, int]]:
    """Return the unpacked bytes of each tile or strip: the least that the image needs, and the most."""
    width, height = page.numbers.get(_WIDTH, 0), page.numbers.get(_HEIGHT, 0)
    planes = page.numbers.get(_SAMPLES, 1) if page.numbers.get(_PLANAR, 1) == 2 else 1
    pixel_bits = _bits_per_pixel(data, page, planes)
    if tiled:
        across, down = page.numbers.get(tiff.TILE_WIDTH, 0), page.numbers.get(tiff.TILE_HEIGHT, 0)
        if not across or not down:
            return []
        size = (across * pixel_bits + 7) // 8 * down
        return [(size, size)] * (-(-width // across) * -(-height // down) * planes)
    row, rows = (width * pixel_bits + 7) // 8, min(page.numbers.get(_ROWS_PER_STRIP, height), height)
    if not rows:
        return []
    return [(row * min(rows, height - top), row * rows) for _ in range(planes) for top in range(0, height, rows)]


def _bits_per_pixel(data: bytes, page: Directory, planes: int) -> int:
    """Return the bits of a pixel in one plane; for YCbCr, the least possible."""
    bits, samples = page.integers(data, _BITS) or (1,), page.numbers.get(_SAMPLES, 1)
    if planes > 1:
        return bits[0]
    if page.numbers.get(_PHOTOMETRIC) == _YCBCR:
        across, down = page.integers(data, _SUBSAMPLING) or (2, 2)
        return bits[0] + 2 * bits[0] // max(1, across * down)
    return sum(bits) if len(bits) == samples else bits[0] * samples


def _deflate_damage(packed: bytes, most: int) -> str | None:
    unpacker, unpacked = zlib.decompressobj(), 0
    try:
        while packed and not unpacker.eof and unpacked <= most:
            unpacked += len(unpacker.decompress(packed, _PIECE_BYTES))
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        return str(error)
    return "it unpacks to more than its size" if unpacked > most else None
