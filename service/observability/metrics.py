"""Every metric of the service, on a given registry. No label value comes from a client."""

from collections.abc import Mapping
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
        self._of_answers()
        self._of_the_edges()
        ProcessCollector(namespace="impasto", registry=registry)  # memory, CPU seconds, start time
        self.build_info = self._info("impasto_build", "Version, device and precision of this process.")
        self._versions: dict[str, str] = {}

    def _of_requests(self) -> None:
        self.http_requests = self._counter("impasto_http_requests", "Answered requests.", ["route", "method", "code"])
        self.http_request_duration = self._histogram(
            "impasto_http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
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
        self.requests_in_flight = self._gauge("impasto_requests_in_flight", "Requests that hold a permit.")
        self.queue_jobs = self._gauge("impasto_queue_jobs", "Jobs that wait for the device.", ["model"])
        self.queue_pixels = self._gauge("impasto_queue_pixels", "Input pixels that wait for the device.", ["model"])
        self.batch_items = self._histogram(
            "impasto_batch_items", "Pictures in a forward pass.", buckets=(1, 2, 4, 8, 16, 32)
        )
        self.batch_pixels = self._histogram(
            "impasto_batch_pixels", "Input pixels in a forward pass.", buckets=_BATCH_PIXEL_BUCKETS
        )
        self.rejected = self._counter("impasto_rejected", "Requests refused, by error code.", ["reason"])
        self.cancelled = self._counter("impasto_cancelled", "Jobs that left the queue without an answer.", ["reason"])
        self.forward_passes = self._counter("impasto_forward_passes", "Passes through a network.")
        self.passes_beside = self._counter("impasto_passes_beside", "Passes on one thread, beside another's.")
        self.out_of_memory = self._counter("impasto_out_of_memory", "Passes that did not fit and were halved.")
        self.queue_seconds = self._gauge(
            "impasto_queue_predicted_seconds", "What the devices have to do, as predicted."
        )
        self.pixels = self._counter("impasto_pixels", "Pixels of answered requests.", ["model", "direction"])

    def _of_the_models(self) -> None:
        self.model_info = self._info("impasto_model", "The served checkpoints.", ["model"])
        self.model_load_duration = self._gauge(
            "impasto_model_load_duration_seconds", "Time to read and verify.", ["model"]
        )
        self.models_loaded = self._gauge("impasto_models_loaded", "Models whose weights are in memory.")
        self.blends_loaded = self._gauge("impasto_blends_loaded", "Networks in memory that were blended from others.")
        self.model_weights_bytes = self._gauge("impasto_model_weights_bytes", "Bytes of the loaded models' weights.")
        self.model_evictions = self._counter("impasto_model_evictions", "Models unloaded for want of memory.")
        self.model_changes = self._counter(
            "impasto_model_changes", "Models that came, went or were swapped while serving."
        )
        self.models_refused = self._gauge("impasto_models_refused", "Checkpoint files that could not be used.")

    def _of_answers(self) -> None:
        self.cache_requests = self._counter(
            "impasto_cache_requests", "Pictures looked for in the cache of answers.", ["outcome"]
        )
        self.cache_bytes = self._gauge("impasto_cache_bytes", "Bytes of the answers that are kept.")
        self.not_modified = self._counter("impasto_not_modified", "Answers that the client had already: 304.")
        self.async_jobs = self._gauge(
            "impasto_async_jobs", "Jobs of clients that fetch their answers later.", ["state"]
        )
        self.async_jobs_finished = self._counter("impasto_async_jobs_finished", "Such jobs that are over.", ["outcome"])
        self.async_job_bytes = self._gauge("impasto_async_job_bytes", "Bytes of their bodies and answers.")
        self.decoder_restarts = self._counter(
            "impasto_decoder_restarts", "Decoder processes that were replaced.", ["reason"]
        )
        for reason in ("crash", "timeout", "killed", "idle"):
            self.decoder_restarts.labels(reason)  # at 0 from the start: an increase from nothing sets off no alert
        self.log_lines_lost = self._gauge(
            "impasto_log_lines_lost", "Log lines since the start that could not be written."
        )

    def _of_the_edges(self) -> None:
        self.keys = self._gauge("impasto_keys", "API keys in force, expired ones included.")
        self.key_reloads = self._counter("impasto_key_reloads", "Changed key files that were read.", ["outcome"])
        for outcome in ("taken", "refused"):
            self.key_reloads.labels(outcome)
        self.quota_store_errors = self._counter(
            "impasto_quota_store_errors", "Questions that the store of quotas did not answer."
        )
        self.connections = self._gauge("impasto_connections", "Open connections.")
        self.connections_refused = self._counter(
            "impasto_connections_refused", "Connections closed by the limits.", ["reason"]
        )
        self.device_memory = self._gauge("impasto_device_memory_bytes", "Memory that a GPU's tensors take.", ["device"])

    def describe_models(
        self,
        versions: Mapping[str, str],
        load_seconds: Mapping[str, float],
        blends: int,
        weights_bytes: int,
        refused: int,
    ) -> None:
        """What is on offer (version by key), which of it is loaded (seconds it took, by key), and what is refused."""
        for key in self._versions.keys() - versions.keys():
            self.model_info.remove(key)
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
