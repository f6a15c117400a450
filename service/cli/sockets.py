"""The addresses that the service listens on, bound before anything slow is loaded."""

import errno
import ipaddress
import socket

from service.errors import StartupError
from service.settings import PREFIX, Settings


class PortTakenError(Exception):
    """Another process uses the port."""


def bind(host: str, port: int, variable: str = "PORT") -> list[socket.socket]:
    """Bind a socket to every address of `host`. They do not listen yet: until then, clients are refused.

    port: 0 takes a free one. variable: the setting that names the port. Raises PortTakenError, and StartupError for a
    host or port that cannot be bound.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"{PREFIX}HOST={host}: no address is known for this name ({error.strerror})") from error
    bound: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            # With port 0, every address gets the port that the first one was given.
            wanted = bound[0].getsockname()[1] if bound else port
            bound.append(_bound(family, kind, protocol, (address[0], wanted, *address[2:])))
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT or (bound and error.errno == errno.EADDRNOTAVAIL):
                continue  # a machine without IPv6 may still have an address for localhost in it
            _close(bound)
            raise _reason(error, host, port, variable) from error
    if not bound:
        raise StartupError(f"{PREFIX}HOST={host}: this machine has no such address")
    return bound


def bind_all(settings: Settings) -> tuple[list[socket.socket], list[socket.socket]]:
    """Bind the service's port and, where there is one, that of the probes. Raises what `bind` does."""
    main = bind(settings.host, settings.port)
    if settings.probe_port is None:
        return main, []
    try:
        return main, bind(settings.host, settings.probe_port, "PROBE_PORT")
    except Exception:
        _close(main)
        raise


def refuse_public_without_keys(settings: Settings) -> None:
    """Raise StartupError for a public address without keys, unless anonymous clients were allowed explicitly."""
    if settings.keys_file is not None or settings.allow_anonymous or is_loopback(settings.host):
        return
    raise StartupError(
        f"{PREFIX}HOST={settings.host}: everyone who reaches this address could use the service; expected keys in "
        f"{PREFIX}KEYS_FILE (`impasto keys new NAME` makes one), or {PREFIX}ALLOW_ANONYMOUS=true to serve without keys"
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host. A name other than localhost is not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def let_reuse(sockets: list[socket.socket]) -> None:
    """Let the next process bind these addresses while connections of this one are still in TIME_WAIT.

    Called once the sockets listen: of two sockets with this option that do not listen yet, both may be bound to a port.
    """
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _bound(family: int, kind: int, protocol: int, address: tuple[str | int, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            let_reuse([made])  # then the connections of a process that has ended are no obstacle
            made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _reason(error: OSError, host: str, port: int, variable: str) -> Exception:
    if error.errno == errno.EADDRINUSE:
        if variable != "PORT":
            return PortTakenError(f"{PREFIX}{variable}={port}: this port is taken; choose another one")
        return PortTakenError(
            f"port {port} is taken: PORT={_other(port)} make serve, or impasto serve --port {_other(port)}"
        )
    if error.errno == errno.EACCES:
        return StartupError(f"{PREFIX}{variable}={port}: only root may listen on this port; expected one above 1023")
    return StartupError(f"{PREFIX}HOST={host}, {PREFIX}{variable}={port}: cannot be listened on: {error.strerror}")


def _other(port: int) -> int:
    return 9000 if port != 9000 else 9001


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
