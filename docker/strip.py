"""Take from an image what only a person, or an intruder, would use: shells, package managers, setuid programs.

Every program goes but this Python. Run in a stage of its own, as its last command; `FROM scratch` then copies what is
left, so that no layer below has it still.
"""

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

PROGRAMS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
INSTALLERS = ("pip", "setuptools", "wheel")


def main() -> None:
    """Delete, this file at last."""
    python = Path(sys.executable).resolve()
    kept = []
    for folder in {Path(each).resolve() for each in PROGRAMS}:
        for program in folder.iterdir() if folder.is_dir() else ():
            if program.resolve() == python:
                kept.append(program)
            elif program.is_dir() and not program.is_symlink():
                shutil.rmtree(program)
            else:
                program.unlink()
    for packages in map(Path, site.getsitepackages()):
        for name in INSTALLERS:
            for path in packages.glob(f"{name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(Path(sysconfig.get_path("stdlib")) / "ensurepip", ignore_errors=True)
    Path(__file__).unlink()
    print("programs left:", *sorted(map(os.fspath, kept)))


if __name__ == "__main__":
    main()
