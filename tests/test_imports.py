"""Importing does nothing: no file, no log handler, no thread, no change of the environment."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PROBE = """
import importlib, logging, os, pkgutil, threading, warnings
before = (dict(os.environ), list(logging.root.handlers), list(warnings.filters))
import {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            assert missing.name in {{"openvino", "pyarrow"}}  # of extras that .venv lacks
assert {{k: v for k, v in os.environ.items() if k.startswith("IMPASTO")}} == {{}}
changed = {{key for key, _ in os.environ.items() ^ before[0].items() if not key.startswith("TORCH")}}  # torch's own
assert not changed, changed
assert logging.root.handlers == before[1]
assert threading.active_count() == 1, threading.enumerate()
assert os.listdir() == []
"""


@pytest.mark.parametrize("package", ["impasto", "nets", "service", "trainer"])
def test_importing_a_package_does_nothing(package, tmp_path):
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROBE.format(package=package)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_service_needs_nothing_of_the_trainer():
    modules = "service.cli.main, service.cli.server, service.cli.local"
    probe = f"import {modules}, sys; print([m for m in sys.modules if m.split('.')[0] in ('torchvision', 'trainer')])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_a_decoder_process_loads_neither_torch_nor_a_web_framework():
    heavy = ("fastapi", "starlette", "uvicorn", "pydantic", "torch", "prometheus_client")
    probe = f"import service.images.sandbox.child, sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_reading_a_checkpoint_imports_no_compiler():
    """torch would import sympy and dynamo, a second of the start, for some operations on tensors without memory."""
    read = "load(Path('checkpoints/stylize/mosaic.safetensors')), load(Path('checkpoints/upscale/x4.safetensors'))"
    probe = (
        f"import sys; from pathlib import Path; from nets.checkpoint import load; {read}; print('sympy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "False"


def test_serving_imports_no_client_and_nothing_heavy_before_the_decoders_start():
    probe = "import service.cli.serve, sys; print([m for m in ('torch', 'fastapi', 'httpx') if m in sys.modules]); "
    probe += "import service.cli.server; print([m for m in ('httpx', 'redis', 'obstore') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split("\n")[:2] == ["[]", "[]"]
