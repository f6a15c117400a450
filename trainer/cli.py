"""The command line: `python -m trainer COMMAND`, also installed as `impasto-train`.

It works with what the extra `train` installs, and says so where that is missing.
"""

import importlib.util
import sys

_NEEDED = ("jinja2", "lpips", "matplotlib", "skimage", "torchvision", "tqdm")
"""What the extra `train` installs."""


def main() -> None:
    """Run the command line. An error that the user can correct is one line on standard error and exit code 1."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"impasto-train: {', '.join(missing)} not installed; run: pip install 'impasto[train]'")
    from trainer.commands.main import run  # noqa: PLC0415  # it imports what was looked for

    run()
