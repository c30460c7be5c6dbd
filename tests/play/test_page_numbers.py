"""Numbers that the page shows and that are known from papers, computed in the page by the rules' own programs."""

import math

import pytest
from play.watching import choose, hash_of, map_ready, number, open_still, type_number


def test_worked_example(page, browser):
    """f(x) = x^4 from 4 with lr 0.1: the gradient is 256, and Adam's first step is lr long."""
    open_still(browser, page, "step")
    found = {name: number(browser, name) for name in ("g1", "m1", "v1", "m_hat1", "v_hat1", "x1")}
    assert found == {"g1": 256, "m1": 25.6, "v1": 65.536, "m_hat1": 256, "v_hat1": 65536, "x1": 3.9}
    assert number(browser, "m1-0") == 25.6 and number(browser, "p1-0") == 3.9
    assert "3.9984" in browser.ask("document.querySelector('.note').textContent")


def test_bias_correction(page, browser):
    open_still(browser, page, "why")
    assert number(browser, "bias-peak-step") == 12
    assert number(browser, "bias-peak") == pytest.approx(6.57, abs=0.005)
    assert number(browser, "bias-off-1") == pytest.approx(math.sqrt(10), abs=0.005)
    assert number(browser, "bias-off-100") == pytest.approx(3.24, abs=0.005)
    assert {number(browser, f"bias-on-{step}") for step in (1, 10, 100)} == {1}


def test_radam(page, browser):
    open_still(browser, page, "why")
    assert [number(browser, f"r-{step}") for step in (5, 100, 1000)] == [0.0173, 0.215, 0.645]
    assert (number(browser, "switch-4"), number(browser, "switch-5")) == (5, 6)
    assert browser.texts('[data-name="r-4"]') == ["NaN"] and number(browser, "rho-4") < 4 < number(browser, "rho-5") < 5


def test_adagrad_dies_as_the_root(page, browser):
    open_still(browser, page, "why")
    assert number(browser, "adagrad-100") == pytest.approx(0.1, rel=1e-3)
    assert number(browser, "adagrad-1000") == pytest.approx(1000**-0.5, rel=1e-3)


def test_another_beta_moves_the_peak(page, browser):
    """What the strips show is measured, not written down."""
    open_still(browser, page, "why")
    type_number(browser, "beta2", 0.99)
    assert number(browser, "bias-peak-step") != 12
    assert "beta2=0.99" in hash_of(browser)


@pytest.mark.parametrize("curvature", [1, 7.5])
def test_momentum_map_is_the_exact_boundary(page, browser, curvature):
    """lr < 2 (1 + beta) / curvature, but for the pixels that the boundary runs through."""
    open_still(browser, page, f"maps?kind=stability&racer=momentum&curvature={curvature}")
    map_ready(browser)
    assert number(browser, "boundary-wrong") == 0
    assert 0 < number(browser, "boundary-near") < 3 * 128


def test_a_boundary_that_is_wrong_is_noticed(page, browser):
    """The check of the map can fail: held against another boundary, it counts thousands of pixels."""
    open_still(browser, page, "maps?kind=stability&racer=momentum")
    map_ready(browser)
    wrong = browser.ask(
        "(() => { const job = jobOf(state.maps), columns = Array.from({length: FINE}, (_, k) => column(job, k, FINE));"
        " return againstExact(columns, job, beta => 2 * (1 - beta)).wrong; })()"
    )
    assert wrong > 1000


def test_fair_rates_are_the_default(page, browser):
    open_still(browser, page, "race?racers=adam;sgd")
    fair = [number(browser, f"{rule}-lr") for rule in ("adam", "sgd")]
    known = browser.ask("['adam', 'sgd'].map(rule => fairRate('saddle', startOf('saddle', ''), rule))")
    assert fair == [pytest.approx(rate, rel=1e-3) for rate in known] and fair[0] != fair[1]
    browser.click("[data-control=unfair]")
    assert len({number(browser, f"{rule}-lr") for rule in ("adam", "sgd")}) == 1
    choose(browser, "surface", "rosenbrock")
    assert len({number(browser, f"{rule}-lr") for rule in ("adam", "sgd")}) == 1
