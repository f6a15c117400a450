"""Install each wheel in an empty environment outside of the tree, and use it there as docs/publishing.md says.

    python3 scripts/try_wheels.py dist

TORCH names what torch is asked for instead of the newest: TORCH=torch==2.13.0+cpu. Standard library only.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "coffee.jpg"
PAINT = "from impasto import Client; Client({address!r}).stylize({photograph!r}, style='mosaic').save('client.jpg')"


class Environment:
    """An empty virtual environment in a folder of its own, and commands that run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=folder)

    def install(self, *what: str) -> None:
        """Install with the environment's own pip."""
        run(
            str(self.bin("python")),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            *what,
            cwd=self.folder,
        )

    def bin(self, name: str) -> Path:
        """Return the path of a command."""
        return self.folder / "venv" / "bin" / name

    def command(self, name: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; exit where its exit code is another one."""
        start = time.monotonic()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "PYTHONPATH"))}
        command = [str(self.bin(name)), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=kept, capture_output=True, text=True, check=False)
        print(f"{time.monotonic() - start:6.1f} s  {name} {' '.join(map(str, arguments))[:90]}", flush=True)
        if done.returncode != code:
            sys.exit(f"exit code {done.returncode}, expected {code}:\n{done.stdout}\n{done.stderr}")
        return done


def main() -> None:
    """Try both wheels; the first thing that is not as it should be ends it."""
    dist = Path(sys.argv[1]).resolve()
    (client_wheel,), (service_wheel,) = dist.glob("impasto_client-*.whl"), dist.glob("impasto-*.whl")
    version = service_wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory(prefix="impasto-wheels-") as folder:
        client, service = Environment(Path(folder, "client")), Environment(Path(folder, "service"))
        timed("install the client", lambda: client.install(str(client_wheel)))
        probe = "import impasto, sys; print(impasto.__version__, 'torch' in sys.modules, 'PIL' in sys.modules)"
        expect(client.command("python", "-c", probe).stdout.strip(), f"{version} False False")
        timed(
            "install the service",
            lambda: service.install(*os.environ.get("TORCH", "torch").split(), str(client_wheel), str(service_wheel)),
        )
        expect(service.command("impasto", "--version").stdout.strip(), f"impasto {version}")
        listed = json.loads(service.command("impasto", "models", "--json").stdout)
        bundled = {
            f"{path.parent.name}/{path.stem}"
            for task in ("stylize", "upscale")
            for path in (ROOT / "checkpoints" / task).glob("*.safetensors")
        }
        expect({model["model"] for model in listed["models"]}, bundled)
        expect(listed["refused"], [])
        Path(service.folder, "checkpoints").mkdir()  # a folder of this name without checkpoints changes nothing
        service.command("impasto", "stylize", PHOTOGRAPH, "--style", "mosaic", "-o", "painted.jpg")
        service.command("impasto", "upscale", PHOTOGRAPH, "--factor", 1.5, "-o", "large.png")
        missing = service.command("impasto-train", "--help", code=1).stderr.strip()
        if "pip install 'impasto[train]'" not in missing or len(missing.splitlines()) != 1:
            sys.exit(f"impasto-train without its extra: {missing}")
        serve(service, client)
        for made in (service.folder / "painted.jpg", service.folder / "large.png", client.folder / "client.jpg"):
            expect(made.stat().st_size > 10_000, True)
        if "--train" in sys.argv:
            service.install(f"impasto[train] @ file://{service_wheel}")
            service.command("impasto-train", "--help")
    print("1 passed, 0 failed")


def serve(service: Environment, client: Environment) -> None:
    """Start the service, paint through it with the client of the other environment, and stop it."""
    command = [str(service.bin("impasto")), "serve", "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "PYTHONPATH"))}
    environment |= {"IMPASTO_LOG_LEVEL": "warning", "PYTHONUNBUFFERED": "1"}
    start = time.monotonic()
    with subprocess.Popen(command, cwd=service.folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"listens on (\S+)", first)
            if found is None:
                sys.exit(f"impasto serve said: {first}")
            print(f"{time.monotonic() - start:6.1f} s  impasto serve, until it listens", flush=True)
            with urllib.request.urlopen(f"{found[1]}/docs") as response:  # noqa: S310  # it is ours
                expect(response.status, 200)
            client.command("python", "-c", PAINT.format(address=found[1], photograph=str(PHOTOGRAPH)))
        finally:
            process.send_signal(signal.SIGTERM)
    expect(process.returncode, 0)


def timed(what: str, work: Callable[[], None]) -> None:
    """Do it, and print how long it took."""
    start = time.monotonic()
    work()
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)


def expect(found: object, wanted: object) -> None:
    """Exit where the two differ."""
    if found != wanted:
        sys.exit(f"found {found!r}, expected {wanted!r}")


def run(*command: str, cwd: Path) -> None:
    """Run a command; exit where it fails."""
    if shutil.which(command[0]) is None or subprocess.run(command, cwd=cwd, check=False).returncode:
        sys.exit(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
