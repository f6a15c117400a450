"""The servers that benchmarks/serving.py compares: how each starts, its request, and its encoder."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from answers import Pixels
from chosen import MEAN_LEVELS
from load import Request
from PIL import Image

from nets.precision import cpu_precision
from service.images.encode import EncodeOptions, encode
from service.settings import Settings

if TYPE_CHECKING:
    from process_tree import ProcessTree

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
BIN = Path(sys.executable).parent
_SERVICE = ROOT / ".venv" / "bin" / "python"
SERVICE_PYTHON = str(_SERVICE if _SERVICE.exists() else sys.executable)
"""Impasto runs in its own environment, with the versions that it is locked to."""

_READY_SECONDS = 120
_NO_REPORTS = {"BENTOML_DO_NOT_TRACK": "True"}


@dataclass(frozen=True)
class Arm:
    """One server in one setting. command: with PORT in place of the port.

    form: whether an image is sent in the form field `image`, or as the body. tolerance: see `answers.Judge`.
    """

    name: str
    setting: str
    command: tuple[str, ...]
    target: str
    network: str = "style"
    environment: Mapping[str, str] = field(default_factory=dict)
    form: bool = True
    tolerance: float = MEAN_LEVELS["fp32"]
    through: Callable[[Pixels], bytes] = lambda pixels: pillow_jpeg(pixels)  # noqa: PLW0108  # defined below
    deadline: str = ""

    def request(self, picture: bytes, megapixels: float, hurried: bool = False) -> Request:
        """Return the request for a JPEG. hurried: with a deadline, if the server supports it."""
        target = self.target + (self.deadline if hurried else "")
        if not self.form:
            return Request(target, picture, megapixels, {"content-type": "image/jpeg"})
        form = httpx.Request("POST", "http://x", files={"image": ("photo.jpg", picture, "image/jpeg")})
        return Request(target, form.read(), megapixels, {"content-type": form.headers["content-type"]})


def arms() -> list[Arm]:
    """Return all: Impasto, then each peer in its settings. Those with the full-width network come last."""
    precision = cpu_precision()
    ours = (SERVICE_PYTHON, "-m", "service")
    target = "/stylize?style=mosaic&stroke=off&format=jpeg"
    impasto = [
        Arm(
            "Impasto",
            setting,
            ours,
            target,
            environment={"IMPASTO_PORT": "PORT", "IMPASTO_LOG_LEVEL": "error", "IMPASTO_CACHE_BYTES": "0", **settings},
            tolerance=MEAN_LEVELS[precision],
            through=impasto_jpeg,
            deadline="&deadline_ms=3000",
        )
        for setting, settings in (("as installed", {}), ("two workers", {"IMPASTO_DEVICE": "cpu,cpu"}))
    ]
    tuned = {"PEER_TUNED": precision, "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    documented = [_peer(name, "as documented") for name in _PEERS]
    ours_too = [
        _peer(name, "our network settings", environment=tuned, tolerance=MEAN_LEVELS[precision]) for name in _PEERS
    ]
    full = [_peer(name, "pytorch/examples' network", network="examples") for name in _PEERS]
    return [*impasto, *documented, *ours_too, *full]


_PEERS: Mapping[str, tuple[tuple[str, ...], str, bool]] = {
    "LitServe": ((sys.executable, "litserve_server.py", "PORT"), "/predict", True),
    "BentoML": (
        (str(BIN / "bentoml"), "serve", "bentoml_service:Stylizer", "--host", "127.0.0.1", "--port", "PORT"),
        "/stylize",
        True,
    ),
    "mosec": (
        (sys.executable, "mosec_server.py", "--address", "127.0.0.1", "--port", "PORT", "--timeout", "30000"),
        "/inference",
        False,
    ),
    "FastAPI": ((sys.executable, "-m", "uvicorn", "plain_app:app", "--port", "PORT"), "/stylize", True),
}


def _peer(
    name: str,
    setting: str,
    network: str = "style",
    environment: Mapping[str, str] | None = None,
    tolerance: float = MEAN_LEVELS["fp32"],
) -> Arm:
    command, target, form = _PEERS[name]
    given = {"PEER_NETWORK": network, **(environment or {})}
    return Arm(name, setting, command, target, network, given, form, tolerance)


@contextmanager
def running(arm: Arm, probe: bytes) -> Iterator[tuple[str, "ProcessTree"]]:
    """Run the server in its own processes. Yields its address and its processes, once it has answered `probe`."""
    from process_tree import ProcessTree  # noqa: PLC0415  # psutil is in .venv-bench alone

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as said:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "PEER_", "OMP_"))}
        paths = os.pathsep.join([str(ROOT), str(PEERS)])
        given = {key: port if value == "PORT" else value for key, value in arm.environment.items()}
        process = subprocess.Popen(
            [port if part == "PORT" else part for part in arm.command],
            cwd=ROOT if arm.name == "Impasto" else PEERS,
            env={**kept, "PYTHONPATH": paths, "BENTOML_HOME": home, **_NO_REPORTS, **given},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        address = f"http://127.0.0.1:{port}"
        with ProcessTree(process.pid) as tree:
            try:
                if not _answers(address, arm.request(probe, 0.0), process):
                    said.seek(0)
                    raise RuntimeError(f"{arm.name} did not start:\n{said.read().decode(errors='replace')[-3000:]}")
                yield address, tree
            finally:
                tree.stop()
                process.wait()


def _answers(address: str, request: Request, process: "subprocess.Popen[bytes]") -> bool:
    until = time.perf_counter() + _READY_SECONDS
    while time.perf_counter() < until and process.poll() is None:
        try:
            answer = httpx.post(
                address + request.target,
                content=request.body,
                headers=dict(request.headers),
                timeout=_READY_SECONDS,
                trust_env=False,
            )
            if answer.status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False


def pillow_jpeg(pixels: Pixels) -> bytes:
    """Encode as in Pillow's documentation: quality 75, colours at half the resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def impasto_jpeg(pixels: Pixels) -> bytes:
    """Encode as the service does."""
    data: bytes = encode([pixels], "jpeg", EncodeOptions(Settings().jpeg_quality))
    return data
