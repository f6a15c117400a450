"""Time to ready and memory at rest of the service, beside what it cannot do without: torch, and the weights.

    make bench PART=startup                                (or: .venv-bench/bin/python benchmarks/startup.py)

Each in a fresh process, the files in the page cache, the median of several. Ready is when /readyz says 200, asked every
10 ms. The yardstick reads the bundled checkpoints' weights with safetensors, and does nothing with them.
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
    """The user's, without settings of the service, and with the checkout first."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


def script(code: str) -> tuple[float, float]:
    """Seconds until a script of ours has ended, and its memory in GB at the end."""
    start = time.perf_counter()
    command = [SERVICE_PYTHON, "-c", code + _MEMORY]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    return time.perf_counter() - start, 1024 * int(done.stdout) / 1e9


def service() -> tuple[float, float]:
    """Seconds until `python -m service` is ready, and its memory in GB two seconds later."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start = time.perf_counter()
    process = subprocess.Popen(
        [SERVICE_PYTHON, "-m", "service"],
        cwd=ROOT,
        env=environment(IMPASTO_PORT=port, IMPASTO_LOG_LEVEL="error"),
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
    """The ten modules whose own code takes longest to import, of all that the service imports, and its whole."""
    command = [SERVICE_PYTHON, "-X", "importtime", "-c", "import service.cli.main, service.cli.server, service.app"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    return largest_imports(done.stderr)


def largest_imports(report: str) -> list[Row]:
    """The largest of what `-X importtime` wrote, by package: its own milliseconds, those of its modules added up."""
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
    """Each `--repeats` times, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "startup.json")
    options = parser.parse_args()
    cases: dict[str, Callable[[], tuple[float, float]]] = {
        "`import torch`": lambda: script(_IMPORT),
        "`import torch`, weights read": lambda: script(_WEIGHTS),
        "`python -m service`, ready": service,
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
