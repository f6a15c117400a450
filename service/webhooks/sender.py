"""One attempt: a message as JSON, signed, posted to a checked address."""

import asyncio
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from service import __version__
from service.errors import ParameterError
from service.images.formats import MEDIA_TYPES
from service.jobs.record import Delivery
from service.webhooks.addresses import AddressError, Resolver
from service.webhooks.signature import Signer
from service.webhooks.target import Targets

_LOOK_UP_SECONDS = 5.0
_LONGEST_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True)
class Response:
    """What came back. status: None if nothing did; then error says why. retry_after: seconds that it asks for."""

    status: int | None
    error: str = ""
    retry_after: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether the receiver has the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more messages (410), or is not allowed any more."""
        return self.status == 410 or self.error == _NOT_ALLOWED


_NOT_ALLOWED = "its host is not allowed any more"


class Sender:
    """Posts messages. It follows no redirect, uses no proxy, and reads no body."""

    def __init__(self, targets: Targets, resolver: Resolver, signer: Signer, seconds: float) -> None:
        """seconds: time limit for one attempt."""
        self._targets, self._resolver, self._signer, self._seconds = targets, resolver, signer, seconds
        self._client = httpx.AsyncClient(
            verify=_trust(),
            timeout=None,  # noqa: S113  # that of `send` is for all together
            trust_env=False,
            # No connection is used again: another name with the same address has another certificate.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def send(self, delivery: Delivery) -> Response:
        """Post a message once."""
        try:
            url = self._targets.parse(delivery.webhook.url)
        except ParameterError:
            return Response(None, _NOT_ALLOWED)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(url, delivery)
        except AddressError as error:
            return Response(None, str(error))
        except TimeoutError:
            return Response(None, f"no response within {self._seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            return Response(None, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, url: httpx.URL, delivery: Delivery) -> Response:
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._resolver.resolve(url.host, port, min(_LOOK_UP_SECONDS, self._seconds))
        body = json.dumps(message_of(delivery), separators=(",", ":"))
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"impasto/{__version__}",
            **self._signer.headers(f"{delivery.identity}.{delivery.event}", delivery.owner, body),
        }
        named = {"sni_hostname": url.raw_host.decode("ascii")}
        for address in addresses:
            to = url.copy_with(host=address)
            request = self._client.build_request("POST", to, headers=headers, content=body.encode(), extensions=named)
            try:
                response = await self._client.send(request, stream=True)
            except httpx.ConnectError:
                if address == addresses[-1]:
                    raise
            else:
                await response.aclose()
                return _read(response)
        raise AssertionError("a name has an address")


def message_of(delivery: Delivery) -> dict[str, Any]:
    """Return the body of a message. It is the same at each attempt."""
    outcome = delivery.outcome
    data: dict[str, Any] = {"id": delivery.identity, "state": delivery.event}
    data["request_id"] = delivery.facts["request_id"]
    if delivery.event == "done":
        data |= {"bytes": delivery.result_bytes, "media_type": MEDIA_TYPES[outcome["format"]]}
        if "written" in outcome:
            data["output"] = outcome["written"]["url"]
    if delivery.event == "failed":
        data["problem"] = {"code": outcome["code"], "detail": outcome["detail"]}
    ended = datetime.fromtimestamp(delivery.ended_at, UTC).isoformat(timespec="milliseconds")
    return {"type": f"job.{delivery.event}", "timestamp": ended.replace("+00:00", "Z"), "data": data}


def _read(response: httpx.Response) -> Response:
    status = response.status_code
    if 300 <= status < 400:
        return Response(status, f"{status}: redirects are not followed")
    after = response.headers.get("retry-after", "")
    seconds = float(after) if after.isascii() and after.isdecimal() and len(after) < 10 else 0.0
    return Response(status, "" if status < 300 else f"status {status}", min(seconds, _LONGEST_RETRY_AFTER_SECONDS))


def _trust() -> ssl.SSLContext:
    """Trust the authorities of certifi, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpx.create_ssl_context(trust_env=True)
