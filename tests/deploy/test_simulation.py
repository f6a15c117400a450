"""The simulator against answers that are known: queueing theory's, the autoscaler's formula, and conservation."""

import numpy as np
import pytest

from benchmarks.simulation import Autoscaler, Costs, Kind, Limits, Simulation, arrivals

ONE = Kind("paint", 1.0, 1_000_000)
COSTS = Costs({"paint": (0.0, 1e-6), "enlarge": (0.1, 4e-6)}, 0.0)
ENDLESS = Limits(requests=10**9, pixels=10**15)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_replica_is_an_m_d_1_queue(load):
    """Pollaczek and Khinchine: with a constant service time s the mean wait is s x load / (2 (1 - load))."""
    result = Simulation(COSTS, ENDLESS, 1).run(arrivals([(50_000, load)], [ONE], 1))
    waits = [seconds - 1.0 for _, seconds in result.latencies]
    assert np.mean(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.08)


def test_two_replicas_of_one_queue_are_an_m_d_2_queue():
    """Cosmetatos' approximation: half of the wait of M/M/2, which is 1.78 s at 0.8, and 1.4 % more."""
    result = Simulation(COSTS, ENDLESS, 2, shared=True).run(arrivals([(50_000, 1.6)], [ONE], 1))
    assert np.mean([seconds - 1.0 for _, seconds in result.latencies]) == pytest.approx(0.901, rel=0.08)


def test_a_shared_queue_loses_nothing_while_replicas_come_and_go():
    load = arrivals([(300, 4.0)], [ONE, Kind("enlarge", 0.3, 50_000, 16)], 3)
    result = Simulation(COSTS, Limits(), 2, Autoscaler(most=6), shared=True).run(load)
    assert len(result.latencies) == len(load)


def test_a_lone_request_takes_its_cost():
    kind = Kind("enlarge", 1.0, 100_000, growth=16)
    costs = Costs(COSTS.forward, 1e-8)
    result = Simulation(costs, ENDLESS, 1).run([(5.0, kind)])
    assert result.latencies == [(5.0, pytest.approx(0.1 + 0.4 + 1e-8 * 1_700_000))]


def test_a_much_smaller_task_preempts_and_both_take_their_whole_cost():
    small = Kind("paint", 1.0, 100_000)
    result = Simulation(COSTS, ENDLESS, 1).run([(0.0, ONE), (0.5, small)])
    assert result.latencies == [(0.5, pytest.approx(0.1)), (0.0, pytest.approx(1.1))]


def test_one_of_half_the_size_waits():
    half = Kind("paint", 1.0, 500_000)
    result = Simulation(COSTS, ENDLESS, 1).run([(0.0, ONE), (0.5, half)])
    assert result.latencies == [(0.0, pytest.approx(1.0)), (0.5, pytest.approx(1.0))]


def test_nothing_appears_or_vanishes():
    load = arrivals([(300, 8.0)], [ONE, Kind("enlarge", 0.3, 50_000, 16)], 3)
    result = Simulation(COSTS, Limits(requests=4), 3, Autoscaler(most=5), failures=[100.0]).run(load)
    assert result.refused
    assert result.lost
    assert len(result.latencies) + len(result.refused) + len(result.lost) == len(load)


def test_the_same_seed_gives_the_same_run():
    load = arrivals([(100, 3.0)], [ONE], 5)
    assert load == arrivals([(100, 3.0)], [ONE], 5)
    runs = [Simulation(COSTS, Limits(), 4, seed=2).run(load).latencies for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("current", "queue_pixels", "busy", "wanted"),
    [
        (4, 4e6, 0.75, 4),
        (4, 4.3e6, 0.75, 4),  # within the tolerance
        (4, 8e6, 0.5, 8),
        (4, 0, 0.9, 5),
        (4, 0, 0.1, 2),  # never below the least
        (4, 1e9, 1.0, 20),
    ],
)
def test_the_autoscaler_follows_the_controllers_formula(current, queue_pixels, busy, wanted):
    assert Autoscaler().wanted(current, queue_pixels, busy) == wanted


def test_replicas_come_after_their_start_and_go_one_by_one():
    load = arrivals([(60, 1.0), (300, 8.0), (1500, 1.0)], [ONE], 7)
    result = Simulation(COSTS, ENDLESS, 2, Autoscaler()).run(load)
    counts = dict(result.replicas)
    assert counts[60.0] == 2
    most = max(counts.values())
    assert most >= 9  # eight megapixels a second at 75 %
    falls = [t for t in counts if counts[t] < counts.get(t - 15, 0)]
    assert falls[0] > 360  # five minutes after the most were wanted, which was before the load fell
    assert all(counts[t - 15] - counts[t] == 1 for t in falls)
    assert counts[max(counts)] <= 4
