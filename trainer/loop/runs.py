"""The directory of a run, with everything that is needed to continue after a kill at any moment.

RUN/config.json        the resolved recipe          RUN/metrics.jsonl       one line per logged iteration
RUN/state.pt           weights, optimiser, average  RUN/samples/000200.jpg  pictures along the way
RUN/skipped.txt        photographs that could not be read, if any
RUN/checkpoints/TASK/NAME.safetensors               the result, for the service
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import torch

from nets.files import replace_file
from trainer.errors import TrainerError

_MAY_CHANGE = frozenset({"iterations", "save_every", "sample_every"})


class Run:
    """A training run on disk. Files are replaced atomically or appended to by lines."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.samples = directory / "samples"
        self.checkpoints = directory / "checkpoints"
        self.skipped = directory / "skipped.txt"
        self._state = directory / "state.pt"
        self._metrics = directory / "metrics.jsonl"

    def begin(self, recipe: dict[str, Any]) -> dict[str, Any] | None:
        """Create the directory, or open the run in it. Return its last state; None for a new run.

        Raises TrainerError if the directory has a run of another recipe, with the name of the setting that differs.
        """
        self.samples.mkdir(parents=True, exist_ok=True)
        state = self._load_state()
        if state is not None:
            self._refuse_another(recipe, state["recipe"])
            self._forget_metrics_after(state["iteration"])
        else:
            self._metrics.unlink(missing_ok=True)
            self.skipped.unlink(missing_ok=True)
        replace_file(self.directory / "config.json", json.dumps(recipe, indent=2).encode())
        return state

    def log(self, iteration: int, **values: float) -> None:
        """Append one line of metrics."""
        try:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        except OSError as error:
            raise self._cannot_write(self._metrics, error) from error

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state. `state` has `iteration`, `recipe` and what the recipe needs to continue."""
        temporary = self._state.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a write error
            temporary.unlink(missing_ok=True)
            raise self._cannot_write(self._state, error) from error
        temporary.replace(self._state)

    def metrics(self) -> list[dict[str, float]]:
        """Read all logged lines, oldest first. A line that a kill cut short is left out."""
        if not self._metrics.exists():
            return []
        lines: list[dict[str, float]] = []
        for line in self._metrics.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def _cannot_write(self, path: Path, error: Exception) -> TrainerError:
        kept = "the last saved state is kept" if self._state.exists() else "nothing was saved yet"
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:200]
        return TrainerError(f"{path} cannot be written: {reason}; {kept}, the same command goes on from it")

    def _load_state(self) -> dict[str, Any] | None:
        if not self._state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._state, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle raises nearly any exception
            raise TrainerError(
                f"{self._state} cannot be read ({error}); remove {self.directory} to begin anew"
            ) from error
        return state

    def _refuse_another(self, recipe: dict[str, Any], earlier: dict[str, Any]) -> None:
        for key in sorted((set(recipe) | set(earlier)) - _MAY_CHANGE):
            if recipe.get(key) != earlier.get(key):
                raise TrainerError(
                    f"{self.directory} holds a run with {key} = {earlier.get(key)!r}, now it is {recipe.get(key)!r}: "
                    "use another --run, or remove that folder"
                )

    def _forget_metrics_after(self, iteration: int) -> None:
        kept = [line for line in self.metrics() if line["iteration"] <= iteration]
        replace_file(self._metrics, "".join(json.dumps(line) + "\n" for line in kept).encode())


def git_revision() -> str:
    """Return the commit of this working tree, with "+changes" if it is modified; "" outside of git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
