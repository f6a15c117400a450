"""The service as a process: uvicorn, signals, exit codes, and the text at the start."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from service.app import create_app, create_probe_app
from service.cli.greeting import greeting
from service.cli.sockets import bind_all, let_reuse, refuse_public_without_keys
from service.engine.threads import reserve_threads
from service.http.connection_limits import protocol_of
from service.images.sandbox.pool import Decoder
from service.models.registry import Registry, registry_from_settings
from service.observability.tracing import tracer_of_environment
from service.settings import Settings

log = logging.getLogger(__name__)

_NOT_STARTED, _DEVICE_LOST = 3, 70


def serve(
    settings: Settings,
    sockets: tuple[list[socket.socket], list[socket.socket]],
    began: float | None = None,
    decoder: Decoder | None = None,
) -> None:
    """Load the checkpoints and serve until a signal.

    sockets: those of the service and of the probes. began: when the process was started, as monotonic time. decoder:
    one that was started. Raises StartupError if no checkpoint can be used.
    """
    log.debug("settings", extra={"settings": settings.model_dump(mode="json")})
    threads = reserve_threads()
    run(settings, registry_from_settings(settings), threads, sockets, began, decoder)


def run(
    settings: Settings,
    registry: Registry,
    threads: int | None = None,
    sockets: tuple[list[socket.socket], list[socket.socket]] | None = None,
    began: float | None = None,
    decoder: Decoder | None = None,
) -> None:
    """Serve `registry` until a signal. docs/operations.md lists the exit codes.

    sockets: those of the service and of the probes; None: they are bound here. Raises StartupError and PortTakenError.
    """
    if sockets is None:
        refuse_public_without_keys(settings)
        sockets = bind_all(settings)
    application = create_app(settings, registry, threads, tracer_of_environment(), decoder)
    server = Server(application, settings, registry, sockets[1], began)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn drains, then raises the signal again for the handler that was there before. It does nothing, so that
        # the exit code is 0.
        signal.signal(number, lambda *_: None)
    server.run(sockets[0])
    if not server.started:
        sys.exit(_NOT_STARTED)
    if application.state.engine.fatal is not None:
        typer.echo(f"impasto: the device is lost: {application.state.engine.fatal}", err=True)
        sys.exit(_DEVICE_LOST)


class Server(uvicorn.Server):
    """uvicorn that prints its address, becomes unready on the first signal, and ends when a device is lost.

    probe_sockets: sockets with their own connection limit that answer probes. began: start of the process, as monotonic
    time.
    """

    def __init__(
        self,
        application: FastAPI,
        settings: Settings,
        registry: Registry,
        probe_sockets: list[socket.socket] | None = None,
        began: float | None = None,
    ) -> None:
        super().__init__(_config(application, settings, settings.port))
        self._application, self._settings, self._registry = application, settings, registry
        self._probe_sockets, self._began = probe_sockets or [], time.monotonic() if began is None else began
        self._stopping: tuple[int, float] | None = None
        self._probe_state = ServerState()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and print the address."""
        await super().startup(sockets)
        let_reuse(sockets or [])
        if self.started and self._probe_sockets:
            await self._listen_for_probes()
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            seconds = time.monotonic() - self._began
            engine = self._application.state.engine
            typer.echo(greeting(self._settings.host, port, self._registry, engine, seconds))

    async def _listen_for_probes(self) -> None:
        port = self._probe_sockets[0].getsockname()[1]
        config = _config(create_probe_app(self._application), self._settings, port)
        config.load()
        made: Any = config.http_protocol_class
        protocol = partial(made, config=config, server_state=self._probe_state, app_state={})
        for each in self._probe_sockets:
            self.servers.append(await asyncio.get_running_loop().create_server(protocol, sock=each))
        log.info("probes", extra={"port": port})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and finish accepted requests."""
        for connection in list(self._probe_state.connections):
            connection.shutdown()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Become unready; stop when jobs are finished, or at once on the second signal."""
        state = self._application.state
        state.admission.close()
        if self._stopping is None and state.jobs.busy:  # jobs finish, and their results can be fetched
            self._stopping = sig, time.monotonic() + self._settings.drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        state = self._application.state
        if self._stopping is not None and not self.should_exit:
            sig, until = self._stopping
            if not state.jobs.busy or time.monotonic() > until:
                self.config.timeout_graceful_shutdown = max(1, math.ceil(until - time.monotonic()))
                super().handle_exit(sig, None)
        return await super().on_tick(counter) or state.engine.fatal is not None


def _config(application: FastAPI, settings: Settings, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=settings.host,
        port=port,
        http=protocol_of(settings, application.state.metrics),
        ws="none",
        h11_max_incomplete_event_size=settings.max_header_bytes,
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
