"""Tasks side by side on a CPU: the same bits as alone, and the threads of each worker."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from service.app import create_app
from service.engine.threads import ThreadBudget
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, seeded, tiny_upscaler

PICTURES = [encoded(picture(150 + 7 * i, 220, seed=i)) for i in range(6)]


def outputs(folder, threads, at_once, pressing, rounds=1):
    """Return the outputs of a service to concurrent clients, and the number of passes of side workers."""
    settings = Settings(checkpoints=folder, device="cpu", precision="bf16", pictures_at_once=at_once)
    app = create_app(settings, load_registry(folder), threads)
    with running(app) as address, httpx.Client(base_url=address, trust_env=False, timeout=60) as client:

        def ask(path):
            def one(data):
                response = client.post(path, content=data)
                assert response.status_code == 200, response.text
                return decoded(response.content)

            return one

        with ThreadPoolExecutor(pressing) as clients:
            for _ in range(rounds):
                seen = [list(clients.map(ask(path), PICTURES)) for path in ("/stylize?style=soft", "/upscale?factor=2")]
                beside = float(client.get("/metrics").text.split("\nimpasto_passes_beside_total ")[1].split()[0])
                if beside:
                    break
    return seen, beside


def test_outputs_side_by_side_equal_those_computed_alone(tmp_path):
    save_net(tmp_path, "soft", seeded(StyleTransferNet(StyleTransferConfig(width=8, residual_blocks=2)), 1))
    save_net(tmp_path, "x2", tiny_upscaler(2))
    alone, none_beside = outputs(tmp_path, threads=2, at_once=1, pressing=1)
    together, beside = outputs(tmp_path, threads=2, at_once=0, pressing=6, rounds=20)
    assert (none_beside, beside > 0) == (0, True)
    for one, other in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_main_worker_has_the_threads_that_side_workers_have_left():
    taken = []
    threads = ThreadBudget(3, lambda: taken.append(1))
    with threads.take_one(), threads.take_one():
        assert threads.left == 1
        with threads.take_one():
            assert threads.left == 1
    assert threads.left == 3
    assert len(taken) == 3


def test_side_workers_pause_while_all_threads_are_reserved():
    threads, went_on = ThreadBudget(2, lambda: None), threading.Event()

    def side_worker():
        with threads.take_one():
            threads.yield_if_reserved()
            went_on.set()

    with threads.reserve_all():
        thread = threading.Thread(target=side_worker)
        thread.start()
        assert not went_on.wait(0.05)
        assert threads.left == 2
    thread.join(5)
    assert went_on.is_set()
