"""Missing files, folders that cannot be written, full disks, signals, and servers in a bad mood."""

import contextlib
import json
import os
import resource
import signal
import subprocess

import pytest
from PIL import Image

from tests.conftest import encoded, picture
from tests.scripted import HANG_UP, SILENCE, answer, problem, scripted
from tests.service.cli.conftest import PROGRAM, environment, leftovers

PICTURE = encoded(picture(8, 9))


@pytest.fixture
def three(tmp_path):
    folder = tmp_path / "three"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.png").write_bytes(encoded(picture(8, 9, seed=index)))
    return folder


def test_a_missing_file_is_told_and_the_others_are_done(invoked, address, three, tmp_path):
    result = invoked("upscale", "/nowhere.jpg", "no*.png", three, "--factor", "2", "-o", "out", "--server", address)
    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        "3 done, 2 failed",
        "/nowhere.jpg: No such file or directory",
        "no*.png: no file matches this pattern",
    ]
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 3


MISUSE = [
    (["a.png"], "where should the outputs go?"),
    (["a.png", "-o", "a.xyz"], ".xyz is no format that can be written"),
    (["a.png", "b.png", "-o", "file"], "-o file is a file; expected a folder for 2 pictures"),
    (["a.png", "b.png", "-o", "-"], "standard output takes one picture, and there are 2"),
    (["a.png", "b.png", "-o", "new.png"], "-o new.png is the name of one file, and there are 2 pictures"),
    (["empty", "-o", "out"], "no pictures in empty; --recursive"),
    (["a.png", "-o", "a.png/out"], "Not a directory"),
    (["a.png", "-o", "-", "--json"], "--json and the picture would share standard output"),
    (["a.png", "-o", "out", "--server", "nowhere"], "'nowhere' is not the address"),
    (["a.png", "-o", "out", "--factor", "9"], "--factor"),
]


@pytest.mark.parametrize(("arguments", "message"), MISUSE, ids=[message for _, message in MISUSE])
def test_what_makes_no_sense_is_said_at_once(invoked, tmp_path, arguments, message):
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    result = invoked("upscale", *arguments, *([] if "--factor" in arguments else ["--factor", "2"]))
    assert result.returncode == 2
    assert message in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()
    assert (tmp_path / "a.png").read_bytes() == PICTURE


def test_a_wrong_parameter_is_named_by_its_option(invoked, tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    result = invoked("stylize", "a.png", "--style", "mosaic", "--stroke", "big", "-o", "out")
    assert (result.returncode, result.stderr) == (
        2,
        b"impasto: --stroke is 'big'; expected auto, off, or a number from 1 to 8\n",
    )


def test_here_what_is_not_served_is_said_with_what_is(impasto, tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    result = impasto("stylize", "a.png", "--style", "mosiac", "-o", "out")
    assert result.returncode == 2
    assert result.stderr == b"impasto: style 'mosiac' is not served; served: mosaic, starry_night\n"


def test_what_is_wrong_for_all_is_said_once(invoked, address, three):
    result = invoked("stylize", three, "--style", "mosiac", "-o", "out", "--server", address, "-j", "1")
    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        "impasto: every other picture would fail in the same way",
        "1 failed, 2 not tried",
        f"{three}/0.png: style 'mosiac' is not served; served: mosaic, starry_night",
    ]


def test_an_output_never_overwrites_its_input(invoked, address, three):
    before = [path.read_bytes() for path in sorted(three.iterdir())]
    result = invoked("upscale", three, "--factor", "2", "-o", three, "--overwrite", "--server", address)
    assert result.returncode == 1
    assert result.stderr.count(b"the output would replace the picture itself") == 3
    assert [path.read_bytes() for path in sorted(three.iterdir())] == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(impasto, three, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = impasto("upscale", three, "--factor", "2", "-o", "locked")
    assert (result.returncode, b"Permission denied" in result.stderr) == (2, True)


def test_a_file_that_is_too_large_for_the_file_system(impasto, three, tmp_path):
    """The limit of the process stands for the disk's: the write fails half way."""
    large, small = encoded(picture(200, 300)), PICTURE

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(large) // 2, len(large) // 2))

    with scripted(answer(200, b"{}", "application/json"), answer(200, large), answer(200, small)) as server:
        command = ["stylize", three, "--style", "mosaic", "-o", "out", "--server", server.address, "-j", "1"]
        result = impasto(*command, preexec_fn=limit)
    assert result.returncode == 1
    told = result.stderr.decode().splitlines()
    assert told == ["2 done, 1 failed", f"{three}/0.png: File too large"]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["1.png", "2.png"]


def test_a_full_disk_ends_it(impasto, three, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        large = encoded(picture(200, 300))
        with scripted(answer(200, b"{}", "application/json"), answer(200, PICTURE), answer(200, large)) as server:
            command = ["stylize", three, "--style", "mosaic", "-o", disk, "--server", server.address, "-j", "1"]
            result = impasto(*command)
        assert result.returncode == 1
        assert result.stderr.decode().splitlines() == [
            "impasto: nothing more can be written: No space left on device",
            "1 done, 1 failed, 1 not tried",
            f"{three}/1.png: No space left on device",
        ]
        assert [path.name for path in disk.glob("[!.]*")] == ["0.png"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_is_done_and_nothing_half_done(checkpoints, photographs, tmp_path, number):
    """Between the third answer and the fourth, which does not come."""
    models, painted = answer(200, b"{}", "application/json"), answer(200, PICTURE)
    with (
        scripted(models, painted, painted, painted, SILENCE) as server,
        begun(checkpoints, tmp_path, "stylize", photographs, "--style", "mosaic", "--server", server.address) as run,
    ):
        for _ in range(3):
            assert json.loads(run.stdout.readline())["status"] == "done"
        run.send_signal(number)
        _, told = run.communicate(timeout=30)
    assert run.returncode == 128 + number
    assert told.decode().splitlines()[:2] == ["impasto: interrupted", "3 done, 47 not tried"]
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("repetition", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))])
def test_a_signal_while_this_machine_works(checkpoints, tmp_path, number, repetition):
    """Its threads are in the middle of native code then. None of them may be left when the interpreter ends."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(60):
        (folder / f"{index:02}.jpg").write_bytes(encoded(picture(300, 400, seed=index), "jpeg"))
    with begun(checkpoints, tmp_path, "stylize", folder, "--style", "mosaic", OMP_NUM_THREADS="4") as run:
        first = json.loads(run.stdout.readline())
        run.send_signal(number)
        rest, told = run.communicate(timeout=60)
    assert run.returncode == 128 + number, told
    assert b"Traceback" not in told
    done = [first, *map(json.loads, rest.splitlines())]
    assert len(done) < 60
    assert {line["target"] for line in done} <= {f"out/{path.name}" for path in (tmp_path / "out").glob("[!.]*")}
    for path in (tmp_path / "out").glob("[!.]*"):  # whatever was finished while it ended is whole too
        with Image.open(path) as image:
            image.load()


def test_a_signal_while_it_waits_for_standard_input(checkpoints, tmp_path):
    command = [*PROGRAM, "stylize", "-", "--style", "mosaic", "-o", "out", "--server", "http://127.0.0.1:1"]
    options = {"cwd": tmp_path, "env": environment(checkpoints), "stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **options) as process:
        while not (tmp_path / "out").exists():  # made just before
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()


def test_a_reader_that_has_had_enough(checkpoints, tmp_path):
    with scripted(answer(200, b"{}", "application/json"), answer(200, encoded(picture(200, 300)) * 9)) as server:
        (tmp_path / "a.png").write_bytes(PICTURE)
        with begun(
            checkpoints, tmp_path, "stylize", "a.png", "--style", "mosaic", "--server", server.address, out="-"
        ) as run:
            run.stdout.close()
            run.stdout = None
            _, told = run.communicate(timeout=30)
    assert (run.returncode, told) == (141, b"")


def test_a_server_that_is_full_for_a_while(invoked, three, tmp_path):
    full = problem(503, "overloaded", Retry_After=0)
    with scripted(full, full, full, HANG_UP, full, answer(200, PICTURE)) as server:
        result = invoked("stylize", three, "--style", "mosaic", "-o", "out", "--server", server.address)
    assert (result.returncode, result.stderr) == (0, b"3 done\n")
    assert {path.read_bytes() for path in (tmp_path / "out").glob("[!.]*")} == {PICTURE}


def test_nothing_listens(invoked, three):
    result = invoked("stylize", three, "--style", "mosaic", "-o", "out", "--server", "http://127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr.startswith(b"impasto: http://127.0.0.1:1/models: ")


@contextlib.contextmanager
def begun(checkpoints, tmp_path, *arguments, out="out", **variables):
    """A run with one picture at a time and JSON on a pipe; ended where the test fails."""
    options = ["-o", out, "-j", "1", *(["--json"] if out != "-" else [])]
    command = [*PROGRAM, *map(str, arguments), *options]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(checkpoints, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        assert leftovers(tmp_path) == []
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
