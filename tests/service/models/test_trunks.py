"""Styles of a trunk in a running service: served, mixed by their scales and shifts, refused without their trunk."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from nets.checkpoint import load
from nets.interpolation import interpolate
from nets.pixels import from_network, to_network
from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running
from tests.nets.test_trunk import save_family

PICTURE = picture(96, 80)
KEY = "a key of the tests, long enough"


def settings(**more):
    return Settings(device="cpu", precision="fp32", max_batch_items=1, admin_key=KEY, **more)


def painted(net):
    return from_network(net(to_network([PICTURE])))[0]


def furthest(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_styles_of_a_trunk_are_served_and_mixed_without_a_second_trunk(tmp_path):
    save_family(tmp_path)
    registry = load_registry(tmp_path)
    nets = [load(tmp_path / f"stylize/{name}.safetensors").net for name in ("checks", "dots")]
    with running(create_app(settings(), registry)) as address:
        url = f"{address}/stylize?format=png&style="
        alone = httpx.post(f"{url}checks", content=encoded(PICTURE), trust_env=False)
        assert alone.status_code == 200, alone.text
        assert furthest(decoded(alone.content), painted(nets[0])) <= 1
        mixed = httpx.post(f"{url}checks:0.25,dots:0.75", content=encoded(PICTURE), trust_env=False)
        assert mixed.status_code == 200, mixed.text
        assert furthest(decoded(mixed.content), painted(interpolate(nets, [0.25, 0.75]))) <= 1
        assert mixed.headers["impasto-model"].count("@sha256:") == 2


def test_requests_for_styles_of_a_trunk_share_passes_and_each_gets_its_own_style(tmp_path):
    save_family(tmp_path)
    registry = load_registry(tmp_path)
    wanted = {name: painted(load(tmp_path / f"stylize/{name}.safetensors").net) for name in ("checks", "dots")}
    assert furthest(*wanted.values()) > 20
    together = Settings(device="cpu", precision="fp32", max_batch_items=4, pictures_at_once=1)
    with running(create_app(together, registry)) as address, ThreadPoolExecutor(13) as clients:
        url = f"{address}/stylize?format=png&style="

        def stylize(name, pixels):
            return httpx.post(url + name, content=encoded(pixels), timeout=60, trust_env=False)

        clients.submit(stylize, "checks", picture(1500, 1500))
        names = ["checks", "dots"] * 6
        answers = list(clients.map(stylize, names, [PICTURE] * len(names)))
        metrics = httpx.get(f"{address}/metrics", trust_env=False).text
    for name, answer in zip(names, answers, strict=True):
        assert furthest(decoded(answer.content), wanted[name]) <= 1
    passes, items = (
        float(line.split()[-1])
        for unit in ("count", "sum")
        for line in metrics.splitlines()
        if line.startswith(f"impasto_batch_items_{unit} ")
    )
    assert items > passes, "no two requests shared a pass: this test tests nothing"


def test_a_style_waits_for_its_trunk_and_is_served_once_it_is_there(tmp_path):
    trunk = save_family(tmp_path, trunk="late")
    elsewhere = trunk.rename(tmp_path / "late.safetensors")
    save_family(tmp_path, names=("stripes",), trunk="tiny", seed=3)
    registry = load_registry(tmp_path)
    with (
        running(create_app(settings(), registry)) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        [reason] = {refused["reason"] for refused in client.get("/models").json()["refused"]}
        assert "trunk late@sha256:" in reason
        assert "trunks/late.safetensors: No such file" in reason
        elsewhere.rename(trunk)
        changes = client.post("/models/reload", headers={"Authorization": f"Bearer {KEY}"}).json()
        assert {"stylize/checks.safetensors", "stylize/dots.safetensors"} <= set(changes["taken"])
        assert client.get("/models").json()["refused"] == []


def test_a_large_picture_is_painted_in_tiles_with_the_statistics_of_a_reduced_one(tmp_path):
    save_family(tmp_path)
    large = picture(300, 320)
    with running(create_app(settings(max_whole_pixels=160 * 160), load_registry(tmp_path))) as address:
        response = httpx.post(f"{address}/stylize?format=png&style=dots", content=encoded(large), trust_env=False)
    assert response.status_code == 200, response.text
    net = load(tmp_path / "stylize/dots.safetensors").net
    whole = from_network(net(to_network([large])))[0].astype(int)
    assert np.abs(decoded(response.content).astype(int) - whole).mean() < 12  # close, not equal: the statistics differ
