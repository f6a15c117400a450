"""The synchronous client."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx

from impasto.address import DEFAULT_TIMEOUT_SECONDS, base_of, headers_of, is_ready
from impasto.errors import ImpastoError
from impasto.exchange import Received, Send, deadline_passed, exchange_of, read_response
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


class Client:
    """Calls an Impasto service. Several threads may share it. Close it, or use it in a `with`.

    url: address of the service; default: the environment variable IMPASTO_SERVER, then http://localhost:8000.
    api_key: default: the environment variable IMPASTO_KEY. timeout: longest silence of the service in seconds.
    deadline: seconds for a whole call, including retries; the service receives it and refuses early if it cannot meet
    it. headers: sent with every call. http: an httpx client to use instead, for proxies or certificates; the caller
    closes it.
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
        self, picture: Source, style: Style, *, deadline: float | None = None, **parameters: Unpack[StylizeParameters]
    ) -> Painting: ...
    @overload
    def stylize(
        self, picture: Kind, style: Style, *, deadline: float | None = None, **parameters: Unpack[StylizeParameters]
    ) -> Kind: ...
    def stylize(
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
        return self._picture("/stylize", stylize_query(style, parameters), picture, deadline)

    @overload
    def upscale(
        self, picture: Source, factor: Factor, *, deadline: float | None = None, **parameters: Unpack[UpscaleParameters]
    ) -> Painting: ...
    @overload
    def upscale(
        self, picture: Kind, factor: Factor, *, deadline: float | None = None, **parameters: Unpack[UpscaleParameters]
    ) -> Kind: ...
    def upscale(
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
        return self._picture("/upscale", upscale_query(factor, parameters), picture, deadline)

    def stylize_many(
        self,
        pictures: Iterable[Given],
        style: Style,
        *,
        concurrency: int = CONCURRENCY,
        **parameters: Unpack[StylizeParameters],
    ) -> Iterator[Outcome[Given]]:
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
    ) -> Iterator[Outcome[Given]]:
        """Enlarge many images, as `stylize_many` does."""
        query = upscale_query(factor, parameters)
        return self._many(pictures, concurrency, lambda each: self._picture("/upscale", query, each, None))

    def models(self) -> Models:
        """Return the served models and the refused checkpoint files. Raises ImpastoError."""
        return Models.of(self._call(Request("GET", "/models"), self.deadline))

    def card(self, task: str, name: str) -> dict[str, Any]:
        """Return the card of a model: recipe, licence, source. Raises ImpastoError."""
        return json_of(self._call(Request("GET", f"/models/{task}/{name}"), self.deadline))

    def learn(
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
        return LearnedStyle.of(self._call(request, None))

    def learned(self, name: str) -> LearnedStyle:
        """Return the state of a style that is learned, or was. Raises ImpastoError."""
        return LearnedStyle.of(self._call(style_request(name), self.deadline))

    def wait_until_learned(self, name: str) -> LearnedStyle:
        """Wait until a style is ready, and return it. Raises LearningError if it fails, and ImpastoError."""
        while not (style := self.learned(name)).over:
            time.sleep(POLL_SECONDS)
        return style

    def preview(self, name: str) -> bytes:
        """Return a photograph in a style that is being learned: JPEG. Raises ImpastoError, also before the first."""
        return (self._call(style_request(name, "/preview"), self.deadline)).content

    def forget(self, name: str) -> None:
        """Stop learning a style, or remove a learned one. Raises ImpastoError."""
        self._call(forget_request(name), self.deadline)

    def ready(self) -> bool:
        """Return whether the service accepts images. Does not retry."""
        return is_ready(self._send(Send(Request("GET", "/readyz"), httpx.Timeout(self.timeout), None)))

    def _picture(
        self, path: str, query: dict[str, str], given: "Source | Pixels", deadline: float | None
    ) -> "Painting | Pixels":
        lossless = {"format": "png"} if has_pixels(given) else {}
        request = picture(path, {**lossless, **query}, content_of(given))
        painting = Painting.of(self._call(request, self.deadline if deadline is None else deadline))
        return same_kind(given, painting) if has_pixels(given) else painting

    def _call(self, request: Request, deadline: float | None) -> httpx.Response:
        exchange = exchange_of(request, self.retries, self.timeout, deadline)
        step = next(exchange)
        while True:
            received: Received = None
            if isinstance(step, Send):
                received = self._send(step)
            else:
                time.sleep(step.seconds)
            try:
                step = exchange.send(received)
            except StopIteration as end:
                response: httpx.Response = end.value
                return response

    def _send(self, step: Send) -> Received:
        request = step.request
        try:
            with self._http.stream(
                request.method,
                self.url + request.path,
                params=request.query,
                content=request.content,
                headers=self._headers,
                timeout=step.timeout,
            ) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if step.expires is not None and time.monotonic() > step.expires:
                        raise deadline_passed()
        except httpx.RequestError as error:
            return error
        return read_response(response, b"".join(chunks))

    @staticmethod
    def _many(
        pictures: Iterable[Given], concurrency: int, paint: "Callable[[Given], Painting | Pixels]"
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
