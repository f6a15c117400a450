"""`impasto` as a process, and a folder of small pictures for it."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.conftest import encoded, picture

ROOT = Path(__file__).parent.parent.parent.parent
PROGRAM = [sys.executable, "-c", "from service.cli.main import main; main()"]
BROKEN = ("photo_11.jpg", "photo_32.png")


def environment(checkpoints: Path, **more: str) -> dict[str, str]:
    """None of the user's own settings; few threads, and nothing to be measured at start."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "FORCE_COLOR"))}
    settings = {"IMPASTO_CHECKPOINTS": str(checkpoints), "IMPASTO_DEVICE": "cpu", "IMPASTO_PRECISION": "fp32"}
    return {**kept, **settings, "IMPASTO_MAX_BATCH_ITEMS": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def impasto(checkpoints, tmp_path):
    """Run it to its end in `tmp_path`."""

    def run(*arguments, stdin=None, env=None, **options):
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            input=stdin or b"",
            cwd=tmp_path,
            env=environment(checkpoints, **(env or {})),
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def invoked(tmp_path, monkeypatch):
    """The same without a process of its own, where it is a server that works: quicker by far."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("IMPASTO_")]:
        monkeypatch.delenv(name)

    def run(*arguments, stdin=b""):
        result = CliRunner().invoke(app, [*map(str, arguments)], stdin, catch_exceptions=False, prog_name="impasto")
        return SimpleNamespace(returncode=result.exit_code, stdout=result.stdout_bytes, stderr=result.stderr_bytes)

    yield run
    logging.getLogger("service").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Fifty, two of which are broken; and what is no picture."""
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(50):
        kind = "jpeg" if index % 2 else "png"
        name = f"photo_{index:02}.{'jpg' if index % 2 else 'png'}"
        (folder / name).write_bytes(encoded(picture(24 + index % 3, 30, seed=index), kind))
    (folder / BROKEN[0]).write_bytes(encoded(picture(), "jpeg")[:300])
    (folder / BROKEN[1]).write_bytes(b"hello")
    (folder / "notes.txt").write_text("not a picture, not looked at")
    (folder / ".hidden.jpg").write_text("not looked at")
    return folder


def leftovers(folder: Path) -> list[Path]:
    """Files that were not finished."""
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]
