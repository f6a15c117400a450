"""The client that waits."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx

from impasto.address import DEFAULT_TIMEOUT_SECONDS, base_of, headers_of, is_ready
from impasto.answers import Models, Painting, json_of
from impasto.errors import ImpastoError
from impasto.exchange import Came, Send, converse, too_late, whole
from impasto.knobs import Style, StylizeKnobs, UpscaleKnobs, stylize_query, upscale_query
from impasto.many import CONCURRENCY, Outcome, refuse_concurrency
from impasto.pictures import Source, content_of, image_of, is_image
from impasto.requests import Ask, picture
from impasto.retries import Retries

if TYPE_CHECKING:
    from PIL.Image import Image

Given = TypeVar("Given", bound="Source | Image")


class Client:
    """Calls an Impasto service. May be used by several threads; close it, or use it in a `with`.

    url: the service's address; default: the environment's IMPASTO_SERVER, else http://localhost:8000.
    api_key: for a service that asks for one; default: the environment's IMPASTO_KEY.
    timeout: seconds that the service may say nothing. deadline: seconds for a whole call, further attempts included;
    the service is told, and says no at once where it cannot be met. headers: sent with every call.
    http: a client of httpx's own to use instead (proxies, certificates); closing it is its owner's.
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
        http: httpx.Client | None = None,
    ) -> None:
        self.url = base_of(url)
        self.timeout, self.deadline, self.retries = timeout, deadline, retries or Retries()
        self._headers, self._owned = headers_of(headers, api_key), http is None
        self._http = http or httpx.Client(limits=httpx.Limits(max_connections=None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._http.close()

    @overload
    def stylize(
        self, picture: Source, style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> Painting: ...
    @overload
    def stylize(
        self, picture: "Image", style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> "Image": ...
    def stylize(
        self, picture: "Source | Image", style: Style, *, deadline: float | None = None, **knobs: Unpack[StylizeKnobs]
    ) -> "Painting | Image":
        """Repaint a picture in a style: of an image of Pillow's comes one, of anything else the bytes of a file.

        Raises ImpastoError; OSError for a file that cannot be read.
        """
        return self._picture("/stylize", stylize_query(style, knobs), picture, deadline)

    @overload
    def upscale(
        self, picture: Source, factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> Painting: ...
    @overload
    def upscale(
        self, picture: "Image", factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> "Image": ...
    def upscale(
        self, picture: "Source | Image", factor: float, *, deadline: float | None = None, **knobs: Unpack[UpscaleKnobs]
    ) -> "Painting | Image":
        """Enlarge a picture: each side becomes `factor` times as long. Gives and raises what `stylize` does."""
        return self._picture("/upscale", upscale_query(factor, knobs), picture, deadline)

    def stylize_many(
        self,
        pictures: Iterable[Given],
        style: Style,
        *,
        concurrency: int = CONCURRENCY,
        **knobs: Unpack[StylizeKnobs],
    ) -> Iterator[Outcome[Given]]:
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
    ) -> Iterator[Outcome[Given]]:
        """Enlarge many, as `stylize_many` repaints them."""
        query = upscale_query(factor, knobs)
        return self._many(pictures, concurrency, lambda each: self._picture("/upscale", query, each, None))

    def models(self) -> Models:
        """What is served, and which checkpoint files are not. Raises ImpastoError."""
        return Models.of(self._call(Ask("GET", "/models"), self.deadline))

    def card(self, task: str, name: str) -> dict[str, Any]:
        """What one model is, what it was trained on, by what licence. Raises ImpastoError."""
        return json_of(self._call(Ask("GET", f"/models/{task}/{name}"), self.deadline))

    def ready(self) -> bool:
        """Whether the service is there and takes pictures. Asks once."""
        return is_ready(self._answer(Send(Ask("GET", "/readyz"), httpx.Timeout(self.timeout), None)))

    def _picture(
        self, path: str, query: dict[str, str], given: "Source | Image", deadline: float | None
    ) -> "Painting | Image":
        lossless = {"format": "png"} if is_image(given) else {}
        ask = picture(path, {**lossless, **query}, content_of(given))
        painting = Painting.of(self._call(ask, self.deadline if deadline is None else deadline))
        return image_of(painting) if is_image(given) else painting

    def _call(self, ask: Ask, deadline: float | None) -> httpx.Response:
        conversation = converse(ask, self.retries, self.timeout, deadline)
        step = next(conversation)
        while True:
            came: Came = None
            if isinstance(step, Send):
                came = self._answer(step)
            else:
                time.sleep(step.seconds)
            try:
                step = conversation.send(came)
            except StopIteration as end:
                response: httpx.Response = end.value
                return response

    def _answer(self, step: Send) -> Came:
        ask = step.ask
        try:
            with self._http.stream(
                ask.method,
                self.url + ask.path,
                params=ask.query,
                content=ask.content,
                headers=self._headers,
                timeout=step.timeout,
            ) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if step.expires is not None and time.monotonic() > step.expires:
                        raise too_late()
        except httpx.RequestError as error:
            return error
        return whole(response, b"".join(chunks))

    @staticmethod
    def _many(
        pictures: Iterable[Given], concurrency: int, paint: "Callable[[Given], Painting | Image]"
    ) -> Iterator[Outcome[Given]]:
        refuse_concurrency(concurrency)

        def outcome(source: Given) -> Outcome[Given]:
            try:
                return Outcome(source, paint(source))
            except (ImpastoError, OSError) as error:
                return Outcome(source, error=error)

        def outcomes() -> Iterator[Outcome[Given]]:
            running: set[Future[Outcome[Given]]] = set()
            with ThreadPoolExecutor(concurrency, thread_name_prefix="impasto") as threads:
                for source in pictures:
                    if len(running) >= concurrency:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (each.result() for each in done)
                    running.add(threads.submit(outcome, source))
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)

        return outcomes()
