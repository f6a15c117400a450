"""The engine of the service in this process, without HTTP. Outputs equal those of the service."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from service.app import create_app
from service.cli.backends import Operation, Output, concerns_every_picture
from service.cli.refused import RefusedError
from service.engine.device import choose_devices
from service.engine.threads import reserve_threads, use_threads
from service.errors import OverloadedError, ServiceError, UnavailableError
from service.models.registry import Registry, registry_from_settings
from service.pipeline.parameters import StylizeParameters, UpscaleParameters, parse_parameters
from service.pipeline.pipeline import Pipeline
from service.pipeline.request import TransformRequest
from service.settings import Settings, read_settings

_OWN_PICTURES: dict[str, Any] = {
    "max_pixels": 89_000_000,
    "max_output_pixels": 400_000_000,
    "max_pixels_in_flight": 2_000_000_000,
    "decoder": "thread",
    "trainer": "external",
}
"""Default limits. They are higher than those of a service, because the images belong to the user. No trainer starts."""

_FULL_SECONDS = 0.1


class LocalBackend:
    """Runs images through the stages of the service."""

    def __init__(self, pipeline: Pipeline, asked: TransformRequest) -> None:
        self._pipeline, self._asked = pipeline, asked

    async def process(self, data: bytes) -> Output:
        """Transform an image as the service does. Waits while the images in flight use up the permitted memory."""
        while True:
            try:
                answer = await self._pipeline.transform(self._asked, data)
                break
            except OverloadedError:
                await asyncio.sleep(_FULL_SECONDS)
            except ServiceError as error:
                raise refusal_of(error) from error
            except Exception as error:  # as over HTTP, an unexpected error affects this image only
                detail = f"an unexpected error: {type(error).__name__}: {error}"
                raise RefusedError("internal", detail) from error
        return Output(answer.body, answer.format, answer.model_names, answer.exact, answer.milliseconds)


def local_settings(
    checkpoints: Path | None = None, device: str | None = None, precision: str | None = None, **others: Any
) -> Settings:
    """Return the settings of the environment with these options and higher limits. Raises StartupError.

    others: settings by their names; they go before the environment.
    """
    given = {"loading": "lazy", **others, "checkpoints": checkpoints, "device": device, "precision": precision}
    options = {name: value for name, value in given.items() if value is not None}
    in_environment = read_settings(**options).model_fields_set
    limits = {name: value for name, value in _OWN_PICTURES.items() if name not in in_environment}
    settings = read_settings(**options, **limits)
    if "max_batch_items" in in_environment or choose_devices(settings.device)[0].type != "cpu":
        return settings
    return settings.model_copy(update={"max_batch_items": 1})  # measuring the gain of a batch takes seconds


@asynccontextmanager
async def engine(settings: Settings) -> AsyncIterator[FastAPI]:
    """Yield the parts of a service, started, without a server. Raises StartupError."""
    logging.getLogger("service").setLevel(logging.CRITICAL)  # `impasto models` reports refused files
    threads = reserve_threads()
    try:
        app = create_app(settings, registry_from_settings(settings), threads)
        async with app.router.lifespan_context(app):
            yield app
    finally:
        use_threads(threads)  # for other work in this process


@asynccontextmanager
async def local_backend(settings: Settings, operation: Operation) -> AsyncIterator[LocalBackend]:
    """Yield a backend for the operation. Raises StartupError, and RefusedError for an unknown model."""
    try:
        asked = asked_of(operation)
        async with engine(settings) as app:
            pipeline: Pipeline = app.state.pipeline
            pipeline.check(asked)
            yield LocalBackend(pipeline, asked)
    except ServiceError as error:
        raise refusal_of(error) from error


def asked_of(operation: Operation) -> TransformRequest:
    """Convert the operation to a request. Raises ParameterError."""
    if operation.task == "upscale":
        given = {"factor": operation.what, **operation.parameters}
        return TransformRequest(parse_parameters(UpscaleParameters, given))
    return TransformRequest(parse_parameters(StylizeParameters, {"style": operation.what, **operation.parameters}))


def refusal_of(error: ServiceError) -> RefusedError:
    """Convert an error of the engine."""
    everywhere = isinstance(error, UnavailableError) or concerns_every_picture(error.code, error.facts.get("parameter"))
    return RefusedError(error.code, error.detail, everywhere)


def registry_in(settings: Settings) -> Registry:
    """Return a registry that has read the cards only. Raises StartupError."""
    logging.getLogger("service").setLevel(logging.CRITICAL)
    return registry_from_settings(settings)
