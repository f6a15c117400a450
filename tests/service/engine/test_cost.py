"""The cost model: a line through what was measured."""

import pytest

from service.engine.cost import CostModel


def test_a_line_is_found_through_measurements_on_it():
    costs = CostModel()
    for pixels in (5_000, 50_000, 1_000_000, 10_000):
        costs.observe("a", pixels, 0.01 + 2e-6 * pixels)
    assert costs.predict("a", 500_000) == pytest.approx(1.01, rel=1e-3)
    assert costs.predict("a", 1_000_000, passes=4) == pytest.approx(2.04, rel=1e-3)


def test_measurements_of_one_size_give_a_line_through_the_origin():
    costs = CostModel()
    costs.observe("a", 10_000, 0.5)
    assert costs.predict("a", 20_000) == pytest.approx(1.0)


def test_an_image_of_one_pixel_says_nothing_of_the_time_of_a_pixel():
    costs = CostModel()
    for pixels, seconds in ((1_500, 0.002), (1, 0.005), (8_000, 0.003)):
        costs.observe("a", pixels, seconds)
    assert costs.predict("a", 1_000_000) < 2


def test_it_learns_that_a_device_has_become_slower():
    costs = CostModel()
    for _ in range(100):
        for pixels in (10_000, 100_000):
            costs.observe("a", pixels, 1e-6 * pixels)
    for _ in range(100):
        for pixels in (10_000, 100_000):
            costs.observe("a", pixels, 3e-6 * pixels)
    assert costs.predict("a", 100_000) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("seconds", [(1.0, 0.1), (0.1, 1.0), (0.5, 0.5)])
def test_noise_never_makes_a_prediction_negative(seconds):
    costs = CostModel()
    costs.observe("a", 10_000, seconds[0])
    costs.observe("a", 20_000, seconds[1])
    assert costs.predict("a", 1) >= 0
    assert costs.predict("a", 10_000) > 0


def test_of_an_unknown_model_a_guess_is_made_and_models_do_not_mix():
    costs = CostModel()
    costs.observe("a", 1_000, 7.0)
    assert costs.predict("b", 1_000_000) == pytest.approx(1.0)
