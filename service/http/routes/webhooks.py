"""The query parameters of webhooks, beside those of the image."""

from typing import Annotated, Literal, get_args

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from service.errors import ParameterError, shown
from service.http.routes.objects import ObjectParameters
from service.http.state import state_of
from service.jobs.record import Webhook
from service.pipeline.parameters import Parameters, StylizeParameters, UpscaleParameters

Event = Literal["done", "failed", "cancelled"]
_EVENTS: tuple[Event, ...] = get_args(Event)
_EXPECTED = f"{', '.join(_EVENTS)}, or several with commas"


def _parse_events(text: str) -> tuple[Event, ...]:
    named = [each.strip() for each in text.split(",")]
    if not set(named) <= set(_EVENTS):
        raise PydanticCustomError("unexpected_value", "{why}; expected {expected}", {"why": "", "expected": _EXPECTED})
    return tuple(event for event in _EVENTS if event in named)


def _check_events(text: str) -> str:
    _parse_events(text)
    return text


Events = Annotated[str, AfterValidator(_check_events)]
"""Text, because FastAPI takes a sequence for a parameter that may be repeated."""


class WebhookParameters(BaseModel):
    """Where the end of a job is announced."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: str | None = Field(
        None,
        description="With respond-async: a URL that receives a message (Standard Webhooks) when the job is over.",
    )
    webhook_events: Events | None = Field(
        None, description="The ends that are announced: done, failed, cancelled, with commas. Default: all."
    )


class StylizeQuery(WebhookParameters, ObjectParameters, StylizeParameters):
    """The query of POST /stylize."""


class UpscaleQuery(WebhookParameters, ObjectParameters, UpscaleParameters):
    """The query of POST /upscale."""


def parameters_of(query: StylizeQuery | UpscaleQuery) -> Parameters:
    """Return the parameters of the image alone: no others change the output."""
    kind = StylizeParameters if isinstance(query, StylizeQuery) else UpscaleParameters
    return kind.model_construct(**{name: getattr(query, name) for name in kind.model_fields})


async def webhook_of(request: Request, query: WebhookParameters, respond_async: bool) -> Webhook | None:
    """Return the webhook of a request. Raises ParameterError."""
    given = "webhook" if query.webhook is not None else "webhook_events" if query.webhook_events is not None else None
    if given is None:
        return None
    if query.webhook is None:
        raise _refused(given, "webhook is missing", "webhook, too")
    if not respond_async:
        raise _refused(given, "the response has the output", "Prefer: respond-async")
    webhooks = state_of(request).webhooks
    if webhooks is None:
        raise _refused(given, "this service sends no webhooks", "none, unless IMPASTO_WEBHOOK_HOSTS is set")
    events = _EVENTS if query.webhook_events is None else _parse_events(query.webhook_events)
    return await webhooks.accept(query.webhook, events)


def _refused(name: str, why: str, expected: str) -> ParameterError:
    detail = f"query parameter {shown(name)!r}: {why}; expected {expected}"
    return ParameterError(detail, parameter=name, expected=expected)
