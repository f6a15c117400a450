"""Clients that others generate from docs/openapi.json: every operation is there, and a picture goes through."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import decoded, encoded, picture

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
TOOLS = ROOT / ".venv-clients"
DOCUMENT = ROOT / "docs" / "openapi.json"

USE = """
import io, pathlib, sys
sys.path.insert(0, {folder!r})
from impasto_client.client import Client
from impasto_client.api.pictures import stylize, upscale
from impasto_client.models import StylizeFilesBody, UpscaleFilesBody
from impasto_client.types import File
client = Client(base_url={address!r})
image = lambda: File(io.BytesIO(pathlib.Path({source!r}).read_bytes()), "photo.png", "image/png")
made = upscale.sync_detailed(client=client, factor=2, body=UpscaleFilesBody(image=image()))
assert made.status_code == 200, made.content
pathlib.Path({target!r}).write_bytes(made.content)
refused = stylize.sync_detailed(client=client, style="mosiac", body=StylizeFilesBody(image=image()))
print(refused.parsed.code)
"""


def tool(path: Path) -> str:
    """The path of a tool; a visible skip where it is not installed, and a failure in CI."""
    if not path.exists():
        message = f"{path.name}: `make client-tools` installs it"
        if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return str(path)


def run(*command, cwd):
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(20, 30)))
    return path


def operations():
    document = json.loads(DOCUMENT.read_text())
    return {operation["operationId"] for path in document["paths"].values() for operation in path.values()}


def test_a_generated_python_client(address, source, tmp_path):
    generator = tool(TOOLS / "bin" / "openapi-python-client")
    run(generator, "generate", "--path", DOCUMENT, "--output-path", tmp_path / "made", cwd=tmp_path)
    modules = {path.stem for path in (tmp_path / "made/impasto_client/api").rglob("[!_]*.py")}
    assert modules == operations()
    target = tmp_path / "large.png"
    given = {"folder": str(tmp_path / "made"), "address": address, "source": str(source), "target": str(target)}
    python = tool(TOOLS / "bin" / "python")
    assert run(python, "-c", USE.format(**given), cwd=tmp_path) == "unknown_model\n"
    assert decoded(target.read_bytes()).shape == (40, 60, 3)


def test_a_generated_typescript_client(address, source, tmp_path):
    modules = Path(tool(TOOLS / "node_modules"))
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(HERE / "upscale.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    run(modules / ".bin/openapi-typescript", DOCUMENT, "--output", "impasto.d.ts", cwd=tmp_path)
    for name in operations():
        assert f"    {name}: {{" in (tmp_path / "impasto.d.ts").read_text()
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    run(modules / ".bin/tsc", *options, "upscale.ts", cwd=tmp_path)
    told = run("node", "upscale.js", address, source, "large.png", cwd=tmp_path)
    assert told.split() == ["unknown_model", "404"]
    assert decoded((tmp_path / "large.png").read_bytes()).shape == (40, 60, 3)
