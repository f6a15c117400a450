"""One network in one safetensors file: its weights and its card. The format is specified in docs/checkpoint.md.

A style of a trunk stores its scales and shifts alone; the trunk is a file of its own (`nets.trunk`).
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from nets.architecture import ARCHITECTURES, NetConfig, Task, architecture_of
from nets.golden import GOLDEN_TOLERANCE, golden_answer, golden_distance
from nets.pixels import PIXEL_RANGE
from nets.style_trunk import StyleTrunkNet, style_parameters
from nets.trunk import FOLDER as TRUNKS_FOLDER
from nets.trunk import read_trunk

FORMAT_VERSION = 1
"""The version of a file that holds all the weights of its network."""

TRUNK_FORMAT_VERSION = 2
"""The version of a file that holds a style of a trunk."""

METADATA_KEY = "impasto"

_LONGEST_REASON = 400
_TRUNK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
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
_MAY_BE_MISSING = frozenset({"license", "source", "training", "metrics", "trunk"})


class CheckpointError(Exception):
    """A checkpoint that cannot be used. The message names the file, what is wrong and what was expected."""

    def __init__(self, path: Path, reason: str) -> None:
        reason = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "..."
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself; every field is described in docs/checkpoint.md."""

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
    """A checkpoint in memory: `net` is float32, on the CPU, in eval mode; `version` is the digest of the file."""

    card: Card
    config: NetConfig
    net: nn.Module
    version: str


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256, in hexadecimal, of every tensor's name, dtype, shape and little-endian bytes, in order of name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {str(array.dtype).removeprefix('torch.')} {list(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def describe(net: nn.Module, name: str, **facts: Any) -> Card:
    """Make the card of `net`: what can be computed is computed, the rest of the fields come in `facts`.

    Puts `net` in eval mode. Raises ValueError for a network that is not ours.
    """
    architecture = architecture_of(net)
    net.eval()
    if facts.get("trunk") is not None:
        facts["format_version"] = TRUNK_FORMAT_VERSION
    return Card(
        task=architecture.task,
        name=name,
        architecture=architecture.name,
        config=asdict(net.config),  # type: ignore[call-overload]  # each of our networks has one
        weights_sha256=weights_digest(net.state_dict()),
        golden=golden_answer(net),
        **facts,
    )


def dumps(net: nn.Module, card: Card) -> bytes:
    """Serialise: the same net and card always give the same bytes."""
    # One metadata key, since safetensors writes several in an order that changes from run to run.
    facts = asdict(card)
    own: Mapping[str, Tensor] = net.state_dict()
    if card.trunk is None:
        del facts["trunk"]  # a field of format 2
    elif isinstance(net, StyleTrunkNet):
        own = style_parameters(net)
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}
    return safetensors.torch.save(weights, {METADATA_KEY: text})


def save(path: Path, net: nn.Module, card: Card) -> str:
    """Write a checkpoint so that a reader sees the old file or the new one, never half. Returns the new version."""
    data = dumps(net, card)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return version_of(data)


def version_of(data: bytes) -> str:
    """The version of a checkpoint: "sha256:" and the digest of the file's bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def load(path: Path) -> Checkpoint:
    """Read, verify and build: strict weights, weights' digest, golden answer. Raises CheckpointError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    try:
        return _load(path, data)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a stranger's file breaks is that file's fault
        raise CheckpointError(path, f"malformed: {type(error).__name__}: {error}") from error


def peek(path: Path) -> tuple[Card, str]:
    """Read a card and a version; of the weights nothing is verified. Raises CheckpointError."""
    try:
        data = path.read_bytes()
        card = _read_card(path, data)
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
    card = _read_card(path, data)
    if card.trunk is not None:
        weights = {**_trunk_weights(path, card.trunk), **weights}
    config, net = _build(path, card, weights)
    distance = golden_distance(card.golden, golden_answer(net))
    if distance > GOLDEN_TOLERANCE:
        raise CheckpointError(
            path, f"golden answer differs by {distance:.4f}, at most {GOLDEN_TOLERANCE:.4f} is expected: wrong network?"
        )
    return Checkpoint(card, config, net, version_of(data))


def _read_card(path: Path, data: bytes) -> Card:
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
        if key not in values and key not in _MAY_BE_MISSING:
            raise CheckpointError(path, f"incomplete metadata: no {key!r}")
        if key in values and not isinstance(values[key], kind):
            raise CheckpointError(path, f"malformed metadata: {key} is {type(values[key]).__name__}")
    known = {entry.name for entry in fields(Card)}
    # A later minor writer may add keys: readers ignore what they do not know.
    card = Card(**{key: value for key, value in values.items() if key in known})
    if card.pixel_range != PIXEL_RANGE:
        raise CheckpointError(path, f"pixel_range is {card.pixel_range!r}, expected {PIXEL_RANGE!r}")
    return card


def _trunk_weights(path: Path, reference: str) -> Mapping[str, Tensor]:
    """The weights that a style shares: those of `../trunks/NAME.safetensors`. Raises CheckpointError."""
    name = reference.partition("@")[0]
    if not _TRUNK_NAME.fullmatch(name):
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
        with torch.device("meta"):  # compared before any memory is given to what a card claims; and nothing is drawn
            net = architecture.build(config)
        wanted = _shapes(net.state_dict())
        found = _shapes(weights)
        if wanted != found:
            odd = min(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            raise ValueError(f"{odd} is {found.get(odd, 'missing')}, expected {wanted.get(odd, 'nothing')}")
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
    """Every tensor's dtype and shape, as text."""
    return {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in weights.items()}
