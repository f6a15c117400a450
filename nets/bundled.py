"""The checkpoints that come with Impasto. Importing this loads no torch."""

from pathlib import Path

_HERE = Path("checkpoints")


def bundled_checkpoints() -> Path:
    """Return the folder of the bundled checkpoints: inside the package of a wheel, at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "checkpoints"
    return installed if installed.is_dir() else package.parent / "checkpoints"


def default_checkpoints() -> Path:
    """Return `./checkpoints` where that folder holds checkpoints, else the bundled ones."""
    return _HERE if any(_HERE.glob("*/*.safetensors")) else bundled_checkpoints()
