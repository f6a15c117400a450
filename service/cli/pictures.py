"""`impasto stylize` and `impasto upscale`."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from service.cli import options
from service.cli.backends import Order, Painter, server_painter
from service.cli.exit_codes import FAILED, plainly, run_until_signal
from service.cli.files import STANDARD, find
from service.cli.output_paths import Errand, PlanError, format_of, is_one_file, plan
from service.cli.report import Report
from service.cli.run import Run, StopError
from service.cli.writing import refuse_unwritable

_LOCAL_JOBS, _SERVER_JOBS = 2, 4


@dataclass(frozen=True)
class _Place:
    """Who works: a server, or this machine with these settings."""

    server: str | None
    key: str | None
    checkpoints: Path | None
    device: str | None
    precision: str | None

    def painter(self, order: Order) -> AbstractAsyncContextManager[Painter]:
        if self.server:
            return server_painter(self.server, order, self.key)
        from service.cli import local  # noqa: PLC0415  # torch takes seconds, and a server needs none here

        return local.local_painter(local.local_settings(self.checkpoints, self.device, self.precision), order)


@dataclass(frozen=True)
class _Ways:
    """How a run is done."""

    out: str | None
    recursive: bool
    overwrite: bool
    as_json: bool
    quiet: bool
    jobs: int


def stylize(
    pictures: options.Pictures,
    style: options.Style,
    out: options.Out = None,
    strength: options.Strength = None,
    preserve_color: options.PreserveColor = None,
    stroke: options.Stroke = None,
    max_side: options.MaxSide = None,
    format: options.Format = None,  # noqa: A002  # the option's name, as in HTTP
    quality: options.Quality = None,
    profile: options.Profile = None,
    metadata: options.Metadata = None,
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = None,
    server: options.Server = None,
    key: options.Key = None,
    checkpoints: options.Checkpoints = None,
    device: options.Device = None,
    precision: options.Precision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint pictures in a style: impasto stylize photos --style mosaic -o painted.

    Exit code: 0, 1 where some were not done (they are listed), 2 where nothing could be begun.
    """
    knobs = {
        "strength": strength,
        "preserve_color": preserve_color,
        "stroke": stroke,
        "max_side": max_side,
        "format": format,
        "quality": quality,
        "profile": profile,
        "metadata": metadata,
    }
    place = _Place(server, key, checkpoints, device, precision)
    ways = _Ways(out, recursive, overwrite, json, quiet, jobs or (_SERVER_JOBS if server else _LOCAL_JOBS))
    _do(pictures, Order("stylize", style, _given(knobs)), place, ways)


def upscale(
    pictures: options.Pictures,
    factor: options.Factor,
    out: options.Out = None,
    detail: options.Detail = None,
    format: options.Format = None,  # noqa: A002
    quality: options.Quality = None,
    profile: options.Profile = None,
    metadata: options.Metadata = None,
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = None,
    server: options.Server = None,
    key: options.Key = None,
    checkpoints: options.Checkpoints = None,
    device: options.Device = None,
    precision: options.Precision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge pictures: impasto upscale photos --factor 4 -o large.

    Exit code: 0, 1 where some were not done (they are listed), 2 where nothing could be begun.
    """
    knobs = {"detail": detail, "format": format, "quality": quality, "profile": profile, "metadata": metadata}
    place = _Place(server, key, checkpoints, device, precision)
    ways = _Ways(out, recursive, overwrite, json, quiet, jobs or (_SERVER_JOBS if server else _LOCAL_JOBS))
    _do(pictures, Order("upscale", f"{factor:g}", _given(knobs)), place, ways)


def _given(knobs: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in knobs.items() if value is not None}


def _do(pictures: Sequence[str], order: Order, place: _Place, ways: _Ways) -> None:
    with plainly():
        out = _out(pictures, ways)
        place_out = None if out in {None, STANDARD} else Path(str(out))
        one_file = place_out is not None and is_one_file(pictures, str(out))
        if one_file and order.format is None and (kind := format_of(str(out))):
            order = replace(order, knobs={**order.knobs, "format": kind})
        sources = list(find(pictures, ways.recursive, place_out))
        if len(sources) > 1 and one_file:
            raise PlanError(f"-o {out} is the name of one file, and there are {len(sources)} pictures: name a folder")
        if not sources:
            hint = "" if ways.recursive else "; --recursive looks into folders in it too"
            raise PlanError(f"no pictures in {', '.join(pictures)}{hint}")
        errands = plan(sources, out, one_file)
        if place_out is not None:
            refuse_unwritable(place_out.parent if one_file else place_out)
        errands = [_with_input(errand) for errand in errands]
        report = Report(len(errands), ways.as_json, ways.quiet)
        stopped: list[str] = []

        async def work() -> None:
            async with place.painter(order) as painter:
                with report:
                    try:
                        await Run(painter, report, order.format, ways.overwrite).over(errands, ways.jobs)
                    except StopError as stop:
                        stopped.append(str(stop))

        signal = run_until_signal(work())
        report.summary("interrupted" if signal else stopped[0] if stopped and len(errands) > 1 else None)
    if signal:
        raise typer.Exit(128 + signal)
    if report.failures:
        raise typer.Exit(FAILED)


def _with_input(errand: Errand) -> Errand:
    """Standard input, read here and not in the loop: it may take for ever, and a signal must still end it."""
    if errand.source.path is not None:
        return errand
    return replace(errand, source=replace(errand.source, data=sys.stdin.buffer.read()))


def _out(pictures: Sequence[str], ways: _Ways) -> str | None:
    """Where answers go; None and "-" are standard output. Raises PlanError."""
    if ways.out is None and list(pictures) != [STANDARD]:
        raise PlanError("where should the answers go? Name a folder or a file with -o, or - for standard output")
    if ways.out in {None, STANDARD}:
        if ways.as_json:
            raise PlanError("--json and the picture would share standard output: name a file with -o")
        if sys.stdout.isatty():
            raise PlanError("standard output is a terminal, which shows no picture: name a file with -o")
    return ways.out
