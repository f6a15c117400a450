"""`source`: networks for photographs and for clean pictures, which one is used, and how the response says so."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from nets.pixels import from_network, to_network
from service.app import create_app
from service.models.registry import load_registry
from service.pipeline.compositing import resize
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, tiny_style_net, tiny_upscaler
from tests.files import animation, frames_of, png16, read_png16
from tests.service.http.test_bad_input import refused

PIXELS = picture(48, 64)
PHOTO = encoded(PIXELS, "jpeg", quality=60)
CLEAN = encoded(PIXELS)


@pytest.fixture(scope="module")
def nets():
    return {"x2": tiny_upscaler(2), "x4": tiny_upscaler(4), "x4_photo": tiny_upscaler(4, 3), "mosaic": tiny_style_net()}


@pytest.fixture(scope="module")
def folder(nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name, net in {**nets, "x4_perceptual": tiny_upscaler(4, 1)}.items():
        save_net(folder, name, net)
    return folder


def settings():
    return Settings(
        device="cpu", precision="fp32", max_batch_items=1, max_pixels=40_000, cache_bytes=10**7, max_frames=4
    )


@pytest.fixture(scope="module")
def address(folder):
    with running(create_app(settings(), load_registry(folder))) as address:
        yield address


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


def enlarged(client, data, **parameters):
    response = client.post("/upscale", params={"factor": 4, "format": "png", **parameters}, content=data)
    assert response.status_code == 200, response.text
    return response


def made_by(response):
    return response.headers["impasto-model"].partition("@")[0], response.headers["impasto-source"]


def run(net, pixels):
    return from_network(net(to_network([np.ascontiguousarray(pixels)])))[0]


@pytest.mark.parametrize(
    ("data", "source", "network", "said"),
    [
        (PHOTO, "auto", "x4_photo", "photo"),
        (PHOTO, "photo", "x4_photo", "photo"),
        (PHOTO, "clean", "x4", "clean"),
        (CLEAN, "auto", "x4", "clean"),
        (CLEAN, "photo", "x4_photo", "photo"),
        (CLEAN, "clean", "x4", "clean"),
    ],
)
def test_each_source_has_its_network(client, nets, data, source, network, said):
    response = enlarged(client, data, source=source)
    assert made_by(response) == (f"upscale/{network}", said)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decoded(response.content).astype(int) - run(nets[network], pixels)).max() <= 1


def test_auto_is_the_default(client):
    response = client.post("/upscale?factor=4", content=PHOTO)
    assert made_by(response) == ("upscale/x4_photo", "photo")


def test_tags_and_the_cache_tell_sources_apart(client):
    sources = ("auto", "photo", "clean")
    first = {source: enlarged(client, PHOTO, source=source) for source in sources}
    assert len({each.headers["etag"] for each in first.values()}) == 3
    for source in sources:
        again = enlarged(client, PHOTO, source=source)
        assert again.headers["cache-status"] == "Impasto; hit"
        assert (again.content, made_by(again)) == (first[source].content, made_by(first[source]))
    known = {"If-None-Match": first["auto"].headers["etag"]}
    assert client.post("/upscale?factor=4&format=png", content=PHOTO, headers=known).status_code == 304


def test_without_a_network_for_photographs_auto_uses_the_clean_one(client, nets):
    response = enlarged(client, PHOTO, factor=2)
    assert made_by(response) == ("upscale/x2", "clean")


def test_photo_reduces_the_output_of_the_next_larger_network(client, nets):
    response = enlarged(client, PHOTO, factor=2, source="photo")
    assert made_by(response) == ("upscale/x4_photo", "photo")
    pixels = np.asarray(Image.open(io.BytesIO(PHOTO)))
    expected = resize(run(nets["x4_photo"], pixels), 96, 128)
    assert np.abs(decoded(response.content).astype(int) - expected).max() <= 1


def test_detail_is_for_clean_pictures(client):
    assert enlarged(client, PHOTO, detail=1).headers["impasto-source"] == "clean"
    problem = refused(client.post("/upscale?factor=4&detail=0.5&source=photo", content=PHOTO), 422, "invalid_parameter")
    assert (problem["parameter"], problem["expected"]) == ("source", "detail=0, or source=clean")


def test_factor_1_and_styles_have_no_source(client):
    assert "impasto-source" not in enlarged(client, PHOTO, factor=1, source="photo").headers
    assert "impasto-source" not in client.post("/stylize?style=mosaic", content=PHOTO).headers
    assert refused(client.post("/stylize?style=mosaic&source=photo", content=PHOTO), 422, "invalid_parameter")


def test_a_job_says_what_was_decided(client):
    job = client.post("/upscale?factor=4", content=PHOTO, headers={"Prefer": "respond-async"}).headers["location"]
    with client.stream("GET", f"{job}/events") as events:
        list(events.iter_lines())
    assert made_by(client.get(f"{job}/result")) == ("upscale/x4_photo", "photo")


@pytest.mark.parametrize("source", ["film", "", "PHOTO", "auto,photo"])
def test_an_unknown_source_is_refused_with_the_known_ones(client, source):
    problem = refused(
        client.post("/upscale", params={"factor": 4, "source": source}, content=PHOTO), 422, "invalid_parameter"
    )
    assert (problem["parameter"], problem["value"]) == ("source", source)
    for known in ("auto", "photo", "clean"):
        assert known in problem["expected"]


def test_an_unserved_photo_network_is_a_clear_error(tmp_path):
    save_net(tmp_path, "x4", tiny_upscaler(4))
    with (
        running(create_app(settings(), load_registry(tmp_path))) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        problem = refused(client.post("/upscale?factor=4&source=photo", content=PHOTO), 404, "unknown_model")
        assert "source 'photo' is served for no factor" in problem["detail"]
        assert (problem["parameter"], problem["expected"]) == ("source", ["auto", "clean"])
        assert made_by(client.post("/upscale?factor=4", content=PHOTO)) == ("upscale/x4", "clean")


def test_a_factor_beyond_the_networks_for_photographs_is_a_clear_error(tmp_path):
    for name, factor in (("x4", 4), ("x4_photo", 4), ("x8", 8)):
        save_net(tmp_path, name, tiny_upscaler(factor))
    with (
        running(create_app(settings(), load_registry(tmp_path))) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        problem = refused(client.post("/upscale?factor=8&source=photo", content=PHOTO), 404, "unknown_model")
        assert "served up to factor 4, and factor is 8" in problem["detail"]
        assert made_by(client.post("/upscale?factor=8", content=PHOTO)) == ("upscale/x8", "clean")


def test_a_jpeg_of_one_pixel(client, nets):
    data = encoded(np.full((1, 1, 3), 200, np.uint8), "jpeg", quality=50)
    response = enlarged(client, data)
    assert made_by(response) == ("upscale/x4_photo", "photo")
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(decoded(response.content).astype(int) - run(nets["x4_photo"], pixels)).max() <= 1


def without_tables(data):
    """A JPEG without its quantisation tables: segments ff db are left out."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += b"" if data[at + 1] == 0xDB else data[at:end]
        at = end
    return kept + data[at:]


@pytest.mark.parametrize("source", ["auto", "photo", "clean"])
def test_a_jpeg_without_tables_is_broken(client, source):
    response = client.post(f"/upscale?factor=4&source={source}", content=without_tables(PHOTO))
    assert "JPEG" in refused(response, 422, "broken_image")["detail"]


def test_an_animation_of_photographs(client, nets):
    pictures = [picture(24, 32, seed) for seed in range(3)]
    data = animation("webp", pictures, [40, 50, 60], lossless=True)
    response = client.post("/upscale?factor=4&source=photo", content=data)
    assert made_by(response) == ("upscale/x4_photo", "photo")
    frames, milliseconds = frames_of(response.content)
    assert milliseconds == [40, 50, 60]
    for frame, pixels in zip(frames, pictures, strict=True):
        assert np.abs(frame[..., :3].astype(int) - run(nets["x4_photo"], pixels)).max() <= 1


def test_sixteen_bits_of_a_photograph(client, nets):
    deep = PIXELS.astype(np.uint16) * 257
    response = client.post("/upscale?factor=4&source=photo", content=png16(deep))
    assert made_by(response) == ("upscale/x4_photo", "photo")
    answer = read_png16(response.content)
    assert answer.dtype == np.uint16
    assert np.abs(answer / 257 - run(nets["x4_photo"], PIXELS)).max() <= 1.01
    assert made_by(client.post("/upscale?factor=4", content=png16(deep))) == ("upscale/x4", "clean")
