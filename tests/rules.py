"""Files and the pixels that networks must see of them: the same in training and in the service."""

import io

import numpy as np
from PIL import Image, ImageCms

from tests.conftest import encoded
from tests.files import DISPLAY_P3, chunk, png16, rgb_profile, tiff16

RAMP = np.tile(np.linspace(10, 245, 64).astype(np.uint8), (48, 1))
COLOUR = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)])
ORIENTATION = 0x0112


def _exif(orientation):
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made.tobytes()


def _half_hidden():
    """Red, and noise under full transparency to the right of it."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 4)).astype(np.uint8)
    pixels[:, :32] = (200, 30, 40, 255)
    pixels[:, 32:, 3] = 0
    return pixels


def _as_srgb(pixels, icc):
    image, srgb = Image.fromarray(pixels), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), srgb, intent)
    return np.asarray(converted)


P3 = rgb_profile(DISPLAY_P3)
GREY = np.repeat(RAMP[..., None], 3, axis=2)
HIDDEN_NOISE = np.dstack([_half_hidden()[..., :3], np.zeros((32, 64), np.uint8)])
RED = np.broadcast_to(np.array((200, 30, 40), np.uint8), (32, 64, 3))

RULES = {
    "grey, PNG of 16 bits": ("png", png16(RAMP.astype(np.uint16)[..., None] * 257), GREY),
    "grey, TIFF of 16 bits": ("tif", tiff16(RAMP.astype(np.uint16)[..., None] * 257), GREY),
    "colour, PNG of 16 bits": ("png", png16(COLOUR.astype(np.uint16) * 257), COLOUR),
    "colour, TIFF of 16 bits, rounded": ("tif", tiff16(COLOUR.astype(np.uint16) * 257 - 100), COLOUR),
    "lying, JPEG": ("jpg", encoded(GREY, "jpeg", quality=100, exif=_exif(6)), np.rot90(GREY, 3)),
    "lying, PNG": ("png", encoded(COLOUR, "png", exif=_exif(8)), np.rot90(COLOUR, 1)),
    "lying, TIFF": ("tif", encoded(COLOUR, "tiff", exif=_exif(3)), np.rot90(COLOUR, 2)),
    "lying, TIFF of 16 bits": ("tif", tiff16(COLOUR.astype(np.uint16) * 257, orientation=3), np.rot90(COLOUR, 2)),
    "hidden colours": ("png", encoded(_half_hidden()), RED),
    "all hidden": ("png", encoded(HIDDEN_NOISE), np.full((32, 64, 3), 128, np.uint8)),
    "hidden by a key, 16 bits": (
        "png",
        png16(np.full((8, 8, 1), 40_000, np.uint16), chunk(b"tRNS", (40_000).to_bytes(2, "big"))),
        np.full((8, 8, 3), 128, np.uint8),
    ),
    "Display P3": ("png", encoded(COLOUR, "png", icc_profile=P3), _as_srgb(COLOUR, P3)),
}
"""By name: suffix, file, uint8 (H, W, 3)."""


def _cut(kind):
    data = encoded(COLOUR, kind)
    return data[: len(data) // 2]


REFUSED = {f"TIFF, {each}": ("tif", encoded(np.ones((16, 16), each), "tiff")) for each in ("float32", "int32")}
REFUSED |= {f"damaged {kind}": (kind, _cut(kind)) for kind in ("png", "tiff", "bmp")}
