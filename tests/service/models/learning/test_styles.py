"""A painting becomes a style over HTTP: learned, watched, served, deleted, refused, and kept across a restart."""

import asyncio
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import safetensors.torch
from typer.testing import CliRunner

from impasto import AsyncClient, Client, LearningError, UnknownModelError
from service.app import create_app
from service.auth.key_file import digest_of
from service.cli.main import app
from service.models.learning.trainer_process import TrainerProcess
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import encoded, picture, running, save_net, tiny_upscaler
from tests.nets.test_trunk import save_family
from tests.trainer.conftest import random_vgg16
from tests.trainer.test_fit import LOSS

PAINTING = encoded(picture(80, 96))
ALICE, BOB = "the key of alice in these tests", "the key of bob in these tests"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer")
    safetensors.torch.save_file(random_vgg16(), folder / "vgg16.safetensors")
    (folder / "tiny.toml").write_text(LOSS)
    return f"--trunk tiny --no-check --config {folder}/tiny.toml --vgg16 {folder}/vgg16.safetensors"


@pytest.fixture
def serve(tmp_path, options):
    """Run a service over a folder of learned styles; gives a client."""
    save_family(tmp_path / "checkpoints")

    @contextmanager
    def run(key=None, learned=tmp_path / "learned", checkpoints=tmp_path / "checkpoints", **more):
        settings = Settings(
            checkpoints=checkpoints,
            learned=learned,
            trainer_options=options,
            device="cpu",
            precision="fp32",
            max_batch_items=1,
            **more,
        )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            running(create_app(settings, registry_from_settings(settings))) as address,
            httpx.Client(base_url=address, trust_env=False, timeout=60, headers=headers) as client,
        ):
            yield client

    return run


def learn(client, name="mine", painting=PAINTING, minutes=0.02, **more):
    return client.post("/styles", params={"name": name, "minutes": minutes, **more}, content=painting)


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


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing_else(serve, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with serve(learned=tmp_path / "file", trainer="external") as client:
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
    keys = tmp_path / "keys.toml"
    keys.write_text(
        "".join(
            f'[keys.{name}]\nsha256 = "{digest_of(key).hex()}"\nscopes = [{scopes}]\n'
            for name, key, scopes in (("alice", ALICE, '"transform", "styles"'), ("bob", BOB, '"styles"'))
        )
        + f'[keys.carol]\nsha256 = "{digest_of("the key of carol in these tests").hex()}"\nscopes = ["transform"]\n'
    )
    keys.chmod(0o600)
    with serve(key=ALICE, trainer="external", keys_file=keys) as client:
        assert learn(client).status_code == 202
        others = {"Authorization": f"Bearer {BOB}"}
        assert client.delete("/styles/mine", headers=others).status_code == 403
        carol = client.get("/styles/mine", headers={"Authorization": "Bearer the key of carol in these tests"})
        assert (carol.status_code, carol.json()["expected"]) == (403, "styles")
        assert client.delete("/styles/mine").status_code == 204


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
