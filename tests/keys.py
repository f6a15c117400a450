"""Key files for tests."""

from pathlib import Path

from service.auth.key_file import digest_of

ALICE, BOB, BOSS, GONE = (f"impasto_key-of-{name}-for-a-test" for name in ("alice", "bob", "boss", "gone"))
EVERYBODY = {
    "alice": {"key": ALICE, "scopes": ["transform"]},
    "bob": {"key": BOB, "scopes": ["transform"]},
    "boss": {"key": BOSS, "scopes": ["admin"]},
    "gone": {"key": GONE, "scopes": ["transform"], "expires": "2020-01-01T00:00:00Z"},
}


def write_keys(path: Path, keys: dict[str, dict] = EVERYBODY, mode: int = 0o640) -> Path:
    """Replace the key file by renaming. A caller's `key` may be a list of keys."""
    lines = []
    for name, fields in keys.items():
        given = fields["key"]
        digests = [digest_of(key).hex() for key in given] if isinstance(given, list) else digest_of(given).hex()
        lines += [f"[keys.{name}]", f"sha256 = {digests!r}"]
        lines += [f"{field} = {value}".replace("'", '"') for field, value in fields.items() if field != "key"]
    fresh = path.with_suffix(".fresh")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.chmod(mode)
    return fresh.replace(path)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
