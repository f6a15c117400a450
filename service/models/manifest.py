"""Which checkpoint files may be served: those that a list of digests names, and a key has signed where one is set.

`SHA256SUMS` in the folder of checkpoints, as `sha256sum */*.safetensors` writes it, and `SHA256SUMS.sig`, the Ed25519
signature of its bytes.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nets.checkpoint import CheckpointError
from service.errors import StartupError
from service.settings import PREFIX, Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST = "SHA256SUMS"
SIGNATURE = f"{MANIFEST}.sig"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S+)")
_MOST_BYTES = 2**20


class Digests:
    """The list of one folder, read anew each time that a file is judged."""

    def __init__(self, folder: Path, key: "Ed25519PublicKey | None" = None) -> None:
        """key: who must have signed the list; None: nobody."""
        self._folder, self._key = folder, key

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes with the list."""
        found = []
        for name in (MANIFEST, SIGNATURE):
            try:
                status = (self._folder / name).stat()
            except OSError:
                continue
            found += [status.st_mtime_ns, status.st_size, status.st_ino]
        return tuple(found)

    def refuse(self, path: Path, name: str) -> str:
        """The version ("sha256:...") that a file has by the list and by its bytes. name: "stylize/mosaic.safetensors".

        Raises CheckpointError where they differ, it is not listed, or there is no list that can be trusted.
        """
        listed = self._listed(path).get(name)
        if listed is None:
            raise CheckpointError(path, f"{MANIFEST} does not name it")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
        return self.refuse_version(path, f"sha256:{found}", f"sha256:{listed}")

    @staticmethod
    def refuse_version(path: Path, found: str, expected: str | None) -> str:
        """`found`, where it is as expected, or anything is (None). Raises CheckpointError for another file."""
        if expected is not None and found != expected:
            raise CheckpointError(path, f"its digest is {found}, expected {expected} ({MANIFEST})")
        return found

    def _listed(self, path: Path) -> dict[str, str]:
        try:
            with (self._folder / MANIFEST).open("rb") as file:
                data = file.read(_MOST_BYTES)
            signature = (self._folder / SIGNATURE).read_bytes() if self._key is not None else b""
        except OSError as error:
            raise CheckpointError(path, f"{error.filename}: {error.strerror}: no list to compare it with") from error
        if self._key is not None:
            self._verify(path, data, signature)
        lines = data.decode("utf-8", "replace").splitlines()
        found = {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match is not None}
        if len(found) != len(lines):
            raise CheckpointError(path, f"{MANIFEST} is not a list as sha256sum writes it, each file once")
        return found

    def _verify(self, path: Path, data: bytes, signature: bytes) -> None:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # need not be installed

        assert self._key is not None
        try:
            self._key.verify(signature, data)
        except InvalidSignature as error:
            raise CheckpointError(path, f"{SIGNATURE} is no signature of {MANIFEST} by the key that is set") from error


def digests_of(settings: Settings) -> Digests | None:
    """What the settings ask for; None: every file may be served. Raises StartupError for a key that is none."""
    if settings.checkpoint_public_key is None:
        return Digests(settings.checkpoints) if settings.checkpoint_digests == "require" else None
    return Digests(settings.checkpoints, _read_key(settings.checkpoint_public_key))


def _read_key(path: Path) -> "Ed25519PublicKey":
    name = f"{PREFIX}CHECKPOINT_PUBLIC_KEY={path}"
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(f"{name}: signatures need a library: pip install 'impasto[signed]'") from error
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"{name}: cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StartupError(f"{name}: expected an Ed25519 public key in PEM")
    return key
