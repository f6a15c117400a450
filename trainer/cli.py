"""The command line: `python -m trainer COMMAND`, also installed as `impasto-train`.

It needs the packages of the extra `train`, and names those that are missing.
"""

import importlib.util
import sys

_NEEDED = ("jinja2", "lpips", "matplotlib", "skimage", "torchvision", "tqdm")
"""Packages of the extra `train`."""


def main() -> None:
    """Run the command line. An error that the user can correct is one line on standard error and exit code 1."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"impasto-train: {', '.join(missing)} not installed; run: pip install 'impasto[train]'")
    from trainer.commands.main import run  # noqa: PLC0415  # it imports the packages that were looked for

    run()
