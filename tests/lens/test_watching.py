"""The live door: the bits are the same with it, and planted faults in real loops are named."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from lens import planted
from torch import nn

import thalweg
from thalweg.lens import words
from thalweg.lens.finding import Evidence, Finding

MAKERS = {
    "torch adam": (torch.optim.Adam, {"lr": 1e-3}),
    "torch adamw fused": (torch.optim.AdamW, {"lr": 1e-3, "fused": True}),
    "torch sgd": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "reference": (thalweg.optim.Adam, {"lr": 1e-3, "engine": "reference"}),
    "cpu": (thalweg.optim.Adam, {"lr": 1e-3, "engine": "cpu"}),
    "cpu int8": (thalweg.optim.Adam, {"lr": 1e-3, "state_dtype": "int8"}),
    "cpu radam": (thalweg.optim.RAdam, {"lr": 1e-3, "engine": "cpu"}),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_the_bits_are_the_same_with_lens(maker):
    make, settings = MAKERS[maker]
    plan = planted.Plan(None, make, settings)
    with_lens, without = (planted.run(plan, planted.mlp, 0, steps=50, watch=watch)[2] for watch in (True, False))
    for a, b in zip(with_lens.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", planted.FAULTS)
def test_a_planted_fault_is_named_within_three(name):
    plan = planted.FAULTS[name](1)
    assert plan.finding in planted.run(plan, planted.mlp, 1)[1][:3]


@pytest.mark.parametrize("name", ["adam 3e-3", "sgd 0.05", "adamw cosine"])
def test_a_sound_run_has_none(name):
    assert planted.run(planted.SOUND[name], planted.mlp, 1)[1] == []


def watched(steps=20, spoil=None, **more):
    torch.manual_seed(0)
    model = planted.mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    pixels, labels = planted.data()
    with thalweg.lens(optimizer, model, **{"quiet": True} | more) as seen:
        for step in range(steps):
            rows = torch.randint(len(labels), (32,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels[rows]), labels[rows]).backward()
            if spoil is not None and step == spoil:
                model[2].weight.grad[3, 3] = torch.nan
            optimizer.step()
    return model, seen


def test_a_nan_is_traced_to_its_step_and_tensor():
    finding = watched(spoil=9)[1].findings[0]
    assert (finding.name, finding.step, finding.where[0]) == ("not_finite", 10, "2.weight")


def test_no_hook_stays():
    model, seen = watched()
    assert not model._forward_hooks and not model._forward_pre_hooks
    assert not seen.optimizer._optimizer_step_pre_hooks and not seen.optimizer._optimizer_step_post_hooks


def test_the_loss_of_a_classifier_is_read_from_its_logits():
    torch.manual_seed(0)
    model = planted.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pixels, labels = planted.data()
    told = []
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for rows in torch.randint(len(labels), (10, 32)):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(pixels[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            told.append(loss.item())
    assert list(seen.record.losses.values()) == pytest.approx(told, rel=1e-5)


def test_scalars_are_logged_by_name():
    logged = []
    watched(log=lambda numbers, step: logged.append((step, numbers)))
    assert [step for step, _ in logged] == list(range(1, 21))
    assert {"lens/update_ratio/0", "lens/gradient/4", "lens/look_back"} <= set(logged[-1][1])


def test_the_page_is_small_and_whole(tmp_path):
    seen = watched(spoil=9)[1]
    page = seen.report(tmp_path / "lens.html").read_text()
    assert len(page) < 1_000_000 and "2.weight, step 10" in page and "hold NaN" in page
    assert "http" not in page
    with pytest.raises(ValueError, match="no folder"):
        seen.report(tmp_path / "none" / "lens.html")


def test_a_data_frame_has_a_row_a_step_and_parameter():
    frame = watched()[1].to_pandas()
    assert len(frame) == 20 * 6 and (frame.update_ratio > 0).all()


def test_another_model_is_refused():
    seen = watched(steps=1)[1]
    with pytest.raises(ValueError, match="none of the optimizer's parameters"):
        thalweg.lens(seen.optimizer, planted.mlp())


def test_the_name_is_the_class_and_holds_preflight():
    import thalweg.lens.checkpoint

    model = planted.mlp()
    assert thalweg.lens.preflight(model, torch.optim.Adam(model.parameters())) == []


def test_both_languages_say_the_same_things():
    english, chinese = (words.texts(language)["findings"] for language in words.LANGUAGES)
    assert english.keys() == chinese.keys()
    for name in english:
        fields = [
            set(part.split("{")[-1].split(":")[0] for part in " ".join(t[name]).split("}")[:-1])
            for t in (english, chinese)
        ]
        assert fields[0] == fields[1]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language: got 'fr'"):
        Finding("zero_grad_forgotten", Evidence.PROOF).tell("fr")


def test_a_watched_model_is_saved_and_copied_without_its_lens():
    model = nn.Sequential(nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            nn.functional.cross_entropy(other(torch.randn(8, 4)), torch.zeros(8, dtype=torch.long)).backward()
        assert seen.record.steps == 0 and seen.record.inputs is None and seen.output is None


def test_nothing_watched_is_not_nothing_wrong():
    model = nn.Linear(4, 3)
    assert "nothing was watched" in str(thalweg.lens(torch.optim.SGD(model.parameters(), lr=0.1), model))
