"""Networks computed band by band, tile by tile, in whatever company: the picture is the whole image's."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nets.architecture import architecture_of
from nets.banded.bands import Moments, run_to_end
from nets.banded.run import BAND_PIXELS, compute, pattern_picture
from nets.banded.style import SMALLEST_SIDE_PX, can_stylize, stylize
from nets.pixels import from_network, to_network
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from nets.tiling import cut, paste, windows
from tests.conftest import picture, seeded, tiny_style_net, tiny_upscaler

CPU = torch.device("cpu")
BODIES = st.sampled_from(["subpixel", "span"])
GENERATE = (Phase.explicit, Phase.generate)  # to shrink an example of this size takes minutes


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def whole(net, pixels):
    """What the network says to the whole picture in one pass, without bands or tiles."""
    return from_network(net(to_network([pixels])))[0]


def in_steps(net, pictures, band_pixels):
    answers = run_to_end(compute(net, pictures, CPU, band_pixels))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def upscaler(factor, width=16, body="subpixel", blocks=1):
    """With as many channels as the vector units want: convolutions of four take another way at every size."""
    net = SuperResolutionNet(SuperResolutionConfig(factor=factor, width=width, residual_blocks=blocks, body=body))
    seeded(net, 0)
    if body == "span":  # near grey, so that the bound is seldom reached; the limits of the gates are
        net.body.tail.weight.mul_(0.1)
        net.body.tail.bias.fill_(0.5)
        for block in net.body.blocks:
            block.limits.copy_(torch.tensor([0.2, 0.1]))
    return net.to(memory_format=torch.channels_last)


def tiled(net, pixels, tile_pixels, neighbour=None, precision=torch.float32):
    """Run in windows, each in a batch with a window of `neighbour` if there is one."""
    facts = architecture_of(net).facts(net.config)
    height, width = pixels.shape[:2]
    answer = np.zeros((height * facts.scale, width * facts.scale, 3), np.uint8)
    for window in windows(height, width, facts.halo, tile_pixels):
        batch = [np.ascontiguousarray(cut(pixels, window))]
        if neighbour is not None:
            batch.insert(0, np.ascontiguousarray(neighbour[: window.height, : window.width]))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            paste(in_steps(net, batch, 4096)[-1], window, facts.scale, answer)
    return answer


@settings(deadline=None, max_examples=40, phases=GENERATE)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    factor=st.sampled_from([2, 4, 8]),
    tile_pixels=st.integers(1200, 4000),
    precision=st.sampled_from([torch.float32, torch.bfloat16]),
    in_company=st.booleans(),
    body=BODIES,
)
def test_a_tiled_upscaler_in_any_company_gives_the_whole_pictures_answer(
    height, width, factor, tile_pixels, precision, in_company, body
):
    net, pixels = upscaler(factor, body=body), picture(height, width)
    pixels[height // 4 : height // 2, width // 4 :] = 200  # a flat area, which keeps its colour
    neighbour = picture(height, width, seed=1)[::-1].copy() if in_company else None
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        expected = in_steps(net, [pixels], 10**6)[0]
    assert np.array_equal(tiled(net, pixels, tile_pixels, neighbour, precision), expected)


@pytest.mark.parametrize("body", ["subpixel", "span"])
@pytest.mark.parametrize(
    ("height", "width", "precision"),
    [(250, 333, torch.float32), (37, 1999, torch.float32), (150, 190, torch.bfloat16), (37, 700, torch.bfloat16)],
)  # a CPU without bf16 takes a minute for a large picture
def test_an_upscaler_of_the_bundled_width_in_the_services_least_tiles_is_exact(height, width, precision, body):
    net, pixels = upscaler(4, 48, body), picture(height, width)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        expected = in_steps(net, [pixels], BAND_PIXELS)[0]
    assert np.array_equal(tiled(net, pixels, 2**14, picture(height, width, seed=1), precision), expected)


@settings(deadline=None, max_examples=20, phases=GENERATE)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([2, 4, 8]), st.integers(1200, 4000), BODIES)
def test_an_upscaler_in_bands_is_the_plain_network(height, width, factor, band_pixels, body):
    net, pixels = upscaler(factor, body=body, blocks=3), picture(height, width)
    pixels[height // 3 : height // 2, width // 4 :] = 90
    assert np.array_equal(in_steps(net, [pixels], band_pixels)[0], whole(net, pixels))


@pytest.mark.parametrize("body", ["paper", "srcnn"])
def test_the_papers_upscalers_in_tiles_are_the_whole_pictures_too(body):
    net = seeded(SuperResolutionNet(SuperResolutionConfig(factor=4, width=4, residual_blocks=1, body=body)), 0)
    pixels = picture(50, 61)
    assert np.array_equal(tiled(net, pixels, 1500), whole(net, pixels))


@settings(deadline=None, max_examples=30, phases=GENERATE)
@given(st.integers(SMALLEST_SIDE_PX, 140), st.integers(SMALLEST_SIDE_PX, 140), st.integers(500, 30_000), st.booleans())
def test_a_style_in_bands_is_the_plain_network(height, width, band_pixels, grainy):
    """To one level in a pixel of a thousand: sums over space are put together from bands, in another order."""
    config = StyleTransferConfig(width=4, residual_blocks=2, grain=0.05 if grainy else 0.0)
    net, pixels = seeded(StyleTransferNet(config), 0), picture(height, width)
    assert can_stylize(net, height, width)
    difference = np.abs(in_steps(net, [pixels], band_pixels)[0].astype(int) - whole(net, pixels))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


def test_a_styles_answer_does_not_depend_on_its_company():
    net, pixels = tiny_style_net(), picture(80, 90)
    alone = in_steps(net, [pixels], 2000)[0]
    together = in_steps(net, [picture(80, 90, seed=1), pixels, picture(80, 90, seed=2)], 2000)
    assert np.array_equal(together[1], alone)


def test_tiles_with_the_whole_pictures_statistics_are_the_whole_picture():
    """Known statistics make instance norm local: only then the radius of the convolutions is a halo."""
    net = seeded(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1, grain=0.05)), 0)
    pixels = picture(200, 260)
    stylized = run_to_end(stylize(net, pixels, CPU, 10_000))
    radius = architecture_of(net).facts(net.config).radius
    answer = np.zeros_like(pixels)
    cut_up = windows(200, 260, radius, 22_000, multiple_of=4)
    assert len(cut_up) > 2
    for window in cut_up:
        tile = np.ascontiguousarray(cut(pixels, window))
        corner = window.top, window.left
        paste(run_to_end(stylize(net, tile, CPU, 10_000, stylized.statistics, corner)).picture, window, 1, answer)
    difference = np.abs(answer.astype(int) - stylized.picture)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


def test_a_computation_pauses_and_need_not_go_on():
    steps = compute(tiny_upscaler(4), [picture(60, 60)], CPU, 600)
    pauses = sum(1 for _ in steps)
    assert pauses >= 4 * 6  # four layers of 3600 pixels


def test_a_picture_that_fails_is_alone_with_it():
    net = tiny_upscaler(2)
    net.body.tail.bias.fill_(torch.nan)
    answers = run_to_end(compute(net, [picture(20, 20), picture(20, 20, seed=1)], CPU, 100))
    assert all(isinstance(answer, ValueError) for answer in answers)
    style = tiny_style_net()
    style.output.bias.fill_(torch.inf)
    assert isinstance(run_to_end(compute(style, [picture(80, 80)], CPU, 1000))[0], ValueError)


def test_moments_put_together_are_those_of_the_whole():
    values = torch.randn(1, 5, 64, 40, generator=torch.Generator().manual_seed(0)) * 3 + 100
    moments = Moments()
    for band in values.split([10, 1, 33, 20], dim=2):
        moments.add(band)
    statistics = moments.statistics()
    assert torch.allclose(statistics.mean, values.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(statistics.variance, values.var(dim=(0, 2, 3), unbiased=False), rtol=1e-4)


def test_the_seeded_picture_is_always_the_same():
    assert pattern_picture(2, 2).tolist() == [[[0, 60, 120], [3, 63, 123]], [[5, 65, 125], [8, 68, 128]]]


@pytest.mark.parametrize(
    ("height", "width", "precision"),
    [
        *[(*size, torch.float32) for size in ((9, 40), (40, 60), (64, 64), (97, 131), (150, 260))],
        *[(*size, torch.bfloat16) for size in ((9, 40), (64, 64), (97, 131))],
    ],
)
def test_the_number_of_threads_does_not_change_a_bit(height, width, precision):
    pixels, before = picture(height, width), torch.get_num_threads()
    style = seeded(StyleTransferNet(StyleTransferConfig(width=16, residual_blocks=2, grain=0.05)), 0)
    nets = [style, tiny_style_net(), upscaler(4, width=48), tiny_upscaler(2)]
    for net in [net.to(memory_format=torch.channels_last) for net in nets]:
        answers = []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                    answers.append(in_steps(net, [pixels], BAND_PIXELS)[0])
        finally:
            torch.set_num_threads(before)
        assert np.array_equal(answers[0], answers[1])
        assert np.array_equal(answers[0], answers[2])
