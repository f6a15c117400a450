"""Options of every command that computes. Serving needs no others, and importing these loads no client."""

from pathlib import Path
from typing import Annotated

import typer

Checkpoints = Annotated[Path | None, typer.Option(help="Folder of checkpoints.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")]
