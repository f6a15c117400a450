"""What happens to a photograph before it is enlarged: blur, reduction, noise and JPEG, in this order.

The ranges are those of Real-ESRGAN's first order (Wang et al. 2021), narrower: an old photograph, not a ruined one.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Literal, Self

import numpy as np
from PIL import Image, ImageFilter
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kernel = Literal["bicubic", "bilinear", "box", "hamming", "lanczos"]
Share = Annotated[float, Field(ge=0, le=1)]

_KERNELS: dict[Kernel, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}

Subsampling = Literal["4:2:0", "4:4:4"]


class Degradations(BaseModel):
    """The ranges from which `draw` takes the steps for a photograph: [data.degradations] of a recipe.

    clean_share: of the crops, reduced by antialiased bicubic alone. blur_share, noise_share, jpeg_share: of the others,
    that get this step. noise_levels: standard deviation, in levels of 255.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clean_share: Share = 0.35
    blur_share: Share = 0.5
    blur_sigma: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=8)]] = (0.2, 1.5)
    kernels: Annotated[list[Kernel], Field(min_length=1)] = ["bicubic", "bilinear", "box", "hamming", "lanczos"]
    noise_share: Share = 0.5
    noise_levels: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=64)]] = (0.0, 8.0)
    jpeg_share: Share = 0.9
    jpeg_quality: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=100)]] = (30, 95)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("blur_sigma", "noise_levels", "jpeg_quality"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name} must be [lowest, highest], not [{lowest}, {highest}]")
        return self


@dataclass(frozen=True)
class Degradation:
    """The steps for one photograph. The default is antialiased bicubic and nothing else.

    blur_sigma: of a Gaussian blur at high resolution, in pixels; 0 is none. kernel: of the reduction.
    noise_levels: standard deviation of Gaussian noise at low resolution, in levels of 255.
    jpeg_quality: of the JPEG file in which the low resolution was kept; None is none.
    """

    blur_sigma: float = 0.0
    kernel: Kernel = "bicubic"
    noise_levels: float = 0.0
    jpeg_quality: int | None = None
    subsampling: Subsampling = "4:2:0"


def draw(ranges: Degradations, random: np.random.Generator) -> Degradation:
    """Draw the steps for one photograph: none for `clean_share` of them, else each with its own probability."""
    if random.random() < ranges.clean_share:
        return Degradation()
    blurred, noisy, compressed, colour_kept = random.random(4) < (
        ranges.blur_share,
        ranges.noise_share,
        ranges.jpeg_share,
        0.25,
    )
    lowest, highest = ranges.jpeg_quality
    return Degradation(
        blur_sigma=random.uniform(*ranges.blur_sigma) if blurred else 0.0,
        kernel=ranges.kernels[int(random.integers(len(ranges.kernels)))],
        noise_levels=random.uniform(*ranges.noise_levels) if noisy else 0.0,
        jpeg_quality=int(random.integers(lowest, highest + 1)) if compressed else None,
        subsampling="4:4:4" if colour_kept else "4:2:0",
    )


def degrade(image: Image.Image, factor: int, steps: Degradation, random: np.random.Generator) -> Image.Image:
    """Reduce each side of an RGB image by `factor`, through these steps. `random` draws the noise."""
    if steps.blur_sigma > 0:
        image = image.filter(ImageFilter.GaussianBlur(steps.blur_sigma))
    low = image.resize((image.width // factor, image.height // factor), _KERNELS[steps.kernel])
    if steps.noise_levels > 0:
        low = _with_noise(low, steps.noise_levels, random)
    return low if steps.jpeg_quality is None else through_jpeg(low, steps.jpeg_quality, steps.subsampling)


def _with_noise(image: Image.Image, levels: float, random: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    noisy = pixels + random.normal(0.0, levels, pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def through_jpeg(image: Image.Image, quality: int, subsampling: Subsampling = "4:2:0") -> Image.Image:
    """Return an RGB image as it comes back from a JPEG file."""
    file = BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file).convert("RGB")


def describe(ranges: Degradations) -> str:
    """Describe the ranges for the card of a checkpoint."""
    (blur_from, blur_to), (noise_from, noise_to) = ranges.blur_sigma, ranges.noise_levels
    return (
        f"{ranges.clean_share:.0%} antialiased bicubic; else Gaussian blur sigma {blur_from:g} to {blur_to:g} "
        f"({ranges.blur_share:.0%}), reduction by {', '.join(ranges.kernels)}, Gaussian noise {noise_from:g} to "
        f"{noise_to:g} levels ({ranges.noise_share:.0%}), JPEG of quality {ranges.jpeg_quality[0]} to "
        f"{ranges.jpeg_quality[1]} ({ranges.jpeg_share:.0%})"
    )
