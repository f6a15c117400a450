"""Every setting of the service: read once, from IMPASTO_* environment variables, checked, then frozen."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from nets.bundled import default_checkpoints
from service.errors import StartupError

PREFIX = "IMPASTO_"
_SHORTEST_KEY = 16


class Settings(BaseSettings):
    """IMPASTO_PORT=9000 sets `port`, and so on. Wrong values are refused at start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    checkpoints: Path = Field(
        Path("checkpoints"),
        description="Folder with stylize/*.safetensors and upscale/*.safetensors. Default: ./checkpoints if it holds "
        "any, else the bundled ones.",
    )
    checkpoint_digests: Literal["off", "require"] = Field(
        "off", description="require: serve only files that SHA256SUMS, in that folder, names with their digest."
    )
    checkpoint_public_key: Path | None = Field(
        None, description="An Ed25519 key (PEM) that must have signed SHA256SUMS; then digests are required."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|(cpu|cuda|cuda:(0|[1-9]\d?))(,(cpu|cuda|cuda:(0|[1-9]\d?)))*)$",
        description="auto (every GPU, else the CPU), cpu, cuda, cuda:N, or several with commas.",
    )
    loading: Literal["eager", "lazy"] = Field("eager", description="Load checkpoints at start, or when asked for.")
    max_model_bytes: int = Field(0, ge=0, description="Most bytes of loaded weights, least used leave; 0: no limit.")
    watch_seconds: float = Field(0.0, ge=0, description="How often to look for changed checkpoints; 0: never.")
    probe_port: int | None = Field(
        None, ge=0, le=65535, description="A second port for probes; /metrics and the admin routes are then only there."
    )
    keys_file: Path | None = Field(None, description="TOML file of API keys; without one nobody is asked for a key.")
    allow_anonymous: bool = Field(
        False, description="Serve who has no key: needed for a public address without keys; with keys, beside them."
    )
    anonymous_requests_per_minute: int = Field(0, ge=0, description="Of all who have no key together; 0: no limit.")
    anonymous_pixels_per_minute: int = Field(0, ge=0, description="Output pixels, of the same; 0: no limit.")
    quota_store: SecretStr | None = Field(
        None, description="Where quotas are counted: memory (default), or redis://HOST:PORT/DB for several replicas."
    )
    quota_fail: Literal["open", "closed"] = Field(
        "open", description="Without the store: let all in (open), or answer 503 to who has a quota (closed)."
    )
    max_key_share: float = Field(
        0.5, gt=0, le=1, description="With keys: share of the requests and pixels in flight that one may hold."
    )
    admin_key: SecretStr | None = Field(
        None, min_length=_SHORTEST_KEY, description="A key with the scope admin, beside those of the file."
    )
    admin_key_file: Path | None = Field(None, description="A file that holds the admin key, instead.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the device has it and, on a CPU, where it is measured to be faster."
    )
    max_body_bytes: int = Field(32 * 2**20, ge=1024, description="Largest request body.")
    max_pixels: int = Field(12_500_000, ge=64, le=89_000_000, description="Most pixels of an input picture.")
    max_frames: int = Field(300, ge=1, description="Most frames of an animation; max_pixels counts all of them.")
    max_output_pixels: int = Field(50_000_000, ge=64, description="Most pixels of an answer.")
    max_requests: int = Field(32, ge=1, description="Requests in flight; the next one is answered 503.")
    max_pixels_in_flight: int = Field(
        150_000_000, ge=64, description="Pixels of pictures and answers in flight; the next one is answered 503."
    )
    max_whole_pixels: int = Field(
        12_500_000, ge=4096, description="A style runs exactly up to here; above, in tiles, and the answer says so."
    )
    tile_pixels: int = Field(1_000_000, ge=4096, description="An upscaler's pixels in one pass; larger ones are cut.")
    pictures_at_once: int = Field(
        0,
        ge=0,
        description="Pictures that a CPU computes side by side, a thread each, while more wait; 0: up to 8; 1: never.",
    )
    max_batch_items: int = Field(
        0, ge=0, description="Windows of one size in one pass; 0: as many as are measured to be worth it, up to 8."
    )
    codec_threads: int = Field(2, ge=1, description="Threads that decode and encode pictures.")
    decoder: Literal["process", "thread"] = Field(
        "process", description="Decode in processes of their own, which may crash; or in threads of the service."
    )
    decoder_seconds: float = Field(60.0, gt=0, description="How long a decoder process may take over a picture.")
    decoder_memory_bytes: int = Field(
        0, ge=0, description="Address space of a decoder process; 0: 1.5 GiB, and 200 bytes for each of max_pixels."
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="Quality of JPEG answers.")
    webp_quality: int = Field(85, ge=1, le=100, description="Quality of WebP answers.")
    cache_bytes: int = Field(0, ge=0, description="Most bytes of answers kept to be given again; 0: none.")
    cors_origins: str = Field(
        "",
        pattern=r"^(\*|https?://[^\s,/*]+(,https?://[^\s,/*]+)*)?$",
        description="Origins whose pages may ask, with commas (https://example.org), or *; empty: none.",
    )
    root_path: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9._~-]+)+)?$",
        description="The prefix of a reverse proxy that removes it before it forwards a request (/impasto).",
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Addresses and networks of proxies whose X-Forwarded-* headers count, with commas; or *.",
    )
    avif_quality: int = Field(70, ge=1, le=100, description="Quality of AVIF answers.")
    max_jobs: int = Field(100, ge=1, description="Asynchronous jobs that are kept, finished or not; the next is 503.")
    max_jobs_running: int = Field(16, ge=1, description="Asynchronous jobs at once; the others wait for their turn.")
    max_job_bytes: int = Field(
        2**28, ge=2**16, description="Bytes of asynchronous jobs: bodies that wait (up to half of it) and answers kept."
    )
    job_seconds: float = Field(600.0, gt=0, description="How long a finished job's answer is kept to be fetched.")
    max_header_bytes: int = Field(16384, ge=1024, le=2**20, description="Largest request line and headers together.")
    max_connections: int = Field(500, ge=1, description="Open connections; the next one is answered 503 and closed.")
    max_connection_requests: int = Field(1000, ge=1, description="Requests on one connection; then it is closed.")
    head_seconds: float = Field(10.0, gt=0, description="Within which a request's line and headers must have come.")
    body_seconds: float = Field(30.0, gt=0, description="That a body may take, beside body_bytes_per_second.")
    body_bytes_per_second: int = Field(
        8192, ge=1, description="How many bytes of a body earn it another second; slower ones are answered 408."
    )
    drain_seconds: int = Field(30, ge=1, description="After SIGTERM, how long accepted requests may take to finish.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown.")
    log_format: Literal["json", "text"] = Field("json", description="A JSON object a line, or text for a terminal.")


def read_admin_key(settings: Settings) -> str | None:
    """The admin key, from the setting or its file. Raises StartupError where the file holds none."""
    if settings.admin_key_file is None:
        return settings.admin_key.get_secret_value() if settings.admin_key else None
    name = f"{PREFIX}ADMIN_KEY_FILE={settings.admin_key_file}"
    if settings.admin_key is not None:
        raise StartupError(f"{name}: expected this or {PREFIX}ADMIN_KEY, not both")
    try:
        key = settings.admin_key_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{name}: cannot be read: {error}") from error
    if len(key) < _SHORTEST_KEY:
        raise StartupError(f"{name}: expected a key of at least {_SHORTEST_KEY} characters, found {len(key)}")
    return key


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment, `overrides` first. Raises StartupError naming key, value and what was expected."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise StartupError("; ".join(lines)) from error
    if "checkpoints" in settings.model_fields_set:
        return settings
    found = Settings(**{**overrides, "checkpoints": default_checkpoints()})  # type: ignore[arg-type]
    found.model_fields_set.discard("checkpoints")
    return found
