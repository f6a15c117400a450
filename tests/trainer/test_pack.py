"""A training packed into a folder runs from there, as it would on a machine with a GPU."""

import os
import subprocess
import sys

from PIL import Image

from nets.checkpoint import load
from tests.trainer.test_family import FAMILY
from trainer.objective.loss_network import load_loss_network


def test_a_packed_training_runs_from_its_folder(tmp_path, style_image, photographs, vgg16_file):
    config, packed, run = tmp_path / "family.toml", tmp_path / "packed", tmp_path / "run"
    config.write_text(FAMILY.format(iterations=3, style=style_image.name))
    arguments = [config, "--data", photographs, "--styles", style_image.parent, "--vgg16", vgg16_file, "--to", packed]
    command = [sys.executable, "scripts/pack_training.py", *map(str, arguments), "--short-side", "50"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": "."})
    with Image.open(packed / "photographs" / "000003.jpg") as image:
        assert image.size == (60, 50)  # 120 x 100 pixels, reduced
    assert load_loss_network(packed / "vgg16.safetensors").features[0].weight.shape == (64, 3, 3, 3)

    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": "."}
    subprocess.run(["sh", packed / "train.sh", "5", run, "--workers", "0"], check=True, env=environment)
    assert load(run / "checkpoints" / "stylize" / "checks.safetensors").card.training["iterations"] == 3
