"""The parameters of /stylize and /upscale: each answer is put together here by hand, from the networks themselves."""

import asyncio
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from nets import checkpoint
from nets.interpolation import interpolate
from nets.pixels import from_network, to_network
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from service.app import create_app
from service.models.registry import load_registry
from service.models.weights_cache import MAX_BLENDS
from service.pipeline.compositing import blend, keep_colors, resize
from service.pipeline.parameters import StylizeParameters, UpscaleParameters
from service.pipeline.plan import plan_inference
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, seeded, tiny_style_net, tiny_upscaler
from tests.files import png16, read_png16
from tests.service.http.test_bad_input import refused
from tests.service.http.test_operations import counted, samples

PIXELS = picture(48, 64)
LUMA = np.array([0.299, 0.587, 0.114])


def save(folder, name, net, parent=None):
    card = checkpoint.make_card(net, name, parent=parent)
    return checkpoint.save(folder / card.task / f"{name}.safetensors", net, card)


@pytest.fixture(scope="module")
def nets():
    """Three of a family, a stranger of the same shape, one of another width; upscalers."""
    wide = seeded(StyleTransferNet(StyleTransferConfig(width=8, residual_blocks=1)), 7)
    styles = {name: tiny_style_net(seed) for seed, name in enumerate(["neutral", "mosaic", "wave", "stranger"])}
    upscalers = {"x2": tiny_upscaler(2), "x4": tiny_upscaler(4), "x4_perceptual": tiny_upscaler(4, 1)}
    return {**styles, "wide": wide, **upscalers}


@pytest.fixture(scope="module")
def folder(nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    parents = {name: save(folder, name, nets[name]) for name in ("neutral", "x4")}
    for name, net in nets.items():
        parent = {"mosaic": "neutral", "wave": "neutral", "wide": "neutral", "x4_perceptual": "x4"}.get(name)
        save(folder, name, net, parent=parents.get(parent))
    return folder


@pytest.fixture(scope="module")
def app(folder):
    return create_app(
        Settings(device="cpu", precision="fp32", max_batch_items=1, max_pixels=40_000), load_registry(folder)
    )


@pytest.fixture(scope="module")
def address(app):
    with running(app) as address:
        yield address


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


def asked(client, query, pixels=PIXELS):
    response = client.post(f"/{query}", content=encoded(pixels))
    assert response.status_code == 200, response.text
    return decoded(response.content)


def run(net, pixels=PIXELS):
    return from_network(net(to_network([np.ascontiguousarray(pixels)])))[0]


def between(nets, **shares):
    return interpolate([nets[name] for name in shares], list(shares.values()))


@pytest.mark.parametrize("parameters", ["", "&preserve_color=true", "&stroke=4", "&stroke=auto&preserve_color=1"])
def test_strength_0_is_the_photograph_to_the_pixel(client, parameters):
    assert np.array_equal(asked(client, f"stylize?style=mosaic&strength=0{parameters}"), PIXELS)


def test_styles_of_one_family_are_one_network_between_them(client, nets):
    expected = run(between(nets, mosaic=0.7, wave=0.3))
    assert np.array_equal(asked(client, "stylize?style=mosaic:0.7,wave:0.3"), expected)
    assert np.array_equal(asked(client, "stylize?style=wave:3,mosaic:7"), expected)
    half = run(between(nets, mosaic=0.5, wave=0.5))
    assert np.array_equal(asked(client, "stylize?style=mosaic,wave"), half)
    assert np.array_equal(asked(client, "stylize?style=mosaic:1,wave:0"), run(nets["mosaic"]))


@pytest.mark.parametrize("other", ["stranger", "wide"])
def test_outputs_of_unrelated_networks_are_blended(client, nets, other):
    mean = 0.6 * run(nets["mosaic"]) + 0.4 * run(nets[other]).astype(float)
    answer = asked(client, f"stylize?style=mosaic:0.6,{other}:0.4")
    assert np.abs(answer - mean).max() <= 0.51


def test_strength_takes_weights_towards_neutral_and_the_answer_towards_the_photograph(client, nets):
    painted = run(between(nets, mosaic=0.5, neutral=0.5))
    expected = 0.5**0.4 * painted + (1 - 0.5**0.4) * PIXELS
    assert np.abs(asked(client, "stylize?style=mosaic&strength=0.5") - expected).max() <= 0.51
    alone = 0.5 * run(nets["stranger"]) + 0.5 * PIXELS  # its weights cannot be mixed with those of `neutral`
    assert np.abs(asked(client, "stylize?style=stranger&strength=0.5") - alone).max() <= 0.51


def test_a_little_less_strength_is_a_little_less_style(client):
    faint, half, whole = (
        np.abs(asked(client, f"stylize?style=mosaic&strength={s}").astype(int) - PIXELS).mean() for s in (0.001, 0.5, 1)
    )
    assert faint < 0.1 * whole
    assert faint < half < whole


def test_colours_are_kept_and_light_is_painted(client, nets):
    painted = run(nets["mosaic"]) @ LUMA
    answer = asked(client, "stylize?style=mosaic&preserve_color=true").astype(float)
    assert np.abs(answer @ LUMA - painted).max() < 0.51
    colour, kept = (p - (p @ LUMA)[..., None] for p in (PIXELS.astype(float), answer))
    share = (kept * colour).sum(axis=-1) / (colour**2).sum(axis=-1)  # of the photograph's saturation
    assert np.abs(kept - share[..., None] * colour).max() < 1.5  # never another hue
    assert share.max() < 1.02
    pale = answer.min(axis=-1) > 1
    assert pale.any()
    assert (share[pale & (answer.max(axis=-1) < 254)] > 0.95).all()  # paler only where it must be


def test_keeping_the_colours_of_a_picture_in_itself_changes_nothing():
    extremes = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255], [12, 12, 12], [0, 255, 1]]], np.uint8)
    for pixels in (PIXELS, extremes):
        assert np.array_equal(keep_colors(pixels, pixels), pixels)


def test_larger_strokes_are_painted_small_and_brought_back_by_an_upscaler(client, nets):
    small = resize(PIXELS, 24, 32)
    expected = run(nets["x2"], run(nets["mosaic"], small))
    assert np.array_equal(asked(client, "stylize?style=mosaic&stroke=2"), expected)
    third = run(nets["x4"], run(nets["mosaic"], resize(PIXELS, 16, 21)))
    answer = asked(client, "stylize?style=mosaic&stroke=3")
    assert answer.shape == PIXELS.shape
    assert np.array_equal(answer, resize(third, 48, 64))


@pytest.mark.parametrize("stroke", ["", "&stroke=auto", "&stroke=off", "&stroke=1", "&stroke=1.0"])
def test_a_small_picture_keeps_the_networks_own_strokes(client, nets, stroke):
    assert np.array_equal(asked(client, f"stylize?style=mosaic{stroke}"), run(nets["mosaic"]))


def test_auto_paints_a_large_photograph_as_if_it_were_small(app):
    plan = plan_inference(StylizeParameters(style="mosaic"), app.state.registry)
    sizes = plan.sizes(3000, 4000, 50_000_000)
    assert sizes.working == (612, 816)
    assert sizes.enlarger == 4
    assert sizes.output == (3000, 4000)
    assert plan.sizes(1000, 1000, 50_000_000).working == (1000, 1000)
    assert plan.sizes(1000, 1001, 50_000_000).working == (707, 707)
    assert plan.sizes(9000, 9000, 50_000_000).working == (1125, 1125)  # 8 is the most
    assert plan.sizes(3000, 4000, 7_000_000).enlarger == 2  # whose answer fits; the rest is resized
    assert plan.sizes(3000, 4000, 1_900_000).enlarger is None


def test_without_upscalers_strokes_are_resized(nets, tmp_path):
    save(tmp_path, "mosaic", nets["mosaic"])
    app = create_app(Settings(device="cpu", precision="fp32", max_batch_items=1), load_registry(tmp_path))
    with running(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        expected = resize(run(nets["mosaic"], resize(PIXELS, 24, 32)), 48, 64)
        assert np.array_equal(asked(client, "stylize?style=mosaic&stroke=2"), expected)


def test_max_side_bounds_the_answer(client, nets):
    assert np.array_equal(
        asked(client, "stylize?style=mosaic&max_side=32"), run(nets["mosaic"], resize(PIXELS, 24, 32))
    )
    assert np.array_equal(asked(client, "stylize?style=mosaic&max_side=64"), run(nets["mosaic"]))
    assert asked(client, "stylize?style=mosaic&max_side=16&strength=0.5").shape == (12, 16, 3)


def test_a_picture_on_its_side_is_turned_before_it_is_resized(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    response = client.post("/stylize?style=mosaic&max_side=32&stroke=2", content=encoded(PIXELS, "png", exif=exif))
    assert decoded(response.content).shape == (32, 24, 3)


@pytest.mark.parametrize(
    ("factor", "network"), [("1.5", "x2"), ("2.0", "x2"), ("3", "x4"), ("2.01", "x4"), ("4", "x4")]
)
def test_any_factor_comes_from_the_next_larger_network(client, nets, factor, network):
    size = round(48 * float(factor)), round(64 * float(factor))
    expected = resize(run(nets[network]), *size)
    assert expected.shape[:2] == size
    response = client.post(f"/upscale?factor={factor}", content=encoded(PIXELS))
    assert np.array_equal(decoded(response.content), expected)
    assert response.headers["impasto-model"].startswith(f"upscale/{network}@")


def test_factor_1_is_the_picture(client):
    response = client.post("/upscale?factor=1&detail=1", content=encoded(PIXELS))
    assert np.array_equal(decoded(response.content), PIXELS)
    assert response.headers["impasto-model"] == "none"


def test_detail_is_a_network_between_two(client, nets):
    assert np.array_equal(asked(client, "upscale?factor=4&detail=0"), run(nets["x4"]))
    assert np.array_equal(asked(client, "upscale?factor=4&detail=1"), run(nets["x4_perceptual"]))
    expected = run(between(nets, x4=0.25, x4_perceptual=0.75))
    assert np.array_equal(asked(client, "upscale?factor=4&detail=0.75"), expected)
    problem = refused(client.post("/upscale?factor=2&detail=0.5", content=encoded(PIXELS)), 404, "unknown_model")
    assert problem["parameter"] == "detail"


def test_an_answer_names_all_networks_and_their_shares(client, app):
    def made_by(query):
        names = client.post(f"/{query}", content=encoded(PIXELS)).headers["impasto-model"].split(", ")
        return [(name.partition("@")[0], name.partition(";share=")[2]) for name in names]

    assert made_by("stylize?style=mosaic:0.25,wave:0.75") == [("stylize/wave", "0.75"), ("stylize/mosaic", "0.25")]
    assert made_by("stylize?style=wide,mosaic") == [("stylize/mosaic", "0.5"), ("stylize/wide", "0.5")]
    assert made_by("stylize?style=mosaic&strength=0.5") == [("stylize/mosaic", "0.5"), ("stylize/neutral", "0.5")]
    assert made_by("stylize?style=mosaic&stroke=3") == [("stylize/mosaic", ""), ("upscale/x4", "")]
    assert made_by("stylize?style=mosaic&strength=0") == [("none", "")]


def test_time_in_composing_is_told(client):
    timing = client.post("/stylize?style=mosaic&stroke=2", content=encoded(PIXELS)).headers["server-timing"]
    assert [entry.partition(";")[0] for entry in timing.split(", ")] == [
        "decode",
        "queue",
        "forward",
        "compose",
        "encode",
    ]
    assert counted(client, "impasto_stage_duration_seconds_count", stage="compose") >= 1


@pytest.mark.parametrize(
    ("query", "parameter", "value"),
    [
        ("style=mosaic:", "style", "mosaic:"),
        ("style=mosaic:x,wave:1", "style", "mosaic:x,wave:1"),
        ("style=mosaic:-1", "style", "mosaic:-1"),
        ("style=mosaic:nan", "style", "mosaic:nan"),
        ("style=mosaic:inf", "style", "mosaic:inf"),
        ("style=mosaic:0", "style", "mosaic:0"),
        ("style=:1", "style", ":1"),
        ("style=mosaic,mosaic", "style", "mosaic,mosaic"),
        ("style=mosaic,wave,neutral,wide,stranger", "style", "mosaic,wave,neutral,wide,stranger"),
        ("style=mosaic&strength=1.1", "strength", "1.1"),
        ("style=mosaic&strength=nan", "strength", "nan"),
        ("style=mosaic&strength=", "strength", ""),
        ("style=mosaic&preserve_color=maybe", "preserve_color", "maybe"),
        ("style=mosaic&stroke=0.5", "stroke", "0.5"),
        ("style=mosaic&stroke=9", "stroke", "9"),
        ("style=mosaic&stroke=nan", "stroke", "nan"),
        ("style=mosaic&stroke=big", "stroke", "big"),
        ("style=mosaic&max_side=15", "max_side", "15"),
        ("style=mosaic&max_side=1e3", "max_side", "1e3"),
        ("style=mosaic&lossless=maybe", "lossless", "maybe"),
        ("style=mosaic&lossless=true&format=jpeg", "lossless", "true"),
        ("style=mosaic&format=avif&lossless=1", "lossless", "1"),
        ("style=mosaic&format=gif&lossless=true", "lossless", "true"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value_and_what_was_expected(client, query, parameter, value):
    problem = refused(client.post(f"/stylize?{query}", content=encoded(PIXELS)), 422, "invalid_parameter")
    assert problem["parameter"] == parameter
    assert problem["value"] == value
    assert problem["expected"]
    assert repr(value) in problem["detail"]


@pytest.mark.parametrize("styles", ["mosaic:0.5,nope:0.5", "nope,mosaic", "mosaic:1,nope:0"])
def test_an_unknown_style_in_a_mix_is_named(client, styles):
    problem = refused(client.post(f"/stylize?style={styles}", content=encoded(PIXELS)), 404, "unknown_model")
    assert problem["value"] == "nope"
    assert problem["expected"] == ["mosaic", "neutral", "stranger", "wave", "wide"]


def test_a_factor_between_has_the_limits_of_its_network(nets, tmp_path):
    save(tmp_path, "x4", nets["x4"])
    settings = Settings(device="cpu", precision="fp32", max_batch_items=1, max_output_pixels=16 * 48 * 64 - 1)
    with running(create_app(settings, load_registry(tmp_path))) as address:
        response = httpx.post(f"{address}/upscale?factor=2.5", content=encoded(PIXELS), trust_env=False)
        refused(response, 413, "too_many_pixels")


def test_blended_networks_are_built_once_bounded_and_no_label(client, app):
    loaded = app.state.registry.loaded
    asked(client, "stylize?style=mosaic:0.4,wave:0.6")
    blend = loaded.blends[-1]
    net = loaded.get(blend).net
    asked(client, "stylize?style=wave:60,mosaic:40")
    assert loaded.get(blend).net is net
    for share in range(MAX_BLENDS + 3):
        asked(client, f"stylize?style=mosaic:{1 + share},wave:{99 - share}", picture(16, 16))
    assert len(loaded.blends) == MAX_BLENDS
    assert blend not in loaded.blends
    assert set(app.state.registry.models) == {offer.key for offer in app.state.registry.entries.values()}
    labels = {value for _, labels in samples(client) for name, value in labels if name == "model"}
    assert labels <= {"none", *app.state.registry.entries}
    assert counted(client, "impasto_blends_loaded") == MAX_BLENDS
    assert not [model for model in client.get("/models").json()["models"] if "*" in model["model"]]


def test_what_was_blended_goes_with_its_parents(nets, tmp_path):
    parent = save(tmp_path, "neutral", nets["neutral"])
    save(tmp_path, "mosaic", nets["mosaic"], parent)
    save(tmp_path, "wave", nets["wave"], parent)
    app = create_app(
        Settings(device="cpu", precision="fp32", max_batch_items=1, admin_key="k" * 16, checkpoints=tmp_path),
        load_registry(tmp_path),
    )
    with running(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        asked(client, "stylize?style=mosaic,wave")
        assert len(app.state.registry.loaded.blends) == 1
        save(tmp_path, "wave", nets["stranger"], parent)
        assert client.post("/models/reload", headers={"Authorization": f"Bearer {'k' * 16}"}).status_code == 200
        assert app.state.registry.loaded.blends == []
        expected = run(between(nets, mosaic=0.5, stranger=0.5))
        assert np.array_equal(asked(client, "stylize?style=mosaic,wave"), expected)


def test_blends_leave_a_full_memory_first(nets, tmp_path):
    parent = save(tmp_path, "neutral", nets["neutral"])
    save(tmp_path, "mosaic", nets["mosaic"], parent)
    each = sum(weight.nbytes for weight in nets["mosaic"].state_dict().values())
    settings = Settings(device="cpu", precision="fp32", max_batch_items=1)
    registry = load_registry(tmp_path, max_bytes=3 * each)
    with running(create_app(settings, registry)) as address, httpx.Client(base_url=address, trust_env=False) as client:
        for share in (0.1, 0.2, 0.3):
            asked(client, f"stylize?style=mosaic:{share},neutral:1")
        assert len(registry.loaded.blends) == 1
        assert set(registry.models) == {"stylize/mosaic", "stylize/neutral"}
        assert registry.loaded.size_bytes == 3 * each


def test_a_known_blend_needs_no_parents(nets, tmp_path):
    parent = save(tmp_path, "neutral", nets["neutral"])
    save(tmp_path, "mosaic", nets["mosaic"], parent)
    settings = Settings(device="cpu", precision="fp32", max_batch_items=1)
    registry = load_registry(tmp_path, "lazy")
    with running(create_app(settings, registry)) as address, httpx.Client(base_url=address, trust_env=False) as client:
        asked(client, "stylize?style=mosaic,neutral")
        assert set(registry.models) == {"stylize/mosaic", "stylize/neutral"}
        assert registry.loaded.blends == ["0.5*" + "+0.5*".join(o.identity for o in registry.entries.values())]


def test_sixteen_bits_and_transparency_go_the_whole_way(client, nets):
    deep = (picture(20, 24).astype(np.uint16) * 257) ^ 0x5A
    answer = client.post("/upscale?factor=3", content=png16(deep))
    assert answer.status_code == 200
    network = from_network(nets["x4"](to_network([deep])), np.dtype(np.uint16))[0]
    assert np.array_equal(read_png16(answer.content), resize(network, 60, 72))
    same = client.post("/upscale?factor=1", content=png16(deep))
    assert np.array_equal(read_png16(same.content), deep)
    rgba = np.dstack([picture(20, 24), np.linspace(0, 255, 480).reshape(20, 24).astype(np.uint8)])
    assert asked(client, "upscale?factor=2.5", rgba).shape == (50, 60, 4)
    assert asked(client, "stylize?style=mosaic&stroke=2&max_side=16&strength=0.3", rgba).shape == (13, 16, 4)


def test_an_animation_takes_the_parameters_too(client):
    frames = [Image.fromarray(picture(20, 30, seed=seed)) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    query = "style=mosaic,wide&stroke=2&strength=0.5&preserve_color=1&max_side=24"
    answer = Image.open(io.BytesIO(client.post(f"/stylize?{query}", content=buffer.getvalue()).content))
    assert (answer.n_frames, answer.size) == (3, (24, 16))


def test_strokes_make_a_large_picture_small_enough_to_be_exact(nets, tmp_path):
    save(tmp_path, "mosaic", nets["mosaic"])
    settings = Settings(device="cpu", precision="fp32", max_batch_items=1, max_whole_pixels=4096)
    with running(create_app(settings, load_registry(tmp_path))) as address:
        body = encoded(picture(120, 120))
        exact = [
            httpx.post(f"{address}/stylize?style=mosaic&stroke={stroke}", content=body, trust_env=False)
            for stroke in ("off", "2")
        ]
    assert [answer.headers["impasto-exact"] for answer in exact] == ["false", "true"]


def test_every_pass_is_predicted(client, app):
    state = app.state
    plan = plan_inference(StylizeParameters(style="mosaic,wide", stroke=2.0), state.registry)
    sizes = plan.sizes(400, 600, 10**7)
    renderer = state.pipeline._renderer
    ready = asyncio.run(renderer.load(plan, sizes, state.registry))
    passes = sum(state.engine.costs.predict(f"stylize/{name}", 60_000) for name in ("mosaic", "wide"))
    passes += state.engine.costs.predict("upscale/x2", 60_000)
    composing = state.engine.costs.predict("compose", sizes.composed_pixels(plan))
    assert renderer.predicted_seconds(ready, 1) == pytest.approx(passes + composing)
    assert renderer.predicted_seconds(ready, 3) == pytest.approx(3 * (passes + composing))


def test_memory_on_the_way_is_counted(app):
    registry = app.state.registry
    plain = plan_inference(StylizeParameters(style="mosaic", stroke=1.0), registry)
    assert plain.sizes(100, 200, 10**6).extra_pixels(plain) == 0
    enlarged = plan_inference(UpscaleParameters(factor=3.0), registry)
    assert enlarged.sizes(100, 200, 10**6).extra_pixels(enlarged) == 20_000 * 16
    strokes = plan_inference(StylizeParameters(style="mosaic", stroke=2.0), registry)
    assert strokes.sizes(100, 200, 10**6).extra_pixels(strokes) == 5_000
    several = plan_inference(StylizeParameters(style="mosaic,wide", stroke=1.0), registry)
    assert several.sizes(100, 200, 10**6).extra_pixels(several) == 2 * 20_000


def test_blend_rounds_to_nearest():
    one, two = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert blend([one, two], [0.5, 0.5]).tolist() == [[[128, 128, 128]]]
    assert blend([one, two], [0.9, 0.1]).tolist() == [[[26, 26, 26]]]
