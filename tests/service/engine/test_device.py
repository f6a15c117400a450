"""What is measured of a device at the start."""

import torch

from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.engine.device import measure_batch_pixels


def test_a_batch_is_as_large_as_the_trial_that_was_faster_by_item_or_nothing():
    net = SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1)).eval()
    assert measure_batch_pixels(net, torch.device("cpu"), "fp32", max_items=1) == 0
    assert measure_batch_pixels(net, torch.device("cpu"), "fp32", max_items=2) in {0, 2 * 192 * 192}
