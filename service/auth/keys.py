"""Finds the caller for a key. The key file is read again when it changes, so that keys can change while serving."""

import hmac
import logging
from pathlib import Path

from service.auth.caller import ADMIN, ANONYMOUS, Caller, Scope
from service.auth.key_file import Key, KeyFileError, digest_of, read_key_file
from service.errors import StartupError, UnauthorizedError
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings, read_admin_key

log = logging.getLogger(__name__)

_EXPECTED = "a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
_Signature = tuple[int, int, int, int]


class KeyRing:
    """The keys of one service. Use it on the event loop only.

    Without a key file every caller may transform, and learn styles.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the key file. Raises StartupError if it is broken, or if other users may read it."""
        self._path, self._metrics = settings.keys_file, metrics
        self.required = settings.keys_file is not None
        self._anonymous_allowed = settings.allow_anonymous or not self.required
        self.anonymous = Caller(
            ANONYMOUS,
            _anonymous_scopes(self._anonymous_allowed, self.required),
            settings.anonymous_requests_per_minute or None,
            settings.anonymous_pixels_per_minute or None,
        )
        self._admin = _admin_key(read_admin_key(settings), self._anonymous_allowed)
        self._keys: tuple[Key, ...] = ()
        self._signature: _Signature | None = None
        if self._path is not None:
            self._signature = _signature(self._path)
            try:
                self._take(read_key_file(self._path))
            except KeyFileError as error:
                raise StartupError(f"{PREFIX}KEYS_FILE={self._path}: {error}") from error

    @property
    def has_admin(self) -> bool:
        """Whether a key may have the scope admin."""
        return self.required or self._admin is not None

    def caller(self, given: str | None, scope: Scope) -> Caller:
        """Return the holder of a key; None: no key was given. Raises UnauthorizedError.

        If the service requires no key, an unknown key counts as none, unless the scope needs one.
        """
        self._refresh()
        known = None if given is None else self._find(digest_of(given))
        if known is not None and not known.expired():
            return known.caller
        if scope in self.anonymous.scopes and (given is None or not self.required):
            return self.anonymous
        if given is None:
            raise _unauthorized(f"expected {_EXPECTED}", "")
        why = "this key has expired" if known is not None else "this key is not known"
        raise _unauthorized(f"{why}; expected another key in {_EXPECTED}", ', error="invalid_token"')

    def name_of(self, given: str | None) -> str:
        """Return the name of the holder of a key; that of clients without one if it is not valid."""
        self._refresh()
        known = None if given is None else self._find(digest_of(given))
        return self.anonymous.name if known is None or known.expired() else known.caller.name

    def _find(self, digest: bytes) -> Key | None:
        """Compare with every key in constant time, so that the time reveals nothing."""
        found = None
        for key in (*self._keys, *([self._admin] if self._admin else [])):
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        if self._path is None or (signature := _signature(self._path)) == self._signature:
            return
        self._signature = signature
        try:
            self._take(read_key_file(self._path))
        except KeyFileError as error:
            self._metrics.key_reloads.labels("refused").inc()
            log.error("the changed key file is refused, the old keys stay: %s: %s", self._path, error)
        else:
            self._metrics.key_reloads.labels("taken").inc()
            log.info("the key file was read again", extra={"keys": len(self._keys)})

    def _take(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._metrics.keys.set(len(keys))


def _anonymous_scopes(allowed: bool, keys_required: bool) -> frozenset[Scope]:
    """Where there are keys, clients without one may transform at most: a learned style stays."""
    if not allowed:
        return frozenset()
    return frozenset({"transform"}) if keys_required else frozenset({"transform", "styles"})


def _admin_key(key: str | None, transforms: bool) -> Key | None:
    if key is None:
        return None
    scopes: frozenset[Scope] = frozenset({"admin", "styles", "transform"}) if transforms else frozenset({"admin"})
    return Key(Caller(ADMIN, scopes), digest_of(key))


def _signature(path: Path) -> _Signature | None:
    """Return values that change when the file or the target of a link changes; None: no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _unauthorized(detail: str, error: str) -> UnauthorizedError:
    headers = {"WWW-Authenticate": f'Bearer realm="impasto"{error}'}
    return UnauthorizedError(detail, headers, parameter="Authorization", expected=_EXPECTED)
