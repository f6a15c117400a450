"""Both clients behind one face, so that each test is one of both."""

import asyncio
import inspect

import pytest

from impasto import AsyncClient, Client


class Awaited:
    """An AsyncClient whose methods are run to their end, on one event loop."""

    def __init__(self, *args, **options):
        self._loop = asyncio.new_event_loop()
        try:
            self._client = self._run(self._make(args, options))
        except BaseException:
            self._loop.close()
            raise

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*args, **options):
            result = method(*args, **options)
            if inspect.isasyncgen(result):
                return self._run(self._all(result))
            return self._run(result)

        return call

    def close(self):
        self._run(self._client.aclose())
        self._loop.close()

    def _run(self, coroutine):
        return self._loop.run_until_complete(coroutine)

    @staticmethod
    async def _make(args, options):
        return AsyncClient(*args, **options)

    @staticmethod
    async def _all(outcomes):
        return [outcome async for outcome in outcomes]


@pytest.fixture(params=["sync", "async"])
def connect(request):
    """Makes a client, and closes it afterwards."""
    made = []

    def make(*args, **options):
        made.append((Client if request.param == "sync" else Awaited)(*args, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
