"""Pixels -> bytes in the format that the client wants. Runs on a codec thread."""

import io
from collections.abc import Mapping
from typing import Any

import mimeparse
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import NotAcceptableError, shown
from service.formats import MEDIA_TYPES, Format


def choose_format(asked: Format | None, accept: str | None, source: Format) -> Format:
    """The `?format=` where there is one, else what `Accept` likes best; among equals the picture's own format.

    Raises NotAcceptableError where the client accepts none of ours, or the header cannot be read.
    """
    if asked is not None:
        return asked
    if not accept:
        return source
    by_type = {media_type: kind for kind, media_type in MEDIA_TYPES.items()}
    ordered = sorted(by_type, key=lambda media_type: by_type[media_type] == source)  # of equals, the last one wins
    try:
        best = mimeparse.best_match(ordered, accept.lower())
    except (mimeparse.MimeTypeParseException, ValueError):
        best = ""
    if not best:
        raise NotAcceptableError(
            f"Accept {shown(accept)!r} names no format that can be made: {', '.join(ordered)}",
            parameter="Accept",
            value=shown(accept),
            expected=ordered,
        )
    return by_type[best]


def encode(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    icc: bytes | None,
    kind: Format,
    quality: Mapping[str, int],
) -> bytes:
    """Encode uint8 (H, W, 3) RGB, with uint8 alpha of any size, as `kind`; `quality` per lossy format, 1 to 100.

    Alpha is resized to the picture; JPEG has none, so there the picture is laid on white.
    """
    image = Image.fromarray(pixels)
    if alpha is not None:
        mask = Image.fromarray(alpha).resize(image.size, Image.Resampling.BICUBIC)
        if kind == "jpeg":
            image = Image.composite(image, Image.new("RGB", image.size, "white"), mask)
        else:
            image.putalpha(mask)
    options: dict[str, Any] = {"icc_profile": icc} if icc else {}
    match kind:
        case "jpeg":
            options |= {"quality": quality["jpeg"]}
        case "png":
            options |= {"compress_level": 1}  # the default, 6, takes many times as long for little
        case "webp":
            options |= {"quality": quality["webp"], "method": 1}
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **options)
    return buffer.getvalue()
