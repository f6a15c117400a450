"""What is written of `make bench` in docs/results.md."""

import json
import math

import cores
import pytest
from earlier import measured_before
from engine import table
from report import serving
from report.sections import networks, startup

MACHINE = {"date": "2026-01-01", "processor": "P", "threads": 2, "torch_version": "2"}


def level(clients: int, speed: float, wrong: int = 0) -> dict:
    seconds = {f"p{q}, s": 1.0 for q in (50, 95, 99)}
    verdict = {"judged": 12, "wrong": wrong, "unlike_alone": 0, "levels": 0.1}
    verdict |= {"decode, s": 0.01, "queue, s": 1.5, "forward, s": 0.4, "encode, s": 0.02}
    return {"clients": clients, "images/s": speed, "MP/s": speed, "errors": 0, "CPU": 0.5, **seconds, **verdict}


def arm(name: str, setting: str, speed: float, timely: float, wrong: int = 0) -> dict:
    judged = {"judged": 3, "wrong": 0, "unlike_alone": 0, "levels": 0.1}
    overload = {"sent/s": 2.0, "in time, images/s": timely, "in time, MP/s": timely, "share in time": 0.5}
    overload |= {"p95, s": math.nan, "statuses": "200: 3", **judged}
    sweep = [level(clients, speed, wrong if clients == 4 else 0) for clients in (1, 4, 8, 16)]
    facts = {"network": "style", "at rest, GB": 0.5, "peak, GB": 1.0}
    return {"name": name, "setting": setting, **facts, "sweep": sweep, "overload": overload}


def report(*arms: dict) -> dict:
    return {
        "machine": MACHINE,
        "versions": {"mosec": "1"},
        "pictures": {"count": 12, "sides_px": [256, 2048], "megapixels": 8.0},
        "precision": "bf16",
        "tolerance, levels": 6.0,
        "bare": {"style, in bands, bf16": 2.5},
        "arms": list(arms),
    }


def test_targets_are_met_or_missed_by_the_figures(tmp_path):
    ours, peer = arm("Impasto", "as installed", 2.4, 3.0), arm("mosec", "as documented", 1.0, 1.5, wrong=2)
    text = serving.serving(report(ours, peer), tmp_path)
    assert "0.95 of the bare loop: met (0.96)" in text
    assert "3 times each server as documented: missed (2.4, mosec)" in text
    assert "at twice the load: missed (3.00/s, mosec as documented 1.50/s)" in text
    assert "2 (mosec, as documented: 2)" in text
    assert "8 clients: decode 0.010 s, queue 1.500 s, forward 0.400 s, encode 0.020 s" in text
    assert (tmp_path / "bench_serving.svg").read_text().startswith("<?xml")


def test_a_peer_that_did_not_start_is_named(tmp_path):
    broken = {"name": "BentoML", "setting": "as documented", "network": "style", "failed": "no port"}
    text = serving.serving(report(arm("Impasto", "as installed", 2.0, 1.0), broken), tmp_path)
    assert "Failed: BentoML, as documented: no port" in text


def test_no_figure_is_a_dash():
    assert table([{"a": math.nan, "b": 1.5}]).splitlines()[-1] == "| - | 1.5 |"


def test_a_run_of_some_servers_keeps_the_others_of_the_same_machine_and_settings(tmp_path):
    kept = {"name": "mosec", "setting": "as documented", "sweep": []}
    report = {"machine": {"processor": "A", "date": "2026-01-02"}, "seconds": 16.0, "bare": {}, "arms": []}
    path = tmp_path / "serving.json"
    assert measured_before(path, report) == {}
    path.write_text(json.dumps(report | {"machine": {"processor": "A", "date": "2026-01-01"}, "arms": [kept]}))
    assert measured_before(path, report) == {("mosec", "as documented"): kept}
    with pytest.raises(SystemExit, match="another seconds: name another file"):
        measured_before(path, report | {"seconds": 8.0})


def test_start_is_measured_in_yardsticks(tmp_path):
    seconds = {"torch": 1.9, "weights": 2.0, "eager": 3.2, "lazy": 2.8}
    rows = [{"": name, "s": value, "times torch and weights": value / 2} for name, value in seconds.items()]
    imports = [{"package": "torch", "own code, ms": 900.0}]
    text = startup({"machine": MACHINE, "repeats": 3, "rows": rows, "imports": imports}, tmp_path)
    assert "missed (1.6 times)" in text
    assert "first request: met (1.4 times)" in text


@pytest.mark.parametrize(("precision", "left_out"), [("fp32", True), ("bf16", False)])
def test_the_networks_are_compared_in_the_precision_that_impasto_chooses(precision, left_out, tmp_path):
    figures = dict.fromkeys(("s/MP", "peak, GB", "first, s", "mean", "99th", "largest"), 1.0)
    row = {"network": "style", "runtime": f"Impasto, bands, {precision}", **figures, "share of peak": 0.7}
    found = {"machine": MACHINE, "versions": {"torch": "2"}, "precision": precision, "profiles": {}, "rows": [row]}
    found |= {"peaks": {f"{precision} 3x3 convolution": 1e11}, "sizes": {"style": [8, 8]}}
    text = networks(found, tmp_path)
    assert f"a 3x3 convolution in {precision}, which Impasto chooses here" in text
    assert ("Runtimes in bf16 are left out" in text) is left_out
    assert "65 % of the peak: met (70%)" in text


def test_the_best_use_of_several_cores_is_named():
    figures = {"p50, s": 1.0, "p95, s": 2.0, "memory, GB": 0.5, "errors": 0, "times one core": 1.0}
    speeds = [1.0, 1.8, 1.6, 2.0, 1.9]
    rows = [{"": case.name, "MP/s": speed, **figures} for case, speed in zip(cores.cases(), speeds, strict=True)]
    assert "The default reaches 0.90 of the best, which is: " in (text := cores.document({"stylize/mosaic": rows}))
    assert "IMPASTO_DEVICE=cpu,cpu" in text.split("which is: ")[1].splitlines()[0]
