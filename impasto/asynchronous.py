"""The client that is awaited."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx

from impasto.address import DEFAULT_TIMEOUT_SECONDS, base_of, headers_of, is_ready
from impasto.answers import Models, Painting, json_of
from impasto.errors import ImpastoError
from impasto.exchange import Came, Send, converse, too_late
from impasto.knobs import Style, StylizeKnobs, UpscaleKnobs, stylize_query, upscale_query
from impasto.many import CONCURRENCY, Outcome, refuse_concurrency
from impasto.pictures import Source, content_of, image_of, is_image
from impasto.requests import Ask, picture
from impasto.retries import Retries

if TYPE_CHECKING:
    from PIL.Image import Image

Given = TypeVar("Given", bound="Source | Image")


class AsyncClient:
    """Calls an Impasto service from an event loop; close it, or use it in an `async with`. See Client.

    A call that is cancelled is cancelled in the service too.
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
        self, picture: Source, style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> Painting: ...
    @overload
    async def stylize(
        self, picture: "Image", style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> "Image": ...
    async def stylize(
        self, picture: "Source | Image", style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> "Painting | Image":
        """Repaint a picture in a style: of an image of Pillow's comes one, of anything else the bytes of a file.

        Raises ImpastoError; OSError for a file that cannot be read.
        """
        return await self._picture("/stylize", stylize_query(style, knobs), picture, deadline)

    @overload
    async def upscale(
        self, picture: Source, factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> Painting: ...
    @overload
    async def upscale(
        self, picture: "Image", factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> "Image": ...
    async def upscale(
        self, picture: "Source | Image", factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> "Painting | Image":
        """Enlarge a picture: each side becomes `factor` times as long. Gives and raises what `stylize` does."""
        return await self._picture("/upscale", upscale_query(factor, knobs), picture, deadline)

    def stylize_many(
        self,
        pictures: Iterable[Given],
        style: Style,
        *,
        concurrency: int = CONCURRENCY,
        **knobs: Unpack[StylizeKnobs],
    ) -> AsyncIterator[Outcome[Given]]:
        """Repaint many, some at once; each outcome as it comes, in no order. An error is one picture's alone."""
        query = stylize_query(style, knobs)
        return self._many(pictures, concurrency, lambda each: self._picture("/stylize", query, each, None))

    def upscale_many(
        self,
        pictures: Iterable[Given],
        factor: float,
        *,
        concurrency: int = CONCURRENCY,
        **knobs: Unpack[UpscaleKnobs],
    ) -> AsyncIterator[Outcome[Given]]:
        """Enlarge many, as `stylize_many` repaints them."""
        query = upscale_query(factor, knobs)
        return self._many(pictures, concurrency, lambda each: self._picture("/upscale", query, each, None))

    async def models(self) -> Models:
        """What is served, and which checkpoint files are not. Raises ImpastoError."""
        return Models.of(await self._call(Ask("GET", "/models"), self.deadline))

    async def card(self, task: str, name: str) -> dict[str, Any]:
        """What one model is, what it was trained on, by what licence. Raises ImpastoError."""
        return json_of(await self._call(Ask("GET", f"/models/{task}/{name}"), self.deadline))

    async def ready(self) -> bool:
        """Whether the service is there and takes pictures. Asks once."""
        return is_ready(await self._answer(Send(Ask("GET", "/readyz"), httpx.Timeout(self.timeout), None)))

    async def _picture(
        self, path: str, query: dict[str, str], given: "Source | Image", deadline: float | None
    ) -> "Painting | Image":
        lossless = {"format": "png"} if is_image(given) else {}
        ask = picture(path, {**lossless, **query}, await asyncio.to_thread(content_of, given))
        painting = Painting.of(await self._call(ask, self.deadline if deadline is None else deadline))
        return await asyncio.to_thread(image_of, painting) if is_image(given) else painting

    async def _call(self, ask: Ask, deadline: float | None) -> httpx.Response:
        conversation = converse(ask, self.retries, self.timeout, deadline)
        step = next(conversation)
        while True:
            came: Came = None
            if isinstance(step, Send):
                came = await self._answer(step)
            else:
                await asyncio.sleep(step.seconds)
            try:
                step = conversation.send(came)
            except StopIteration as end:
                response: httpx.Response = end.value
                return response

    async def _answer(self, step: Send) -> Came:
        ask, left = step.ask, None if step.expires is None else max(0.0, step.expires - time.monotonic())
        try:
            async with asyncio.timeout(left):
                return await self._http.request(
                    ask.method,
                    self.url + ask.path,
                    params=ask.query,
                    content=ask.content,
                    headers=self._headers,
                    timeout=step.timeout,
                )
        except httpx.RequestError as error:
            return error
        except TimeoutError as error:
            raise too_late() from error

    @staticmethod
    async def _many(
        pictures: Iterable[Given], concurrency: int, paint: "Callable[[Given], Awaitable[Painting | Image]]"
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
        finally:  # whoever stops listening stops the calls
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)
