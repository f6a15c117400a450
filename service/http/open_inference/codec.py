"""Messages of the Open Inference Protocol: JSON, followed by the bytes of tensors with the binary extension.

    body, length of its JSON --read--> InferenceRequest: one tensor, parameters, encoding of the output
    Tensor --write--> body, length of its JSON

https://github.com/kserve/open-inference-protocol; Triton's "binary tensor data extension".
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import BodyError, shown

IMAGE, PIXELS = "image", "pixels"
"""A request has one of these two tensors: encoded images, or uint8 RGB."""

MOST_PICTURES = 16
_LENGTH = struct.Struct("<I")
_BINARY_SIZE, _BINARY_DATA = "binary_data_size", "binary_data"


@dataclass(frozen=True)
class Tensor:
    """`image`: encoded images, as BYTES; `pixels`: uint8 (N, H, W, 3), as UINT8, or as FP32 if `floats`.

    shape: as the client sent it.
    """

    name: Literal["image", "pixels"]
    shape: tuple[int, ...]
    images: tuple[bytes, ...] = ()
    pixels: NDArray[np.uint8] | None = None
    floats: bool = False


@dataclass(frozen=True)
class InferenceRequest:
    """A request. parameters: as they came. binary: whether the output tensor follows the JSON as bytes."""

    tensor: Tensor
    identity: str | None
    parameters: Mapping[str, Any]
    binary: bool


class _Lenient(BaseModel):
    """Ignores members that clients add for other servers. A null counts as a member that is missing."""

    model_config = ConfigDict(extra="ignore", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, members: Any) -> Any:
        if not isinstance(members, dict):
            return members
        return {name: value for name, value in members.items() if value is not None}


class _Input(_Lenient):
    name: str
    shape: list[int] = Field(max_length=4)
    datatype: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None


class _Output(_Lenient):
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Request(_Lenient):
    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[_Input] = Field(min_length=1, max_length=1)
    outputs: list[_Output] = Field(default_factory=list, max_length=1)


def read(body: bytes, json_bytes: str | None) -> InferenceRequest:
    """Parse the body of a request. json_bytes: the header Inference-Header-Content-Length. Raises BodyError."""
    end = _json_end(body, json_bytes)
    try:
        request = _Request.model_validate(json.loads(body[:end]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise BodyError(f"{shown(where)}: {shown(first['msg'])}") from error
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the request is not JSON: {shown(error)}") from error
    given = request.inputs[0]
    output = request.outputs[0] if request.outputs else None
    if output is not None and output.name != given.name:
        raise BodyError(
            f"output {shown(output.name)!r} does not exist; the output for {given.name!r} is {given.name!r}"
        )
    parameters = {name: value for name, value in request.parameters.items() if value is not None}
    parameters.pop("content_type", None)  # MLServer's: how its client made the tensors
    binary = bool(parameters.pop("binary_data_output", False))
    if output is not None:
        binary = bool(output.parameters.get(_BINARY_DATA, binary))
    return InferenceRequest(_tensor(given, body[end:]), request.id, parameters, binary)


def write(facts: dict[str, Any], tensor: Tensor, binary: bool) -> tuple[bytes, int | None]:
    """Build the body of a response, and the length of its JSON if bytes follow it. facts: its other members."""
    kind = "BYTES" if tensor.name == IMAGE else "FP32" if tensor.floats else "UINT8"
    pixels = tensor.pixels.astype("<f4") if tensor.pixels is not None and tensor.floats else tensor.pixels
    output: dict[str, Any] = {"name": tensor.name, "datatype": kind, "shape": list(tensor.shape)}
    after = b""
    if binary:
        after = _packed(tensor.images) if pixels is None else pixels.tobytes()
        output["parameters"] = {_BINARY_SIZE: len(after)}
    elif pixels is None:
        output["data"] = [base64.b64encode(image).decode() for image in tensor.images]
    else:
        output["data"] = pixels.ravel().tolist()
    text = json.dumps({**facts, "outputs": [output]}).encode()
    return text + after, len(text) if binary else None


def _json_end(body: bytes, json_bytes: str | None) -> int:
    if json_bytes is None:
        return len(body)
    if not json_bytes.isdecimal() or int(json_bytes[:20]) > len(body):
        raise BodyError(
            f"Inference-Header-Content-Length is {shown(json_bytes)!r}; expected the bytes of JSON, at most {len(body)}"
        )
    return int(json_bytes)


def _tensor(given: _Input, after: bytes) -> Tensor:
    expected = {IMAGE: ("BYTES",), PIXELS: ("UINT8", "FP32")}
    if given.name not in expected:
        raise BodyError(f"input {shown(given.name)!r} does not exist; expected {IMAGE!r} (BYTES) or {PIXELS!r} (UINT8)")
    if given.datatype not in expected[given.name]:
        kinds = " or ".join(expected[given.name])
        raise BodyError(f"input {given.name!r} is {shown(given.datatype)}; expected {kinds}")
    size = given.parameters.get(_BINARY_SIZE)
    if size is None and given.data is None:
        raise BodyError(f"input {given.name!r} has neither data nor {_BINARY_SIZE}")
    if size is not None and (given.data is not None or size != len(after)):
        raise BodyError(f"{_BINARY_SIZE} is {shown(size)}, and {len(after)} bytes follow the JSON; expected as many")
    if size is None and after:
        raise BodyError(f"{len(after)} bytes follow the JSON, and no input has {_BINARY_SIZE}")
    data = after if given.data is None else given.data
    if given.name == IMAGE:
        return _images(given.shape, data)
    return _pixels(given.shape, data, floats=given.datatype == "FP32")


def _images(shape: list[int], data: bytes | list[Any]) -> Tensor:
    if not shape or any(side < 1 for side in shape) or math.prod(shape) > MOST_PICTURES or len(shape) > 2:
        raise BodyError(f"input 'image' has the shape {shape}; expected [N], with N from 1 to {MOST_PICTURES}")
    images = _unpacked(data) if isinstance(data, bytes) else [_from_base64(each) for each in _flat(data)]
    if len(images) != math.prod(shape):
        raise BodyError(f"input 'image' has the shape {shape} and {len(images)} elements; expected as many")
    return Tensor("image", tuple(shape), images=tuple(images))


def _pixels(shape: list[int], data: bytes | list[Any], floats: bool) -> Tensor:
    expected = f"[H, W, 3] or [N, H, W, 3], with N up to {MOST_PICTURES}"
    four = shape if len(shape) == 4 else [1, *shape]
    if len(four) != 4 or four[3] != 3 or min(four) < 1 or four[0] > MOST_PICTURES:
        raise BodyError(f"input 'pixels' has the shape {shape}; expected {expected}")
    if isinstance(data, bytes) and floats and len(data) % 4:
        raise BodyError(f"input 'pixels' is FP32 and has {len(data)} bytes; expected four for each value")
    values = np.frombuffer(data, "<f4" if floats else np.uint8) if isinstance(data, bytes) else _numbers(data, floats)
    values = _rounded(values) if floats else values
    if values.size != math.prod(four):
        raise BodyError(f"input 'pixels' has the shape {shape} and {values.size} values; expected {math.prod(four)}")
    return Tensor("pixels", tuple(shape), pixels=values.reshape(four), floats=floats)


def _rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Read FP32, whose range is that of UINT8."""
    if not values.size or not np.all((values >= 0) & (values <= 255)):
        raise BodyError("input 'pixels' has other values than numbers from 0 to 255")
    if values.max() <= 1 and np.any(values % 1):
        raise BodyError("input 'pixels' has values from 0 to 1; expected 0 to 255, also as FP32")
    rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return rounded


def _numbers(data: list[Any], floats: bool) -> NDArray[Any]:
    """Read numbers from a list, which is flat or nested like the shape. Integers, unless `floats`."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError) as error:
        raise BodyError(
            "input 'pixels' is ragged, or has values that are not numbers; expected integers 0 to 255"
        ) from error
    if floats and values.dtype.kind in "iuf":
        return values
    if values.dtype.kind not in "iu" or not values.size or values.min() < 0 or values.max() > 255:
        raise BodyError("input 'pixels' has other values than integers from 0 to 255")
    return values.astype(np.uint8)


def _flat(data: list[Any]) -> list[Any]:
    """Flatten a list that may be nested like the shape, [N] or [N, M]."""
    return [each for row in data for each in (row if isinstance(row, list) else [row])]


def _from_base64(element: Any) -> bytes:
    if not isinstance(element, str):
        raise BodyError(f"input 'image' has a {type(element).__name__} in its data; expected base64")
    try:
        return base64.b64decode(element, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BodyError(
            f"input 'image' has data that is not base64 ({error}); send bytes after the JSON, or base64"
        ) from error


def _packed(images: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(image)) + image for image in images)


def _unpacked(data: bytes) -> list[bytes]:
    """Split elements of BYTES: four bytes of length, little-endian, before each element."""
    images, at = [], 0
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise BodyError("input 'image' ends within the length of an element")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise BodyError(f"input 'image' has an element of {length} bytes, and {len(data) - at} are left")
        images.append(data[at : at + length])
        at += length
    return images
