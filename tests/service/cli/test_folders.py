"""Folders of pictures, on this machine and by a server: what is made, what is skipped, what is told."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import decoded, encoded, picture
from tests.files import animation
from tests.service.cli.conftest import BROKEN, PROGRAM, environment, leftovers


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("place", ["here", "a server"])
def test_a_folder_of_fifty_with_two_broken_ones(impasto, photographs, address, tmp_path, place):
    server = ["--server", address] if place == "a server" else []
    command = ["stylize", photographs, "--style", "mosaic", "-o", "out", *server]
    first = impasto(*command)
    assert (first.returncode, first.stdout) == (1, b"")
    told = first.stderr.decode().splitlines()
    if place == "here":
        assert told.pop(0) == "loading the networks ..."
    summary, *failures = [line for line in told if not line.endswith(" s left")]
    assert summary == "48 done, 2 failed"
    assert sorted(failure.partition(": ")[0] for failure in failures) == [str(photographs / name) for name in BROKEN]
    assert "cannot be decoded" in first.stderr.decode()
    assert "the body looks like text; expected image/jpeg" in first.stderr.decode()
    expected = {path.name for path in photographs.glob("photo_*")} - set(BROKEN)
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == expected
    for name in expected:
        with Image.open(photographs / name) as before, Image.open(tmp_path / "out" / name) as after:
            after.load()
            assert (before.size, before.format) == (after.size, after.format)

    assert leftovers(tmp_path) == []


def test_what_is_done_is_skipped(invoked, photographs, address, tmp_path):
    command = ["stylize", photographs, "--style", "mosaic", "-o", "out", "--server", address]
    assert invoked(*command).returncode == 1
    (tmp_path / "out" / "photo_00.png").unlink()
    kept = (tmp_path / "out" / "photo_01.jpg").stat().st_mtime_ns
    again = invoked(*command, "--json")
    assert again.returncode == 1
    told = {Path(line["source"]).name: line for line in lines(again)}
    assert len(told) == 50
    assert [name for name, line in told.items() if line["status"] == "done"] == ["photo_00.png"]
    assert sorted(name for name, line in told.items() if line["status"] == "failed") == list(BROKEN)
    assert told[BROKEN[0]]["code"] == "broken_image"
    assert told["photo_00.png"]["model"].startswith("stylize/mosaic@sha256:")
    assert told["photo_00.png"]["target"] == "out/photo_00.png"
    assert (tmp_path / "out" / "photo_01.jpg").stat().st_mtime_ns == kept


@pytest.mark.long
def test_here_and_a_server_make_the_same(impasto, address, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    options = ["--style", "mosaic:2,starry_night", "--strength", "0.6", "--preserve-color", "--stroke", "2"]
    options += ["--max-side", "32", "--format", "webp", "--quality", "70", "--profile", "srgb", "--metadata", "keep"]
    here = impasto("stylize", "a.png", *options, "-o", "here", "--quiet")
    there = impasto("stylize", "a.png", *options, "-o", "there/", "--server", address)
    assert (here.returncode, there.returncode, here.stderr, there.stderr) == (0, 0, b"", b"")
    assert (tmp_path / "here/a.webp").read_bytes() == (tmp_path / "there/a.webp").read_bytes()
    with Image.open(tmp_path / "here/a.webp") as image:
        assert image.size == (32, 21)


def test_folders_in_folders_patterns_and_names(invoked, address, tmp_path):
    data = {kind: encoded(picture(), kind) for kind in ("png", "tiff", "jpeg")}
    moving = animation("gif", [picture(seed=seed) for seed in (1, 2)], 100)
    files = {
        "in/a.PNG": data["png"],
        "in/deep/er/a.png": data["png"],
        "in/scan.tiff": data["tiff"],
        "in/same.png": data["png"],
        "in/same.tif": data["tiff"],
        "in/wrong.jpg": data["png"],
        "in/moving.gif": moving,
        "in/still.gif": encoded(picture(), "gif"),
        "in/[1].jpg": data["jpeg"],
        "in/out/not-again.png": data["png"],
        "in/.thumbnails/a.png": data["png"],
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    command = ["upscale", "in", "in/[1].jpg", "in/*.PNG", "--factor", "2", "-o", "in/out", "-r", "--server", address]
    result = invoked(*command, "--json")
    assert result.returncode == 0, result.stderr
    targets = {line["source"]: line["target"] for line in lines(result)}
    assert targets == {
        "in/a.PNG": "in/out/a.PNG",
        "in/deep/er/a.png": "in/out/deep/er/a.png",
        "in/scan.tiff": "in/out/scan.png",
        "in/same.png": "in/out/same.png",
        "in/same.tif": "in/out/same.tif.png",
        "in/wrong.jpg": "in/out/wrong.png",
        "in/moving.gif": "in/out/moving.gif",
        "in/still.gif": "in/out/still.png",
        "in/[1].jpg": "in/out/[1].jpg",
    }
    for target in targets.values():
        with Image.open(tmp_path / target) as image:
            assert image.size == (120, 80)
    again = invoked(*command, "--json")
    assert {line["status"] for line in lines(again)} == {"skipped"}
    flat = invoked("upscale", "in", "--factor", "2", "-o", "flat", "--server", address, "--json", "--overwrite")
    assert len(lines(flat)) == 8  # without --recursive
    assert not (tmp_path / "flat/deep").exists()


def test_one_file_gets_the_name_and_the_format_that_it_is_told(invoked, address, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    assert invoked("upscale", "a.png", "--factor", "2", "-o", "new/b.jpg", "--server", address).returncode == 0
    with Image.open(tmp_path / "new/b.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (120, 80))
    written = (tmp_path / "new/b.jpg").stat().st_mtime_ns
    for more, changed in ([], False), (["--overwrite"], True):
        assert (
            invoked("upscale", "a.png", "--factor", "2", "-o", "new/b.jpg", "--server", address, *more).returncode == 0
        )
        assert ((tmp_path / "new/b.jpg").stat().st_mtime_ns != written) is changed
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "new/b.jpg").stat().st_mode & 0o777 == 0o666 & ~mask


def test_standard_input_and_output(impasto, invoked, address, tmp_path):
    data = encoded(picture())
    piped = impasto("upscale", "-", "--factor", "2", "--server", address, stdin=data)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert decoded(piped.stdout).shape == (80, 120, 3)
    (tmp_path / "a.png").write_bytes(data)
    assert invoked("upscale", "a.png", "--factor", "2", "-o", "-", "--server", address).stdout == piped.stdout
    assert invoked("upscale", "-", "--factor", "2", "-o", "out", "--server", address, stdin=data).returncode == 0
    assert (tmp_path / "out/stdin.png").read_bytes() == piped.stdout
    empty = invoked("upscale", "-", "--factor", "2", "--server", address, stdin=b"")
    assert (empty.returncode, empty.stderr) == (1, b"-: it is empty; expected an image\n")


def test_a_bar_on_a_terminal_and_none_in_a_pipe(photographs, checkpoints, address, tmp_path):
    master, terminal = pty.openpty()
    command = [*PROGRAM, "stylize", str(photographs), "--style", "mosaic", "-o", "out", "--server", address]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(checkpoints, TERM="xterm"), stdout=subprocess.DEVNULL, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait() == 1
    assert b"/50" in shown
    assert b"48 done, 2 failed" in shown
