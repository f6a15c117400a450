"""Install Impasto into .venv: `make serve` asks for `serving`, `make install` for `everything`. Standard library only.

    python3 scripts/install.py serving      the service and the command line
    python3 scripts/install.py everything   the trainer and the development tools too

TORCH=cpu or TORCH=cuda chooses the build of torch. By default it is the CPU-only build, which is 4 GB smaller, where
there is no NVIDIA driver. TORCH_INDEX_URL names another index for torch, TORCH_VERSION another version.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WANTED = {"serving": ["."], "everything": [".[train,dev]"]}
_CONNECT_SECONDS = "10"


def main() -> None:
    """Install what the argument names, and say how long it took and how much it is."""
    if sys.version_info < (3, 11):  # noqa: UP036  # this is what says so
        sys.exit(f"Impasto needs Python 3.11 or newer; {sys.executable} is {platform.python_version()}")
    if len(sys.argv) != 2 or sys.argv[1] not in WANTED:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(WANTED)}")
    what, start = sys.argv[1], time.monotonic()
    os.chdir(ROOT)
    if not (ENVIRONMENT / "bin" / "python").exists():
        say(f"making {ENVIRONMENT.name} with Python {platform.python_version()}")
        # Without pip: this works where neither python3-venv nor ensurepip is installed.
        run(sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT))
    install_torch(["torch", "torchvision"] if what == "everything" else ["torch"])
    say(f"installing what {'development' if what == 'everything' else 'serving'} needs")
    editable = [part for project in ("./impasto", *WANTED[what]) for part in ("--editable", project)]
    pip("--constraint", str(constraints_without_torch()), *editable)
    say(f"done in {time.monotonic() - start:.0f} s: {ENVIRONMENT.name} has {gigabytes(ENVIRONMENT):.1f} GB")


def install_torch(packages: list[str]) -> None:
    """Install the build of torch that suits this machine; one that is there stays."""
    versions = dict(re.findall(r"^(torch|torchvision)==(\S+)", Path("requirements.lock").read_text(), re.MULTILINE))
    if version := os.environ.get("TORCH_VERSION"):
        versions = {"torch": version}
    pinned = [f"{name}=={versions[name]}" for name in packages if name in versions]
    if all(installed(name, versions[name]) for name in packages if name in versions):
        return
    if index := os.environ.get("TORCH_INDEX_URL"):
        say(f"installing torch from {index}")
        pip("--index-url", index, *pinned)
        return
    choice = os.environ.get("TORCH", "auto")
    if choice not in {"auto", "cpu", "cuda"}:
        sys.exit(f"TORCH={choice}: expected auto, cpu or cuda")
    if platform.system() != "Linux" or choice == "cuda" or (choice == "auto" and has_nvidia_driver()):
        say("installing torch")
        pip(*pinned)
        return
    say("installing torch for CPUs only, since no NVIDIA driver was found (TORCH=cuda chooses the other build)")
    try:
        cpu_only = [f"{name}+cpu" for name in pinned]
        pip("--timeout", _CONNECT_SECONDS, "--retries", "0", "--extra-index-url", CPU_INDEX, *cpu_only)
    except subprocess.CalledProcessError:
        if choice == "cpu":
            sys.exit(f"TORCH=cpu: {', '.join(cpu_only)} could not be installed from {CPU_INDEX}; see the lines above")
        say(f"{CPU_INDEX} did not answer, or has no such version: installing the build with CUDA, which is 4 GB larger")
        pip(*pinned)


def constraints_without_torch() -> Path:
    """Write the locked versions of everything else: which torch there is was decided before."""
    path = ENVIRONMENT / "constraints.txt"
    lines = Path("requirements.lock").read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("torch")))
    return path


def has_nvidia_driver() -> bool:
    """Return whether this machine shows an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def installed(name: str, version: str) -> bool:
    """Return whether the environment has this version, whichever build of it."""
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    found = subprocess.run([ENVIRONMENT / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip().partition("+")[0] == version.partition("+")[0]


def pip(*arguments: str) -> None:
    """Run pip for the environment. Its lines and bars are the progress that a person sees."""
    python = str(ENVIRONMENT / "bin" / "python")
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", *arguments)


def run(*command: str) -> None:
    """Run a command. Raises CalledProcessError if it fails."""
    subprocess.run(command, check=True)


def gigabytes(folder: Path) -> float:
    """Return the size of the files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 1e9


def say(text: str) -> None:
    """Print a line that stands out among pip's."""
    print(f"\n== impasto: {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"impasto: {' '.join(map(str, error.cmd[:6]))} ... ended with exit code {error.returncode}; see above")
