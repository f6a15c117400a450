"""The metrics of the service. No label value comes from a client."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_PIXEL_BUCKETS = tuple(4**i for i in range(6, 14))


class Metrics:
    """Prometheus metrics, prefix `impasto_`, base units."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._counter, self._gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._histogram, self._info = partial(Histogram, registry=registry), partial(Info, registry=registry)
        self._of_requests()
        self._of_the_queue()
        self._of_the_models()
        self._of_outputs()
        self._of_access()
        ProcessCollector(namespace="impasto", registry=registry)  # memory, CPU seconds, start time
        self.build_info = self._info("impasto_build", "Version, device, precision and runtime of this process.")
        self._versions: dict[str, str] = {}

    def _of_requests(self) -> None:
        self.http_requests = self._counter("impasto_http_requests", "Completed requests.", ["route", "method", "code"])
        self.http_request_duration = self._histogram(
            "impasto_http_request_duration_seconds",
            "Time from the first byte of a request to the last byte of its response.",
            ["route"],
            buckets=_STAGE_BUCKETS,
        )
        self.stage_duration = self._histogram(
            "impasto_stage_duration_seconds",
            "Time in one stage of the request path: decode, queue, forward, compose, encode.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
        )

    def _of_the_queue(self) -> None:
        self.ready = self._gauge("impasto_ready", "1 while /readyz answers 200, else 0.")
        self.requests_in_flight = self._gauge("impasto_requests_in_flight", "Admitted requests.")
        self.queue_jobs = self._gauge("impasto_queue_jobs", "Tasks that wait for a device.", ["model"])
        self.queue_pixels = self._gauge(
            "impasto_queue_pixels", "Input pixels that wait for a device. Scale on them.", ["model"]
        )
        self.batch_items = self._histogram(
            "impasto_batch_items", "Images in a forward pass.", buckets=(1, 2, 4, 8, 16, 32)
        )
        self.batch_pixels = self._histogram(
            "impasto_batch_pixels", "Input pixels in a forward pass.", buckets=_BATCH_PIXEL_BUCKETS
        )
        self.rejected = self._counter("impasto_rejected", "Refused requests, by error code.", ["reason"])
        self.cancelled = self._counter(
            "impasto_cancelled", "Tasks cancelled by `client_left` or `deadline`.", ["reason"]
        )
        self.forward_passes = self._counter("impasto_forward_passes", "Forward passes.")
        self.passes_beside = self._counter("impasto_passes_beside", "Forward passes of side workers.")
        self.out_of_memory = self._counter(
            "impasto_out_of_memory", "Forward passes that did not fit into memory and were halved."
        )
        self.queue_seconds = self._gauge("impasto_queue_predicted_seconds", "Predicted seconds of waiting work.")
        self.pixels = self._counter("impasto_pixels", "Pixels of completed requests.", ["model", "direction"])

    def _of_the_models(self) -> None:
        self.model_info = self._info("impasto_model", "The served checkpoints.", ["model"])
        self.model_load_duration = self._gauge(
            "impasto_model_load_duration_seconds", "Time to load and verify a model.", ["model"]
        )
        self.models_loaded = self._gauge("impasto_models_loaded", "Models whose weights are in memory.")
        self.blends_loaded = self._gauge("impasto_blends_loaded", "Mixed networks in memory, at most 32.")
        self.model_weights_bytes = self._gauge("impasto_model_weights_bytes", "Size of the loaded weights.")
        self.model_evictions = self._counter("impasto_model_evictions", "Models unloaded to save memory.")
        self.model_changes = self._counter(
            "impasto_model_changes", "Models added, removed or replaced since the start."
        )
        self.models_refused = self._gauge("impasto_models_refused", "Unusable checkpoint files.")
        self.model_in_openvino = self._gauge(
            "impasto_model_in_openvino", "1 if OpenVINO computes the style, 0 if torch does after all.", ["model"]
        )
        self.runtime_fallbacks = self._counter(
            "impasto_runtime_fallbacks",
            "Styles that torch computes because their `golden` output differs in OpenVINO, or because it `failed`.",
            ["reason"],
        )
        for reason in ("golden", "failed"):
            self.runtime_fallbacks.labels(reason)

    def _of_outputs(self) -> None:
        self.cache_requests = self._counter(
            "impasto_cache_requests", "Lookups in the cache of outputs: `hit` or `miss`.", ["outcome"]
        )
        self.cache_bytes = self._gauge("impasto_cache_bytes", "Size of the cached outputs.")
        self.not_modified = self._counter("impasto_not_modified", "304 responses.")
        self.styles_waiting = self._gauge(
            "impasto_styles_waiting", "Paintings that wait for the trainer or are being learned."
        )
        self.async_jobs = self._gauge("impasto_async_jobs", "Asynchronous jobs: `unfinished` or `finished`.", ["state"])
        self.async_jobs_finished = self._counter(
            "impasto_async_jobs_finished", "Asynchronous jobs that ended: `done`, `failed` or `cancelled`.", ["outcome"]
        )
        self.async_job_bytes = self._gauge(
            "impasto_async_job_bytes", "Size of the bodies and results of asynchronous jobs."
        )
        self._of_the_job_store()
        self.webhook_attempts = self._counter(
            "impasto_webhook_attempts", "Deliveries of webhooks: `delivered`, `retried` or `given_up`.", ["outcome"]
        )
        for outcome in ("delivered", "retried", "given_up"):
            self.webhook_attempts.labels(outcome)
        self.webhooks_waiting = self._gauge(
            "impasto_webhooks_waiting", "Webhooks that wait for delivery; with Redis, those of all replicas."
        )
        self.decoder_restarts = self._counter(
            "impasto_decoder_restarts",
            "Replaced decoders: `crash`, `timeout`, `killed` (from outside), `idle` (died without an image).",
            ["reason"],
        )
        for reason in ("crash", "timeout", "killed", "idle"):
            self.decoder_restarts.labels(reason)  # creates it at 0, so that an alert sees the first increase
        self.log_lines_lost = self._gauge(
            "impasto_log_lines_lost", "Log lines that could not be written since the start."
        )

    def _of_the_job_store(self) -> None:
        """The first two are those of the whole store in every replica; the others are those of this process."""
        self.async_jobs_waiting = self._gauge(
            "impasto_async_jobs_waiting", "With Redis: queued jobs of all replicas. Scale on them."
        )
        self.async_oldest_seconds = self._gauge(
            "impasto_async_oldest_seconds", "With Redis: how long the oldest queued job has waited."
        )
        self.async_claims = self._counter("impasto_async_claims", "With Redis: jobs started here.")
        self.async_leases_expired = self._counter(
            "impasto_async_leases_expired", "With Redis: leases of dead replicas ended here."
        )
        self.job_store_errors = self._counter("impasto_job_store_errors", "Failed calls to the job store.")

    def _of_access(self) -> None:
        self.keys = self._gauge("impasto_keys", "API keys in the key file, including expired ones.")
        self.key_reloads = self._counter(
            "impasto_key_reloads", "Changes of the key file: `taken` or `refused`.", ["outcome"]
        )
        for outcome in ("taken", "refused"):
            self.key_reloads.labels(outcome)
        self.quota_store_errors = self._counter("impasto_quota_store_errors", "Failed calls to the quota store.")
        self.connections = self._gauge("impasto_connections", "Open connections.")
        self.connections_refused = self._counter(
            "impasto_connections_refused",
            "Connections closed early: `overloaded`, `request_timeout`, `headers_too_large`, `bad_request` or "
            "`slow_reader`.",
            ["reason"],
        )
        self.device_memory = self._gauge("impasto_device_memory_bytes", "GPU memory that torch holds.", ["device"])

    def describe_models(
        self,
        versions: Mapping[str, str],
        load_seconds: Mapping[str, float],
        blends: int,
        weights_bytes: int,
        refused: int,
    ) -> None:
        """Set the metrics of models: versions and load times by key, and the numbers of mixed and refused ones."""
        for key in self._versions.keys() - versions.keys():
            self.model_info.remove(key)
            with suppress(KeyError):
                self.model_in_openvino.remove(key)
        for key, version in versions.items():
            self.model_info.labels(key).info({"version": version})
        for key, seconds in load_seconds.items():
            self.model_load_duration.labels(key).set(seconds)
        if self._versions:
            self.model_changes.inc(len({key for key, _ in self._versions.items() ^ versions.items()}))
        self._versions = dict(versions)
        self.models_loaded.set(len(load_seconds))
        self.blends_loaded.set(blends)
        self.model_weights_bytes.set(weights_bytes)
        self.models_refused.set(refused)
