"""The commands of the README work as written in a clone."""

import re
import shlex
import subprocess

import pytest
from PIL import Image

from tests.end_to_end.test_serve import ROOT, address_in, service

COMMANDS = re.findall(r"^curl .*docs/images/.*$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.long
def test_the_curl_commands_of_the_readme_give_images(tmp_path):
    assert len(COMMANDS) == 2
    with service(checkpoints=ROOT / "checkpoints", loading="lazy") as (_, lines):
        for command in COMMANDS:
            assert "--fail-with-body" in command
            arguments = shlex.split(command.replace("localhost:8000", address_in(lines[0])))
            target = tmp_path / arguments.pop()
            subprocess.run([*arguments, target], cwd=ROOT, check=True, timeout=120)
            with Image.open(target) as image:
                image.load()
                assert image.format == "JPEG"
