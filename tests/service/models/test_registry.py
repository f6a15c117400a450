"""Checkpoints that come, change, spoil and go while the service runs: through its own endpoints."""

import asyncio
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from nets.checkpoint import load
from nets.pixels import from_network, to_network
from service.app import create_app
from service.errors import UnavailableError
from service.models.registry import load_registry, registry_from_settings
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, tiny_style_net, tiny_upscaler

KEY = "a key of the tests, long enough"
PICTURE = picture()


@contextmanager
def service(folder, **settings):
    """A client of a running service over `folder`, with the admin key in hand."""
    settings = Settings(
        checkpoints=folder, device="cpu", precision="fp32", max_batch_items=1, admin_key=KEY, **settings
    )
    with (
        running(create_app(settings, registry_from_settings(settings))) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        yield client


def reload(client):
    response = client.post("/models/reload", headers={"Authorization": f"Bearer {KEY}"})
    assert response.status_code == 200, response.text
    return response.json()


def stylize(client, style="mosaic"):
    return client.post("/stylize", params={"style": style}, content=encoded(PICTURE))


def answer_of(path):
    return from_network(load(path).net(to_network([PICTURE])))[0]


def metric(client, name):
    lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def listed(client):
    return {model["model"]: model["loaded"] for model in client.get("/models").json()["models"]}


def test_a_changed_file_is_served_after_a_reload_with_its_new_version(tmp_path):
    path = save_net(tmp_path, "mosaic", tiny_style_net(1))
    with service(tmp_path) as client:
        before = stylize(client)
        assert np.array_equal(decoded(before.content), answer_of(path))
        save_net(tmp_path, "mosaic", tiny_style_net(2))
        assert stylize(client).content == before.content  # not before it is asked to
        assert reload(client) == {"taken": ["stylize/mosaic.safetensors"], "refused": [], "removed": []}
        after = stylize(client)
        assert np.array_equal(decoded(after.content), answer_of(path))
        assert after.headers["impasto-model"] == f"stylize/mosaic@{load(path).version}"
        assert after.headers["impasto-model"] != before.headers["impasto-model"]
        assert reload(client) == {"taken": [], "refused": [], "removed": []}
        assert metric(client, "impasto_model_changes_total") == 1
        assert client.get("/metrics").text.count("impasto_model_info{") == 1


def test_a_bad_file_is_refused_by_name_and_the_old_one_stays(tmp_path):
    path = save_net(tmp_path, "mosaic", tiny_style_net(1))
    with service(tmp_path) as client:
        before = stylize(client)
        path.write_bytes(path.read_bytes()[:-100])
        assert reload(client)["refused"] == ["stylize/mosaic.safetensors"]
        after = stylize(client)
        assert (after.content, after.headers["impasto-model"]) == (before.content, before.headers["impasto-model"])
        [refused] = client.get("/models").json()["refused"]
        assert refused["file"] == "stylize/mosaic.safetensors"
        assert "not a whole safetensors file" in refused["reason"]
        assert metric(client, "impasto_models_refused") == 1
        save_net(tmp_path, "mosaic", tiny_style_net(2))
        reload(client)
        assert client.get("/models").json()["refused"] == []
        assert stylize(client).content != before.content


def test_a_network_that_fails_its_warm_up_is_not_swapped_in(tmp_path):
    path = save_net(tmp_path, "mosaic", tiny_style_net(1))
    good = load(path).version

    async def warm(model):
        if model.version != good:
            raise RuntimeError("no picture comes out")

    async def scenario():
        registry = load_registry(tmp_path)
        await registry.start(warm, Metrics(CollectorRegistry()))
        save_net(tmp_path, "mosaic", tiny_style_net(2))
        assert (await registry.reload())["refused"] == ["stylize/mosaic.safetensors"]
        assert (await registry.get("stylize", "mosaic", "style")).version == good
        assert registry.refused["stylize/mosaic.safetensors"] == "failed its warm-up: no picture comes out"

    asyncio.run(scenario())


def test_a_service_that_stops_during_a_swap_blames_no_file(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    stopping = False

    async def warm(_model):
        if stopping:
            raise UnavailableError("the service is shutting down")

    async def scenario():
        nonlocal stopping
        registry = load_registry(tmp_path)
        await registry.start(warm, Metrics(CollectorRegistry()))
        save_net(tmp_path, "mosaic", tiny_style_net(2))
        stopping = True
        await registry.reload()
        assert registry.refused == {}
        stopping = False
        assert (await registry.reload())["taken"] == ["stylize/mosaic.safetensors"]

    asyncio.run(scenario())


def test_concurrent_requests_for_a_lazy_model_share_one_load_and_may_be_cancelled(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    warmed = []

    async def warm(model):
        warmed.append(model)
        await asyncio.sleep(0.05)

    async def scenario():
        registry = load_registry(tmp_path, "lazy")
        await registry.start(warm, Metrics(CollectorRegistry()))
        asking = [asyncio.create_task(registry.get("stylize", "mosaic", "style")) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()  # the request that started the load is cancelled: the others still get the model
        models = await asyncio.gather(*asking[1:])
        assert len(warmed) == 1
        assert all(model is warmed[0] for model in models)

    asyncio.run(scenario())


def test_models_come_and_go(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    with service(tmp_path) as client:
        assert client.post("/upscale?factor=2", content=encoded(PICTURE)).status_code == 404
        path = save_net(tmp_path, "x2", tiny_upscaler(2))
        assert reload(client)["taken"] == ["upscale/x2.safetensors"]
        assert client.post("/upscale?factor=2", content=encoded(PICTURE)).status_code == 200
        path.unlink()
        assert reload(client)["removed"] == ["upscale/x2.safetensors"]
        assert client.post("/upscale?factor=2", content=encoded(PICTURE)).status_code == 404
        assert listed(client) == {"stylize/mosaic": True}


def test_a_folder_that_vanishes_changes_nothing(tmp_path):
    save_net(tmp_path / "store", "mosaic", tiny_style_net(1))
    with service(tmp_path / "store") as client:
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        assert reload(client) == {"taken": [], "refused": [], "removed": []}
        assert stylize(client).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_watched_folder_needs_no_reload(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    with service(tmp_path, watch_seconds=0.02) as client:
        save_net(tmp_path, "wave", tiny_style_net(2))
        while "stylize/wave" not in listed(client):
            time.sleep(0.01)
        assert stylize(client, "wave").status_code == 200


def test_lazy_models_are_loaded_when_they_are_asked_for(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    save_net(tmp_path, "wave", tiny_style_net(2))
    with service(tmp_path, loading="lazy") as client:
        assert client.get("/readyz").status_code == 200
        assert listed(client) == {"stylize/mosaic": False, "stylize/wave": False}
        assert client.get("/models/stylize/wave").json()["license"] == "CC0-1.0"
        assert stylize(client, "wave").status_code == 200
        assert listed(client) == {"stylize/mosaic": False, "stylize/wave": True}


def test_a_lazy_model_that_turns_out_bad_is_refused_and_the_others_serve(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    path = save_net(tmp_path, "wave", tiny_style_net(2))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # a bit of a weight: the card can be read, the digest of the weights does not fit
    path.write_bytes(data)
    with service(tmp_path, loading="lazy") as client:
        assert set(listed(client)) == {"stylize/mosaic", "stylize/wave"}
        problem = stylize(client, "wave").json()
        assert (problem["code"], problem["expected"]) == ("unknown_model", ["mosaic"])
        assert "differ from their recorded digest" in client.get("/models").json()["refused"][0]["reason"]
        assert stylize(client).status_code == 200


def test_within_a_budget_of_bytes_the_least_recently_used_model_leaves(tmp_path):
    paths = {name: save_net(tmp_path, name, tiny_style_net(seed)) for seed, name in enumerate(("a", "b", "c"))}
    one = sum(weight.nbytes for weight in load(paths["a"]).net.state_dict().values())
    with service(tmp_path, loading="lazy", max_model_bytes=2 * one) as client:
        for name in ("a", "b", "a", "c"):
            assert stylize(client, name).status_code == 200
        assert listed(client) == {"stylize/a": True, "stylize/b": False, "stylize/c": True}
        assert metric(client, "impasto_model_evictions_total") == 1
        assert metric(client, "impasto_model_weights_bytes") == 2 * one
        assert np.array_equal(decoded(stylize(client, "b").content), answer_of(paths["b"]))


def test_weights_whose_file_has_spoilt_do_not_leave(tmp_path):
    paths = {name: save_net(tmp_path, name, tiny_style_net(seed)) for seed, name in enumerate(("a", "b", "c"))}
    one = sum(weight.nbytes for weight in load(paths["a"]).net.state_dict().values())
    with service(tmp_path, loading="lazy", max_model_bytes=2 * one) as client:
        before = stylize(client, "a").content
        paths["a"].write_bytes(b"spoilt")
        assert reload(client)["refused"] == ["stylize/a.safetensors"]
        for name in ("b", "c", "b"):
            assert stylize(client, name).status_code == 200
        assert stylize(client, "a").content == before


def test_no_request_fails_while_checkpoints_are_swapped(tmp_path):
    """And every answer is one network's own: never half of one and half of another."""
    path = save_net(tmp_path, "mosaic", tiny_style_net(0))
    expected = {}
    statuses, versions, stop = [], [], threading.Event()
    with service(tmp_path) as client:

        def press():
            while not stop.is_set():
                response = stylize(client)
                statuses.append(response.status_code)
                versions.append((response.headers["impasto-model"], decoded(response.content)))

        clients = [threading.Thread(target=press) for _ in range(3)]
        for thread in clients:
            thread.start()
        for swap in range(10):
            expected[f"stylize/mosaic@{load(path).version}"] = answer_of(path)
            save_net(tmp_path, "mosaic", tiny_style_net(swap + 1))
            assert len(reload(client)["taken"]) == 1
        expected[f"stylize/mosaic@{load(path).version}"] = answer_of(path)
        stop.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}
    assert len({version for version, _ in versions}) > 2
    assert all(np.array_equal(expected[version], pixels) for version, pixels in versions)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [({}, 401, "unauthorized"), ({"Authorization": "Basic x"}, 401, "unauthorized"),
     ({"Authorization": "Bearer \u00fcx"}, 401, "unauthorized"),
     ({"Authorization": f"Bearer {KEY}x"}, 401, "unauthorized"), ({"X-API-Key": f"{KEY}x"}, 401, "unauthorized")],
)  # fmt: skip
def test_a_reload_wants_the_admin_key(tmp_path, headers, status, code):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    with service(tmp_path) as client:
        response = client.post("/models/reload", headers=headers)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert KEY not in response.text
        assert response.headers["www-authenticate"].startswith('Bearer realm="impasto"')


def test_without_an_admin_key_there_is_no_reload(client):
    assert client.post("/models/reload").status_code in {404, 405}
