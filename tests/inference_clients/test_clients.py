"""The Python clients of KServe and MLServer, each in its own environment, against a running service."""

import base64
import json
import subprocess

import numpy as np
import pytest

from tests.conftest import decoded, encoded, picture
from tests.deploy.tools import ROOT
from tests.service.auth.test_keys import service

PIXELS = picture()
IMAGE = encoded(PIXELS)


@pytest.fixture(scope="module")
def served(checkpoints):
    with service(checkpoints) as client:
        yield client


@pytest.fixture
def told(served, tmp_path):
    """What a client's program says of the service, and the output that it should get."""

    def run(name):
        python = ROOT / f".venv-{name}/bin/python"
        if not python.exists():
            pytest.skip(f"{name} is not here: `make inference-clients` installs it")
        (tmp_path / "image").write_bytes(IMAGE)
        np.save(tmp_path / "pixels.npy", PIXELS)
        command = [python, f"tests/inference_clients/by_{name}.py", str(served.base_url).rstrip("/")]
        files = [tmp_path / "image", tmp_path / "pixels.npy"]
        result = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1]), served.post("/upscale?factor=2", content=IMAGE).content

    return run


@pytest.mark.long
def test_kserve(told):
    found, expected = told("kserve")
    assert (found["live"], found["ready"], found["model"]) == (True, True, True)
    for name in ("image", "nested", "nulls"):
        assert base64.b64decode(found[name]) == expected, name
    for kind in ("UINT8", "FP32"):
        for binary in ("True", "False"):
            datatype, shape, data = found[f"{kind} {binary}"]
            assert (datatype, shape) == (kind, list(decoded(expected).shape))
            values = np.frombuffer(base64.b64decode(data), np.uint8 if kind == "UINT8" else np.float32)
            assert np.array_equal(values.reshape(shape), decoded(expected))
    assert "model 'upscale.x9' is not served" in found["error"]


@pytest.mark.long
def test_mlserver(told):
    found, expected = told("mlserver")
    assert base64.b64decode(found["image"]) == expected
    for datatype, kind in (("UINT8", np.uint8), ("FP32", np.float32)):
        shape, dtype, data = found[datatype]
        assert dtype == np.dtype(kind).name
        assert np.array_equal(np.frombuffer(base64.b64decode(data), kind).reshape(shape), decoded(expected))
