"""The two endpoints over a real port: what comes out is what the network says, in the format that was asked for."""

import asyncio
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from nets.checkpoint import load
from nets.pixels import from_network, to_network
from tests.conftest import decoded, encoded, picture


def answer_of(checkpoints, key, pixels):
    """The network's own answer, without the service."""
    net = load(checkpoints / f"{key}.safetensors").net
    return from_network(net(to_network([pixels])))[0]


@pytest.mark.parametrize("style", ["mosaic", "starry_night"])
def test_stylize_answers_with_the_networks_own_pixels(client, checkpoints, style):
    pixels = picture(33, 50)
    response = client.post("/stylize", params={"style": style}, content=encoded(pixels))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(decoded(response.content), answer_of(checkpoints, f"stylize/{style}", pixels))


@pytest.mark.parametrize("factor", [2, 4])
def test_upscale_answers_with_the_networks_own_pixels(client, checkpoints, factor):
    pixels = picture(21, 34)
    response = client.post("/upscale", params={"factor": factor}, files={"image": ("a.png", encoded(pixels))})
    assert response.status_code == 200
    large = decoded(response.content)
    assert large.shape == (21 * factor, 34 * factor, 3)
    assert np.array_equal(large, answer_of(checkpoints, f"upscale/x{factor}", pixels))


def test_an_answer_says_what_made_it_and_how_long_it_took(client, checkpoints):
    response = client.post("/stylize?style=mosaic", content=encoded(picture()))
    version = load(checkpoints / "stylize/mosaic.safetensors").version
    assert response.headers["impasto-model"] == f"stylize/mosaic@{version}"
    stages = [entry.split(";dur=") for entry in response.headers["server-timing"].split(", ")]
    assert [name for name, _ in stages] == ["decode", "queue", "forward", "encode"]
    assert all(float(milliseconds) >= 0 for _, milliseconds in stages)
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_answer_comes_in_the_pictures_own_format(client, kind):
    response = client.post("/stylize?style=mosaic", content=encoded(picture(), kind))
    assert response.headers["content-type"] == f"image/{kind}"
    assert Image.open(io.BytesIO(response.content)).format == kind.upper()


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        ("image/webp", "", "image/webp"),
        ("image/png;q=0.5, image/webp;q=0.9", "", "image/webp"),
        ("image/jxl, image/*;q=0.8", "", "image/jpeg"),
        ("image/avif, image/*;q=0.8", "", "image/avif"),
        ("*/*", "", "image/jpeg"),
        ("text/html, */*;q=0.1", "", "image/jpeg"),
        ("image/webp", "&format=png", "image/png"),
    ],
)
def test_the_client_chooses_the_format(client, accept, query, expected):
    response = client.post(
        f"/stylize?style=mosaic{query}", content=encoded(picture(), "jpeg"), headers={"Accept": accept}
    )
    assert response.headers["content-type"] == expected


def test_a_picture_lying_on_its_side_is_put_upright(client, checkpoints):
    pixels = picture(30, 44)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    response = client.post("/stylize?style=mosaic", content=encoded(pixels, "png", exif=exif))
    upright = np.ascontiguousarray(np.rot90(pixels, -1))
    assert np.array_equal(decoded(response.content), answer_of(checkpoints, "stylize/mosaic", upright))


def test_transparency_comes_back(client, checkpoints):
    rgba = np.dstack([picture(20, 24), np.full((20, 24), 255, np.uint8)])
    rgba[:, :12, 3] = 0
    stylised = decoded(client.post("/stylize?style=mosaic", content=encoded(rgba)).content)
    assert np.array_equal(stylised[..., 3], rgba[..., 3])
    enlarged = decoded(client.post("/upscale?factor=2", content=encoded(rgba, "webp", lossless=True)).content)
    assert enlarged.shape == (40, 48, 4)
    assert (enlarged[:, :20, 3] == 0).all()
    assert (enlarged[:, 28:, 3] == 255).all()
    flat = decoded(client.post("/stylize?style=mosaic&format=jpeg", content=encoded(rgba)).content)
    assert flat[:, :8].min() > 245  # what was transparent lies on white


@pytest.mark.parametrize("mode", ["L", "P", "LA", "1", "CMYK"])
def test_other_colour_modes_are_taken(client, mode):
    image = Image.fromarray(picture(16, 18)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    response = client.post("/upscale?factor=2&format=png", content=buffer.getvalue())
    assert response.status_code == 200
    assert decoded(response.content).shape[:2] == (32, 36)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 2)])
def test_the_smallest_pictures_have_an_answer(client, size):
    assert client.post("/stylize?style=mosaic", content=encoded(picture(*size))).status_code == 200
    large = decoded(client.post("/upscale?factor=4", content=encoded(picture(*size))).content)
    assert large.shape[:2] == (4 * size[0], 4 * size[1])


def test_many_at_once_each_get_their_own(address, checkpoints):
    pictures = [picture(20 + i % 3, 30, seed=i) for i in range(12)]

    async def all_of_them():
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            posts = [client.post("/stylize?style=mosaic", content=encoded(pixels)) for pixels in pictures]
            return await asyncio.gather(*posts)

    for pixels, response in zip(pictures, asyncio.run(all_of_them()), strict=True):
        assert np.array_equal(decoded(response.content), answer_of(checkpoints, "stylize/mosaic", pixels))
