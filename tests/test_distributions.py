"""The two distributions agree on their version, and a checkout finds what a wheel has inside."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import impasto
import service
from nets.bundled import bundled_checkpoints, default_checkpoints

ROOT = Path(__file__).parent.parent


def test_both_distributions_have_one_version():
    assert impasto.__version__ == service.__version__
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (client,) = [line for line in dependencies if line.startswith("impasto-client")]
    lowest, below = re.fullmatch(r"impasto-client>=([\d.]+),<([\d.]+)", client).groups()
    major, minor, _ = service.__version__.split(".")
    assert (lowest, below) == (service.__version__, f"{major}.{int(minor) + 1}")


def test_a_folder_of_checkpoints_counts_only_if_it_holds_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_checkpoints() == bundled_checkpoints() == ROOT / "checkpoints"
    (tmp_path / "checkpoints/stylize").mkdir(parents=True)
    assert default_checkpoints() == bundled_checkpoints()
    (tmp_path / "checkpoints/stylize/mine.safetensors").touch()
    assert default_checkpoints() == Path("checkpoints")


def test_without_the_extra_the_trainer_names_it():
    """A finder in front of the others hides what the extra installs."""
    hide = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'torchvision' else found(name)\n"
        "from trainer.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", hide]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "impasto-train: torchvision not installed; run: pip install 'impasto[train]'\n"
