"""`--style-image`: learn a style from a painting before images are processed, on this machine or on a server."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

import typer

from impasto import Client, ImpastoError
from nets.spool import Painting, Spool, StyleRequest
from service.cli.backends import refusal_of, refuse_no_address
from service.cli.learn import wait
from service.cli.refused import RefusedError
from service.models.learning.trainer_process import TrainerProcess
from service.settings import Settings

_POLL_SECONDS = 0.5
_LINE_SECONDS = 5.0
_STOP_SECONDS = 10.0
_DIGEST_DIGITS = 12
_STEM_LETTERS = 40


def with_styles_folder(settings: Settings) -> Settings:
    """Return the settings with a folder for learned styles: IMPASTO_LEARNED, or one in the cache of the user.

    Styles need their trunk, so the checkpoints' trunks are part of the name of that folder.
    """
    if settings.learned is not None:
        return settings
    trunks = hashlib.sha256(b"".join(path.read_bytes() for path in _trunks(settings.checkpoints))).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return settings.model_copy(update={"learned": cache / "impasto" / f"styles-{trunks[:_DIGEST_DIGITS]}"})


def style_name(painting: Path, content: bytes) -> str:
    """Return a name for the style: from the file name and a digest of the content."""
    stem = re.sub(r"[^a-z0-9]+", "_", painting.stem.lower()).strip("_")[:_STEM_LETTERS] or "painting"
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:_DIGEST_DIGITS]}"


def learn_on_server(painting: Path, url: str, key: str | None) -> str:
    """Have a server learn the style, wait, and return its name. Raises RefusedError, and OSError for the file."""
    refuse_no_address(url, key)
    content = painting.read_bytes()
    name = style_name(painting, content)
    try:
        with Client(url, api_key=key) as client:
            client.learn(content, name)
            wait(client, name, preview=None)
    except ImpastoError as error:
        raise refusal_of(error) from error
    return name


def learn_here(painting: Path, settings: Settings, quiet: bool) -> str:
    """Learn the style with the trainer unless it is known, and return its name.

    settings: those of `with_styles_folder`. Raises RefusedError if no trainer is installed or the style cannot be
    learned, and OSError for the file. A signal ends the process; the same command goes on from the saved state.
    """
    assert settings.learned is not None
    content, folder = painting.read_bytes(), settings.learned
    name = style_name(painting, content)
    learned = folder / "stylize" / f"{name}.safetensors"
    if learned.exists():
        return name
    if missing := TrainerProcess.missing():
        detail = f"--style-image needs the trainer ({', '.join(missing)}): pip install 'impasto[train]'"
        raise RefusedError("no_trainer", detail, everything=True)
    _refuse_other_trunk(folder, settings.checkpoints)
    queue = folder / "unfinished" / name  # a queue of its own: no other painting is learned before this one
    waiting = _queued(Spool(queue), name, settings.learn_minutes, content)
    command = [sys.executable, "-m", "trainer", "learn", str(queue), "--checkpoints", str(settings.checkpoints)]
    with tempfile.TemporaryFile() as errors:
        with _process([*command, "--idle", "0", *settings.trainer_options.split()], errors) as process:
            _watch(process, waiting, quiet)
        made = queue / "stylize" / learned.name
        if not made.exists():
            raise RefusedError("learning_failed", _reason(painting, waiting, errors), everything=True)
    for path in (*_trunks(queue), made):  # the trunk first, because the style needs it
        target = folder / path.relative_to(queue)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(queue, ignore_errors=True)
    return name


def _trunks(repository: Path) -> list[Path]:
    return sorted((repository / "trunks").glob("[!.]*.safetensors"))


def _refuse_other_trunk(folder: Path, checkpoints: Path) -> None:
    """Raise RefusedError if the styles in `folder` need another trunk than that of the checkpoints."""
    for path in _trunks(checkpoints):
        other = folder / path.relative_to(checkpoints)
        if other.exists() and other.read_bytes() != path.read_bytes():
            detail = (
                f"the styles in {folder} have another trunk than {checkpoints}: set IMPASTO_LEARNED to a new folder"
            )
            raise RefusedError("other_trunk", detail, everything=True)


def _queued(spool: Spool, name: str, minutes: float, content: bytes) -> Painting:
    """Return the painting in the queue: that of an interrupted run, or a new one."""
    known = spool.find(name)
    if known is not None and known.status.state == "failed":
        spool.remove(known)
        known = None
    digest = hashlib.sha256(content).hexdigest()
    return known or spool.submit(StyleRequest(name, "", minutes, "", "", digest, time.time()), content)


@contextlib.contextmanager
def _process(command: list[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with the block. SIGINT and SIGTERM end the block with exit code 130 or 143."""

    def stop(number: int, _: FrameType | None) -> None:
        raise typer.Exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # the painting goes back into the queue
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(process: subprocess.Popen[bytes], painting: Painting, quiet: bool) -> None:
    """Wait for the trainer, and report progress."""
    told = 0.0
    while process.poll() is None:
        if not quiet and time.monotonic() - told > _LINE_SECONDS:
            typer.echo(f"learning {painting.request.name}: {_progress(painting)}", err=True)
            told = time.monotonic()
        time.sleep(_POLL_SECONDS)


def _progress(painting: Painting) -> str:
    status, in_queue = painting.status, painting.folder.exists()  # the trainer removes it when the style is published
    if not in_queue or status.share >= 1:
        return "the style is checked"
    if status.seconds_left is None:
        return "the trainer starts"
    return f"{status.share:.0%}, {status.seconds_left:.0f} s of training left"


def _reason(painting: Path, waiting: Painting, errors: IO[bytes]) -> str:
    """Say why no style was learned: by the status of the painting, or by the last line of the trainer."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    reason = waiting.status.reason or (lines[-1] if lines else "the trainer ended")
    return f"--style-image {painting}: {reason}"
