"""`impasto bulk` before Ray is needed: what makes no sense, what is done already, and what to install."""

import importlib.util

import pytest

from service.cli.bulk.manifest import FOLDER
from tests.conftest import encoded, picture

WITHOUT_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is here")


@pytest.fixture
def bulk(invoked, checkpoints, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(encoded(picture(8, 9)))
    monkeypatch.setenv("IMPASTO_CHECKPOINTS", str(checkpoints))
    return lambda *arguments: invoked("bulk", *arguments)


MISUSE = [
    (["in", "out"], "expected a style (--style) or a factor (--factor), and not both"),
    (["in", "out", "--style", "mosaic", "--factor", "2"], "and not both"),
    (["in", "out", "--style", "mosiac"], "style 'mosiac' is not served; served: mosaic, starry_night"),
    (["in", "out", "--factor", "5"], "factor 5 is not served"),
    (["in", "out", "--factor", "2", "--strength", "0.5"], "--strength"),
    (["in", "in", "--factor", "2"], "DEST is 'in', which contains SOURCE 'in': an output could replace an image"),
    (["in", ".", "--factor", "2"], "DEST is '.', which contains SOURCE 'in'"),
    (["nowhere", "out", "--factor", "2"], "nowhere: No such file or directory"),
    (["empty", "out", "--factor", "2"], "no pictures in"),
    (["http://x/in", "out", "--factor", "2"], "SOURCE is 'http://x/in': it is malformed"),
    (["in", "in/a.png/out", "--factor", "2"], "Not a directory"),
]


@pytest.mark.parametrize(("arguments", "message"), MISUSE, ids=[message for _, message in MISUSE])
def test_what_makes_no_sense_is_said_at_once(bulk, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    result = bulk(*arguments)
    assert result.returncode == 2
    assert message in result.stderr.decode()
    assert not (tmp_path / "out").exists()


@WITHOUT_RAY
def test_without_ray_it_says_what_to_install(bulk, tmp_path):
    result = bulk("in", "out", "--factor", "2")
    assert (result.returncode, result.stderr) == (
        2,
        b"impasto: bulk needs Ray: pip install 'impasto[bulk]'\n",
    )
    assert not (tmp_path / "out" / FOLDER).exists()
