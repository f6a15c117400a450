"""`factor=max`: the largest factor whose output is within the limits, and errors that name it."""

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.errors import TooManyPixelsError
from service.images.types import Header
from service.models.registry import load_registry
from service.pipeline.limits import largest_factor, refuse_memory
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, tiny_upscaler
from tests.files import animation, frames_of
from tests.service.http.test_bad_input import refused

MOST, MOST_OUT = 10_000, 40_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factors")
    for factor in (2, 4, 8):
        save_net(folder, f"x{factor}", tiny_upscaler(factor))
    save_net(folder, "x2_photo", tiny_upscaler(2, 1))
    save_net(folder, "x4_perceptual", tiny_upscaler(4, 2))
    limits = {"max_pixels": MOST, "max_output_pixels": MOST_OUT, "cache_bytes": 10**7}
    with running(create_app(Settings(device="cpu", precision="fp32", **limits), load_registry(folder))) as address:
        yield address


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


def largest(client, pixels, **parameters):
    response = client.post("/upscale", params={"factor": "max", **parameters}, content=encoded(pixels))
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize(
    ("side", "factor"),
    [(1, 8), (25, 8), (26, 4), (50, 4), (51, 2), (100, 2)],  # 25 * 8 = 50 * 4 = 100 * 2 = 200, and 200² is the limit
)
def test_it_is_the_largest_network_whose_output_fits(client, side, factor):
    response = largest(client, picture(side, side))
    assert decoded(response.content).shape == (side * factor, side * factor, 3)
    assert response.headers["impasto-factor"] == f"{factor}"
    assert response.headers["content-disposition"] == f'inline; filename="x{factor}.png"'
    assert response.headers["impasto-model"].startswith(f"upscale/x{factor}@")


def test_a_picture_at_the_limit_is_returned_as_it_is(tmp_path):
    save_net(tmp_path, "x4", tiny_upscaler(4))
    settings = Settings(
        device="cpu", precision="fp32", max_pixels=10_000, max_output_pixels=10_000, checkpoints=tmp_path
    )
    pixels = picture(100, 100)
    with (
        running(create_app(settings, load_registry(tmp_path))) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        response = largest(client, pixels)
        assert np.array_equal(decoded(response.content), pixels)
        assert (response.headers["impasto-factor"], response.headers["impasto-model"]) == ("1", "none")
        beyond = client.post("/upscale?factor=max", content=encoded(picture(100, 101)))
        assert "the picture is 101 x 100; expected at most 10000" in refused(beyond, 413, "too_many_pixels")["detail"]


def test_an_error_about_size_names_the_factor_that_fits(client):
    problem = refused(client.post("/upscale?factor=8", content=encoded(picture(50, 50))), 413, "too_many_pixels")
    assert problem["detail"].endswith("an output has at most 40000; factor=4 would fit")
    between = refused(client.post("/upscale?factor=2.5", content=encoded(picture(60, 60))), 413, "too_many_pixels")
    assert between["detail"].endswith("; factor=2 would fit")
    assert client.post("/upscale?factor=2", content=encoded(picture(60, 60))).status_code == 200


def test_the_format_limits_the_side(tmp_path):
    save_net(tmp_path, "x4", tiny_upscaler(4))
    settings = Settings(device="cpu", precision="fp32", max_output_pixels=100_000)
    wide = np.zeros((1, 5000, 3), np.uint8)
    with (
        running(create_app(settings, load_registry(tmp_path))) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        response = largest(client, wide, format="webp")  # its sides have up to 16,383 pixels: 3.2766 times 5,000
        assert (response.headers["impasto-factor"], decoded(response.content).shape) == ("3.27", (3, 16_350, 3))
        assert largest(client, wide, format="png").headers["impasto-factor"] == "4"
        problem = refused(client.post("/upscale?factor=4&format=webp", content=encoded(wide)), 413, "too_many_pixels")
        assert problem["detail"].endswith("webp holds at most 16383; try format=png; factor=3.27 would fit")


def test_max_is_the_same_request_as_its_number(client):
    pixels = picture(40, 40)
    data = encoded(pixels)
    first = client.post("/upscale?factor=4", content=data)
    again = client.post("/upscale?factor=max", content=data)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-status"] == "Impasto; hit"
    assert again.content == first.content


def test_source_and_detail_limit_the_networks(client):
    pixels = picture(20, 20)
    assert largest(client, pixels).headers["impasto-factor"] == "8"
    assert largest(client, pixels, source="photo").headers["impasto-factor"] == "2"
    assert largest(client, pixels, detail=1).headers["impasto-factor"] == "4"


def test_all_frames_count(client):
    pictures = [picture(50, 50, seed) for seed in range(3)]  # three of 200 x 200 would be too many
    data = animation("png", pictures, [40, 40, 40])
    response = client.post("/upscale?factor=max", content=data)
    assert response.headers["impasto-factor"] == "2"
    assert [frame.shape for frame in frames_of(response.content)[0]] == [(100, 100, 4)] * 3
    first = client.post("/upscale?factor=max&format=tiff", content=data)
    assert first.headers["impasto-factor"] == "4"


def test_a_job_resolves_it_too(client):
    pixels = encoded(picture(30, 30))
    job = client.post("/upscale?factor=max", content=pixels, headers={"Prefer": "respond-async"}).headers["location"]
    with client.stream("GET", f"{job}/events") as events:
        list(events.iter_lines())
    result = client.get(f"{job}/result")
    assert result.headers["impasto-factor"] == "4"
    assert 'filename="x4.png"' in result.headers["content-disposition"]


@pytest.mark.parametrize("factor", ["most", "MAX", "max ", "0.9", "8.1", "nan", ""])
def test_other_words_are_refused(client, factor):
    problem = refused(client.post("/upscale", params={"factor": factor}, content=b""), 422, "invalid_parameter")
    assert (problem["parameter"], problem["expected"]) == ("factor", "max, or a number from 1 to 8")


def test_a_factor_that_fits_is_admitted_with_all_that_is_in_memory():
    """4200 x 2857 as WebP: 3.9 is what its sides allow, but the output of x4 beside it exceeds 300 megapixels."""
    header = Header("jpeg", 2857, 4200, 1, animated=False, alpha=False, bits=8)
    settings = Settings()
    assert largest_factor(settings, header, 1, [2, 4, 8], "png") == 4
    assert largest_factor(settings, header, 1, [2, 4, 8], "webp") == 2
    refuse_memory(settings, 12_000_000 * (1 + 16))
    with pytest.raises(TooManyPixelsError, match=r"expected at most 300000000; factor=2 would fit"):
        refuse_memory(settings, 386_000_000, 2.0)
