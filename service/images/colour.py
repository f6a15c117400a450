"""Colours of a file: conversion for the network, the profile of the output, and the note for the client."""

import numpy as np

from nets.picture import Picture
from service.images.alpha import filled
from service.images.formats import GREY, PROFILED
from service.images.profile import Profile, srgb_icc
from service.images.raster import Raster
from service.images.types import DecodeOptions, Frame

PROFILE_HEADER = "Impasto-Profile"


class Colours:
    """The treatment of a file's colours, decided by its first picture.

    grey: whether the output has one channel. back: the profile that the output is converted back to, or None.
    icc: the profile to embed, or None. effect: what was done with the file's profile; None if it has none.
    """

    def __init__(self, first: Raster, icc: bytes | None, options: DecodeOptions) -> None:
        opaque = first.alpha is None or options.output_format != "avif"  # AVIF has no grey with alpha
        self.grey = first.space == "GRAY" and options.enlarging and options.output_format in GREY and opaque
        self.back: Profile | None = None
        self.icc: bytes | None = None
        self.effect: str | None = None
        self._forward: Profile | None = None
        self._as_rgb = False
        if icc is None:
            self._tag(options, "srgb" if options.profile == "srgb" else None)
        else:
            self._take(first, icc, options)

    def frame(self, raster: Raster, milliseconds: float = 0.0) -> Frame:
        """Make a picture for the network: in sRGB, without holes."""
        own = raster.pixels
        if raster.space == "GRAY" and (self._as_rgb or self._forward is None):
            own = np.repeat(own, 3, axis=2)
        pixels = _rgb(own) if self._forward is None else self._forward.to_srgb(own)
        lost = self.back.lost(own, pixels) if self.back else None
        if raster.alpha is not None:
            pixels = filled(pixels, raster.alpha)
            if lost is not None:
                lost[raster.alpha == 0] = 0
        return Frame(pixels, raster.alpha, lost, milliseconds)

    def _take(self, first: Raster, icc: bytes, options: DecodeOptions) -> None:
        profile = Profile.parse(icc, first.space)
        if profile is None and first.space == "GRAY":  # some writers tag grey pictures with RGB profiles
            profile, self._as_rgb = Profile.parse(icc, "RGB"), True
        if profile is None:
            self._tag(options, "ignored")
            return
        keep = options.profile == "keep" and options.output_format in PROFILED
        if keep and self.grey and profile.space == "GRAY":  # the network works on the values of the profile
            self.icc, self.effect = icc, "kept"
            return
        keep = keep and profile.reversible and not self.grey
        if not profile.is_srgb and not (keep and options.enlarging and profile.is_even):
            self._forward = profile
            self.back = profile if keep else None
        if keep:
            self.icc, self.effect = icc, "kept"
        else:
            self._tag(options, "srgb")

    def _tag(self, options: DecodeOptions, effect: str | None) -> None:
        """Set the profile of an output in sRGB. Grey has none: the tone curve is the same, and the profile is RGB."""
        self.effect = effect
        wanted = effect == "srgb" or options.profile == "srgb"
        if wanted and options.output_format in PROFILED and not self.grey:
            self.icc = srgb_icc()


def _rgb(own: Picture) -> Picture:
    """Convert CMYK without a profile: each ink subtracts light, as in Pillow and most viewers."""
    if own.shape[2] != 4:
        return own
    light = 255 - own.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
