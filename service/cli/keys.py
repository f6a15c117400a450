"""`impasto keys`: API keys for people and programs, and the keys that sign webhooks."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.auth.caller import SCOPES, Scope
from service.auth.key_file import KeyFileError, key_table, new_key
from service.cli.exit_codes import plainly
from service.cli.output_paths import PlanError

keys = typer.Typer(no_args_is_help=True, help="API keys for a service.")


@keys.callback()
def _keys() -> None:
    """API keys for a service: docs/security.md."""


@keys.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the owner: 1 to 64 of A-Z, a-z, 0-9, _ and -.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="transform (default), styles or admin; may be repeated.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Quota.")] = None,
    pixels_per_minute: Annotated[int | None, typer.Option(min=1, help="Quota, in output pixels.")] = None,
    style_minutes_per_day: Annotated[
        int | None, typer.Option(min=1, help="Quota, in training time of learned styles.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36500, help="Until it expires; default: never.")] = None,
) -> None:
    """Make a key and show it once, on standard error. The lines for IMPASTO_KEYS_FILE go to standard output.

    impasto keys new alice >> keys.toml
    """
    with plainly():
        scopes: list[Scope] = []
        for given in scope or ["transform"]:
            known = next((each for each in SCOPES if each == given), None)
            if known is None:
                raise PlanError(f"--scope {given}: expected {' or '.join(SCOPES)}")
            if known not in scopes:
                scopes.append(known)
        expires = None if days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        key = new_key()
        try:
            quotas = {
                "requests_per_minute": requests_per_minute,
                "pixels_per_minute": pixels_per_minute,
                "style_minutes_per_day": style_minutes_per_day,
            }
            table = key_table(name, key, scopes, quotas, expires)
        except KeyFileError as error:
            raise PlanError(str(error)) from error
    sys.stdout.write(f"\n{table}")
    typer.echo(f"The key of {name}. It is not shown again:\n{key}", err=True)


@keys.command()
def webhook(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of an API key; anonymous for clients without one.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="The file IMPASTO_WEBHOOK_KEYS_FILE.")] = None,
) -> None:
    """Make a key that signs webhooks. With NAME and --file: show the secrets by which NAME verifies them.

    impasto keys webhook >> webhook.keys
    """
    with plainly():
        try:
            from service.webhooks.signature import (  # noqa: PLC0415  # needs an optional extra
                SigningKeyError,
                new_signing_key,
                read_signing_keys,
                secret_of,
            )
        except ImportError as error:
            raise PlanError("standardwebhooks not installed; run: pip install 'impasto[webhooks]'") from error
        if (name is None) != (file is None):
            raise PlanError("expected NAME and --file, or neither")
        if name is None or file is None:
            lines = [new_signing_key()]
        else:
            try:
                lines = [secret_of(key, name) for key in read_signing_keys(file)]
            except SigningKeyError as error:
                raise PlanError(f"{file}: {error}") from error
    sys.stdout.write("".join(f"{line}\n" for line in lines))
