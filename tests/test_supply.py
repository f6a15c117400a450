"""What is installed is what was tried: names, versions and hashes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_locked_and_every_wheel_has_a_hash():
    lock = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines())
    lock = {normal(name): version for name, version in lock.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        line
        for name, lines in project["optional-dependencies"].items()
        for line in lines
        if name not in {"bulk", "openvino"}  # in no image; their tests pin them
    ]
    names = {normal(re.match(r"[\w.-]+", line)[0]) for line in [*project["dependencies"], *extras]} - {
        "impasto",
        "impasto-client",
    }
    assert names <= set(lock)

    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.hashes").read_text().strip())
    hashed = {}
    for block in blocks:
        name, version = re.match(r"(\S+)==(\S+) \\", block).groups()
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name
        hashed[normal(name)] = version
    assert hashed.items() <= lock.items()
    wanted = subprocess.run(
        [sys.executable, "scripts/supply/service_requirements.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    needed = {normal(re.match(r"[\w.-]+", line)[0]) for line in wanted.splitlines()}
    assert needed <= set(hashed), "make hashes"
    assert "torch" not in hashed
