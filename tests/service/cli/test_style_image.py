"""`impasto stylize --style-image`: a painting is learned once, here or by a server, and used."""

import json
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.conftest import encoded, picture
from tests.learning import learning_service, trainer_options
from tests.nets.test_trunk import save_family
from tests.service.cli.conftest import PROGRAM, environment

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return trainer_options(tmp_path_factory.mktemp("trainer"))


@pytest.fixture
def painted(tmp_path):
    """Two photographs, a painting, and checkpoints with a trunk."""
    for name, seed in (("a.png", 1), ("b.png", 2)):
        (tmp_path / name).write_bytes(encoded(picture(24, 30, seed)))
    (tmp_path / "My painting.jpg").write_bytes(encoded(picture(80, 96, 3), "jpeg"))
    save_family(tmp_path / "checkpoints")
    return ["stylize", "a.png", "--style-image", "My painting.jpg", "-o", "out"]


@pytest.fixture
def variables(tmp_path, options):
    """The environment for a quick trainer. Learned styles go into the cache of the user."""
    return {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "IMPASTO_CHECKPOINTS": str(tmp_path / "checkpoints"),
        "IMPASTO_LEARN_MINUTES": "0.02",
        "IMPASTO_TRAINER_OPTIONS": options,
    }


def styles(tmp_path):
    return sorted((tmp_path / "cache/impasto").glob("styles-*/stylize/*"))


def test_a_painting_is_learned_once_and_its_style_stays(impasto, painted, variables, tmp_path):
    first = impasto(*painted, env=variables)
    assert first.returncode == 0, first.stderr
    (style,) = styles(tmp_path)
    assert style.name.startswith("my_painting-")
    assert f"learning {style.stem}: the trainer starts".encode() in first.stderr
    assert not list((tmp_path / "cache/impasto").glob("styles-*/unfinished/*"))
    with Image.open(tmp_path / "out/a.png") as image:
        assert image.size == (30, 24)
    again = impasto(*painted, env=variables)
    assert again.stderr == b"1 skipped: done already\n"
    by_name = impasto("stylize", "b.png", "--style", style.stem, "-o", "out", env=variables)
    assert by_name.returncode == 0, by_name.stderr
    listed = {
        each["name"]: each["learned"]
        for each in json.loads(impasto("models", "--json", env=variables).stdout)["models"]
    }
    assert listed == {"checks": False, "dots": False, style.stem: True}
    assert b"learning" not in by_name.stderr


def test_a_signal_ends_it_and_the_same_command_goes_on(impasto, checkpoints, painted, variables, tmp_path):
    slow = {**variables, "IMPASTO_LEARN_MINUTES": "10"}
    command = [*PROGRAM, *painted]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(checkpoints, **slow), stderr=subprocess.PIPE) as run:
        queue = tmp_path / "cache/impasto"
        until = time.monotonic() + 100
        while not list(queue.glob("styles-*/unfinished/*/queue/*/state.pt")) and time.monotonic() < until:
            time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        told = run.communicate(timeout=60)[1]
    assert run.returncode == 143, told
    assert b"Traceback" not in told
    assert list(queue.glob("styles-*/unfinished/*/queue/*/state.pt"))  # kept, and the trainer has ended
    assert not styles(tmp_path)


def test_a_server_learns_it(impasto, painted, options, tmp_path):
    with learning_service(tmp_path, options, learn_minutes=0.02) as address:
        result = impasto(*painted, "--server", address)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "learned/stylize").glob("my_painting-*.safetensors"))) == 1
    assert (tmp_path / "out/a.png").exists()


def test_a_painting_that_cannot_be_learned_is_named(impasto, painted, variables, tmp_path):
    (tmp_path / "My painting.jpg").write_bytes(encoded(picture(20, 20), "jpeg"))
    result = impasto(*painted, env=variables)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.splitlines()[-1].startswith(
        b"impasto: --style-image My painting.jpg: the painting: 20 x 20 pixels; "
    )
    assert not (tmp_path / "out/a.png").exists()


def test_styles_of_another_trunk_are_not_mixed(impasto, painted, variables, tmp_path):
    save_family(tmp_path / "mine", seed=1)
    result = impasto(*painted, env={**variables, "IMPASTO_LEARNED": str(tmp_path / "mine")})
    assert result.returncode == 2
    assert b"have another trunk than" in result.stderr


def test_without_the_trainer_one_line_says_what_to_install(checkpoints, painted, variables, tmp_path):
    without = "import sys; sys.modules['torchvision'] = None; from service.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", without, *painted],
        env=environment(checkpoints, **variables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "impasto: --style-image needs the trainer (torchvision): pip install 'impasto[train]'\n"


@pytest.mark.parametrize("styles", [[], ["--style", "checks", "--style-image", "My painting.jpg"]])
def test_a_style_or_a_painting_is_needed(invoked, painted, styles):
    result = invoked("stylize", "a.png", "-o", "out", *styles)
    assert result.returncode == 2
    assert b"expected a style (--style), or a painting" in result.stderr
