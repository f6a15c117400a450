"""Blends models: decides which networks may be averaged, and averages them. See docs/decisions/0004-one-family.md."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nets.architecture import ARCHITECTURES
from nets.interpolation import Net, interpolate
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet
from nets.super_resolution import SuperResolutionNet
from service.models.model import Model, ModelEntry

_SHARES = 100
"""Shares are rounded to hundredths, which limits the number of different blends."""


@dataclass(frozen=True)
class Mixture:
    """Networks of one family whose weights are averaged. `shares` sum to 1. A single network is used unchanged."""

    entries: tuple[ModelEntry, ...]
    shares: tuple[float, ...]

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along a side."""
        return self.entries[0].facts.scale


def make_mixture(parts: Sequence[tuple[ModelEntry, float]]) -> Mixture:
    """Merge duplicates and round the shares to hundredths. Networks whose share rounds to zero are left out."""
    total = sum(share for _, share in parts)
    summed: dict[str, float] = {}
    for entry, share in parts:
        summed[entry.key] = summed.get(entry.key, 0.0) + share / total
    hundredths = {key: round(share * _SHARES) for key, share in summed.items()}
    largest = max(summed, key=lambda key: summed[key])
    hundredths[largest] += _SHARES - sum(hundredths.values())
    entries = {entry.key: entry for entry, _ in parts}
    kept = [key for key, share in hundredths.items() if share > 0]
    return Mixture(tuple(entries[key] for key in kept), tuple(hundredths[key] / _SHARES for key in kept))


def group_by_family(
    parts: Sequence[tuple[ModelEntry, float]], entries: Mapping[str, ModelEntry]
) -> list[list[tuple[ModelEntry, float]]]:
    """Group networks and their shares by family. entries: all models that are served, by key."""
    groups: list[list[tuple[ModelEntry, float]]] = []
    for part in parts:
        for group in groups:
            if can_interpolate(group[0][0], part[0], entries):
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def can_interpolate(one: ModelEntry, other: ModelEntry, entries: Mapping[str, ModelEntry]) -> bool:
    """Return whether two networks may be averaged.

    Styles of one trunk may be. Other networks must have one config and a common ancestor that they were trained from.
    """
    if one.key == other.key:
        return True
    a, b = one.card, other.card
    if a.architecture != b.architecture:
        return False
    parse = ARCHITECTURES[a.architecture].parse_config
    if parse(a.config) != parse(b.config):
        return False
    if a.trunk is not None or b.trunk is not None:
        return a.trunk == b.trunk
    parents = {entry.version: entry.card.parent for entry in entries.values()}
    return bool(_ancestors(one, parents) & _ancestors(other, parents))


def blend_key(identities: Sequence[str], shares: Sequence[float]) -> str:
    """Return the key of a blend. It contains the versions, so it changes with the files."""
    return "+".join(f"{share:g}*{identity}" for identity, share in zip(identities, shares, strict=True))


def blend(models: Sequence[Model], shares: Sequence[float]) -> Model:
    """Average models, which takes about 20 ms. Raises ValueError if their configs differ."""
    start = time.perf_counter()
    nets: list[Net] = []
    for model in models:
        assert isinstance(model.net, StyleTransferNet | StyleTrunkNet | SuperResolutionNet)
        nets.append(model.net)
    net = interpolate(nets, shares)
    sources = [model.sources[0] for model in models]
    key, first = blend_key(sources, shares), models[0]
    version = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    seconds = time.perf_counter() - start
    return Model(key, first.card, first.facts, net, version, seconds, tuple(sources))


def _ancestors(entry: ModelEntry, parents: Mapping[str, str | None]) -> set[str]:
    """Return the version of a model and those of its ancestors that the cards name."""
    found: set[str] = set()
    version: str | None = entry.version
    while version is not None and version not in found:
        found.add(version)
        version = parents.get(version)
    return found
