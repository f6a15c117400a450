"""Time until ready and idle memory of the service, compared with the import of torch and reading the weights.

    make bench PART=startup                                (or: .venv-bench/bin/python benchmarks/startup.py)

Each in a fresh process with cached files; the median of several. Ready means that /readyz returns 200, polled every 10
ms. The reference reads the weights of the bundled checkpoints with safetensors.
"""

import argparse
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
from arms import SERVICE_PYTHON
from process_tree import ProcessTree

from trainer.evaluation.results import this_machine

ROOT = Path(__file__).resolve().parent.parent
_IMPORT = "import torch"
_WEIGHTS = (
    "import torch, safetensors.torch, pathlib\n"
    "kept = [safetensors.torch.load_file(path) for path in pathlib.Path('checkpoints').rglob('*.safetensors')]"
)
_MEMORY = "\nprint(next(line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('Pss:')))"
_LARGEST = 10
Row = dict[str, float | str]


def environment(**settings: str) -> dict[str, str]:
    """Return the environment without settings of the service, with the checkout first in the path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


def script(code: str) -> tuple[float, float]:
    """Run a script; return its seconds and its memory in GB at the end."""
    start = time.perf_counter()
    command = [SERVICE_PYTHON, "-c", code + _MEMORY]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    return time.perf_counter() - start, 1024 * int(done.stdout) / 1e9


def service(loading: str) -> tuple[float, float]:
    """Return the seconds until `python -m service` is ready, and its memory in GB two seconds later.

    loading: "eager", the default, or "lazy".
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start = time.perf_counter()
    process = subprocess.Popen(
        [SERVICE_PYTHON, "-m", "service"],
        cwd=ROOT,
        env=environment(IMPASTO_PORT=port, IMPASTO_LOG_LEVEL="error", IMPASTO_LOADING=loading),
        stdout=subprocess.DEVNULL,
    )
    tree = ProcessTree(process.pid)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while not _ready(client):
                if process.poll() is not None:
                    raise RuntimeError(f"the service ended with {process.returncode}")
                time.sleep(0.01)
        seconds = time.perf_counter() - start
        time.sleep(2)
        return seconds, tree.memory_bytes() / 1e9
    finally:
        tree.stop()
        process.wait()


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def imports() -> list[Row]:
    """Return the ten slowest imports of the service by their own code, and the total."""
    command = [SERVICE_PYTHON, "-X", "importtime", "-c", "import service.cli.main, service.cli.server, service.app"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    return largest_imports(done.stderr)


def largest_imports(report: str) -> list[Row]:
    """Sum the own milliseconds of `-X importtime` by package, and return the largest."""
    own: dict[str, float] = {}
    for line in report.splitlines():
        if not line.startswith("import time:") or "[us]" in line:
            continue
        microseconds, _, module = line.removeprefix("import time:").split("|")
        package = module.strip().split(".")[0]
        own[package] = own.get(package, 0.0) + int(microseconds) / 1000
    rows: list[Row] = [{"package": name, "own code, ms": own[name]} for name in sorted(own, key=own.__getitem__)]
    rows = rows[: -_LARGEST - 1 : -1]
    return [*rows, {"package": "all", "own code, ms": sum(own.values())}]


def main() -> None:
    """Measure each `--repeats` times, alternating."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "startup.json")
    options = parser.parse_args()
    cases: dict[str, Callable[[], tuple[float, float]]] = {
        "`import torch`": lambda: script(_IMPORT),
        "`import torch`, weights read": lambda: script(_WEIGHTS),
        "`python -m service`, ready": lambda: service("eager"),
        "`IMPASTO_LOADING=lazy python -m service`, ready": lambda: service("lazy"),
    }
    for case in cases.values():
        case()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, case in cases.items():
            taken[name].append(case())
    rows: list[Row] = [
        {"": name, "s": median(s for s, _ in found), "memory, GB": median(gb for _, gb in found)}
        for name, found in taken.items()
    ]
    yardstick = float(rows[1]["s"])
    for row in rows:
        row["times torch and weights"] = float(row["s"]) / yardstick
        print("  ".join(f"{key} {value:.3g}" if isinstance(value, float) else value for key, value in row.items()))
    found = imports()
    for row in found:
        print(f"{row['package']:24} {row['own code, ms']:8.1f} ms")
    report = {"machine": this_machine().model_dump(), "repeats": options.repeats, "rows": rows, "imports": found}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
