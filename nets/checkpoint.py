"""Reads and writes checkpoints: one safetensors file with the weights of one network and its card.

A style of a trunk stores only its scales and shifts; the trunk is a separate file (`nets.trunk`). The format is
specified in docs/checkpoint.md.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from nets.architecture import ARCHITECTURES, NetConfig, Task, architecture_of
from nets.files import replace_file
from nets.golden import GOLDEN_TOLERANCE, golden_difference, golden_output
from nets.pixels import PIXEL_RANGE
from nets.style_trunk import StyleTrunkNet, style_parameters
from nets.trunk import FOLDER as TRUNKS_FOLDER
from nets.trunk import read_trunk

FORMAT_VERSION = 1
"""The format version of a checkpoint with all the weights of its network."""

TRUNK_FORMAT_VERSION = 2
"""The format version of a checkpoint with a style of a trunk."""

METADATA_KEY = "impasto"

_MAX_REASON_LENGTH = 400
MODEL_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""The names that a model and a trunk may have."""
_FIELD_TYPES = {
    "task": str,
    "name": str,
    "architecture": str,
    "config": dict,
    "weights_sha256": str,
    "golden": list,
    "pixel_range": str,
    "parent": str | None,
    "trunk": str | None,
    "license": str,
    "source": str,
    "training": dict,
    "metrics": dict,
}
_OPTIONAL_FIELDS = frozenset({"license", "source", "training", "metrics", "trunk"})


class CheckpointError(Exception):
    """A checkpoint that cannot be used. The message names the file, the fault and what was expected."""

    def __init__(self, path: Path, reason: str) -> None:
        reason = reason if len(reason) <= _MAX_REASON_LENGTH else reason[:_MAX_REASON_LENGTH] + "..."
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Card:
    """The metadata of a checkpoint. docs/checkpoint.md describes each field."""

    task: Task
    name: str
    architecture: str
    config: dict[str, Any]
    weights_sha256: str
    golden: list[float]
    pixel_range: str = PIXEL_RANGE
    format_version: int = FORMAT_VERSION
    parent: str | None = None
    trunk: str | None = None
    license: str = ""
    source: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `net` is float32, on the CPU, in eval mode. `version`: see `version_of`."""

    card: Card
    config: NetConfig
    net: nn.Module
    version: str


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256, in hexadecimal, of the name, dtype, shape and little-endian bytes of all tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {str(array.dtype).removeprefix('torch.')} {list(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def make_card(net: nn.Module, name: str, **values: Any) -> Card:
    """Make the card of `net`. values: the fields that cannot be computed from the network.

    Puts `net` in eval mode. Raises ValueError if no architecture of Impasto built it.
    """
    architecture = architecture_of(net)
    net.eval()
    if values.get("trunk") is not None:
        values["format_version"] = TRUNK_FORMAT_VERSION
    return Card(
        task=architecture.task,
        name=name,
        architecture=architecture.name,
        config=asdict(net.config),  # type: ignore[call-overload]  # each architecture sets it
        weights_sha256=weights_digest(net.state_dict()),
        golden=golden_output(net),
        **values,
    )


def dumps(net: nn.Module, card: Card) -> bytes:
    """Serialise a network and its card. The same input always gives the same bytes."""
    values = asdict(card)
    own: Mapping[str, Tensor] = net.state_dict()
    if card.trunk is None:
        del values["trunk"]  # a field of format 2
    elif isinstance(net, StyleTrunkNet):
        own = style_parameters(net)
    # one metadata key: safetensors writes several keys in an order that changes from run to run
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}
    return safetensors.torch.save(weights, {METADATA_KEY: text})


def save(path: Path, net: nn.Module, card: Card) -> str:
    """Write a checkpoint and replace the old file atomically. Returns the new version."""
    data = dumps(net, card)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
    return version_of(data)


def version_of(data: bytes) -> str:
    """Return the version of a checkpoint: "sha256:" and the digest of the bytes of its file."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, verify its weights, their digest and its golden output, and build the network.

    Raises CheckpointError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    try:
        return _load(path, data)
    except CheckpointError:
        raise
    except Exception as error:  # a malicious or damaged file may raise anything
        raise CheckpointError(path, f"malformed: {type(error).__name__}: {error}") from error


def read_card(path: Path) -> tuple[Card, str]:
    """Read the card and the version of a checkpoint without verifying its weights. Raises CheckpointError."""
    try:
        data = path.read_bytes()
        card = _parse_card(path, data)
        ARCHITECTURES[card.architecture].parse_config(card.config)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except Exception as error:
        raise CheckpointError(path, f"malformed: {type(error).__name__}: {error}") from error
    return card, version_of(data)


def _load(path: Path, data: bytes) -> Checkpoint:
    try:
        weights = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(path, f"not a whole safetensors file: {error}") from error
    card = _parse_card(path, data)
    if card.trunk is not None:
        weights = {**_trunk_weights(path, card.trunk), **weights}
    config, net = _build(path, card, weights)
    difference = golden_difference(card.golden, golden_output(net))
    if difference > GOLDEN_TOLERANCE:
        raise CheckpointError(
            path, f"golden output differs by {difference:.4f}, expected at most {GOLDEN_TOLERANCE:.4f}: wrong network?"
        )
    return Checkpoint(card, config, net, version_of(data))


def _parse_card(path: Path, data: bytes) -> Card:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(path, f"no {METADATA_KEY!r} metadata: not an Impasto checkpoint")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(path, f"metadata is not JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format_version") not in (FORMAT_VERSION, TRUNK_FORMAT_VERSION):
        found = values.get("format_version") if isinstance(values, dict) else values
        raise CheckpointError(path, f"format_version is {found!r}, expected {FORMAT_VERSION} or {TRUNK_FORMAT_VERSION}")
    if (values["format_version"] == TRUNK_FORMAT_VERSION) != bool(values.get("trunk")):
        raise CheckpointError(path, f"format_version {values['format_version']} with trunk {values.get('trunk')!r}")
    for key, kind in _FIELD_TYPES.items():
        if key not in values and key not in _OPTIONAL_FIELDS:
            raise CheckpointError(path, f"incomplete metadata: no {key!r}")
        if key in values and not isinstance(values[key], kind):
            raise CheckpointError(path, f"malformed metadata: {key} is {type(values[key]).__name__}")
    known = {entry.name for entry in fields(Card)}
    # a later writer may add keys: a reader ignores the keys that it does not know
    card = Card(**{key: value for key, value in values.items() if key in known})
    if card.pixel_range != PIXEL_RANGE:
        raise CheckpointError(path, f"pixel_range is {card.pixel_range!r}, expected {PIXEL_RANGE!r}")
    return card


def _trunk_weights(path: Path, reference: str) -> Mapping[str, Tensor]:
    """Read the shared weights of a style from `../trunks/NAME.safetensors`. Raises CheckpointError."""
    name = reference.partition("@")[0]
    if not re.fullmatch(MODEL_NAME, name):
        raise CheckpointError(path, f"trunk {reference!r}: expected NAME@sha256:DIGEST")
    try:
        return read_trunk(path.parent.parent / TRUNKS_FOLDER / f"{name}.safetensors", reference).weights
    except ValueError as error:
        raise CheckpointError(path, str(error)) from error


def _build(path: Path, card: Card, weights: dict[str, Tensor]) -> tuple[NetConfig, nn.Module]:
    architecture = ARCHITECTURES.get(card.architecture)
    if architecture is None or architecture.task != card.task:
        known = ", ".join(f"{a.name} ({a.task})" for a in ARCHITECTURES.values())
        raise CheckpointError(path, f"architecture {card.architecture!r} ({card.task!r}) is not known; known: {known}")
    try:
        config = architecture.parse_config(card.config)
        with torch.device("meta"):  # no memory is allocated before the shapes are compared
            net = architecture.build(config)
        wanted = _shapes(net.state_dict())
        found = _shapes(weights)
        if wanted != found:
            name = min(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
            raise ValueError(f"{name} is {found.get(name, 'missing')}, expected {wanted.get(name, 'nothing')}")
        shared = card.trunk is not None  # all styles of a trunk hold the same tensors
        net.load_state_dict(
            {name: tensor if shared else tensor.clone() for name, tensor in weights.items()}, strict=True, assign=True
        )
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(path, f"weights or config do not fit {card.architecture}: {reason}") from error
    if weights_digest(weights) != card.weights_sha256:
        raise CheckpointError(path, "weights differ from their recorded digest (weights_sha256)")
    return config, net.eval()


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the dtype and shape of each tensor, as text."""
    return {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in weights.items()}
