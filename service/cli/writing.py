"""Writing files atomically."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

_LONGEST_PREFIX = 60
_MODE = 0o666


def write(path: Path | None, data: bytes) -> None:
    """Write `data` to a file and create its folders; write to standard output where `path` is None. Raises OSError.

    The file has a temporary name until all of it is on the disk. An interrupted write leaves no file.
    """
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".part", f".{path.name[:_LONGEST_PREFIX]}.", path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_MODE & ~_umask())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def refuse_unwritable(folder: Path) -> None:
    """Create `folder`. Raises OSError if no file can be created in it, before any work is done."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".part", ".impasto.", folder)
    os.close(handle)
    Path(name).unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
