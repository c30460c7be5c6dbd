"""The page's words: two languages, equal keys, equal gaps, and none that the page does not know."""

import json
import re
from importlib.resources import files

PAGE = files("thalweg.play") / "page"
WORDS = {name: json.loads((PAGE / f"words.{name}.json").read_text(encoding="utf-8")) for name in ("en", "zh")}
SCRIPTS = (PAGE / "order.txt").read_text().split()


def gaps(text):
    return sorted(set(re.findall(r"{(\w+)}", text)))


def test_both_languages_have_the_same_keys_in_the_same_order():
    assert list(WORDS["en"]) == list(WORDS["zh"])


def test_both_languages_fill_the_same_gaps():
    assert {key: gaps(text) for key, text in WORDS["en"].items()} == {
        key: gaps(text) for key, text in WORDS["zh"].items()
    }


def test_chinese_is_chinese():
    """Names, codes and punctuation may be alike; a sentence may not."""
    alike = [
        key for key, text in WORDS["zh"].items() if text == WORDS["en"][key] and re.search(r"[a-z]{3,} [a-z]", text)
    ]
    assert alike == []


def test_each_plain_key_of_the_scripts_has_words():
    text = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    asked = set(re.findall(r'\b(?:say|rich)\("([\w.]+)"', text))
    assert asked - set(WORDS["en"]) == set()
    assert len(asked) > 100


def test_order_has_every_script_once():
    there = {path.name for path in PAGE.iterdir() if path.name.endswith(".js")}
    assert sorted([*SCRIPTS, "pixels.js"]) == sorted(there)
