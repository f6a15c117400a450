"""OpenVINO for the styles of trunks, each compared with its golden output before it computes a picture."""

import logging
from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from cachetools import LRUCache
from torch import nn

from nets.banded.bands import Steps
from nets.compiled.trunk import SMALLEST_SIDE_PX, CompiledTrunk
from nets.golden import GOLDEN_TOLERANCE, golden_difference, golden_mean_difference, golden_output
from nets.pixels import Picture
from nets.style_trunk import StyleTrunkNet
from service.engine.precision import Precision
from service.models.model import Model
from service.observability.metrics import Metrics

log = logging.getLogger(__name__)

LARGEST_PIXELS = 2_000_000
"""The largest picture. It is one step, which takes 0.4 s in fp32 and 0.2 s in bf16 on two cores, and uses 0.7 GB in
fp32, half of that in bf16. Torch computes larger ones in bands, with pauses, in a third of the memory."""

_KEPT_FORMS = 4
"""Of two trunks: the form that computes, and in bf16 the one in fp32 for the golden check."""

_BF16_TOLERANCE = 6 / 255
"""The largest accepted mean difference in bf16, as in docs/performance.md. That of torch's bf16 is up to 2 / 255."""


class OpenVinoRuntime:
    """Computes styles of trunks in OpenVINO, and leaves all other networks and sizes to torch.

    A style whose output differs from its golden output is left to torch, too.
    """

    def __init__(self, precision: Precision, threads: int, metrics: Metrics) -> None:
        """precision: fp32 or bf16. threads: of each pass, whatever else runs."""
        self._precision: Literal["fp32", "bf16"] = "bf16" if precision == "bf16" else "fp32"
        self._threads, self._metrics = threads, metrics
        self._forms: LRUCache[tuple[str, str], CompiledTrunk] = LRUCache(_KEPT_FORMS)
        self._accepted: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()

    def steps(self, models: Sequence[Model], pictures: list[Picture]) -> Steps[list[Picture | Exception]] | None:
        """Return the computation of a batch, one picture per step; None if torch must compute it."""
        height, width = pictures[0].shape[:2]
        if min(height, width) < SMALLEST_SIDE_PX or height * width > LARGEST_PIXELS:
            return None
        if not all(self._accepts(model) for model in models):
            return None
        return self._stylize(models, pictures)

    def release_memory(self) -> None:
        """Free the maps of the last pictures."""
        for form in self._forms.values():
            form.release_memory()

    def _stylize(self, models: Sequence[Model], pictures: list[Picture]) -> Steps[list[Picture | Exception]]:
        outputs: list[Picture | Exception] = []
        for model, picture in zip(models, pictures, strict=True):
            if outputs:
                yield
            net = model.net
            assert isinstance(net, StyleTrunkNet)
            try:
                outputs.append(self._form_of(model, net, self._precision).stylize(net, picture))
            except ValueError as error:  # the output is not finite: only this picture fails
                outputs.append(error)
        return outputs

    def _form_of(self, model: Model, net: StyleTrunkNet, precision: Literal["fp32", "bf16"]) -> CompiledTrunk:
        key = (str(model.card.trunk), precision)
        if key not in self._forms:
            self._forms[key] = CompiledTrunk(net, precision, self._threads)
        return self._forms[key]

    def _accepts(self, model: Model) -> bool:
        """Return whether OpenVINO may compute a style: a style of a trunk whose golden output it returns."""
        net = model.net
        if model.card.trunk is None or not isinstance(net, StyleTrunkNet):
            return False
        if net not in self._accepted:
            self._accepted[net] = self._check(model, net)
            if not model.parents:
                self._metrics.model_in_openvino.labels(model.key).set(self._accepted[net])
        return self._accepted[net]

    def _check(self, model: Model, net: StyleTrunkNet) -> bool:
        """Compare the golden output: in fp32 like torch's, and in the precision of the service by its mean."""
        try:
            with torch.inference_mode(), torch.autocast("cpu", enabled=False):
                expected = golden_output(net) if model.parents else model.card.golden  # the card is that of one parent
                exact, used = (self._form_of(model, net, each).golden_output(net) for each in ("fp32", self._precision))
        except RuntimeError as error:
            log.warning("OpenVINO failed, torch computes the style", exc_info=error, extra={"model": model.label})
            self._metrics.runtime_fallbacks.labels("failed").inc()
            return False
        difference, mean = golden_difference(expected, exact), golden_mean_difference(expected, used)
        if difference <= GOLDEN_TOLERANCE and mean <= _BF16_TOLERANCE:
            return True
        extra = {"model": model.label, "difference": difference, "mean": mean, "precision": self._precision}
        log.warning("golden output differs in OpenVINO, torch computes the style", extra=extra)
        self._metrics.runtime_fallbacks.labels("golden").inc()
        return False
