"""A service as a process: settings and logs at its start, signals and exit codes at its end."""

import asyncio
import faulthandler
import ipaddress
import logging
import math
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from service.app import create_app, create_probe_app
from service.engine.threads import reserve_threads
from service.errors import StartupError
from service.http.connection_limits import protocol_of
from service.memory import few_arenas
from service.models.registry import Registry, registry_from_settings
from service.observability.logs import configure_logs, flush_logs
from service.observability.tracing import tracer_of_environment
from service.settings import PREFIX, Settings, read_settings

log = logging.getLogger(__name__)

_DEVICE_LOST = 70


def serve_or_exit(**overrides: object) -> None:
    """Serve until SIGTERM or SIGINT; a wrong setting or no usable checkpoint is one line and exit code 2."""
    try:
        few_arenas()
        settings = read_settings(**overrides)
        faulthandler.enable()  # a crash says where it was, in every thread
        configure_logs(settings.log_level, settings.log_format)
        log.info("settings", extra={"settings": settings.model_dump(mode="json")})
        threads = reserve_threads()
        run(settings, registry_from_settings(settings), threads)
    except StartupError as error:
        flush_logs()  # the reason is the last line
        typer.echo(f"impasto: {error}", err=True)
        sys.exit(2)


def run(settings: Settings, registry: Registry, threads: int | None = None) -> None:
    """Serve `registry` until a signal; exit codes as docs/operations.md has them. Raises StartupError."""
    refuse_open_door(settings)
    application = create_app(settings, registry, threads, tracer_of_environment())
    server = Server(application, settings, registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn drains, then raises the signal again for whoever listened before: nobody, so that the exit code is 0.
        signal.signal(number, lambda *_: None)
    server.run()
    if not server.started:
        sys.exit(3)
    if application.state.engine.fatal is not None:
        typer.echo(f"impasto: the device is lost: {application.state.engine.fatal}", err=True)
        sys.exit(_DEVICE_LOST)


def refuse_open_door(settings: Settings) -> None:
    """Raise StartupError for an address that others can reach where nobody is asked for a key, unless that is meant."""
    if settings.keys_file is not None or settings.allow_anonymous or is_loopback(settings.host):
        return
    raise StartupError(
        f"{PREFIX}HOST={settings.host}: whoever reaches this address could have pictures computed; expected keys in "
        f"{PREFIX}KEYS_FILE (`impasto keys new NAME` makes one), or {PREFIX}ALLOW_ANONYMOUS=true to serve without"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than localhost is not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server(uvicorn.Server):
    """uvicorn, which says where it listens, is unready from the first signal on, and ends when a device is lost.

    With a probe port it listens there too, with connections and tasks of its own.
    """

    def __init__(self, application: FastAPI, settings: Settings, registry: Registry) -> None:
        super().__init__(_config(application, settings, settings.port))
        self._application, self._settings, self._registry = application, settings, registry
        self._stopping: tuple[int, float] | None = None
        self._probe_state = ServerState()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started and self._settings.probe_port is not None:
            await self._listen_for_probes(self._settings.probe_port)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            typer.echo(greeting(self._settings.host, port, self._registry))

    async def _listen_for_probes(self, port: int) -> None:
        config = _config(create_probe_app(self._application), self._settings, port)
        config.load()
        made: Any = config.http_protocol_class
        protocol = partial(made, config=config, server_state=self._probe_state, app_state={})
        try:
            server = await asyncio.get_running_loop().create_server(protocol, self._settings.host, port)
        except OSError as error:
            log.error("%sPROBE_PORT=%s: %s", PREFIX, port, error)  # as uvicorn says it of the other
            self.started = False
            await self.shutdown()
            sys.exit(3)
        self.servers.append(server)
        log.info("probes", extra={"port": server.sockets[0].getsockname()[1]})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, and finish."""
        for connection in list(self._probe_state.connections):
            connection.shutdown()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Be unready; stop at once, or when jobs are finished."""
        state = self._application.state
        state.admission.close()
        if self._stopping is None and state.jobs.busy:  # jobs are finished, and their answers can be fetched
            self._stopping = sig, time.monotonic() + self._settings.drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to stop."""
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


def greeting(host: str, port: int, registry: Registry) -> str:
    """The address, and a curl line for each endpoint that has a model."""
    address = f"http://{'localhost' if host in {'0.0.0.0', '127.0.0.1', '::'} else host}:{port}"  # noqa: S104
    lines = [f"Impasto listens on {address} (docs: {address}/docs)"]
    bundled = Path("docs/images/photographs/coffee.jpg")
    photograph = bundled if bundled.exists() else "photo.jpg"
    queries = [f"stylize?style={style}' -o out.jpg" for style in registry.names("stylize")[:1]]
    factors = registry.factors()
    middle = factors[len(factors) // 2 :][:1]  # the largest would make a poster of it
    queries += [f"upscale?factor={factor}' -o large.jpg" for factor in middle]
    return "\n".join([*lines, *(f"  curl -F image=@{photograph} '{address}/{query}" for query in queries)])
