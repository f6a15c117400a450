"""Networks between others: which may be averaged, and the average as a model. See docs/decisions/0004-one-family.md."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nets.architecture import ARCHITECTURES
from nets.interpolation import Net, interpolate
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet
from nets.super_resolution import SuperResolutionNet
from service.models.model import Model, Offer

_SHARES = 100
"""Shares of weights are whole hundredths, so that the blended networks are not as many as there are numbers."""


@dataclass(frozen=True)
class Mixture:
    """Networks of one family whose weights are averaged: `shares` sum to 1. With one, it is that network itself."""

    offers: tuple[Offer, ...]
    shares: tuple[float, ...]

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along a side."""
        return self.offers[0].facts.scale


def mixture(parts: Sequence[tuple[Offer, float]]) -> Mixture:
    """What is to be averaged, in the order given; shares become hundredths, and what rounds to nothing is left out."""
    total = sum(share for _, share in parts)
    summed: dict[str, float] = {}
    for offer, share in parts:
        summed[offer.key] = summed.get(offer.key, 0.0) + share / total
    hundredths = {key: round(share * _SHARES) for key, share in summed.items()}
    largest = max(summed, key=lambda key: summed[key])
    hundredths[largest] += _SHARES - sum(hundredths.values())
    offers = {offer.key: offer for offer, _ in parts}
    kept = [key for key, share in hundredths.items() if share > 0]
    return Mixture(tuple(offers[key] for key in kept), tuple(hundredths[key] / _SHARES for key in kept))


def families(parts: Sequence[tuple[Offer, float]], offers: Mapping[str, Offer]) -> list[list[tuple[Offer, float]]]:
    """Put networks and their shares into groups, each of one family. offers: all that is served, by key."""
    groups: list[list[tuple[Offer, float]]] = []
    for part in parts:
        for group in groups:
            if are_kin(group[0][0], part[0], offers):
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def are_kin(one: Offer, other: Offer, offers: Mapping[str, Offer]) -> bool:
    """Whether the weights of two networks can be averaged: of one config, and trained from a common ancestor.

    Styles of trunks can, where it is the same trunk.
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
    parents = {offer.version: offer.card.parent for offer in offers.values()}
    return bool(_ancestors(one, parents) & _ancestors(other, parents))


def blend_key(identities: Sequence[str], shares: Sequence[float]) -> str:
    """What an average of these is called: it changes with their files."""
    return "+".join(f"{share:g}*{identity}" for identity, share in zip(identities, shares, strict=True))


def blend(models: Sequence[Model], shares: Sequence[float]) -> Model:
    """The average, as a model; takes some 20 ms. Raises ValueError where their configs differ."""
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


def _ancestors(offer: Offer, parents: Mapping[str, str | None]) -> set[str]:
    """Its own version and those that it was trained from, as far as cards tell."""
    found: set[str] = set()
    version: str | None = offer.version
    while version is not None and version not in found:
        found.add(version)
        version = parents.get(version)
    return found
