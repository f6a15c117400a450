"""Requests, results and errors in the form in which a store keeps them: JSON and bytes."""

import time
from collections.abc import Iterator
from typing import Any

from service.errors import InternalError, ServiceError
from service.jobs.record import Delivery, Facts, JobRecord, JobSpec, Outcome, State
from service.pipeline.job_store import JobRequest, may_pass
from service.pipeline.parameters import Parameters, StylizeParameters, UpscaleParameters, parse_parameters
from service.pipeline.request import TransformRequest, TransformResult
from service.storage.location import StoredObject, parse_location

_MODELS: dict[str, type[Parameters]] = {"stylize": StylizeParameters, "upscale": UpscaleParameters}


def spec_of(request: JobRequest, data: bytes, cost_seconds: float) -> JobSpec:
    """Return what the store keeps of a request. The deadline is kept on the system clock, which replicas share."""
    wanted = request.wanted
    (kind,) = (name for name, model in _MODELS.items() if isinstance(wanted.parameters, model))
    expires = None if wanted.expires is None else time.time() + wanted.expires - time.monotonic()
    facts = {
        "query": dict(request.query),
        "accept": wanted.accept,
        "expires": expires,
        "filename": request.filename,
        "label": request.label,
        "request_id": request.request_id,
        "output": None if wanted.output is None else str(wanted.output),
    }
    return JobSpec(
        kind, data, facts, cost_seconds, request.owner, request.key or "", request.fingerprint, request.webhook
    )


def request_of(job: JobRecord) -> TransformRequest:
    """Return the request of a job. Raises ParameterError if another version of the service accepted it."""
    facts, expires = job.facts, job.facts["expires"]
    return TransformRequest(
        parse_parameters(_MODELS[job.kind], facts["query"]),
        accept=facts["accept"],
        expires=None if expires is None else time.monotonic() + expires - time.time(),
        may_wait=True,
        owner=job.owner,
        output=parse_location(output) if (output := facts.get("output")) is not None else None,
    )


def delivery_of(
    identity: str, request: JobRequest, state: State, result: TransformResult | None, error: ServiceError | None
) -> Delivery | None:
    """Return the message that a job is over now; None if it has no webhook, or one that does not want it."""
    webhook = request.webhook
    if webhook is None or state not in webhook.events:
        return None
    facts = {"request_id": request.request_id}
    outcome: Facts = outcome_of(result).facts if result is not None else error_facts(error) if error is not None else {}
    size = result.size_bytes if result is not None else 0
    return Delivery(identity, request.owner, webhook, state, time.time(), facts, outcome, size)


def outcome_of(result: TransformResult) -> Outcome:
    """Return what the store keeps of a result."""
    facts: dict[str, Any] = {
        "format": result.format,
        "exact": result.exact,
        "sources": result.sources,
        "declared": dict(result.declared),
        "etag": result.etag,
        "milliseconds": result.milliseconds,
        "cached": result.cached,
    }
    if (stored := result.written) is None:
        return Outcome("done", facts, result.body)
    facts["written"] = {"url": str(stored.location), "bytes": stored.size_bytes, "etag": stored.etag}
    return Outcome("done", facts, result_bytes=stored.size_bytes)


def written_of(facts: Facts) -> StoredObject | None:
    """Return the object that the output of a job went to."""
    if (written := facts.get("written")) is None:
        return None
    return StoredObject(parse_location(written["url"]), written["bytes"], written["etag"])


def result_of(facts: Facts, body: bytes) -> TransformResult:
    """Return the result that the store has kept."""
    sources = tuple((name, share) for name, share in facts["sources"])
    return TransformResult(body, **{**facts, "sources": sources, "written": written_of(facts)})


def failure_of(error: ServiceError) -> Outcome:
    """Return what the store keeps of an error."""
    return Outcome("failed", error_facts(error), may_pass=may_pass(error))


def error_facts(error: ServiceError) -> dict[str, Any]:
    """Return an error as JSON."""
    return {"code": error.code, "detail": error.detail, "headers": error.headers, "facts": error.facts}


def error_of(facts: Facts) -> ServiceError:
    """Return the error that the store has kept."""
    kinds = {kind.code: kind for kind in _kinds(ServiceError)}
    return kinds.get(facts["code"], InternalError)(facts["detail"], facts["headers"], **facts["facts"])


def _kinds(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _kinds(kind)
