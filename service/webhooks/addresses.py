"""Names to IP addresses, none of which is private: a webhook must not reach what only this machine can reach."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_THREADS = 8
_TRANSLATED = ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway translates to the IPv4 address in their last 32 bits."""


class AddressError(Exception):
    """A name cannot be used. refused: it has an address that is not allowed; otherwise it was not found."""

    def __init__(self, message: str, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks with commas between them. Raises ValueError."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public Internet, and so is the IPv4 address that it contains."""
    if address in _TRANSLATED:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address):
        return True
    teredo = address.teredo
    inside = address.sixtofour or (teredo[1] if teredo else None)
    return not (address.is_site_local or address.ipv4_mapped) and (inside is None or is_public(inside))


class Resolver:
    """Looks up names, in threads of its own: a slow name server delays nothing else."""

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        """allowed: networks whose addresses need not be public."""
        self._allowed = allowed
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="names")

    async def resolve(self, host: str, port: int, seconds: float) -> list[str]:
        """Return the addresses to connect to. Raises AddressError, also if only one of several is not allowed."""
        look_up = asyncio.get_running_loop().run_in_executor(self._pool, _look_up, host, port)
        try:
            async with asyncio.timeout(seconds):
                found = await look_up
        except (OSError, UnicodeError, TimeoutError) as error:
            raise AddressError(f"the name {host} was not found", refused=False) from error
        for address in found:
            if not self._permits(address):
                raise AddressError(f"{host} is the address {address}, which is not public", refused=True)
        return [str(address) for address in dict.fromkeys(found)]

    def _permits(self, address: Address) -> bool:
        plain = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
        return is_public(address) or any(plain in network for network in self._allowed)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(where[0])) for *_, where in found]
