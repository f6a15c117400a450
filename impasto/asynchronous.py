"""The asynchronous client."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx

from impasto.address import DEFAULT_TIMEOUT_SECONDS, base_of, headers_of, is_ready
from impasto.errors import ImpastoError
from impasto.exchange import Received, Send, deadline_passed, exchange_of
from impasto.learning import POLL_SECONDS, LearnedStyle, forget_request, learn_request, style_request
from impasto.many import CONCURRENCY, Outcome, refuse_concurrency
from impasto.parameters import Factor, Style, StylizeParameters, UpscaleParameters, stylize_query, upscale_query
from impasto.pictures import Source, content_of, has_pixels, same_kind
from impasto.requests import Request, picture
from impasto.results import Models, Painting, json_of
from impasto.retries import Retries

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from impasto.pictures import Pixels

Given = TypeVar("Given", bound="Source | Pixels")
Kind = TypeVar("Kind", "Image", "NDArray[Any]")


class AsyncClient:
    """Calls an Impasto service from an event loop. Close it, or use it in an `async with`. See Client.

    Cancelling a call closes its connection, and the service stops the work.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        deadline: float | None = None,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.url = base_of(url)
        self.timeout, self.deadline, self.retries = timeout, deadline, retries or Retries()
        self._headers, self._owned = headers_of(headers, api_key), http is None
        self._http = http or httpx.AsyncClient(limits=httpx.Limits(max_connections=None))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owned:
            await self._http.aclose()

    @overload
    async def stylize(
        self, picture: Source, style: Style, *, deadline: float | None = None, **parameters: Unpack[StylizeParameters]
    ) -> Painting: ...
    @overload
    async def stylize(
        self, picture: Kind, style: Style, *, deadline: float | None = None, **parameters: Unpack[StylizeParameters]
    ) -> Kind: ...
    async def stylize(
        self,
        picture: "Source | Pixels",
        style: Style,
        *,
        deadline: float | None = None,
        **parameters: Unpack[StylizeParameters],
    ) -> "Painting | Pixels":
        """Transform an image into a style. Returns a Pillow image or a NumPy array for one, else the bytes of a file.

        Raises ImpastoError, or OSError if a file cannot be read.
        """
        return await self._picture("/stylize", stylize_query(style, parameters), picture, deadline)

    @overload
    async def upscale(
        self, picture: Source, factor: Factor, *, deadline: float | None = None, **parameters: Unpack[UpscaleParameters]
    ) -> Painting: ...
    @overload
    async def upscale(
        self, picture: Kind, factor: Factor, *, deadline: float | None = None, **parameters: Unpack[UpscaleParameters]
    ) -> Kind: ...
    async def upscale(
        self,
        picture: "Source | Pixels",
        factor: Factor,
        *,
        deadline: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> "Painting | Pixels":
        """Enlarge an image: multiply each side by `factor`; "max" is the largest within the limits of the service.

        Returns and raises the same as `stylize`.
        """
        return await self._picture("/upscale", upscale_query(factor, parameters), picture, deadline)

    def stylize_many(
        self,
        pictures: Iterable[Given],
        style: Style,
        *,
        concurrency: int = CONCURRENCY,
        **parameters: Unpack[StylizeParameters],
    ) -> AsyncIterator[Outcome[Given]]:
        """Transform many images concurrently. Yields outcomes as they complete; an error affects one image."""
        query = stylize_query(style, parameters)
        return self._many(pictures, concurrency, lambda each: self._picture("/stylize", query, each, None))

    def upscale_many(
        self,
        pictures: Iterable[Given],
        factor: Factor,
        *,
        concurrency: int = CONCURRENCY,
        **parameters: Unpack[UpscaleParameters],
    ) -> AsyncIterator[Outcome[Given]]:
        """Enlarge many images, as `stylize_many` does."""
        query = upscale_query(factor, parameters)
        return self._many(pictures, concurrency, lambda each: self._picture("/upscale", query, each, None))

    async def models(self) -> Models:
        """Return the served models and the refused checkpoint files. Raises ImpastoError."""
        return Models.of(await self._call(Request("GET", "/models"), self.deadline))

    async def card(self, task: str, name: str) -> dict[str, Any]:
        """Return the card of a model: recipe, licence, source. Raises ImpastoError."""
        return json_of(await self._call(Request("GET", f"/models/{task}/{name}"), self.deadline))

    async def learn(
        self,
        painting: Source,
        name: str,
        *,
        minutes: float | None = None,
        license: str = "",  # noqa: A002  # as the service calls it
        source: str = "",
        private: bool = False,
    ) -> LearnedStyle:
        """Have the service learn a style from a painting; `wait_until_learned` waits for it. Raises ImpastoError.

        minutes: the training time; None for the service's own. license, source: for the card of the style. private: for
        the client's own key only.
        """
        request = learn_request(content_of(painting), name, minutes, license, source, private)
        return LearnedStyle.of(await self._call(request, None))

    async def learned(self, name: str) -> LearnedStyle:
        """Return the state of a style that is learned, or was. Raises ImpastoError."""
        return LearnedStyle.of(await self._call(style_request(name), self.deadline))

    async def wait_until_learned(self, name: str) -> LearnedStyle:
        """Wait until a style is ready, and return it. Raises LearningError if it fails, and ImpastoError."""
        while not (style := await self.learned(name)).over:  # noqa: ASYNC110  # it is over in another process
            await asyncio.sleep(POLL_SECONDS)
        return style

    async def preview(self, name: str) -> bytes:
        """Return a photograph in a style that is being learned: JPEG. Raises ImpastoError, also before the first."""
        return (await self._call(style_request(name, "/preview"), self.deadline)).content

    async def forget(self, name: str) -> None:
        """Stop learning a style, or remove a learned one. Raises ImpastoError."""
        await self._call(forget_request(name), self.deadline)

    async def ready(self) -> bool:
        """Return whether the service accepts images. Does not retry."""
        return is_ready(await self._send(Send(Request("GET", "/readyz"), httpx.Timeout(self.timeout), None)))

    async def _picture(
        self, path: str, query: dict[str, str], given: "Source | Pixels", deadline: float | None
    ) -> "Painting | Pixels":
        lossless = {"format": "png"} if has_pixels(given) else {}
        request = picture(path, {**lossless, **query}, await asyncio.to_thread(content_of, given))
        painting = Painting.of(await self._call(request, self.deadline if deadline is None else deadline))
        return await asyncio.to_thread(same_kind, given, painting) if has_pixels(given) else painting

    async def _call(self, request: Request, deadline: float | None) -> httpx.Response:
        exchange = exchange_of(request, self.retries, self.timeout, deadline)
        step = next(exchange)
        while True:
            received: Received = None
            if isinstance(step, Send):
                received = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)
            try:
                step = exchange.send(received)
            except StopIteration as end:
                response: httpx.Response = end.value
                return response

    async def _send(self, step: Send) -> Received:
        request, left = step.request, None if step.expires is None else max(0.0, step.expires - time.monotonic())
        try:
            async with asyncio.timeout(left):
                return await self._http.request(
                    request.method,
                    self.url + request.path,
                    params=request.query,
                    content=request.content,
                    headers=self._headers,
                    timeout=step.timeout,
                )
        except httpx.RequestError as error:
            return error
        except TimeoutError as error:
            raise deadline_passed() from error

    @staticmethod
    async def _many(
        pictures: Iterable[Given], concurrency: int, paint: "Callable[[Given], Awaitable[Painting | Pixels]]"
    ) -> AsyncIterator[Outcome[Given]]:
        refuse_concurrency(concurrency)

        async def outcome(source: Given) -> Outcome[Given]:
            try:
                return Outcome(source, await paint(source))
            except (ImpastoError, OSError) as error:
                return Outcome(source, error=error)

        running: set[asyncio.Task[Outcome[Given]]] = set()
        try:
            for source in pictures:
                if len(running) >= concurrency:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        yield each.result()
                running.add(asyncio.create_task(outcome(source)))
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        finally:  # a consumer that stops iterating cancels the calls
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)
