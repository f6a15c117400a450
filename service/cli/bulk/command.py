"""`impasto bulk`."""

import signal
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service import __version__
from service.cli import engine_options, options
from service.cli.backends import Operation
from service.cli.bulk.driver import Driver
from service.cli.bulk.job import Job
from service.cli.bulk.listing import Listing
from service.cli.bulk.manifest import Manifest
from service.cli.bulk.places import Place, parse_place
from service.cli.bulk.progress import BulkProgress
from service.cli.catalogue import Catalogue, read_catalogue
from service.cli.exit_codes import ending_on, plainly
from service.cli.output_paths import PlanError
from service.cli.style_image import with_styles_folder
from service.pipeline.parameters import StylizeParameters, parse_parameters
from service.settings import Settings, read_settings

_DETERMINING = ("precision", "max_whole_pixels", "jpeg_quality", "webp_quality", "avif_quality")
"""Settings that change outputs."""

_FACTOR = Annotated[
    str | None,
    typer.Option("--factor", metavar="FACTOR", help="Enlarge each side: any number from 1 to 8, or max.",
                 callback=lambda text: None if text is None else options.parsed_factor(text)),
]  # fmt: skip


def bulk(
    origin: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, s3://bucket/prefix or gs://...")],
    target: Annotated[str, typer.Argument(metavar="DEST", help="The same, for outputs and the manifest.")],
    style: options.Style = None,
    factor: _FACTOR = None,
    strength: options.Strength = None,
    preserve_color: options.PreserveColor = None,
    stroke: options.Stroke = None,
    max_side: options.MaxSide = None,
    detail: options.Detail = None,
    source: options.InputSource = None,
    format: options.Format = None,  # noqa: A002  # the option's name, as in HTTP
    quality: options.Quality = None,
    lossless: options.Lossless = None,
    profile: options.Profile = None,
    metadata: options.Metadata = None,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", metavar="ADDRESS", help="A Ray cluster; local: one on this machine."),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes with the networks; default: one for each GPU or CPU node.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, max=64, help="Images at once in a worker.")] = None,
    checkpoints: engine_options.Checkpoints = None,
    device: engine_options.Device = None,
    precision: engine_options.Precision = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint or enlarge all images of a folder or bucket, on this machine or on a Ray cluster.

    The same command continues an interrupted run. Exit code: 0; 1 if some images failed; 2 if nothing was started.
    """
    given = {
        "strength": strength,
        "preserve_color": preserve_color,
        "stroke": stroke,
        "max_side": max_side,
        "detail": detail,
        "source": source,
        "format": format,
        "quality": quality,
        "lossless": lossless,
        "profile": profile,
        "metadata": metadata,
    }
    engine = {"checkpoints": checkpoints, "device": device, "precision": precision}
    with ending_on(signal.SIGINT, signal.SIGTERM), plainly():
        operation = _operation(style, factor, given)
        settings = with_styles_folder(read_settings(**_present(engine)))
        listing, dest = _places(origin, target)
        catalogue = read_catalogue(settings.checkpoints, settings.learned)
        catalogue.check(operation)
        models = _models(operation, catalogue)
        job = Job(operation, listing.source, dest, _settings(settings), models, jobs)
        manifest = Manifest(dest, _determining(job, settings))
        code = Driver(job, listing, manifest, BulkProgress(json, quiet)).run(address, workers)
    raise typer.Exit(code)


def _operation(style: str | None, factor: str | None, parameters: Mapping[str, object]) -> Operation:
    if (style is None) == (factor is None):
        raise PlanError("expected a style (--style) or a factor (--factor), and not both")
    given = _present(parameters)
    return Operation("stylize", style, given) if style is not None else Operation("upscale", str(factor), given)


def _places(origin: str, target: str) -> tuple[Listing, Place]:
    """Return the listing and the place of the outputs. Raises PlanError where outputs would be inputs."""
    source, dest = parse_place("SOURCE", origin), parse_place("DEST", target)
    if source.inside(dest) is not None:
        raise PlanError(f"DEST is {target!r}, which contains SOURCE {origin!r}: an output could replace an image")
    return Listing(source, dest.inside(source) or ""), dest


def _models(operation: Operation, catalogue: Catalogue) -> frozenset[str]:
    """Return the networks that the operation may use, as "stylize/mosaic@sha256:..."."""
    names = catalogue.names(operation.task)
    if operation.task == "stylize":
        names = list(parse_parameters(StylizeParameters, {"style": operation.what, **operation.parameters}).style)
    entries = [each for each in catalogue.entries if each.task == operation.task and each.name in names]
    return frozenset(f"{entry.key}@{entry.version}" for entry in entries)


def _settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that were given, for the workers. A folder of learned styles only where there is one."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    if settings.learned is not None and not settings.learned.is_dir():
        given.pop("learned", None)
    return {"decoder": "process", **given}  # a file that ends its decoder costs no worker


def _determining(job: Job, settings: Settings) -> dict[str, Any]:
    """Return everything that determines the outputs, by the names that a user knows."""
    return {
        "version": __version__,
        "SOURCE": str(job.source),
        **{f"--{name.replace('_', '-')}": value for name, value in job.operation.recorded.items()},
        **{name: getattr(settings, name) for name in _DETERMINING},
        "networks": sorted(job.models),
    }


def _present(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
