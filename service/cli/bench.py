"""`impasto bench`: the throughput of this machine, measured in seconds."""

import asyncio
import io
import json as json_module
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import engine_options, options
from service.cli.backends import Operation
from service.cli.exit_codes import plainly, run_until_signal

if TYPE_CHECKING:
    from service.settings import Settings

_AT_ONCE = 2


@dataclass(frozen=True)
class Throughput:
    """The throughput of one network.

    megapixels_per_second: of the inputs, from file to file, two at once. milliseconds: mean of each stage per picture;
    two pictures that are computed together each count the whole time.
    """

    model: str
    side_px: int
    pictures: int
    seconds: float
    megapixels_per_second: float
    milliseconds: dict[str, float]


def bench(
    style: Annotated[
        str | None, typer.Option(help="Default: the first one.", autocompletion=options.complete_style)
    ] = None,
    factor: Annotated[float | None, typer.Option(min=1, max=8, help="Default: the middle one.")] = None,
    side: Annotated[int, typer.Option("--side", min=16, max=4096, help="Side of the pictures in pixels.")] = 512,
    seconds: Annotated[float, typer.Option(min=0, max=3600, help="Least time for each network.")] = 5.0,
    checkpoints: engine_options.Checkpoints = None,
    device: engine_options.Device = None,
    precision: engine_options.Precision = None,
    json: options.Json = False,
) -> None:
    """Measure a style and a factor on this machine with the engine of the service: JPEG in, JPEG out."""
    from service.cli.local import local_settings, registry_in  # noqa: PLC0415  # torch takes seconds

    with plainly():
        settings = local_settings(checkpoints, device, precision)
        registry = registry_in(settings)
        orders = []
        styles, factors = registry.names("stylize"), registry.factors()
        if style or styles:
            orders.append(Operation("stylize", style or styles[0], {"stroke": "off"}))
        if factor or factors:
            orders.append(Operation("upscale", f"{factor:g}" if factor else factors[len(factors) // 2]))
        found: dict[str, Any] = {}

        async def work() -> None:
            found.update(await _measure(settings, orders, side, seconds))

        if signal := run_until_signal(work()):
            raise typer.Exit(128 + signal)
    if json:
        sys.stdout.write(json_module.dumps({**found, "results": [asdict(each) for each in found["results"]]}) + "\n")
    else:
        _print(found)


async def _measure(settings: "Settings", orders: list[Operation], side: int, seconds: float) -> dict[str, Any]:
    from service.cli.local import LocalBackend, asked_of, engine, refusal_of  # noqa: PLC0415
    from service.errors import ServiceError  # noqa: PLC0415

    picture = _jpeg(side)
    async with engine(settings) as app:
        results = []
        for order in orders:
            try:
                asked = asked_of(order)
                app.state.pipeline.check(asked)
            except ServiceError as error:
                raise refusal_of(error) from error
            results.append(await _throughput(LocalBackend(app.state.pipeline, asked), order, picture, side, seconds))
        devices = ",".join(map(str, app.state.engine.devices))
        return {"device": devices, "precision": app.state.engine.precision, "results": results}


async def _throughput(backend: Any, order: Operation, picture: bytes, side: int, seconds: float) -> Throughput:
    await backend.process(picture)  # loads and warms the network
    stages: Counter[str] = Counter()
    start, done = time.perf_counter(), 0

    async def again_and_again() -> None:
        nonlocal done
        while not done or time.perf_counter() - start < seconds:
            output = await backend.process(picture)
            stages.update(output.milliseconds)
            done += 1

    await asyncio.gather(*(again_and_again() for _ in range(_AT_ONCE)))
    spent, megapixels = time.perf_counter() - start, done * side * side / 1e6
    means = {stage: round(value / done, 2) for stage, value in stages.items()}
    name = f"{order.task}/{'' if order.task == 'stylize' else 'x'}{order.what}"
    return Throughput(name, side, done, round(spent, 3), round(megapixels / spent, 4), means)


def _jpeg(side: int) -> bytes:
    """Return a JPEG of shades with noise, about as compressible as a photograph."""
    import numpy as np  # noqa: PLC0415  # completion does not wait for it
    from PIL import Image  # noqa: PLC0415

    y, x = np.mgrid[0:side, 0:side]
    shades = np.stack([255 * x / side, 255 * y / side, 128 + 0 * x], axis=-1)
    noise = np.random.default_rng(0).normal(0, 10, shades.shape)
    buffer = io.BytesIO()
    Image.fromarray((shades + noise).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _print(found: dict[str, Any]) -> None:
    for each in found["results"]:
        size = f"{each.pictures} of {each.side_px} x {each.side_px}"
        stages = ", ".join(f"{stage} {value:.1f}" for stage, value in each.milliseconds.items())
        typer.echo(f"{each.model:28} {each.megapixels_per_second:8.3g} MP/s  ({size}; ms: {stages})")
    typer.echo(f"on {found['device']} in {found['precision']}; megapixels of input")
