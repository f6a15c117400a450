"""Write docs/openapi.json, the document that the service serves at /openapi.json."""

import json
import tempfile
from pathlib import Path
from typing import Any

from nets import checkpoint
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings

PATH = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def main() -> None:
    """Write the document."""
    PATH.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def document() -> dict[str, Any]:
    """Return the document of a service with one small network. It does not depend on the checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        net = SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1))
        checkpoint.save(Path(folder) / "upscale" / "x2.safetensors", net, checkpoint.make_card(net, "x2"))
        return create_app(Settings(device="cpu"), load_registry(Path(folder))).openapi()


if __name__ == "__main__":
    main()
