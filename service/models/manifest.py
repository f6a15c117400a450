"""The manifest of the folder of checkpoints: the digests of the files that may be served, and its signature.

The manifest is `SHA256SUMS`, as `sha256sum */*.safetensors` writes it. `SHA256SUMS.sig` holds the Ed25519 signature of
its bytes; it is required if a public key is set.
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

MANIFEST_NAME = "SHA256SUMS"
SIGNATURE_NAME = f"{MANIFEST_NAME}.sig"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S+)")
_MAX_BYTES = 2**20


class Manifest:
    """The manifest of one folder. It is read again for each file that is verified."""

    def __init__(self, folder: Path, key: "Ed25519PublicKey | None" = None) -> None:
        """key: verifies the signature of the manifest; None requires no signature."""
        self._folder, self._key = folder, key

    @property
    def stamp(self) -> tuple[int, ...]:
        """Modification times, sizes and inodes of the manifest and its signature: they change with the files."""
        found = []
        for name in (MANIFEST_NAME, SIGNATURE_NAME):
            try:
                status = (self._folder / name).stat()
            except OSError:
                continue
            found += [status.st_mtime_ns, status.st_size, status.st_ino]
        return tuple(found)

    def verify(self, path: Path, name: str) -> str:
        """Compare a file with its digest in the manifest. Returns its version ("sha256:...").

        name: the path in the manifest, "stylize/mosaic.safetensors". Raises CheckpointError if the digests differ, the
        file is not listed, or the manifest is missing, malformed or not signed.
        """
        listed = self._digests(path).get(name)
        if listed is None:
            raise CheckpointError(path, f"not listed in {MANIFEST_NAME}")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
        return self.check_version(path, f"sha256:{found}", f"sha256:{listed}")

    @staticmethod
    def check_version(path: Path, found: str, expected: str | None) -> str:
        """Return `found`. Raises CheckpointError if it differs from `expected`; None accepts any version."""
        if expected is not None and found != expected:
            raise CheckpointError(path, f"digest {found}, expected {expected} ({MANIFEST_NAME})")
        return found

    def _digests(self, path: Path) -> dict[str, str]:
        """Read and verify the manifest. Returns the digest of each listed file."""
        try:
            with (self._folder / MANIFEST_NAME).open("rb") as file:
                data = file.read(_MAX_BYTES)
            signature = (self._folder / SIGNATURE_NAME).read_bytes() if self._key is not None else b""
        except OSError as error:
            raise CheckpointError(path, f"the manifest cannot be read: {error.filename}: {error.strerror}") from error
        if self._key is not None:
            self._verify_signature(path, data, signature)
        lines = data.decode("utf-8", "replace").splitlines()
        found = {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match is not None}
        if len(found) != len(lines):
            raise CheckpointError(
                path, f"{MANIFEST_NAME} is malformed; expected the output of sha256sum, each file once"
            )
        return found

    def _verify_signature(self, path: Path, data: bytes, signature: bytes) -> None:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an optional dependency

        assert self._key is not None
        try:
            self._key.verify(signature, data)
        except InvalidSignature as error:
            raise CheckpointError(
                path, f"{SIGNATURE_NAME} is not a signature of {MANIFEST_NAME} by the configured key"
            ) from error


def manifest_from_settings(settings: Settings) -> Manifest | None:
    """Return the manifest that the settings require; None allows all files. Raises StartupError for an invalid key."""
    if settings.checkpoint_public_key is None:
        return Manifest(settings.checkpoints) if settings.checkpoint_digests == "require" else None
    return Manifest(settings.checkpoints, _read_key(settings.checkpoint_public_key))


def _read_key(path: Path) -> "Ed25519PublicKey":
    name = f"{PREFIX}CHECKPOINT_PUBLIC_KEY={path}"
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(f"{name}: signatures need an optional dependency: pip install 'impasto[signed]'") from error
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"{name}: cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StartupError(f"{name}: expected an Ed25519 public key in PEM")
    return key
