"""A request at two points of its path: `Prepared`, when its image header is known, and `Loaded`, with its networks."""

from dataclasses import dataclass, field

from service.images.formats import ANIMATING, Format
from service.images.types import Header
from service.pipeline.parameters import UpscaleParameters
from service.pipeline.plan import InferencePlan
from service.pipeline.rendering import LoadedPlan
from service.pipeline.request import TransformRequest

SOURCE_HEADER, FACTOR_HEADER = "Impasto-Source", "Impasto-Factor"


@dataclass(frozen=True)
class Prepared:
    """A request whose image header is known. format: of the output; None if the client sends and receives pixels.

    milliseconds: of each stage so far; the stages add to it.
    """

    request: TransformRequest
    plan: InferencePlan
    header: Header
    format: Format | None = None
    quality: int | None = None
    etag: str = ""
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Frames that are read and returned."""
        return self.header.frames if self.header.animated and (self.format is None or self.format in ANIMATING) else 1

    @property
    def upscales(self) -> bool:
        """Whether the output is an enlarged picture, with the grey, transparency and sixteen bits of the input."""
        return isinstance(self.request.parameters, UpscaleParameters)

    @property
    def declared(self) -> dict[str, str]:
        """Response headers that say what was decided."""
        parameters = self.plan.parameters
        factor = {FACTOR_HEADER: f"{parameters.factor:g}"} if isinstance(parameters, UpscaleParameters) else {}
        return factor | ({} if self.plan.origin is None else {SOURCE_HEADER: self.plan.origin})

    @property
    def lossless(self) -> bool:
        """Whether a WebP is written without loss: as the client asks, else like the input if `quality` permits it."""
        parameters = self.request.parameters
        if parameters.lossless is not None:
            return parameters.lossless
        return self.header.lossless and parameters.quality in {None, 100}

    @property
    def memory(self) -> int:
        """Memory, in multiples of that of an 8-bit colour picture. Adding alpha to an enlarged picture copies it."""
        return (2 if self.header.alpha and self.upscales else 1) * (2 if self.header.bits > 8 else 1)


@dataclass(frozen=True)
class Loaded:
    """Networks in memory, and the pixels of all frames. photo: the networks for a photograph, if they differ."""

    plan: LoadedPlan
    input_pixels: int
    output_pixels: int
    photo: LoadedPlan | None = None

    @property
    def coded_pixels(self) -> int:
        """Pixels that are decoded and encoded."""
        return self.input_pixels + self.output_pixels

    def held_pixels(self, prepared: Prepared) -> int:
        """Count the pixels, of 8-bit colours, that a request holds in memory."""
        at_once = 1 if prepared.format is not None else prepared.frames  # pixels are computed together
        return self.coded_pixels * prepared.memory + at_once * self.plan.sizes.extra_pixels(prepared.plan)
