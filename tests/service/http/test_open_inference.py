"""The Open Inference Protocol: Triton's own client, and what other clients may send, right and wrong."""

import base64
import json
import struct

import httpx
import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from tests.conftest import decoded, encoded, picture

STYLE, FACTOR = "stylize.mosaic", "upscale.x2"


@pytest.fixture
def served(address):
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    yield client
    client.close()


def tensor(name, array, kind, binary=True):
    given = triton.InferInput(name, list(array.shape), kind)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def images(*data, binary=True):
    return [tensor("image", np.array(data, dtype=np.object_), "BYTES", binary)]


def test_what_there_is(served, checkpoints):
    assert served.is_server_live()
    assert served.is_server_ready()
    metadata = served.get_server_metadata()
    assert (metadata["name"], metadata["extensions"]) == ("impasto", ["binary_tensor_data"])
    index = served.get_model_repository_index()
    assert [each["name"] for each in index] == [STYLE, "stylize.starry_night", FACTOR, "upscale.x4"]
    assert {each["state"] for each in index} == {"READY"}
    model = served.get_model_metadata(STYLE)
    assert served.get_model_metadata(STYLE, model["versions"][0]) == model
    assert [(each["name"], each["datatype"], each["shape"]) for each in model["inputs"]] == [
        ("image", "BYTES", [-1]),
        ("pixels", "UINT8", [-1, -1, -1, 3]),
    ]
    assert served.is_model_ready(STYLE)
    assert served.is_model_ready(FACTOR, served.get_model_metadata(FACTOR)["versions"][0])
    assert not served.is_model_ready("stylize.mosiac")
    assert not served.is_model_ready(STYLE, "1")


def test_encoded_pictures(served, client):
    one, two = encoded(picture()), encoded(picture(seed=1), "jpeg")
    result = served.infer(STYLE, images(one, two), request_id="mine")
    answers = result.as_numpy("image")
    for data, answer in zip((one, two), answers, strict=True):
        assert answer == client.post("/stylize?style=mosaic", content=data).content
    response = result.get_response()
    assert (response["id"], response["model_name"]) == ("mine", STYLE)
    assert response["parameters"] == {"exact": True, "format": "png,jpeg"}


def test_pixels_are_those_of_the_encoded_picture(served, client):
    pixels = picture()
    expected = decoded(client.post("/upscale?factor=2", content=encoded(pixels)).content)
    for array in (pixels, pixels[None]):
        answer = served.infer(FACTOR, [tensor("pixels", array, "UINT8")]).as_numpy("pixels")
        assert answer.dtype == np.uint8
        assert np.array_equal(answer, expected if array.ndim == 3 else expected[None])
    several = np.stack([picture(seed=seed) for seed in range(3)])
    answer = served.infer(STYLE, [tensor("pixels", several, "UINT8")]).as_numpy("pixels")
    for each, painted in zip(several, answer, strict=True):
        alone = decoded(client.post("/stylize?style=mosaic", content=encoded(each)).content)
        assert np.array_equal(painted, alone)


def test_json_without_the_binary_extension(served, client):
    pixels, data = picture(12, 9), encoded(picture(12, 9))
    wanted = triton.InferRequestedOutput("pixels", binary_data=False)
    answer = served.infer(FACTOR, [tensor("pixels", pixels, "UINT8", binary=False)], outputs=[wanted])
    expected = client.post("/upscale?factor=2", content=data).content
    assert np.array_equal(answer.as_numpy("pixels"), decoded(expected))
    body = {
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [base64.b64encode(data).decode()]},
        ]
    }
    response = client.post(f"/v2/models/{FACTOR}/infer", json=body)
    assert response.headers["content-type"] == "application/json"
    (output,) = response.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("image", "BYTES", [1, 1])
    assert base64.b64decode(output["data"][0]) == expected
    nested = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [12, 9, 3], "data": pixels.tolist()}]}
    (output,) = client.post(f"/v2/models/{FACTOR}/infer", json=nested).json()["outputs"]
    assert np.array_equal(np.reshape(output["data"], output["shape"]), decoded(expected))


@pytest.mark.parametrize("binary", [True, False])
def test_floats_are_pixels_from_0_to_255(served, client, binary):
    pixels = picture()
    array = np.minimum(pixels.astype(np.float32) + (0.25 if binary else 0), 255)  # they are rounded
    wanted = triton.InferRequestedOutput("pixels", binary_data=binary)
    answer = served.infer(FACTOR, [tensor("pixels", array, "FP32", binary=binary)], outputs=[wanted])
    answer = answer.as_numpy("pixels")
    assert answer.dtype == np.float32
    assert np.array_equal(answer, decoded(client.post("/upscale?factor=2", content=encoded(pixels)).content))


def test_parameters_apply(served, client):
    data = encoded(picture())
    query = "style=mosaic&strength=0.5&preserve_color=true&stroke=2&max_side=32&format=webp&quality=50"
    parameters = {"strength": 0.5, "preserve_color": True, "stroke": 2, "max_side": 32, "format": "webp", "quality": 50}
    answer = served.infer(STYLE, images(data), parameters=parameters).as_numpy("image")[0]
    assert answer == client.post(f"/stylize?{query}", content=data).content
    small = served.infer(STYLE, [tensor("pixels", picture(), "UINT8")], parameters={"max_side": 32}).as_numpy("pixels")
    assert small.shape == (21, 32, 3)
    later = served.infer(STYLE, images(data), timeout=60_000_000).as_numpy("image")[0]
    assert decoded(later).shape == (40, 60, 3)


def test_what_the_client_can_do_wrong(served):
    data = encoded(picture())
    wrong = [
        (lambda: served.infer("stylize.mosiac", images(data)), "404", "served: stylize.mosaic, stylize.starry_night"),
        (lambda: served.infer(STYLE, images(data), model_version="7"), "404", "version '7' of stylize.mosaic"),
        (lambda: served.infer(STYLE, images(b"hello")), "415", "looks like text"),
        (lambda: served.infer(STYLE, images(data[:500])), "422", "cannot be decoded"),
        (lambda: served.infer(STYLE, images(data), parameters={"strenght": 1}), "422", "known: format.*strength"),
        (lambda: served.infer(STYLE, images(data), parameters={"strength": 2}), "422", "'strength' is '2'"),
        (lambda: served.infer(STYLE, images(data), parameters={"detail": 1}), "422", "'detail'"),
        (lambda: served.infer(FACTOR, images(data), timeout=1), "504", "the deadline is in"),
        (lambda: served.infer(STYLE, [tensor("pixels", picture(220, 220), "UINT8")]), "413", "at most 40000 pixels"),
        (lambda: served.infer(STYLE, images(*[data] * 17)), "422", "from 1 to 16"),
        (lambda: served.infer(STYLE, [tensor("picture", picture(), "UINT8")]), "422", "input 'picture' does not exist"),
        (
            lambda: served.infer(STYLE, [tensor("pixels", picture() / 1.0, "FP64")]),
            "422",
            "is FP64; expected UINT8 or FP32",
        ),
        (lambda: served.infer(STYLE, [tensor("pixels", picture()[..., :2], "UINT8")]), "422", r"expected \[H, W, 3\]"),
        (
            lambda: served.infer(STYLE, [tensor("pixels", picture(), "UINT8")], parameters={"format": "png"}),
            "422",
            "for encoded images",
        ),
        (
            lambda: served.infer(STYLE, images(data), outputs=[triton.InferRequestedOutput("pixels")]),
            "422",
            "the output for 'image' is 'image'",
        ),
    ]
    for call, status, message in wrong:
        with pytest.raises(InferenceServerException, match=message) as caught:
            call()
        assert caught.value.status() == status
    assert served.infer(STYLE, images(data)).as_numpy("image").size == 1


def element(data):
    return struct.pack("<I", len(data)) + data


ONE = {"name": "image", "datatype": "BYTES", "shape": [1]}
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 3]}
FLOATS = {**PIXELS, "datatype": "FP32"}
MALFORMED = [
    (b"", None, b"", "not JSON"),
    (b"[]", None, b"", "dictionary|object"),
    (b"[" * 100_000, None, b"", "not JSON"),
    ({"inputs": []}, None, b"", "inputs"),
    ({"inputs": [ONE, ONE]}, None, b"", "inputs"),
    ({"inputs": [ONE]}, None, b"", "neither data nor binary_data_size"),
    ({"inputs": [{**ONE, "data": ["%%%"]}]}, None, b"", "not base64"),
    ({"inputs": [{**ONE, "data": [1]}]}, None, b"", "expected base64"),
    ({"inputs": [{**ONE, "data": []}]}, None, b"", "0 elements"),
    ({"inputs": [{**ONE, "shape": [-1]}]}, 0, b"", "shape"),
    ({"inputs": [{**ONE, "shape": [2**62, 2**62]}]}, 0, b"", "shape"),
    ({"inputs": [{**ONE, "shape": ["1"]}]}, 0, b"", "shape"),
    ({"inputs": [ONE]}, 3, element(b""), "binary_data_size is 3, and 4 bytes follow"),
    ({"inputs": [ONE]}, 4, struct.pack("<I", 2**32 - 1), "an element of 4294967295 bytes, and 0 are left"),
    ({"inputs": [ONE]}, 3, b"abc", "ends within the length"),
    ({"inputs": [{**ONE, "data": ["QQ=="]}]}, None, b"abc", "no input has binary_data_size"),
    ({"inputs": [{**PIXELS, "data": [0, 1, 2, 3, 4, 256]}]}, None, b"", "0 to 255"),
    ({"inputs": [{**FLOATS, "data": [0, 1, 2, 3, 4, 255.5]}]}, None, b"", "0 to 255"),
    ({"inputs": [{**FLOATS, "data": [0, 1, 2, 3, 4, float("nan")]}]}, None, b"", "0 to 255"),
    (
        {"inputs": [{**FLOATS, "data": [0, 0.1, 0.2, 0.3, 0.4, 1.0]}]},
        None,
        b"",
        "values from 0 to 1; expected 0 to 255",
    ),
    ({"inputs": [FLOATS]}, 7, b"1234567", "7 bytes; expected four for each value"),
    ({"inputs": [{**PIXELS, "data": [0.5] * 6}]}, None, b"", "0 to 255"),
    ({"inputs": [{**PIXELS, "data": [[1, 2], 3]}]}, None, b"", "ragged"),
    ({"inputs": [{**PIXELS, "data": [2**70] * 6}]}, None, b"", "0 to 255"),
    ({"inputs": [{**PIXELS, "data": []}]}, None, b"", "0 to 255"),
    ({"inputs": [{**PIXELS, "data": [1, 2]}]}, None, b"", "2 values; expected 6"),
    ({"inputs": [PIXELS]}, 5, b"12345", "5 values; expected 6"),
    ({"inputs": [{**PIXELS, "shape": [1, 2, 3, 3, 3]}]}, 0, b"", "shape"),
]


@pytest.mark.parametrize(("content", "size", "after", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_bodies_that_make_no_sense(client, content, size, after, message):
    if isinstance(content, dict):
        if size is not None:
            content["inputs"][0] = {**content["inputs"][0], "parameters": {"binary_data_size": size}}
        content = json.dumps(content).encode()
    headers = {"Inference-Header-Content-Length": str(len(content))} if size is not None or after else {}
    response = client.post(f"/v2/models/{STYLE}/infer", content=content + after, headers=headers)
    assert response.status_code == 422, response.text
    assert list(response.json()) == ["error"]
    assert any(part in response.json()["error"] for part in message.split("|")), response.text


@pytest.mark.parametrize("length", ["-1", "x", "9" * 5000, "1000"])
def test_a_length_of_json_that_makes_no_sense(client, length):
    headers = {"Inference-Header-Content-Length": length}
    response = client.post(f"/v2/models/{STYLE}/infer", content=b"{}", headers=headers)
    assert (response.status_code, "Inference-Header-Content-Length" in response.json()["error"]) == (422, True)


def test_errors_have_the_protocols_form_everywhere_below_v2(client):
    for response in (
        client.get("/v2/nothing"),
        client.get("/v2/models/nothing"),
        client.get(f"/v2/models/{STYLE}/infer"),
        client.post(f"/v2/models/{STYLE}/infer", content=b"x" * 200_001),
        client.post(f"/v2/models/{STYLE}/infer", content=iter([b"x" * 150_000] * 2)),
    ):
        assert response.status_code in {404, 405, 413}
        assert list(response.json()) == ["error"]
        assert response.headers["x-request-id"]
    assert "type" in client.get("/v2nothing").json()


def test_a_service_that_is_full_or_not_ready_says_so(app, address, served):
    admission = app.state.admission
    most, admission.most_requests = admission.most_requests, 0
    try:
        with pytest.raises(InferenceServerException, match="the limit is 0; try again in 1 s") as caught:
            served.infer(STYLE, images(encoded(picture())))
        assert caught.value.status() == "503"
        response = httpx.post(f"{address}/v2/models/{STYLE}/infer", content=b"{}", trust_env=False)
        assert response.headers["retry-after"] == "1"
    finally:
        admission.most_requests = most
    admission.close()
    try:
        assert not served.is_server_ready()
        assert not served.is_model_ready(STYLE)
        assert served.is_server_live()
    finally:
        admission.open()
    assert admission.requests_in_flight == admission.pixels_in_flight == 0


PICTURE = encoded(picture(9, 7))
TENSOR = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PICTURE).decode()]}


@pytest.mark.parametrize(
    "body",
    {
        "id": {"id": None, "inputs": [TENSOR]},
        "parameters": {"parameters": None, "inputs": [TENSOR]},
        "a parameter": {"parameters": {"strength": None}, "inputs": [TENSOR]},
        "outputs": {"outputs": None, "inputs": [TENSOR]},
        "the input's parameters": {"inputs": [{**TENSOR, "parameters": None}]},
        "the output's parameters": {"inputs": [TENSOR], "outputs": [{"name": "image", "parameters": None}]},
    }.items(),
    ids=lambda item: item[0],
)
def test_a_null_is_a_member_that_is_missing(address, body):
    response = httpx.post(f"{address}/v2/models/{STYLE}/infer", json=body[1], trust_env=False, timeout=30)
    assert response.status_code == 200, response.text
    plain = httpx.post(f"{address}/v2/models/{STYLE}/infer", json={"inputs": [TENSOR]}, trust_env=False, timeout=30)
    assert response.json()["outputs"] == plain.json()["outputs"]


@pytest.mark.parametrize(("shape", "nested"), [([2, 1], True), ([1, 2], True), ([2, 1], False), ([2], False)])
def test_elements_of_bytes_may_be_nested_like_the_shape(address, shape, nested):
    element = TENSOR["data"][0]
    rows = [[element] * shape[1]] * shape[0] if nested else [element] * 2
    body = {"inputs": [{**TENSOR, "shape": shape, "data": rows}]}
    response = httpx.post(f"{address}/v2/models/{STYLE}/infer", json=body, trust_env=False, timeout=30)
    assert response.status_code == 200, response.text
    assert response.json()["outputs"][0]["shape"] == shape


def test_a_compressed_request_is_decompressed(served):
    plain = served.infer(STYLE, images(PICTURE)).as_numpy("image")
    packed = served.infer(STYLE, images(PICTURE), request_compression_algorithm="gzip").as_numpy("image")
    assert plain.tolist() == packed.tolist()
