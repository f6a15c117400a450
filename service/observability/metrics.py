"""Every metric of the service, on a given registry. No label value comes from a client."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_PIXEL_BUCKETS = tuple(4**i for i in range(6, 14))


class Metrics:
    """Prometheus metrics, prefix `impasto_`, base units."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._of_requests(registry)
        self._of_the_queue(registry)
        self._of_the_models(registry)
        self._of_answers(registry)
        self._of_the_edges(registry)
        ProcessCollector(namespace="impasto", registry=registry)  # memory, CPU seconds, start time
        self.build_info = Info("impasto_build", "Version, device and precision of this process.", registry=registry)
        self._versions: dict[str, str] = {}

    def _of_requests(self, registry: CollectorRegistry) -> None:
        self.http_requests = Counter(
            "impasto_http_requests", "Answered requests.", ["route", "method", "code"], registry=registry
        )
        self.http_request_duration = Histogram(
            "impasto_http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.stage_duration = Histogram(
            "impasto_stage_duration_seconds",
            "Time in one stage of the request path: decode, queue, forward, compose, encode.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )

    def _of_the_queue(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge("impasto_ready", "1 while /readyz answers 200, else 0.", registry=registry)
        self.requests_in_flight = Gauge("impasto_requests_in_flight", "Requests that hold a permit.", registry=registry)
        self.queue_jobs = Gauge("impasto_queue_jobs", "Jobs that wait for the device.", ["model"], registry=registry)
        self.queue_pixels = Gauge(
            "impasto_queue_pixels", "Input pixels that wait for the device.", ["model"], registry=registry
        )
        self.batch_items = Histogram(
            "impasto_batch_items", "Pictures in a forward pass.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.batch_pixels = Histogram(
            "impasto_batch_pixels", "Input pixels in a forward pass.", buckets=_BATCH_PIXEL_BUCKETS, registry=registry
        )
        self.rejected = Counter("impasto_rejected", "Requests refused, by error code.", ["reason"], registry=registry)
        self.cancelled = Counter(
            "impasto_cancelled", "Jobs that left the queue without an answer.", ["reason"], registry=registry
        )
        self.forward_passes = Counter("impasto_forward_passes", "Passes through a network.", registry=registry)
        self.passes_beside = Counter(
            "impasto_passes_beside", "Passes on one thread, beside another's.", registry=registry
        )
        self.out_of_memory = Counter(
            "impasto_out_of_memory", "Passes that did not fit and were halved.", registry=registry
        )
        self.queue_seconds = Gauge(
            "impasto_queue_predicted_seconds", "What the devices have to do, as predicted.", registry=registry
        )
        self.pixels = Counter(
            "impasto_pixels", "Pixels of answered requests.", ["model", "direction"], registry=registry
        )

    def _of_the_models(self, registry: CollectorRegistry) -> None:
        self.model_info = Info("impasto_model", "The served checkpoints.", ["model"], registry=registry)
        self.model_load_duration = Gauge(
            "impasto_model_load_duration_seconds", "Time to read and verify.", ["model"], registry=registry
        )
        self.models_loaded = Gauge("impasto_models_loaded", "Models whose weights are in memory.", registry=registry)
        self.blends_loaded = Gauge(
            "impasto_blends_loaded", "Networks in memory that were blended from others.", registry=registry
        )
        self.model_weights_bytes = Gauge(
            "impasto_model_weights_bytes", "Bytes of the loaded models' weights.", registry=registry
        )
        self.model_evictions = Counter(
            "impasto_model_evictions", "Models unloaded for want of memory.", registry=registry
        )
        self.model_changes = Counter(
            "impasto_model_changes", "Models that came, went or were swapped while serving.", registry=registry
        )
        self.models_refused = Gauge(
            "impasto_models_refused", "Checkpoint files that could not be used.", registry=registry
        )

    def _of_answers(self, registry: CollectorRegistry) -> None:
        self.cache_requests = Counter(
            "impasto_cache_requests", "Pictures looked for in the cache of answers.", ["outcome"], registry=registry
        )
        self.cache_bytes = Gauge("impasto_cache_bytes", "Bytes of the answers that are kept.", registry=registry)
        self.not_modified = Counter(
            "impasto_not_modified", "Answers that the client had already: 304.", registry=registry
        )
        self.styles_waiting = Gauge(
            "impasto_styles_waiting", "Paintings that wait for a trainer, or are learned now.", registry=registry
        )
        self.async_jobs = Gauge(
            "impasto_async_jobs", "Jobs of clients that fetch their answers later.", ["state"], registry=registry
        )
        self.async_jobs_finished = Counter(
            "impasto_async_jobs_finished", "Such jobs that are over.", ["outcome"], registry=registry
        )
        self.async_job_bytes = Gauge("impasto_async_job_bytes", "Bytes of their bodies and answers.", registry=registry)
        self.decoder_restarts = Counter(
            "impasto_decoder_restarts", "Decoder processes that were replaced.", ["reason"], registry=registry
        )
        for reason in ("crash", "timeout", "killed", "idle"):
            self.decoder_restarts.labels(reason)  # at 0 from the start: an increase from nothing sets off no alert
        self.log_lines_lost = Gauge(
            "impasto_log_lines_lost", "Log lines since the start that could not be written.", registry=registry
        )

    def _of_the_edges(self, registry: CollectorRegistry) -> None:
        self.keys = Gauge("impasto_keys", "API keys in force, expired ones included.", registry=registry)
        self.key_reloads = Counter(
            "impasto_key_reloads", "Changed key files that were read.", ["outcome"], registry=registry
        )
        for outcome in ("taken", "refused"):
            self.key_reloads.labels(outcome)
        self.quota_store_errors = Counter(
            "impasto_quota_store_errors", "Questions that the store of quotas did not answer.", registry=registry
        )
        self.connections = Gauge("impasto_connections", "Open connections.", registry=registry)
        self.connections_refused = Counter(
            "impasto_connections_refused", "Connections closed by the limits.", ["reason"], registry=registry
        )
        self.device_memory = Gauge(
            "impasto_device_memory_bytes", "Memory that a GPU's tensors take.", ["device"], registry=registry
        )

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
