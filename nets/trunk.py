"""The convolutions that many styles share, in one safetensors file. The format is specified in docs/checkpoint.md."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet, trunk_parameters

FOLDER = "trunks"
"""Where a model repository keeps its trunks: `trunks/NAME.safetensors`, beside `stylize/` and `upscale/`."""

METADATA_KEY = "impasto_trunk"
_KEPT = 4
"""Trunks that stay in memory while nets that share them are loaded one after the other."""


@dataclass(frozen=True)
class TrunkCard:
    """The facts that a trunk's file records. `config` builds a StyleTrunkConfig; `training` is free."""

    name: str
    config: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    format_version: int = 1


@dataclass(frozen=True)
class Trunk:
    """A trunk in memory: float32 weights, by the names that `StyleTrunkNet.state_dict()` gives them.

    reference: "NAME@sha256:...", by which a style names its trunk; the digest is that of the file.
    """

    card: TrunkCard
    reference: str
    weights: Mapping[str, Tensor]


def dumps_trunk(net: StyleTrunkNet, name: str, training: Mapping[str, Any] | None = None) -> bytes:
    """Serialise the convolutions of `net` in float16: the same net and facts always give the same bytes."""
    card = TrunkCard(name, asdict(net.config), dict(training or {}))
    text = json.dumps(asdict(card), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    weights = {key: value.detach().cpu().half().contiguous() for key, value in trunk_parameters(net).items()}
    return safetensors.torch.save(weights, {METADATA_KEY: text})


def read_trunk(path: Path, reference: str | None = None) -> Trunk:
    """Read a trunk. Raises ValueError if the file is missing or damaged, or is not the one `reference` names.

    Reading the same file again gives the same tensors, so that all styles of a trunk share them.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        wanted = f"trunk {reference}" if reference else "trunk"
        raise ValueError(f"{wanted} is expected at {path}: {error.strerror}") from error
    trunk = _parse(data, path.name)
    if reference is not None and trunk.reference != reference:
        raise ValueError(f"{path} holds trunk {trunk.reference}, expected {reference}")
    return trunk


@functools.lru_cache(maxsize=_KEPT)
def _parse(data: bytes, file_name: str) -> Trunk:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        stored = safetensors.torch.load(data)
        card = TrunkCard(**json.loads(header["__metadata__"][METADATA_KEY]))
        expected = _shapes(card)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{file_name} is not a trunk: {type(error).__name__}: {error}") from error
    if card.format_version != 1:
        raise ValueError(f"{file_name}: format_version is {card.format_version!r}, expected 1")
    found = {name: list(tensor.shape) for name, tensor in stored.items()}
    if found != expected:
        odd = min(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ValueError(f"{file_name}: {odd} is {found.get(odd, 'missing')}, expected {expected.get(odd, 'nothing')}")
    weights = {name: _placed(tensor.float()) for name, tensor in stored.items()}
    return Trunk(card, f"{card.name}@sha256:{hashlib.sha256(data).hexdigest()}", weights)


def _shapes(card: TrunkCard) -> dict[str, list[int]]:
    with torch.device("meta"):
        net = StyleTrunkNet(StyleTrunkConfig(**card.config))
    return {name: list(value.shape) for name, value in trunk_parameters(net).items()}


def _placed(weight: Tensor) -> Tensor:
    """The layout that a CPU's worker wants, from the start: a later conversion would give each style a copy."""
    return weight.contiguous(memory_format=torch.channels_last)
