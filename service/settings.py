"""Every setting of the service: read once, from IMPASTO_* environment variables, checked, then frozen."""

from importlib import import_module
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from nets.bundled import default_checkpoints
from service.errors import StartupError, expectation

PREFIX = "IMPASTO_"
_SHORTEST_KEY = 16


class Settings(BaseSettings):
    """IMPASTO_PORT=9000 sets `port`, and so on. Wrong values are refused at start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. An address other than loopback needs keys_file or allow_anonymous.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 selects a free port.")
    checkpoints: Path = Field(
        Path("checkpoints"),
        description="Folder with stylize/*.safetensors and upscale/*.safetensors. Default: ./checkpoints if it has "
        "checkpoints, otherwise the bundled ones.",
    )
    checkpoint_source: str = Field(
        "",
        pattern=r"^((s3|gs)://[^/\s]+(/\S*)?|file:///\S*|(hf|oci)://\S+)?$",
        description="Where checkpoints are copied from, into `checkpoints`: s3://bucket/prefix, gs:// or file:///, "
        "hf://org/name@revision, oci://host/name:tag or oci://host/name@sha256:DIGEST. Set watch_seconds to look for "
        "changes.",
    )
    learned: Path | None = Field(
        None,
        description="Folder for styles learned from paintings (POST /styles), and their queue. Without it, none can be "
        "learned.",
    )
    trainer: Literal["process", "external"] = Field(
        "process",
        description="process: the service starts a trainer of low priority when a painting waits. external: a trainer "
        "elsewhere works on the same folder.",
    )
    trainer_options: str = Field("", description="Further options of the trainer process, as for impasto-train learn.")
    max_learned: int = Field(50, ge=1, description="Maximum learned styles, waiting paintings included.")
    learn_minutes: float = Field(5.0, gt=0, le=120, description="Default training time of a learned style, in minutes.")
    checkpoint_digests: Literal["off", "require"] = Field(
        "off", description="require: serve only files whose SHA-256 is listed in SHA256SUMS in that folder."
    )
    checkpoint_public_key: Path | None = Field(
        None, description="PEM file with the Ed25519 public key that must have signed SHA256SUMS. Implies require."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|(cpu|cuda|cuda:(0|[1-9]\d?))(,(cpu|cuda|cuda:(0|[1-9]\d?)))*)$",
        description="auto (every GPU, otherwise the CPU), cpu, cuda, cuda:N, or a comma-separated list.",
    )
    loading: Literal["eager", "lazy"] = Field(
        "eager", description="eager: load checkpoints at start. lazy: load each one when it is first requested."
    )
    max_model_bytes: int = Field(
        0,
        ge=0,
        description="Maximum bytes of loaded weights. The least recently used models are unloaded. 0: no limit.",
    )
    watch_seconds: float = Field(
        0.0,
        ge=0,
        description="Seconds between checks for changed checkpoints. 0: never check. `impasto serve` and "
        "`make serve` check every 5 s on a loopback address where this is not set.",
    )
    probe_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Second port for probes. /metrics and /models/reload are then served on that port only.",
    )
    keys_file: Path | None = Field(None, description="TOML file with API keys. Without it, no key is required.")
    allow_anonymous: bool = Field(
        False, description="Serve clients without a key: on a public address without keys, or in addition to keys."
    )
    anonymous_requests_per_minute: int = Field(
        0, ge=0, description="Request quota shared by all clients without a key. 0: no quota."
    )
    anonymous_pixels_per_minute: int = Field(
        0, ge=0, description="Output pixel quota shared by all clients without a key. 0: no quota."
    )
    quota_store: SecretStr | None = Field(
        None, description="Where quotas are counted: memory (default), or redis://HOST:PORT/DB for several replicas."
    )
    quota_fail: Literal["open", "closed"] = Field(
        "open",
        description="If the store is unreachable: open admits all requests, closed answers 503 to callers with quotas.",
    )
    max_key_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="With keys: largest share of the requests and pixels in flight that one key may hold.",
    )
    admin_key: SecretStr | None = Field(
        None, min_length=_SHORTEST_KEY, description="An additional key with the scope admin, of at least 16 characters."
    )
    admin_key_file: Path | None = Field(None, description="File that contains the admin key, instead of admin_key.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="fp32, bf16, fp16, or auto: bf16 where the device computes in it. Of CPUs, those with AMX, "
        "AVX512-BF16 or the bf16 of ARM do. Otherwise fp16 on a GPU and fp32 on a CPU.",
    )
    runtime: Literal["torch", "openvino"] = Field(
        "torch",
        description="openvino: styles of a trunk run in OpenVINO, one image of up to 2 megapixels at a time. It pays "
        "on CPUs that compute in bf16. Needs impasto[openvino].",
    )
    max_body_bytes: int = Field(32 * 2**20, ge=1024, description="Maximum size of a request body.")
    max_pixels: int = Field(50_000_000, ge=64, le=89_000_000, description="Maximum pixels of an input image.")
    max_frames: int = Field(
        300, ge=1, description="Maximum frames of an animation. max_pixels counts the pixels of all frames."
    )
    max_output_pixels: int = Field(200_000_000, ge=64, description="Maximum pixels of an output image.")
    max_requests: int = Field(32, ge=1, description="Maximum requests in flight. Further requests are answered 503.")
    max_pixels_in_flight: int = Field(
        300_000_000, ge=64, description="Limits memory: maximum pixels in flight, in and out. Then requests get 503."
    )
    max_whole_pixels: int = Field(
        12_500_000,
        ge=4096,
        description="Largest image that a style processes as a whole. Larger ones are tiled, and the response says so; "
        "very narrow ones are refused.",
    )
    tile_pixels: int = Field(
        400_000, ge=4096, description="Maximum pixels of a tile, unless the receptive field needs more."
    )
    pictures_at_once: int = Field(
        0,
        ge=0,
        description="Images that a CPU computes side by side, one thread each, under load. 0: up to 8. 1: never.",
    )
    max_batch_items: int = Field(
        0, ge=0, description="Maximum tiles in one forward pass. 0: on a GPU what is fastest, up to 8; on a CPU, 1."
    )
    codec_threads: int = Field(2, ge=1, description="Threads for decoding and encoding.")
    decoder: Literal["process", "thread"] = Field(
        "process", description="process: decode in separate processes, which may crash. thread: decode in the service."
    )
    decoder_seconds: float = Field(60.0, gt=0, description="Time limit for decoding one image in a decoder process.")
    decoder_memory_bytes: int = Field(
        0, ge=0, description="Address space of a decoder process. 0: 1.5 GiB plus 100 bytes per pixel of max_pixels."
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="Default quality of JPEG outputs.")
    webp_quality: int = Field(85, ge=1, le=100, description="Default quality of WebP outputs.")
    cache_bytes: int = Field(0, ge=0, description="Maximum bytes of cached outputs. 0: no cache.")
    cors_origins: str = Field(
        "",
        pattern=r"^(\*|https?://[^\s,/*]+(,https?://[^\s,/*]+)*)?$",
        description="Comma-separated origins whose pages may call the service, for example https://example.org; or *.",
    )
    root_path: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9._~-]+)+)?$",
        description="Path prefix under which a reverse proxy publishes the service, if the proxy removes it: /impasto.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Comma-separated addresses and networks of proxies whose X-Forwarded-* headers are used; or *.",
    )
    avif_quality: int = Field(70, ge=1, le=100, description="Default quality of AVIF outputs.")
    max_jobs: int = Field(
        100, ge=1, description="Maximum asynchronous jobs, finished or not. Further jobs are answered 503."
    )
    max_jobs_running: int = Field(16, ge=1, description="Asynchronous jobs that run at the same time. The others wait.")
    max_job_bytes: int = Field(
        2**28,
        ge=2**16,
        description="Maximum bytes of waiting bodies (up to half) and stored results of asynchronous jobs.",
    )
    job_seconds: float = Field(600.0, gt=0, description="Seconds for which the result of a finished job is kept.")
    job_store: SecretStr | None = Field(
        None, description="Where jobs are kept: memory (default), or redis://HOST:PORT/DB for several replicas."
    )
    job_lease_seconds: float = Field(
        15.0, ge=1, description="With Redis: a replica that is silent for so long is dead; its jobs start elsewhere."
    )
    job_attempts: int = Field(3, ge=1, description="With Redis: a job fails after this many replicas died of it.")
    job_results: str = Field(
        "", description="With Redis: prefix in object storage for large results of jobs: s3://bucket/folder/."
    )
    job_result_bytes: int = Field(
        2**20, ge=0, description="With job_results: size of a result above which it goes there, and not to Redis."
    )
    input_prefixes: str = Field(
        "", description="Comma-separated prefixes below which clients may name inputs: s3://bucket/folder/."
    )
    output_prefixes: str = Field("", description="Comma-separated prefixes below which clients may name outputs.")
    webhook_hosts: str = Field(
        "",
        description="Comma-separated hosts to which jobs may send webhooks: hooks.example.org, *.example.org, "
        "http://name:8080, or * for all by HTTPS. Empty: jobs send no webhooks.",
    )
    webhook_keys_file: Path | None = Field(
        None, description="File with the keys that sign webhooks, one a line: impasto keys webhook."
    )
    webhook_networks: str = Field(
        "", description="Comma-separated networks that webhooks may reach although they are private: 10.0.0.0/8."
    )
    webhook_seconds: float = Field(10.0, gt=0, le=60, description="Time limit for one delivery of a webhook.")
    webhook_hours: float = Field(24.0, gt=0, le=168, description="Hours after which a webhook is given up.")
    max_webhooks: int = Field(
        1000, ge=1, description="Maximum webhooks that wait for delivery. Further jobs with a webhook are answered 503."
    )
    max_header_bytes: int = Field(16384, ge=1024, le=2**20, description="Maximum size of the request line and headers.")
    max_connections: int = Field(
        500, ge=1, description="Maximum open connections. Further connections are answered 503 and closed."
    )
    max_connection_requests: int = Field(1000, ge=1, description="Requests after which a connection is closed.")
    head_seconds: float = Field(10.0, gt=0, description="Time limit for the request line and headers to arrive.")
    body_seconds: float = Field(
        30.0, gt=0, description="Time limit for a body to arrive, extended by body_bytes_per_second."
    )
    body_bytes_per_second: int = Field(
        8192, ge=1, description="Each time this many bytes of a body arrive, the limit extends by one second."
    )
    drain_seconds: int = Field(30, ge=1, description="Time limit for accepted requests to finish after SIGTERM.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of log lines: debug (includes probes), info, warning or error."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json: one JSON object per line. text: lines for a terminal. auto: text on a terminal."
    )

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _is_folder(cls, value: object) -> object:
        if "://" in str(value):
            raise ValueError(f"a folder; {PREFIX}CHECKPOINT_SOURCE takes addresses")
        return value


def read_admin_key(settings: Settings) -> str | None:
    """The admin key, from the setting or its file. Raises StartupError if the file holds none."""
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


def redis_address(given: SecretStr | None, setting: str) -> str | None:
    """Return the address of a store in Redis, or None for "memory". Raises StartupError, without the value.

    setting: the setting's name without its prefix. The value may hold a password.
    """
    where = given.get_secret_value() if given else "memory"
    if where == "memory":
        return None
    if not where.startswith(("redis://", "rediss://")):
        raise StartupError(f"{PREFIX}{setting}: expected memory, redis://HOST:PORT/DB or rediss://HOST:PORT/DB")
    try:
        import_module("redis.asyncio.retry")
    except ImportError as error:
        raise StartupError(f"{PREFIX}{setting}: needs the package redis: pip install 'impasto[redis]'") from error
    return where


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment, `overrides` first. Raises StartupError naming key, value and what was expected."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        lines = [_refusal(problem) for problem in error.errors()]
        raise StartupError("; ".join(dict.fromkeys(lines))) from error
    if "checkpoints" in settings.model_fields_set:
        return settings
    found = Settings(**{**overrides, "checkpoints": default_checkpoints()})  # type: ignore[arg-type]
    found.model_fields_set.discard("checkpoints")
    return found


def _refusal(problem: ErrorDetails) -> str:
    """Return a variable, its value, unless that is a secret, and what was expected."""
    name = "_".join(map(str, problem["loc"]))
    field = Settings.model_fields[name]
    value = "..." if "SecretStr" in str(field.annotation) else repr(problem["input"])
    pattern = problem["type"] == "string_pattern_mismatch"
    expected = field.description if pattern else expectation(problem["msg"])
    return f"{PREFIX}{name.upper()}={value}: expected {expected}"
