"""The file of API keys: TOML, with the SHA-256 of each key and never the key itself.

    [keys.alice]
    sha256 = "..."                        64 hexadecimal digits; or a list, while one key replaces another
    scopes = ["transform"]                and "admin"
    requests_per_minute = 60              optional
    pixels_per_minute = 50_000_000        optional, output pixels
    style_minutes_per_day = 30            optional, training time of learned styles
    expires = 2027-01-01T00:00:00Z        optional

A plain hash is enough: a key has 256 random bits and cannot be guessed from its hash.
"""

import hashlib
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.auth.caller import RESERVED_NAMES, SCOPES, Caller, Scope

PREFIX = "impasto_"
_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_QUOTAS = ("requests_per_minute", "pixels_per_minute", "style_minutes_per_day")
_FIELDS = frozenset({"sha256", "scopes", *_QUOTAS, "expires"})
_LARGEST_FILE_BYTES = 2**20


class KeyFileError(Exception):
    """The file cannot be used. The message names the key and the field; it shows no digest."""


@dataclass(frozen=True)
class Key:
    """One key of the file. digest: its SHA-256. expires: with a time zone; None: never."""

    caller: Caller
    digest: bytes
    expires: datetime | None = None

    def expired(self) -> bool:
        """Tell whether the key has expired."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


def new_key() -> str:
    """Make a random key of characters that need no quoting in headers and shells."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> bytes:
    """Compute the SHA-256 of a key from a header, which is latin-1 in HTTP."""
    return hashlib.sha256(key.encode("latin-1", errors="replace")).digest()


def read_key_file(path: Path) -> tuple[Key, ...]:
    """Read all keys. Raises KeyFileError if the file is broken, empty, or accessible to other users."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                raise KeyFileError(f"others may read or write it (mode {mode:04o}); expected 0640, 0600 or less")
            data = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror or error}") from error
    if len(data) > _LARGEST_FILE_BYTES:
        raise KeyFileError(f"has more than {_LARGEST_FILE_BYTES} bytes")
    try:
        content = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeyFileError(f"is not TOML: {error}") from error
    return _keys(content)


def key_table(
    name: str,
    key: str,
    scopes: Sequence[Scope],
    quotas: Mapping[str, int | None],
    expires: datetime | None = None,
) -> str:
    """Format the lines of one key for the file. Raises KeyFileError for an invalid name or invalid scopes.

    quotas: by their field in the file; None: no limit.
    """
    quoted = ", ".join(f'"{scope}"' for scope in scopes)
    lines = [
        f"[keys.{name}]",
        f'sha256 = "{digest_of(key).hex()}"',
        f"scopes = [{quoted}]",
    ]
    lines += [f"{field} = {quota}" for field, quota in quotas.items() if quota is not None]
    if expires is not None:
        lines.append(f"expires = {expires.isoformat()}")
    text = "\n".join(lines) + "\n"
    _refuse_name(name)
    _keys(tomllib.loads(text))  # check that the file can hold it
    return text


def _keys(content: dict[str, Any]) -> tuple[Key, ...]:
    surplus = sorted(content.keys() - {"keys"})
    if surplus:
        raise KeyFileError(f"has {surplus[0]!r}; expected tables [keys.NAME] and nothing else")
    tables = content.get("keys")
    if not isinstance(tables, dict) or not tables:
        raise KeyFileError("has no keys; expected tables [keys.NAME] (`impasto keys new NAME` makes one)")
    keys = tuple(key for name, table in tables.items() for key in _keys_of(name, table))
    digests = [key.digest for key in keys]
    for key in keys:
        if digests.count(key.digest) > 1:
            raise KeyFileError(f"keys.{key.caller.name}: the same sha256 is there twice")
    return keys


def _keys_of(name: str, table: Any) -> list[Key]:
    """Read the keys of one caller: one, or several of the same name, scopes and quotas."""
    _refuse_name(name)
    where = f"keys.{name}"
    if not isinstance(table, dict):
        raise KeyFileError(f"{where}: expected a table")
    surplus = sorted(table.keys() - _FIELDS)
    if surplus:
        raise KeyFileError(f"{where}: unknown field {surplus[0]!r}; known: {', '.join(sorted(_FIELDS))}")
    digests = _digests(where, table.get("sha256"))
    caller = Caller(name, _scopes(where, table.get("scopes")), *(_quota(where, table, unit) for unit in _QUOTAS))
    expires = _expiry(where, table.get("expires"))
    return [Key(caller, digest, expires) for digest in digests]


def _digests(where: str, given: Any) -> list[bytes]:
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in listed):
        raise KeyFileError(
            f"{where}.sha256: expected 64 hexadecimal digits, the SHA-256 of the key, or a list of such digests"
        )
    return [bytes.fromhex(each) for each in listed]


def _refuse_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyFileError(f"the name {name[:80]!r}: expected 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if name in RESERVED_NAMES:
        raise KeyFileError(f"the name {name!r} is taken by the service itself")


def _scopes(where: str, given: Any) -> frozenset[Scope]:
    expected = f"expected a list of {', '.join(SCOPES[:-1])} and {SCOPES[-1]}"
    if not isinstance(given, list) or not given:
        raise KeyFileError(f"{where}.scopes: {expected}")
    for scope in given:
        if scope not in SCOPES:
            raise KeyFileError(f"{where}.scopes: {scope!r}; {expected}")
    return frozenset(given)


def _quota(where: str, table: dict[str, Any], name: str) -> int | None:
    given = table.get(name)
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise KeyFileError(f"{where}.{name}: {given!r}; expected a whole number from 1 on")
    return given


def _expiry(where: str, given: Any) -> datetime | None:
    if given is not None and (not isinstance(given, datetime) or given.tzinfo is None):
        raise KeyFileError(f"{where}.expires: expected a time with its zone, such as 2027-01-01T00:00:00Z")
    return given
