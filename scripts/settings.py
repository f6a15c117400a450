"""Write docs/settings.md from service/settings.py: every setting with its default and its description."""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings

PATH = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

_INTRODUCTION = """\
<!-- Written by `make settings` from service/settings.py. Change the descriptions there. -->
# Settings

The service reads its settings once at start, from environment variables. A wrong value stops the start with exit code 2
and a message that names the variable, the value and what was expected. With `IMPASTO_LOG_LEVEL=debug`, a log line shows
the settings in force, without secrets. `impasto serve --help` lists the settings that are also options.

Sizes are in bytes and times in seconds. Descriptions name other settings in lower case and without the prefix.
[Traces](operations.md#traces) have variables of their own.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "The six to know first": ("host", "port", "checkpoints", "device", "keys_file", "max_pixels"),
    "Limits on requests": (
        "max_body_bytes", "max_frames", "max_output_pixels", "max_requests", "max_pixels_in_flight", "cache_bytes",
    ),
    "Computation": (
        "precision", "runtime", "pictures_at_once", "max_batch_items", "tile_pixels", "max_whole_pixels",
    ),
    "Checkpoints": (
        "checkpoint_source", "loading", "max_model_bytes", "watch_seconds", "checkpoint_digests",
        "checkpoint_public_key",
    ),
    "Access and quotas": (
        "allow_anonymous", "anonymous_requests_per_minute", "anonymous_pixels_per_minute", "quota_store", "quota_fail",
        "max_key_share", "admin_key", "admin_key_file", "cors_origins", "root_path", "trusted_proxies", "probe_port",
    ),
    "Decoding and encoding": (
        "codec_threads", "decoder", "decoder_seconds", "decoder_memory_bytes", "jpeg_quality", "webp_quality",
        "avif_quality",
    ),
    "Asynchronous jobs": (
        "job_store", "max_jobs", "max_jobs_running", "max_job_bytes", "job_seconds", "job_lease_seconds",
        "job_attempts", "job_results", "job_result_bytes",
    ),
    "Object storage": ("input_prefixes", "output_prefixes"),
    "Webhooks": (
        "webhook_hosts", "webhook_keys_file", "webhook_networks", "webhook_seconds", "webhook_hours", "max_webhooks",
    ),
    "Learned styles": ("learned", "trainer", "trainer_options", "max_learned", "learn_minutes"),
    "Connections": (
        "max_header_bytes", "max_connections", "max_connection_requests", "head_seconds", "body_seconds",
        "body_bytes_per_second",
    ),
    "Shutdown and logs": ("drain_seconds", "log_level", "log_format"),
}  # fmt: skip


def main() -> None:
    """Write the page."""
    PATH.write_text(document(), encoding="utf-8")


def document() -> str:
    """Return the page. Raises ValueError if a setting is in no group, or in two."""
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(listed) != sorted(Settings.model_fields):
        raise ValueError(f"GROUPS and Settings differ by {set(listed) ^ set(Settings.model_fields) or 'a duplicate'}")
    return "\n".join([_INTRODUCTION, *(_section(title, names) for title, names in GROUPS.items())])


def _section(title: str, names: tuple[str, ...]) -> str:
    rows = [_row(name, Settings.model_fields[name]) for name in names]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    bounds = {key: value for each in field.metadata for key, value in _bounds(each).items()}
    limits = f" From {bounds['ge']} to {bounds['le']}." if {"ge", "le"} <= set(bounds) else ""
    return f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {field.description}{limits} |"


def _default(value: object) -> str:
    """Return a default as a user would write it in the environment."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _bounds(constraint: Any) -> dict[str, Any]:
    """Return the bounds that an annotated-types constraint carries."""
    return {key: getattr(constraint, key) for key in ("ge", "le") if hasattr(constraint, key)}


if __name__ == "__main__":
    main()
