"""`impasto models`: the models of a folder or a server."""

import json as json_module
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import Client, ImpastoError, Retries
from service.cli import engine_options, options
from service.cli.backends import refusal_of, refuse_no_address
from service.cli.catalogue import read_catalogue
from service.cli.exit_codes import plainly
from service.cli.refused import RefusedError
from service.cli.style_image import with_styles_folder
from service.settings import read_settings

if TYPE_CHECKING:
    from service.models.registry import Registry

_TASKS = ("stylize", "upscale")
_VERSION_CHARACTERS = 19


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="Show its card: mosaic, upscale/x4.", autocompletion=options.complete_model
        ),
    ] = None,
    server: options.Server = None,
    key: options.Key = None,
    checkpoints: engine_options.Checkpoints = None,
    json: options.Json = False,
) -> None:
    """List the styles and factors, and the checkpoint files that are refused; or show one model's card."""
    with plainly():
        book = _ServerBook(server, key) if server else _FolderBook(checkpoints)
        summary = book.summary()
        if name is None:
            _print_json(summary) if json else _print_summary(summary)
            return
        task, plain = _found(summary, name)
        card = book.card(task, plain)
        _print_json(card) if json else _print_card(card)


class _ServerBook:
    """The models of a server."""

    def __init__(self, url: str, key: str | None) -> None:
        refuse_no_address(url, key)
        self._url, self._key = url, key

    def summary(self) -> dict[str, Any]:
        return self._ask(lambda client: client.models().raw)

    def card(self, task: str, name: str) -> dict[str, Any]:
        return self._ask(lambda client: client.card(task, name))

    def _ask(self, question: Callable[[Client], dict[str, Any]]) -> dict[str, Any]:
        try:
            with Client(self._url, api_key=self._key, retries=Retries(attempts=3)) as client:
                return question(client)
        except ImpastoError as error:
            raise refusal_of(error) from error


class _FolderBook:
    """The models of a folder. The list comes from the cards of the files, without torch; a single card needs torch."""

    def __init__(self, checkpoints: Path | None) -> None:
        given = {} if checkpoints is None else {"checkpoints": checkpoints}
        self._settings = with_styles_folder(read_settings(**given))

    def summary(self) -> dict[str, Any]:
        if self._settings.checkpoint_digests == "off" and self._settings.checkpoint_public_key is None:
            return read_catalogue(self._settings.checkpoints, self._settings.learned).summary()
        return self._registry().summary("")

    def card(self, task: str, name: str) -> dict[str, Any]:
        return self._registry().entries[f"{task}/{name}"].describe()

    def _registry(self) -> "Registry":
        from service.cli.local import registry_in  # noqa: PLC0415  # torch takes seconds

        return registry_in(self._settings.model_copy(update={"loading": "lazy"}))


def _found(summary: dict[str, Any], name: str) -> tuple[str, str]:
    """Return task and name of a model. Raises RefusedError, which lists the models there are."""
    keys = [model["model"] for model in summary["models"]]
    for key in (name, *(f"{task}/{name}" for task in _TASKS)):
        if key in keys:
            task, _, plain = key.partition("/")
            return task, plain
    refused = next((each for each in summary["refused"] if name in each["file"]), None)
    why = f"{refused['file']} is refused: {refused['reason']}" if refused else f"there are {', '.join(keys) or 'none'}"
    raise RefusedError("unknown_model", f"there is no model {name!r}; {why}", everything=True)


def _print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json_module.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _print_summary(summary: dict[str, Any]) -> None:
    typer.echo(f"{'model':28} {'scale':5} version")
    for model in summary["models"]:
        typer.echo(f"{model['model']:28} x{model['scale']:<4} {model['version'][:_VERSION_CHARACTERS]}")
    for refused in summary["refused"]:
        typer.echo(f"refused: {refused['file']}: {refused['reason']}", err=True)


def _print_card(card: Mapping[str, Any], indent: int = 0) -> None:
    for key, value in card.items():
        if isinstance(value, Mapping) and value:
            typer.echo(f"{' ' * indent}{key}:")
            _print_card(value, indent + 2)
        elif key == "golden" and isinstance(value, list):
            typer.echo(f"{' ' * indent}{key}: {len(value)} numbers")
        else:
            typer.echo(f"{' ' * indent}{key}: {'' if value is None else value}")
