"""Decoding in processes of their own: the same pictures, and a crash that costs one request."""

import os
import pickle
import random
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.app import create_app
from service.http.problems import PROBLEM_JSON
from service.images.sandbox import ipc
from service.images.types import Decoded, Frame, Header
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import encoded, picture, running, save_net
from tests.hostile import bombs
from tests.service.http.test_bad_input import refused
from tests.service.images.test_hostile_files import mutated, sources

QUERY = "/upscale?factor=2"
PICTURE = encoded(picture())


def children() -> list[int]:
    """Decoder processes of this one."""
    found = [int(each) for each in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]
    found += [
        int(each)
        for thread in Path(f"/proc/{os.getpid()}/task").iterdir()
        if thread.name != str(os.getpid()) and (thread / "children").exists()
        for each in (thread / "children").read_text().split()
    ]
    return [pid for pid in found if b"service.images.sandbox.child" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it is gone
        return b""


def end(pid: int, *signals: int) -> None:
    with suppress(ProcessLookupError):
        for number in signals:
            os.kill(pid, number)


def end_all() -> None:
    """Those that wait, and one that is just beginning, too."""
    while pids := children():  # a dead one has no command line
        for pid in pids:
            end(pid, signal.SIGKILL)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """A service whose upscaler is nothing but bicubic, with two decoder processes."""
    folder = tmp_path_factory.mktemp("apart")
    save_net(folder, "x2", SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1)).eval())
    settings = Settings(
        checkpoints=folder,
        device="cpu",
        precision="fp32",
        decoder="process",
        decoder_seconds=2,
        max_batch_items=1,
        max_pixels=1_000_000,
    )
    with running(create_app(settings, load_registry(folder))) as address:
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            yield client
        pids = children()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)  # they end with the service


def restarts(client) -> dict[str, float]:
    lines = [line for line in client.get("/metrics").text.splitlines() if "decoder_restarts_total{" in line]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def test_pictures_come_back_as_they_do_from_a_thread(apart, plain):
    """Every way through the decoders, some of it damaged: the same status, and the same bytes."""
    assert len(children()) == 2
    files = sources()
    files += [mutated(data, random.Random(seed)) for seed, data in enumerate(files)]
    statuses = []
    for data in files:
        for query in (f"{QUERY}&metadata=keep", f"{QUERY}&profile=srgb&format=png"):
            here, there = apart.post(query, content=data), plain.post(query, content=data)
            assert (here.status_code, here.headers["content-type"]) == (
                there.status_code,
                there.headers["content-type"],
            )
            statuses.append(here.status_code)
            if here.status_code != 200:
                ours, theirs = here.json(), there.json()
                assert {**ours, "request_id": ""} == {**theirs, "request_id": ""}
                assert " at 0x" not in here.text  # nor an address in memory
            elif query.endswith("png"):
                assert here.content == there.content
    assert {200, 422} <= set(statuses)


@pytest.mark.soak
def test_bombs_are_refused(apart):
    for name, (data, expected) in bombs().items():
        assert apart.post(QUERY, content=data).status_code in expected, name
    assert not any(restarts(apart).values())


def test_a_decoder_that_crashes_takes_its_own_request_with_it_and_no_other(apart):
    before = restarts(apart)
    with ThreadPoolExecutor(6) as clients:  # both have begun to decode
        assert {each.status_code for each in clients.map(lambda _: apart.post(QUERY, content=PICTURE), range(12))} == {
            200
        }
    while any(Path(f"/proc/{pid}/fd/2").readlink() != Path("/dev/null") for pid in children()):
        time.sleep(0.01)
    victim = children()[0]
    os.kill(victim, signal.SIGSTOP)  # so that a picture is in its hands when it crashes
    with ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(apart.post, QUERY, content=PICTURE) for _ in range(30)]
        while sum(answer.done() for answer in answers) < 29:
            time.sleep(0.01)
        os.kill(victim, signal.SIGSEGV)
        os.kill(victim, signal.SIGCONT)
        responses = [answer.result() for answer in answers]
    lost = [response for response in responses if response.status_code != 200]
    assert len(lost) == 1
    problem = refused(lost[0], 422, "broken_image")
    assert problem["value"] == "crashed its decoder"
    assert restarts(apart) == {**before, "crash": before.get("crash", 0) + 1}
    assert victim not in children()
    assert len(children()) == 2
    assert apart.post(QUERY, content=PICTURE).status_code == 200


def test_a_decoder_that_dies_while_idle_costs_no_request(apart):
    before = sum(restarts(apart).values())
    end_all()
    assert [apart.post(QUERY, content=PICTURE).status_code for _ in range(3)] == [200] * 3
    assert sum(restarts(apart).values()) > before  # "idle", or "killed" where it was not quite dead yet


def test_one_that_is_killed_from_outside_is_not_the_pictures_fault(apart):
    victims, before = children(), restarts(apart)
    for victim in victims:
        os.kill(victim, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(apart.post, QUERY, content=PICTURE)
        time.sleep(0.3)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert answer.result().status_code == 200  # by another one
        assert restarts(apart)["killed"] == before.get("killed", 0) + 1
        answer = clients.submit(apart.post, QUERY, content=PICTURE)
        while not answer.done():
            for victim in children():
                end(victim, signal.SIGSTOP, signal.SIGKILL)
            time.sleep(0.001)
        if answer.result().status_code != 200:  # it may have been quicker
            assert refused(answer.result(), 503, "unavailable")
            assert answer.result().headers["retry-after"] in {"1", "5"}
    assert apart.post(QUERY, content=PICTURE).status_code == 200


def test_a_decoder_that_takes_too_long_is_killed(apart):
    assert apart.post(QUERY, content=PICTURE).status_code == 200
    victims = children()
    for victim in victims:
        os.kill(victim, signal.SIGSTOP)
    response = apart.post(QUERY, content=PICTURE)
    assert refused(response, 422, "broken_image")["value"] == "took longer than 2 s"
    assert response.headers["content-type"] == PROBLEM_JSON
    assert restarts(apart)["timeout"] == 1
    for victim in set(victims) & set(children()):
        os.kill(victim, signal.SIGCONT)
    assert apart.post(QUERY, content=PICTURE).status_code == 200


def test_the_output_of_a_decoder_is_not_logged(apart):
    """libtiff and Pillow write to standard error what they think of a damaged one."""
    assert apart.post(QUERY, content=PICTURE).status_code == 200
    assert Path("/dev/null") in {Path(f"/proc/{pid}/fd/2").readlink() for pid in children()}


def test_a_decoder_has_no_keys(monkeypatch, apart):
    end_all()
    monkeypatch.setenv("IMPASTO_ADMIN_KEY", "a secret of sixteen")
    assert apart.post(QUERY, content=PICTURE).status_code == 200
    [new] = children()[-1:]
    environment = Path(f"/proc/{new}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"secret" not in environment


def test_decoders_share_the_cpu_with_the_service_and_not_with_all_sessions(apart):
    """Linux gives each session an equal share: in one of its own, a decoder waited 0.1 s beside a busy device."""
    assert apart.post(QUERY, content=PICTURE).status_code == 200
    decoders = children()
    assert decoders
    for pid in decoders:
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0), "Ctrl-C goes to the whole group"


@pytest.mark.soak
def test_memory_beyond_the_limit_is_an_answer_and_not_the_services(apart, tmp_path):
    assert apart.post(QUERY, content=PICTURE).status_code == 200
    status = Path(f"/proc/{children()[0]}/status").read_text()
    needed = 1024 * int(re.search(r"VmPeak:\s+(\d+) kB", status)[1])
    save_net(tmp_path, "x2", SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1)).eval())
    settings = Settings(
        checkpoints=tmp_path,
        device="cpu",
        precision="fp32",
        max_batch_items=1,
        max_pixels=40_000_000,
        max_output_pixels=400_000_000,
        decoder="process",
        decoder_memory_bytes=needed + 60 * 2**20,
    )
    large = encoded(np.zeros((6000, 6000, 3), np.uint8), "png")
    with running(create_app(settings, load_registry(tmp_path), 1)) as address:
        for data, expected in ((PICTURE, 200), (large, 422), (PICTURE, 200)):
            response = httpx.post(f"{address}{QUERY}&format=jpeg", content=data, timeout=60, trust_env=False)
            assert response.status_code == expected


@pytest.mark.parametrize("evil", [os.system, eval, Path, pickle.loads, socket.socket])
def test_messages_of_a_decoder_are_restricted_to_a_list_of_types(evil):
    class Evil:
        def __reduce__(self):
            return evil, ("true",)

    here, there = socket.socketpair()
    with here, there:
        ipc.send(there, (True, Evil()))
        with pytest.raises(ipc.MessageError, match="is not permitted"):
            ipc.receive(here, 10**6, 5)


def test_a_message_has_limits():
    here, there = socket.socketpair()
    with here, there:
        there.sendall((2**60).to_bytes(8, "little") + (1).to_bytes(4, "little") + bytes(8))
        with pytest.raises(ipc.MessageError, match="a message of"):
            ipc.receive(here, 10**6, 5)
        there.sendall(bytes(8) + (2**31).to_bytes(4, "little"))
        with pytest.raises(ipc.MessageError, match="buffers"):
            ipc.receive(here, 10**6, 5)
        with pytest.raises(TimeoutError):
            ipc.receive(here, 10**6, 0.01)


def test_arrays_travel_as_they_are():
    header = Header("png", 2, 3, 1, False, True, 16)
    deep = np.arange(18, dtype=np.uint16).reshape(2, 3, 3)
    frame = Frame(deep[::-1], alpha=np.ones((2, 3), np.uint8), lost=np.zeros((2, 3, 3), np.int32), milliseconds=40.0)
    sent = Decoded([frame], True, False, None, b"icc", 3, None, {"a": "b"})
    here, there = socket.socketpair()
    with here, there:
        ipc.send(there, (header, sent), b"data")
        (got_header, got), data = ipc.receive(here, 10**6, 5)
    assert (got_header, bytes(data)) == (header, b"data")
    assert np.array_equal(got.frames[0].pixels, frame.pixels)
    assert got.frames[0].pixels.dtype == np.uint16
    assert (got.icc, got.plays, got.declared) == (b"icc", 3, {"a": "b"})
