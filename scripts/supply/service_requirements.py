"""Print the requirements of the service except torch: those of pyproject.toml, and those of torch that are not CUDA.

torch itself has no hash in requirements.hashes: its wheels differ from index to index (CPU, CUDA, ROCm).
"""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

_APART = re.compile(r"(nvidia|cuda|triton|torch|setuptools|impasto)")


def main() -> None:
    """Print the requirements, sorted."""
    project = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text())["project"]
    of_torch = [line.partition(";")[0].strip() for line in requires("torch") or [] if "extra ==" not in line]
    wanted = [line for line in [*project["dependencies"], *of_torch] if not _APART.match(line)]
    print("\n".join(sorted(wanted, key=str.lower)))


if __name__ == "__main__":
    main()
