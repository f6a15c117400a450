"""Start the service on a free port, send a photograph to both endpoints, write the outputs to out/, stop."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "coffee.jpg"
REQUESTS = (("stylize", "style", "mosaic"), ("stylize", "style", "starry_night"), ("upscale", "factor", "4"))


def main() -> None:
    """Run the demo. A response other than 200 ends it with a message."""
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    environment = {**os.environ, "IMPASTO_PORT": "0", "IMPASTO_CHECKPOINTS": str(ROOT / "checkpoints")}
    environment.setdefault("IMPASTO_LOG_LEVEL", "warning")
    command = [sys.executable, "-u", "-m", "service"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            address = wait_for_address(service)
            print(f"service on {address}")
            for endpoint, parameter, value in REQUESTS:
                target = out / f"{PHOTOGRAPH.stem}-{value if endpoint == 'stylize' else 'x' + value}.jpg"
                transform(address, endpoint, {parameter: value}, target)
        finally:
            service.send_signal(signal.SIGTERM)
    if service.returncode not in {0, -signal.SIGTERM}:
        sys.exit(f"the service ended with exit code {service.returncode}")


def wait_for_address(service: "subprocess.Popen[str]") -> str:
    """Return the address that the service prints when it is ready."""
    for line in service.stdout or ():
        if match := re.search(r"listens on (\S+)", line):
            return match[1]
    sys.exit("the service ended before it listened; its last words are above")


def transform(address: str, endpoint: str, query: dict[str, str], target: Path) -> None:
    """Send one request and write the output to `target`."""
    files = {"image": (PHOTOGRAPH.name, PHOTOGRAPH.read_bytes(), "image/jpeg")}
    response = httpx.post(f"{address}/{endpoint}", params=query, files=files, timeout=120, trust_env=False)
    if response.status_code != 200:
        sys.exit(f"{endpoint} {query}: {response.status_code} {response.text}")
    target.write_bytes(response.content)
    print(f"{endpoint} {query} -> {target.relative_to(ROOT)} ({response.headers['Server-Timing']})")


if __name__ == "__main__":
    main()
