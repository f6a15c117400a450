"""What every worker of a run does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service import __version__
from service.cli.backends import Operation
from service.cli.bulk.places import Place


@dataclass(frozen=True)
class Job:
    """An operation on the images of a source.

    settings: of the driver, by name. models: the networks that it found. jobs: images at once; None: 2 on a CPU, 8 on a
    GPU. version: of the driver.
    """

    operation: Operation
    source: Place
    dest: Place
    settings: Mapping[str, Any]
    models: frozenset[str]
    jobs: int | None = None
    version: str = __version__
