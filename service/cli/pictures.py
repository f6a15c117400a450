"""`impasto stylize` and `impasto upscale`."""

import glob
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from service.cli import engine_options, options
from service.cli.backends import Backend, Operation, server_backend, server_models
from service.cli.catalogue import read_catalogue
from service.cli.exit_codes import FAILED, ending_on, plainly, run_until_signal
from service.cli.files import STANDARD, Source, find
from service.cli.output_paths import PlanError, WorkItem, format_of, is_one_file, plan
from service.cli.records import Records
from service.cli.report import Report
from service.cli.run import Run, StopError
from service.cli.style_image import learn_here, learn_on_server, with_styles_folder
from service.cli.writing import refuse_unwritable
from service.settings import Settings, read_settings

_LOCAL_JOBS, _SERVER_JOBS = 2, 4


@dataclass(frozen=True)
class _Place:
    """Where the images are processed: on a server, or on this machine with these settings."""

    server: str | None
    key: str | None
    checkpoints: Path | None
    device: str | None
    precision: str | None

    def identities(self, operation: Operation) -> frozenset[str] | None:
        """Return the available networks, as "stylize/mosaic@sha256:..."; None if a server does not list them.

        Does not load torch. Raises RefusedError if nothing can be processed: no server listens, or the style is
        unknown.
        """
        if self.server:
            models = server_models(self.server, self.key)
            return None if models is None else frozenset(f"{model.key}@{model.version}" for model in models)
        settings = self._settings()
        catalogue = read_catalogue(settings.checkpoints, settings.learned)
        catalogue.check(operation)
        return catalogue.identities

    def learn(self, painting: Path, quiet: bool) -> str:
        """Learn the style of a painting, and return its name. Raises RefusedError."""
        if self.server:
            return learn_on_server(painting, self.server, self.key)
        return learn_here(painting, self._settings(), quiet)

    def backend(self, operation: Operation) -> AbstractAsyncContextManager[Backend]:
        """Return the backend. Raises StartupError."""
        if self.server:
            return server_backend(self.server, operation, self.key)
        from service.cli import local  # noqa: PLC0415  # torch takes seconds, and a server needs none here

        settings = local.local_settings(self.checkpoints, self.device, self.precision)
        return local.local_backend(settings.model_copy(update={"learned": self._settings().learned}), operation)

    def _settings(self) -> Settings:
        given = {"checkpoints": self.checkpoints, "device": self.device, "precision": self.precision}
        settings = read_settings(**{name: value for name, value in given.items() if value is not None})
        return with_styles_folder(settings)


@dataclass(frozen=True)
class _Ways:
    """Options of a run that do not change its outputs."""

    out: str | None
    recursive: bool
    overwrite: bool
    as_json: bool
    quiet: bool
    jobs: int | None


def stylize(
    pictures: options.Pictures,
    style: options.Style = None,
    style_image: options.StyleImage = None,
    out: options.Out = None,
    strength: options.Strength = None,
    preserve_color: options.PreserveColor = None,
    stroke: options.Stroke = None,
    max_side: options.MaxSide = None,
    format: options.Format = None,  # noqa: A002  # the option's name, as in HTTP
    quality: options.Quality = None,
    lossless: options.Lossless = None,
    profile: options.Profile = None,
    metadata: options.Metadata = None,
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = None,
    server: options.Server = None,
    key: options.Key = None,
    checkpoints: engine_options.Checkpoints = None,
    device: engine_options.Device = None,
    precision: engine_options.Precision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint pictures in a style: impasto stylize photos --style mosaic -o painted.

    Exit code: 0; 1 if some images failed (they are listed); 2 if nothing was started.
    """
    parameters = {
        "strength": strength,
        "preserve_color": preserve_color,
        "stroke": stroke,
        "max_side": max_side,
        "format": format,
        "quality": quality,
        "lossless": lossless,
        "profile": profile,
        "metadata": metadata,
    }
    place = _Place(server, key, checkpoints, device, precision)
    ways = _Ways(out, recursive, overwrite, json, quiet, jobs)
    with plainly():
        if (style is None) == (style_image is None):
            raise PlanError("expected a style (--style), or a painting to learn one from (--style-image)")
    _do(pictures, Operation("stylize", style or "", _given(parameters)), place, ways, style_image)


def upscale(
    pictures: options.Pictures,
    factor: options.Factor,
    out: options.Out = None,
    detail: options.Detail = None,
    source: options.InputSource = None,
    format: options.Format = None,  # noqa: A002
    quality: options.Quality = None,
    lossless: options.Lossless = None,
    profile: options.Profile = None,
    metadata: options.Metadata = None,
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = None,
    server: options.Server = None,
    key: options.Key = None,
    checkpoints: engine_options.Checkpoints = None,
    device: engine_options.Device = None,
    precision: engine_options.Precision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge pictures: impasto upscale photos --factor 4 -o large.

    Exit code: 0; 1 if some images failed (they are listed); 2 if nothing was started.
    """
    parameters = {
        "detail": detail,
        "source": source,
        "format": format,
        "quality": quality,
        "lossless": lossless,
        "profile": profile,
        "metadata": metadata,
    }
    place = _Place(server, key, checkpoints, device, precision)
    ways = _Ways(out, recursive, overwrite, json, quiet, jobs)
    _do(pictures, Operation("upscale", factor, _given(parameters)), place, ways)


def _given(parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if value is not None}


def _do(
    pictures: Sequence[str], operation: Operation, place: _Place, ways: _Ways, painting: Path | None = None
) -> None:
    with ending_on(signal.SIGINT, signal.SIGTERM), plainly():
        out = _out(pictures, ways)
        folder_or_file = None if out in {None, STANDARD} else Path(str(out))
        one_file = folder_or_file is not None and is_one_file(pictures, str(out))
        if one_file and (kind := format_of(str(out), operation.format)):
            operation = replace(operation, parameters={**operation.parameters, "format": kind})
        sources = _sources(pictures, ways, folder_or_file, one_file)
        records = Records(None if one_file else folder_or_file)
        items = plan(sources, out, one_file, operation.format, operation.lossless, records)
        if folder_or_file is not None:
            refuse_unwritable(folder_or_file.parent if one_file else folder_or_file)
        if painting is not None:
            operation = replace(operation, what=place.learn(painting, ways.quiet))
        identities = place.identities(operation)
        report = Report(len(items), ways.as_json, ways.quiet)
        left = _readable(items, report)
        left = left if ways.overwrite else _not_done(left, operation, records, identities, report)
        caught, stopped = _run(left, operation, place, ways, report, records) if left else (None, None)
        report.summary("interrupted" if caught else stopped if len(items) > 1 else None)
    if caught:
        raise typer.Exit(128 + caught)
    if report.failures:
        raise typer.Exit(FAILED)


def _sources(pictures: Sequence[str], ways: _Ways, out: Path | None, one_file: bool) -> list[Source]:
    """Return the named images. Raises PlanError if there are none, or too many for one file."""
    sources = list(find(pictures, ways.recursive, out))
    if len(sources) > 1 and one_file:
        raise PlanError(f"-o {out} is the name of one file, and there are {len(sources)} pictures: name a folder")
    if not sources:
        hint = "" if ways.recursive else "; --recursive looks into the folders in it too"
        raise PlanError(f"no pictures in {', '.join(pictures)}{hint}")
    return sources


def _readable(items: Sequence[WorkItem], report: Report) -> list[WorkItem]:
    """Return the items whose files exist, and report the others as failed."""
    left = []
    for item in items:
        path = item.source.path
        if path is None or path.exists():
            left.append(item)
        elif glob.has_magic(str(path)) and not path.is_symlink():
            report.note_failed(item, "file_error", "no file matches this pattern")
        else:
            report.note_failed(item, "file_error", "No such file or directory")
    return left


def _not_done(
    items: Sequence[WorkItem],
    operation: Operation,
    records: Records,
    identities: frozenset[str] | None,
    report: Report,
) -> list[WorkItem]:
    """Return the items without an output, and report the others as skipped, with the reason."""
    left = []
    for item in items:
        output = item.existing()
        if output is None or item.is_source(output):
            left.append(item)
        else:
            reason = records.why_skipped(output, item.source.path, operation.recorded, identities)
            report.note_skipped(item, output, reason)
    return left


def _run(
    items: Sequence[WorkItem], operation: Operation, place: _Place, ways: _Ways, report: Report, records: Records
) -> tuple[int | None, str | None]:
    """Process the items. Return the signal that ended the run, and the reason of an early stop, or None."""
    items = [_with_input(item) for item in items]
    if not place.server and not ways.quiet:
        typer.echo("loading the networks ...", err=True)
    backend = place.backend(operation)
    jobs = ways.jobs or (_SERVER_JOBS if place.server else _LOCAL_JOBS)
    stopped: list[str] = []

    async def work() -> None:
        async with backend as made:
            with report:
                try:
                    await Run(made, operation, report, records).over(items, jobs)
                except StopError as stop:
                    stopped.append(str(stop))

    return run_until_signal(work()), stopped[0] if stopped else None


def _with_input(item: WorkItem) -> WorkItem:
    """Read standard input before the event loop starts: it may never end, and a signal must still end the process."""
    if item.source.path is not None:
        return item
    return replace(item, source=replace(item.source, data=sys.stdin.buffer.read()))


def _out(pictures: Sequence[str], ways: _Ways) -> str | None:
    """Return the output argument; None and "-" are standard output. Raises PlanError."""
    if ways.out is None and list(pictures) != [STANDARD]:
        raise PlanError("where should the outputs go? Name a folder or a file with -o, or - for standard output")
    if ways.out in {None, STANDARD}:
        if ways.as_json:
            raise PlanError("--json and the picture would share standard output: name a file with -o")
        if sys.stdout.isatty():
            raise PlanError("standard output is a terminal, which shows no picture: name a file with -o")
    return ways.out
