"""Signatures of messages, as Standard Webhooks specifies them, with keys that can be replaced while both are valid.

The file has one key a line, `whsec_` and base64. Each message is signed with every key. Receivers verify with a secret
that is derived from a key and the name of the owner of the job, so that one receiver cannot forge messages to another.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks import Webhook

log = logging.getLogger(__name__)

PREFIX = "whsec_"
_SHORTEST_BYTES, _LONGEST_BYTES = 24, 64
_LARGEST_FILE_BYTES = 2**16


class SigningKeyError(Exception):
    """The file cannot be used. The message shows no key."""


def new_signing_key() -> str:
    """Make a random key, as a line for the file."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SHORTEST_BYTES + 8)).decode()


def read_signing_keys(path: Path) -> tuple[bytes, ...]:
    """Read all keys. Raises SigningKeyError."""
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST_FILE_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SigningKeyError(f"cannot be read: {error}") from error
    named = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    keys = tuple(_key(number, line) for number, line in named if line and not line.startswith("#"))
    if not keys:
        raise SigningKeyError(f"has no key; expected lines that begin with {PREFIX}")
    return keys


def secret_of(key: bytes, owner: str) -> str:
    """Return the secret with which the receivers of an owner verify messages that were signed with this key."""
    derived = hmac.new(key, f"webhook\n{owner}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.b64encode(derived).decode()


class Signer:
    """Signs messages with the keys of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises SigningKeyError if the file cannot be used."""
        self._path, self._keys, self._stamp = path, read_signing_keys(path), _stamp(path)

    def headers(self, identity: str, owner: str, body: str) -> dict[str, str]:
        """Return the headers of a message that is sent now."""
        self._read_again()
        now = datetime.now(UTC)
        signatures = [Webhook(secret_of(key, owner)).sign(identity, now, body) for key in self._keys]
        return {
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _read_again(self) -> None:
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_signing_keys(self._path)
        except SigningKeyError as error:
            log.error("the signing keys of webhooks stay as they were", extra={"error": str(error)})


def _key(number: int, line: str) -> bytes:
    try:
        key = base64.b64decode(line.removeprefix(PREFIX), validate=True) if line.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not _SHORTEST_BYTES <= len(key) <= _LONGEST_BYTES:
        expected = f"{PREFIX} and {_SHORTEST_BYTES} to {_LONGEST_BYTES} bytes in base64"
        raise SigningKeyError(f"line {number}: expected {expected}")
    return key


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
