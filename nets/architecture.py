"""The registry of network architectures: builds a network from a name and a config, and describes it for serving."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from torch import nn

from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet

Task = Literal["stylize", "upscale"]
NetConfig = StyleTransferConfig | StyleTrunkConfig | SuperResolutionConfig


@dataclass(frozen=True)
class Facts:
    """The properties of a network that the service needs.

    scale: output pixels per input pixel, along a side.
    halo: input pixels around a tile on which its output depends (the radius of the receptive field); None if each
        output pixel depends on the whole picture (instance norm), so that exact tiling is impossible.
    radius: the radius of the receptive field of the convolutions alone, without instance norm.
    approximable: whether a large picture may be tiled approximately: with the instance norm statistics of a reduced
        copy.
    """

    scale: int
    halo: int | None
    radius: int
    approximable: bool


def _style_transfer_facts(config: StyleTransferConfig) -> Facts:
    # 9x9 at full resolution, 3x3 at a half and a quarter, two 3x3 per block at a quarter, two upsamplings, 9x9;
    # rounded up
    radius = 4 + 1 + 2 + 4 * 2 * config.residual_blocks + 4 + 2 + 4
    tileable = config.norm == "batch" and not config.grain  # the grain depends on the coordinates in the whole picture
    return Facts(scale=1, halo=radius if tileable else None, radius=radius, approximable=config.local)


def _style_trunk_facts(config: StyleTrunkConfig) -> Facts:
    # 3x3 at 1/2, 1/2 and 1/4; two 3x3 a block at 1/8; enlarging and 3x3 at 1/4 and 1/2; 3x3 at 1/2, and the blur.
    radius = 2 + 2 + 4 + 8 * 2 * config.residual_blocks + 8 + 4 + 4 + 2 + 2 + 1
    return Facts(scale=1, halo=None, radius=radius, approximable=True)


def _super_resolution_facts(config: SuperResolutionConfig) -> Facts:
    body = 2 * config.residual_blocks
    halos = {
        "subpixel": 1 + body + 1,  # head and tail, one pixel each; larger than the two pixels of bicubic
        "span": 1 + 3 * config.residual_blocks + 2,  # head; three 3x3 a block; the last 3x3 and the tail
        "paper": 4 + body + 2 + 4 // config.factor,  # 9x9 at both ends, less than 2 for upsampling
        "srcnn": 2 + 8 // config.factor,  # two for bicubic; 9x9, 5x5 and 5x5 at high resolution
    }
    return Facts(scale=config.factor, halo=halos[config.body], radius=halos[config.body], approximable=False)


@dataclass(frozen=True)
class Architecture:
    """A family of networks. `build(config)` returns a network with fresh weights, `facts(config)` its properties."""

    name: str
    task: Task
    config_type: type[StyleTransferConfig] | type[StyleTrunkConfig] | type[SuperResolutionConfig]
    build: Callable[[Any], nn.Module]
    facts: Callable[[Any], Facts]

    def parse_config(self, values: Mapping[str, Any]) -> NetConfig:
        """Make a config from plain values. Raises ValueError for an unknown key or a wrong value."""
        known = {field.name: field for field in fields(self.config_type)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown config key {unknown[0]!r} for {self.name}; known: {', '.join(known)}")
        defaults, kinds = asdict(self.config_type()), get_type_hints(self.config_type)
        for key, value in values.items():
            if type(value) is not type(defaults[key]):
                expected = type(defaults[key]).__name__
                raise ValueError(f"config {key} = {value!r} for {self.name}: expected {expected}")
            allowed = get_args(kinds[key])
            if allowed and value not in allowed:
                raise ValueError(f"config {key} = {value!r} for {self.name}: expected one of {allowed}")
            low, high = (0, 1) if isinstance(value, float) else (1, 1024)
            if isinstance(value, int | float) and not low <= value <= high:
                raise ValueError(f"config {key} = {value!r} for {self.name}: expected {low} to {high}")
        return self.config_type(**values)


ARCHITECTURES: Mapping[str, Architecture] = {
    "style_transfer": Architecture(
        "style_transfer", "stylize", StyleTransferConfig, StyleTransferNet, _style_transfer_facts
    ),
    "style_trunk": Architecture("style_trunk", "stylize", StyleTrunkConfig, StyleTrunkNet, _style_trunk_facts),
    "super_resolution": Architecture(
        "super_resolution", "upscale", SuperResolutionConfig, SuperResolutionNet, _super_resolution_facts
    ),
}


def architecture_of(net: nn.Module) -> Architecture:
    """Return the architecture that built `net`. Raises ValueError for any other module."""
    for architecture in ARCHITECTURES.values():
        if type(net) is architecture.build:
            return architecture
    raise ValueError(f"{type(net).__name__} is not an Impasto network")
