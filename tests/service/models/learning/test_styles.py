"""A painting becomes a style over HTTP: learned, watched, served, deleted, refused, and kept across a restart."""

import asyncio
import io
import json
import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from impasto import AsyncClient, Client, LearningError, ParameterError, UnknownModelError
from nets.spool import Spool
from service.cli.main import app
from service.models.learning.trainer_process import TrainerProcess
from tests.conftest import encoded, picture, save_net, tiny_upscaler
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.learning import learning_service, trainer_options
from tests.nets.test_trunk import save_family

CAROL = "impasto_key-of-carol-for-a-test"
PAINTING = encoded(picture(80, 96))


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return trainer_options(tmp_path_factory.mktemp("trainer"))


@pytest.fixture
def serve(tmp_path, options):
    """Run a service over a folder of learned styles; gives a client."""

    @contextmanager
    def run(key=None, **more):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            learning_service(tmp_path, options, **more) as address,
            httpx.Client(base_url=address, trust_env=False, timeout=60, headers=headers) as client,
        ):
            yield client

    return run


def bilevel(width, height):
    """A PNG of one bit a pixel."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def learn(client, name="mine", painting=PAINTING, minutes=0.02, headers=None, **more):
    return client.post("/styles", params={"name": name, "minutes": minutes, **more}, content=painting, headers=headers)


def wait_for(client, name, *states):
    until = time.monotonic() + 120
    while (found := client.get(f"/styles/{name}").json())["state"] not in states:
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


def test_a_painting_is_learned_watched_and_served(serve):
    with serve() as client:
        answer = learn(client, license="CC0-1.0", source="a test")
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == "/styles/mine"
        assert answer.json()["state"] == "queued"
        assert learn(client).json()["name"] == "mine"  # the same request once more
        with client.stream("GET", "/styles/mine/events") as events:
            told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
        assert [each["state"] for each in told][-1] == "ready"
        assert "learning" in {each["state"] for each in told}
        assert all(0 <= each["progress"] <= 1 for each in told)
        assert told[-1]["model"] == "stylize/mine"
        models = {model["model"]: model["learned"] for model in client.get("/models").json()["models"]}
        assert models == {"stylize/checks": False, "stylize/dots": False, "stylize/mine": True}
        card = client.get("/models/stylize/mine").json()
        assert (card["license"], card["source"]) == ("CC0-1.0", "a test")
        painted = client.post("/stylize?style=mine", content=encoded(picture(40, 50)))
        assert painted.status_code == 200, painted.text
        assert learn(client).json()["state"] == "ready"
        assert client.delete("/styles/mine").status_code == 204
        assert client.post("/stylize?style=mine", content=encoded(picture(40, 50))).status_code == 404
        assert client.get("/styles/mine").status_code == 404


def test_the_client_and_the_command_line_learn_a_painting(serve, tmp_path):
    (tmp_path / "painting.png").write_bytes(PAINTING)
    with serve() as http:
        address = str(http.base_url)
        with Client(address) as client:
            assert client.learn(tmp_path / "painting.png", "mine", minutes=0.02).name == "mine"
            assert client.wait_until_learned("mine").state == "ready"
            with pytest.raises(UnknownModelError):
                client.preview("mine")
            assert "mine" in client.models().styles
            client.forget("mine")
            assert "mine" not in client.models().styles
            client.learn(encoded(np.full((80, 80, 3), 90, np.uint8)), "flat")
            with pytest.raises(LearningError, match="nearly one colour"):
                client.wait_until_learned("flat")
        options = ["--server", address, "--minutes", "0.05", "--preview", str(tmp_path / "preview.jpg")]
        result = CliRunner().invoke(app, ["learn", str(tmp_path / "painting.png"), "--name", "yours", *options])
        assert result.exit_code == 0, result.output
        assert f"yours is ready: impasto stylize photo.jpg --style yours --server {address}" in result.output
        refused = CliRunner().invoke(app, ["learn", str(tmp_path / "painting.png"), "--name", "checks", *options])
        assert refused.exit_code != 0
        assert "there is a style named checks" in refused.output

        async def learn_too():
            async with AsyncClient(address) as client:
                await client.learn(PAINTING, "third", minutes=0.02, license="CC0-1.0")
                style = await client.wait_until_learned("third")
                await client.forget("third")
                return style

        assert asyncio.run(learn_too()).state == "ready"


def test_what_is_learned_survives_a_restart_and_can_be_withdrawn(serve):
    with serve() as client:
        learn(client, minutes=0.15)
        found = wait_for(client, "mine", "learning")
        while "preview" not in found:
            found = client.get("/styles/mine").json()
        preview = client.get(found["preview"])
        assert preview.headers["content-type"] == "image/jpeg"
        assert found["seconds_left"] < 9
    with serve() as client:
        learn(client, "other", minutes=20)
        assert client.get("/styles/mine").json()["progress"] > 0
        assert wait_for(client, "mine", "ready")["progress"] == 1
        wait_for(client, "other", "learning")
        assert client.delete("/styles/other").status_code == 204
        until = time.monotonic() + 30
        while client.get("/styles/other").status_code != 404:
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("query", "painting", "status", "code"),
    [
        ({"name": "checks"}, PAINTING, 409, "style_exists"),
        ({"name": "My Painting"}, PAINTING, 422, "invalid_parameter"),
        ({"minutes": 0}, PAINTING, 422, "invalid_parameter"),
        ({"hours": 1}, PAINTING, 422, "invalid_parameter"),
        ({"name": "neutral"}, PAINTING, 409, "style_exists"),
        ({}, encoded(picture(16, 16)), 422, "unsuitable_painting"),
        ({}, bilevel(10_000, 10_000), 413, "too_many_pixels"),
        ({}, encoded(picture(40, 96)), 422, "unsuitable_painting"),
        ({}, encoded(picture(70, 300)), 422, "unsuitable_painting"),
        ({}, b"no painting", 415, "unsupported_image"),
        ({}, b"", 422, "invalid_body"),
    ],
)
def test_a_painting_that_cannot_be_learned_is_refused_at_once(serve, query, painting, status, code):
    with serve(trainer="external") as client:
        answer = learn(client, **{"painting": painting, **query})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_flat_painting_fails_with_the_reason_and_may_be_replaced(serve):
    with serve() as client:
        learn(client, painting=encoded(np.full((80, 80, 3), 90, np.uint8)))
        failed = wait_for(client, "mine", "failed")
        assert failed["reason"] == "the painting is nearly one colour: there is no style to learn from it"
        assert learn(client, minutes=20).status_code == 202
        assert client.delete("/styles/mine").status_code == 204


def test_a_painting_in_cmyk_reaches_the_trainer_as_rgb(serve, tmp_path):
    file = io.BytesIO()
    Image.fromarray(picture(80, 96)).convert("CMYK").save(file, "JPEG")
    with serve(trainer="external") as client:
        assert learn(client, painting=file.getvalue()).status_code == 202
    with Image.open(Spool(tmp_path / "learned").find("mine").image) as painting:
        assert (painting.mode, painting.size) == ("RGB", (96, 80))


def test_a_disk_without_room_for_the_painting_is_told(serve):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(trainer="external") as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # the painting has more bytes
        try:
            answer = learn(client)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert client.get("/styles/mine").status_code == 404
        assert learn(client).status_code == 202


def test_a_style_that_is_cancelled_is_gone_at_once_and_may_be_sent_again(serve, tmp_path):
    spool = Spool(tmp_path / "learned")
    with serve(trainer="external") as client:
        learn(client)
        with spool.find("mine").locked():  # as a trainer does that is at work on it
            assert client.delete("/styles/mine").status_code == 204
            assert client.get("/styles/mine").status_code == 404
            answer = learn(client)  # the trainer has not let it go in five seconds
            assert (answer.status_code, answer.json()["code"]) == (409, "style_exists")
        spool.remove(spool.find("mine"))
        assert learn(client).status_code == 202


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing_else(serve, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with serve(learned=tmp_path / "file") as client:
        answer = learn(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "the painting cannot be stored" in answer.json()["detail"]
        assert client.post("/stylize?style=checks", content=encoded(picture(40, 50))).status_code == 200


def test_a_checkpoint_folder_without_a_trunk_can_learn_nothing(serve, tmp_path):
    save_net(tmp_path / "plain", "x2", tiny_upscaler(2))
    with serve(checkpoints=tmp_path / "plain") as client:
        answer = learn(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_trainer")
        assert "no style that is served has a trunk" in answer.json()["detail"]


def test_without_a_trainer_on_its_folder_a_service_learns_nothing(serve, tmp_path):
    with serve(trainer="external", announced=False) as client:
        answer = learn(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_trainer")
        assert "no trainer works on the folder of IMPASTO_LEARNED" in answer.json()["detail"]
        assert client.get("/limits").json()["learn_minutes"] is None
        Spool(tmp_path / "learned").announce_trainer()
        assert client.get("/limits").json()["learn_minutes"] == 5
        assert learn(client).status_code == 202


def test_styles_are_limited_in_number(serve):
    with serve(trainer="external", max_learned=1) as client:
        assert learn(client).status_code == 202
        answer = learn(client, "second")
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_styles")
        assert "1 styles are kept, the limit is 1; delete one first" in answer.json()["detail"]


def test_a_service_without_a_folder_for_styles_says_which_setting_is_missing(serve):
    with serve(learned=None) as client:
        answer = learn(client)
        assert answer.status_code == 404
        assert "IMPASTO_LEARNED" in answer.json()["detail"]


def test_a_style_belongs_to_the_key_that_sent_its_painting(serve, tmp_path):
    with serve(key=ALICE, trainer="external", keys_file=key_file(tmp_path)) as client:
        assert learn(client).status_code == 202
        others = bearer(BOB)
        assert client.delete("/styles/mine", headers=others).status_code == 403
        carol = client.get("/styles/mine", headers=bearer(CAROL))
        assert (carol.status_code, carol.json()["expected"]) == (403, "styles")
        assert client.delete("/styles/mine").status_code == 204


def key_file(tmp_path, **alice):
    """Alice and Bob may transform and learn, Carol may transform."""
    both = {"scopes": ["transform", "styles"]}
    alice, bob = {"key": ALICE, **both, **alice}, {"key": BOB, **both}
    return write_keys(
        tmp_path / "keys.toml", {"alice": alice, "bob": bob, "carol": {"key": CAROL, "scopes": ["transform"]}}
    )


def requests_about(client, name, key):
    """Every request that names a style, as the holder of a key sends it."""
    headers, image = bearer(key), encoded(picture(40, 50))
    tensor = {"inputs": [{"name": "pixels", "shape": [8, 8, 3], "datatype": "UINT8", "data": [0] * 192}]}
    waits = {**headers, "Prefer": "respond-async"}
    return [
        client.get(f"/models/stylize/{name}", headers=headers),
        client.get(f"/models/stylize/{name}/thumbnail", headers=headers),
        client.get(f"/styles/{name}", headers=headers),
        client.get(f"/styles/{name}/events", headers=headers),
        client.get(f"/v2/models/stylize.{name}", headers=headers),
        client.get(f"/v2/models/stylize.{name}/ready", headers=headers),
        client.post(f"/v2/models/stylize.{name}/infer", json=tensor, headers=headers),
        client.post(f"/stylize?style={name}", content=image, headers=headers),
        client.post(f"/stylize?style={name}", content=image, headers=waits),
        client.post(f"/stylize?style=checks:0.5,{name}:0.5", content=image, headers=headers),
    ]


def test_a_private_style_exists_for_its_own_key_only(serve, tmp_path):
    save_family(tmp_path / "learned", ("hers",), training={"owner": "alice", "private": True})
    with serve(trainer="external", keys_file=key_file(tmp_path)) as client:
        assert {answer.status_code for answer in requests_about(client, "hers", ALICE)} <= {200, 202}
        told = {
            (answer.status_code, answer.text.replace("hers", "none")[:60])
            for answer in requests_about(client, "hers", BOB)
        }
        assert told == {(answer.status_code, answer.text[:60]) for answer in requests_about(client, "none", BOB)}
        assert {status for status, _ in told} == {404}
        for unknown in requests_about(client, "none", BOB):
            assert "hers" not in unknown.text
        for headers, sees in ((bearer(ALICE), True), (bearer(BOB), False), ({}, False)):
            models = client.get("/models", headers=headers).json()["models"]
            assert ({"stylize/hers": True}.items() <= {m["model"]: m["private"] for m in models}.items()) == sees
            index = client.post("/v2/repository/index", headers=headers).json()
            assert ("stylize.hers" in {each["name"] for each in index}) == sees
        assert client.delete("/styles/hers", headers=bearer(BOB)).status_code == 404
        answer = learn(client, "hers", headers=bearer(BOB))
        assert (answer.status_code, answer.json()["code"]) == (409, "style_exists")
        assert client.delete("/styles/hers", headers=bearer(ALICE)).status_code == 204


def test_a_private_style_in_the_queue_exists_for_its_own_key_only(serve, tmp_path):
    with serve(trainer="external", keys_file=key_file(tmp_path)) as client:
        answer = learn(client, private="true", headers=bearer(ALICE))
        assert (answer.status_code, answer.json()["private"]) == (202, True)
        assert client.get("/styles/mine", headers=bearer(ALICE)).json()["state"] == "queued"
        for path in ("/styles/mine", "/styles/mine/events", "/styles/mine/preview"):
            refused = client.get(path, headers=bearer(BOB))
            assert (refused.status_code, refused.json()["detail"]) == (404, "no style named mine was learned here")
        assert client.delete("/styles/mine", headers=bearer(BOB)).status_code == 404
        assert client.delete("/styles/mine", headers=bearer(ALICE)).status_code == 204


def test_a_service_without_keys_has_no_private_styles(serve):
    with serve(trainer="external") as client:
        answer = learn(client, private="true")
        assert (answer.status_code, answer.json()["parameter"]) == (422, "private")
        with Client(str(client.base_url)) as ours, pytest.raises(ParameterError, match="nothing on it is private"):
            ours.learn(PAINTING, "mine", private=True)


def test_a_key_may_use_so_many_minutes_of_training_a_day(serve, tmp_path):
    with serve(trainer="external", keys_file=key_file(tmp_path, style_minutes_per_day=10)) as client:
        hers = bearer(ALICE)
        too_many = learn(client, minutes=11, headers=hers)
        assert (too_many.status_code, too_many.json()["parameter"], too_many.json()["value"]) == (422, "minutes", 11)
        assert learn(client, "checks", minutes=10, headers=hers).status_code == 409
        for _ in range(2):  # the second is the same request
            answer = learn(client, minutes=5.5, headers=hers)
            assert answer.status_code == 202
        assert '"style_minutes";q=10;w=86400' in answer.headers["ratelimit-policy"]
        refused = learn(client, "second", minutes=5, headers=hers)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        expected = {"quota": "style_minutes", "limit": 10, "parameter": "minutes", "value": 5}
        assert expected.items() <= refused.json().items()
        assert refused.json()["expected"] == "at most 4 minutes now"
        assert int(refused.headers["retry-after"]) > 60
        assert learn(client, "second", minutes=4, headers=hers).status_code == 202
        assert learn(client, "third", minutes=100, headers=bearer(BOB)).status_code == 202


def test_the_trainer_is_stopped_while_the_service_is_busy(tmp_path, options):
    asyncio.run(start_pause_and_stop(tmp_path, options))


async def start_pause_and_stop(tmp_path, options):
    save_family(tmp_path / "checkpoints")
    trainer = TrainerProcess(tmp_path / "learned", tmp_path / "checkpoints", options.split())
    await trainer.start()
    try:
        child = trainer.pid
        assert os.getpriority(os.PRIO_PROCESS, child) == 19
        trainer.pause(True)
        await wait_for_state(child, stopped=True)
        trainer.pause(False)
        await wait_for_state(child, stopped=False)
    finally:
        trainer.pause(True)
        await trainer.stop()
    assert not trainer.running


async def wait_for_state(process, stopped):
    until = time.monotonic() + 30
    while (state_of(process) == "T") != stopped:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


def state_of(process):
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
