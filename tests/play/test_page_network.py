"""The small network: its gradient, every rule on it, changes without a reset, the reader's own points."""

import pytest
from play.watching import choose, complaints, hash_of, number, open_still, run, type_number


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_gradient_is_the_slope_of_the_loss(page, browser, activation):
    """Backward by hand, against differences, with L2 and with dropout's masks held fixed."""
    open_still(browser, page, "network")
    worst = run(browser, "gradient", activation)
    assert worst < 1e-7


def test_every_rule_learns(page, browser):
    """300 steps of each playable rule with a learning rate in the lab's range: the loss falls, and is a number."""
    open_still(browser, page, "network")
    ends = run(browser, "learning")
    assert len(ends) >= 32
    assert {rule: share for rule, share in ends.items() if share is None or not share < 0.97} == {}


def test_a_learning_rate_changes_without_a_reset(page, browser):
    open_still(browser, page, "network?steps=100")
    before = number(browser, "net-loss")
    type_number(browser, "lr", 0.2)
    type_number(browser, "batch", 200)
    choose(browser, "schedule", "cosine")
    assert number(browser, "net-loss") == before
    assert browser.ask("document.querySelector('.count').textContent").startswith("100 steps")
    browser.click("[data-action=hundred]")
    assert browser.ask("document.querySelector('.count').textContent").startswith("200 steps")
    assert "racer=adam(lr=0.2)" in hash_of(browser)


def test_points_pasted_and_drawn(page, browser):
    open_still(browser, page, "network")
    rows = "\\n".join(["x,y,class"] + [f"{k % 10},{k // 10},{int(k % 10 > 4)}" for k in range(60)])
    paste = f"(a => {{ a.value = `{rows}`; }})(document.querySelector('textarea'))"
    browser.ask("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    browser.ask(paste)
    browser.click("[data-action=csv]")
    assert browser.ask("state.network.own.length") == 60
    for _ in range(3):
        browser.click("[data-action=hundred]")
    assert number(browser, "net-right") >= 95
    copied = hash_of(browser)
    open_still(browser, page, copied)
    assert number(browser, "net-right") >= 95 and hash_of(browser) == copied
    browser.click(".decision")
    assert browser.ask("state.network.own.length") == 61
    assert complaints(browser) == ([], [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,0\\n3,4", "Line 2"),
        ("1,2,0\\n3,4,0\\n5,6,0\\n1,1,0", "two classes"),
        ("1,2,0\\n3,4,1", "4 and 1000"),
        ("a,b,c", "two classes"),
    ],
)
def test_points_that_cannot_be_are_refused(page, browser, text, says):
    open_still(browser, page, "network?steps=10")
    browser.ask("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    browser.ask(f"(a => {{ a.value = `{text}`; }})(document.querySelector('textarea'))")
    browser.click("[data-action=csv]")
    assert says in browser.texts("[role=alert]")[0]
    assert browser.ask("state.network.own.length") == 0 and browser.ask("state.network.steps") == 10
