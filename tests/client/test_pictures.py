"""What goes in and what comes out, with a real service."""

import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto
from tests.conftest import decoded, encoded, picture

ROOT = Path(__file__).parent.parent.parent


def test_a_path_bytes_and_an_open_file_come_back_as_bytes(connect, address, tmp_path):
    client, data = connect(address), encoded(picture())
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    answers = [client.stylize(each, style="mosaic") for each in (path, str(path), data, bytearray(data))]
    with path.open("rb") as file:
        answers.append(client.stylize(file, style="mosaic"))
    for answer in answers:
        assert answer == answers[0]
        assert answer.format == "png"
        assert answer.model.startswith("stylize/mosaic@sha256:")
        assert answer.exact
        assert {"decode", "queue", "forward", "encode"} <= set(answer.milliseconds)
        assert answer.request_id == answer.headers["x-request-id"]
    assert decoded(answers[0]).shape == (40, 60, 3)
    assert answers[0].image().size == (60, 40)


def test_the_three_lines_of_the_documentation(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(encoded(picture(), "jpeg"))
    (lines,) = re.findall(r"\A# .*?```python\n(.*?)```", (ROOT / "docs/client.md").read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) == 3
    names = {}
    exec(lines.replace("http://localhost:8000", address), names)
    names["client"].close()
    with Image.open("painted.jpg") as painted:
        assert (painted.format, painted.size) == ("JPEG", (60, 40))


def test_an_image_of_pillows_comes_back_as_one(connect, address):
    client, pixels = connect(address), picture()
    by_bytes = decoded(client.upscale(encoded(pixels), factor=2, detail=0.0))
    image = client.upscale(Image.fromarray(pixels), factor=2)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), by_bytes)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (40, 60, 4)])
def test_an_array_comes_back_as_one(connect, address, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = decoded(connect(address).upscale(encoded(pixels), factor=2, format="png"))
    for given in (pixels, np.asfortranarray(pixels), np.flipud(np.flipud(pixels).copy())):
        enlarged = connect(address).upscale(given, factor=2)
        assert isinstance(enlarged, np.ndarray)
        assert enlarged.shape == (80, 120, *shape[2:])
        assert np.array_equal(enlarged, expected)
    lossy = connect(address).stylize(pixels, style="mosaic", format="jpeg")
    assert lossy.shape == (40, 60, 3)


def test_sixteen_bits_of_grey_stay_sixteen(connect, address):
    pixels = np.random.default_rng(0).integers(0, 65536, (10, 12), np.uint16)
    enlarged = connect(address).upscale(pixels, factor=1)
    assert enlarged.dtype == np.uint16
    assert np.array_equal(enlarged, pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_common_kind_of_image_can_be_sent(connect, address, mode):
    grey = Image.fromarray(picture()[..., 0])
    image = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    assert connect(address).stylize(image, style="mosaic").size == image.size


@pytest.mark.parametrize(("mode", "by_way_of"), [("La", "LA"), ("RGBa", "RGBA"), ("PA", "P")])
def test_an_image_with_transparency_of_another_kind_keeps_it(connect, address, mode, by_way_of):
    pixels = np.dstack([picture()[..., 0]] * 3 + [np.full((40, 60), 255, np.uint8)])
    pixels[:, :30, 3] = 0
    image = Image.fromarray(pixels).convert(by_way_of).convert(mode)
    if mode == "PA":
        image.putalpha(Image.fromarray(pixels[..., 3]))
    assert image.mode == mode
    alpha = np.asarray(connect(address).stylize(image, style="mosaic").getchannel("A"))
    assert np.array_equal(alpha, pixels[..., 3])


def test_an_image_is_sent_upright(connect, address):
    image = Image.fromarray(picture())
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, "JPEG", exif=exif)
    assert connect(address).stylize(Image.open(buffer), style="mosaic").size == (40, 60)


def test_every_parameter_reaches_the_service(connect, address):
    client, photograph = connect(address), encoded(picture())
    mixed = client.stylize(
        photograph,
        style={"mosaic": 3, "starry_night": 1},
        strength=0.5,
        preserve_color=True,
        stroke=2,
        max_side=32,
        format="webp",
        quality=60,
        lossless=True,
        profile="srgb",
        metadata="keep",
    )
    assert (mixed.format, mixed.image().size) == ("webp", (32, 21))
    assert b"VP8L" in mixed
    assert "mosaic" in mixed.model
    assert "starry_night" in mixed.model
    assert client.upscale(photograph, factor=1.5, format="jpeg").image().size == (90, 60)


def test_a_list_of_styles_is_a_mix_in_equal_shares(connect, address):
    client, photograph = connect(address), encoded(picture())
    mixed = client.stylize(photograph, style=["mosaic", "starry_night"])
    assert mixed == client.stylize(photograph, style={"mosaic": 1, "starry_night": 1})
    assert client.stylize(photograph, ("mosaic",)) == client.stylize(photograph, "mosaic")


@pytest.mark.parametrize("style", [3, None, [("mosaic", 0.5)], b"mosaic"])
def test_something_that_is_not_a_style_is_an_error_of_the_caller(connect, style):
    with pytest.raises(TypeError, match=r"the style is .*; expected a name, a list of names, or a mapping"):
        connect("http://127.0.0.1:1").stylize(encoded(picture()), style)


def test_an_unknown_parameter_is_an_error_of_the_caller(connect, address):
    with pytest.raises(TypeError, match=r"there is no parameter 'strenght'; expected one of .*strength"):
        connect(address).stylize(encoded(picture()), style="mosaic", strenght=1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (b"", impasto.PictureError, "the image is empty"),
        (12, TypeError, "the image is of type int; expected a path"),
        ([b"one", b"two"], TypeError, "the image is of type list; expected a path"),
        (io.StringIO("text"), TypeError, "the file returns str; expected a file opened in binary mode"),
        (io.TextIOWrapper(io.BytesIO(b"\xff\xd8\xff"), "utf-8"), TypeError, "expected a file opened in binary mode"),
        (np.zeros((8, 8, 3)), impasto.PictureError, r"the array is float64 \(8, 8, 3\); expected uint8 \(H, W\), "),
        (np.zeros((3, 8, 8), np.uint8), impasto.PictureError, r"the array is uint8 \(3, 8, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), impasto.PictureError, r"the array has no pixels: \(0, 8, 3\)"),
        (Path("/nowhere/photo.jpg"), FileNotFoundError, "No such file"),
        (Image.new("F", (8, 8)), impasto.PictureError, "the image has mode F"),
        (Image.new("RGB", (0, 8)), impasto.PictureError, "0 x 8 cannot be sent"),
    ],
)
def test_something_that_is_not_an_image_is_not_sent(connect, given, error, message):
    with pytest.raises(error, match=message):
        connect("http://127.0.0.1:1").stylize(given, style="mosaic")


def test_models_and_cards(connect, address):
    client = connect(address)
    models = client.models()
    assert (models.styles, models.factors) == (["mosaic", "starry_night"], [2, 4])
    assert [model.key for model in models] == [each["model"] for each in models.raw["models"]]
    assert len(models) == 4
    assert models.refused == ()
    assert client.card("upscale", "x2")["license"] == "CC0-1.0"
    assert client.ready()
    assert not connect("http://127.0.0.1:1").ready()


def test_many_pictures_come_as_they_are_done_and_a_broken_one_is_its_own_alone(connect, address, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(12)]
    for index, path in enumerate(paths):
        path.write_bytes(b"broken" if index == 5 else encoded(picture(seed=index)))
    paths[7].unlink()
    outcomes = {outcome.source: outcome for outcome in connect(address).stylize_many(paths, "mosaic", concurrency=3)}
    assert set(outcomes) == set(paths)
    assert isinstance(outcomes[paths[5]].error, impasto.UnsupportedImageError)
    assert isinstance(outcomes[paths[7]].error, FileNotFoundError)
    with pytest.raises(impasto.UnsupportedImageError):
        outcomes[paths[5]].unwrap()
    good = [outcomes[path].unwrap() for index, path in enumerate(paths) if index not in {5, 7}]
    assert len(set(good)) == 10
    (enlarged,) = connect(address).upscale_many([encoded(picture())], 2)
    assert decoded(enlarged.unwrap()).shape == (80, 120, 3)


def test_less_than_one_at_once_is_refused(connect, address):
    with pytest.raises(ValueError, match="concurrency = 0"):
        list(connect(address).stylize_many([], "mosaic", concurrency=0))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://localhost/?a=1"])
def test_an_invalid_address_is_refused(connect, url):
    with pytest.raises(ValueError, match=r"not (an|the) address"):
        connect(url)


def test_the_address_comes_from_the_environment_where_none_is_given(connect, address, monkeypatch):
    monkeypatch.setenv("IMPASTO_SERVER", f"{address}/")
    assert connect().models().styles == ["mosaic", "starry_night"]


def test_it_needs_neither_torch_nor_the_service_nor_pillow():
    probe = "import impasto, sys; print([m for m in ('torch', 'service', 'nets', 'PIL', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_both_clients_take_the_same():
    def shape(client):
        names = [name for name in vars(client) if not name.startswith("_")]
        return {name.removeprefix("a"): list(inspect.signature(getattr(client, name)).parameters) for name in names}

    assert shape(impasto.Client) == shape(impasto.AsyncClient)
