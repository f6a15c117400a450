"""A service that learns styles: a tiny trunk, a random loss network, and the real trainer."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch

from nets.spool import Spool
from service.app import create_app
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import running
from tests.nets.test_trunk import save_family
from tests.trainer.conftest import random_vgg16
from tests.trainer.test_fit import LOSS


def trainer_options(folder: Path) -> str:
    """Write a loss network and a recipe into a folder; return the trainer's options for them."""
    safetensors.torch.save_file(random_vgg16(), folder / "vgg16.safetensors")
    (folder / "tiny.toml").write_text(LOSS)
    return f"--trunk tiny --no-check --config {folder}/tiny.toml --vgg16 {folder}/vgg16.safetensors"


@contextmanager
def learning_service(folder: Path, options: str, announced: bool = True, **more: object):
    """Run a service over the trunk and the learned styles of a folder; gives its address.

    announced: whether an external trainer has shown itself, which then takes its time.
    """
    if not (folder / "checkpoints").exists():
        save_family(folder / "checkpoints")
    given = {
        "checkpoints": folder / "checkpoints",
        "learned": folder / "learned",
        "trainer_options": options,
        "device": "cpu",
        "precision": "fp32",
        "max_batch_items": 1,
    }
    settings = Settings(**given | more)
    if settings.trainer == "external" and announced and settings.learned is not None:
        Spool(settings.learned).announce_trainer()
    with running(create_app(settings, registry_from_settings(settings))) as address:
        yield address


@contextmanager
def external_trainer(folder: Path, options: str):
    """Run a trainer of usual priority beside a learning service with trainer="external"."""
    command = [sys.executable, "-m", "trainer", "learn", folder / "learned", "--checkpoints", folder / "checkpoints"]
    process = subprocess.Popen([*map(str, command), *options.split()])
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
