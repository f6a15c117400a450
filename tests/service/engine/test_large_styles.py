"""A style over a picture larger than may run whole: in tiles, with statistics of a reduced pass, and it says so."""

import math
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from nets.architecture import Facts, architecture_of
from nets.checkpoint import load
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from service.app import create_app
from service.engine.tiling_plan import TilingLimits
from service.errors import InferenceError
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, seeded, tiny_style_net

ROOT = Path(__file__).parent.parent.parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "coffee.jpg"
WHOLE, TILE = 300_000, 230_000


def stylize(folder, pixels, style, **settings):
    settings = Settings(checkpoints=folder, device="cpu", precision="fp32", max_batch_items=1, **settings)
    with running(create_app(settings, load_registry(folder))) as address:
        return httpx.post(
            f"{address}/stylize", params={"style": style}, content=encoded(pixels), timeout=60, trust_env=False
        )


def border_steps(painted, rows):
    """Mean absolute step between neighbouring rows: across the given ones, and over all others near them."""
    steps = np.abs(np.diff(painted.astype(float), axis=0)).mean(axis=(1, 2))
    near = [row + offset for row in rows for offset in range(-8, 9) if row + offset not in rows]
    return steps[rows].mean(), steps[near].mean()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """(whole, tiled) answers of a bundled network to one photograph of 600 x 900."""
    pixels = np.asarray(Image.open(PHOTOGRAPH).convert("RGB").resize((900, 600)))
    folder = tmp_path_factory.mktemp("checkpoints")
    (folder / "stylize").mkdir()
    (folder / "trunks").symlink_to(ROOT / "checkpoints" / "trunks")
    (folder / "stylize" / "wave.safetensors").symlink_to(ROOT / "checkpoints" / "stylize" / "wave.safetensors")
    return (
        stylize(folder, pixels, "wave"),
        stylize(folder, pixels, "wave", max_whole_pixels=WHOLE, tile_pixels=TILE),
    )


def test_the_answer_says_whether_it_is_the_whole_pictures(answers):
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.headers["impasto-exact"] for answer in answers] == ["true", "false"]


def test_no_seam_can_be_seen(answers):
    """Across the borders of tiles the picture steps no more than beside them."""
    net = load(ROOT / "checkpoints" / "stylize" / "wave.safetensors").net
    plan = TilingLimits(WHOLE, TILE).plan(architecture_of(net).facts(net.config), 600, 900)
    assert plan.reduced
    assert len(plan.windows) > 4
    painted = decoded(answers[1].content)
    for axis, borders in (
        (painted, sorted({window.core_top for window in plan.windows} - {0})),
        (painted.swapaxes(0, 1), sorted({window.core_left for window in plan.windows} - {0})),
    ):
        assert borders
        across, beside = border_steps(axis, [border - 1 for border in borders])
        assert across < 1.25 * beside


def test_the_tiled_answer_is_close_to_the_whole_one(answers):
    whole, tiled = (decoded(answer.content).astype(float) for answer in answers)
    assert np.abs(whole - tiled).mean() < 12  # 9.3 measured: the style has strong contrasts


def test_a_network_that_cannot_be_tiled_refuses_a_picture_that_is_too_large_for_it(tmp_path):
    """The paper's network pads once: its tiles would have borders of their own."""
    net = seeded(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1, padding="once")), 0)
    save_net(tmp_path, "once", net)
    save_net(tmp_path, "mosaic", tiny_style_net())
    response = stylize(tmp_path, picture(120, 120), "once", max_whole_pixels=4096)
    assert (response.status_code, response.json()["code"]) == (413, "too_many_pixels")
    assert "expected at most 4096 pixels: this network cannot tile an image of this shape" in response.json()["detail"]


def test_every_tile_is_large_enough_for_a_network_of_a_small_receptive_field():
    facts = Facts(scale=1, halo=None, radius=10, approximable=True)
    for side in (66, 130, 300):
        found = TilingLimits(4096, 4096).plan(facts, side, 2 * side).windows
        assert min(min(window.height, window.width) for window in found) >= 64, side


def test_a_small_limit_does_not_make_the_work_grow_without_bound():
    """Halos of 109 pixels, and a limit that they exceed: at least a third of each side of a tile is new."""
    facts = Facts(scale=1, halo=None, radius=109, approximable=True)
    assert TilingLimits(20_000, 4096).plan(facts, 1500, 2000).pixels < 10.5 * 1500 * 2000


@pytest.mark.parametrize("facts", [Facts(1, None, 109, True), Facts(1, 57, 57, False), Facts(4, 21, 21, False)])
@pytest.mark.parametrize("size", [(5465, 3615), (300, 20_000), (2000, 2000)])
def test_a_device_that_never_has_enough_memory_ends_a_task_with_an_error(facts, size):
    """Each restart has smaller passes, whichever of them is too large."""
    with pytest.raises(InferenceError, match="not enough memory"):
        run_out_of_memory(TilingLimits(12_500_000, 500_000), facts, size)


def run_out_of_memory(limits, facts, size):
    """Restart up to 40 times, as a worker does."""
    for _ in range(40):
        plan = limits.plan(facts, *size)
        reduced = math.prod(limits.reduced_size(*size)) if plan.reduced else 0
        limits.halve(facts, max([reduced, *(window.pixels for window in plan.windows)]))


def test_a_picture_too_narrow_to_be_tiled_is_refused_above_the_limit(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net())
    response = stylize(tmp_path, picture(40, 300), "mosaic", max_whole_pixels=7000)
    assert (response.status_code, response.json()["value"]) == (413, "300 x 40")
    assert stylize(tmp_path, picture(40, 170), "mosaic", max_whole_pixels=7000).status_code == 200


class NoMemory(nn.Module):
    """A device on which no convolution finds memory, in the place of a weight."""

    def forward(self, _weight):
        raise torch.OutOfMemoryError("out of memory")


def test_a_reduced_copy_that_never_fits_the_device_ends_in_an_error(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net())
    limits = {"max_batch_items": 1, "max_whole_pixels": 70_000}
    app = create_app(Settings(checkpoints=tmp_path, device="cpu", precision="fp32", **limits), load_registry(tmp_path))
    with running(app) as address:
        net = app.state.registry.models["stylize/mosaic"].net
        register_parametrization(net.down1.conv.conv, "weight", NoMemory(), unsafe=True)
        body = encoded(picture(300, 300))
        response = httpx.post(f"{address}/stylize?style=mosaic", content=body, timeout=60, trust_env=False)
    assert (response.status_code, response.json()["code"]) == (500, "inference_failed")
    assert "not enough memory" in response.json()["detail"]
