"""`thalweg lens`: of a checkpoint, or of a task that is trained now."""

from __future__ import annotations

from pathlib import Path

from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lens.finding import told
from thalweg.lens.words import texts
from thalweg.lookup import did_you_mean


def is_task(what: str) -> bool:
    """Whether what was typed names a task: one that is built in, FILE.py, FILE.py:NAME or package.module:NAME."""
    path = Path(what)
    return what in BUILT_IN or path.suffix == ".py" or (":" in what and not path.exists())


def check_there(what: str) -> None:
    """ValueError for what is neither a task nor a file or folder."""
    if not is_task(what) and not Path(what).exists():
        near = did_you_mean(what, BUILT_IN)
        hint = f"{near} It" if near else "; it"
        raise ValueError(
            f"what: no file {what}, and no task of that name{hint} must be a checkpoint, a folder of one, "
            "a built-in task (thalweg tasks), FILE.py:NAME or package.module:NAME"
        )


def of_checkpoint(file: Path, model: Path | None, out: Path | None, language: str) -> str:
    """What an optimizer's saved state gives away.

    Raises:
        ValueError: for a file that cannot be read, and for a language there is not.
    """
    from thalweg.lens import page
    from thalweg.lens.checkpoint import diagnose, lacks_weights, read

    frame = texts(language)["frame"]
    if out is not None:
        page.check_place("--out", out)
    saved = read(file, model)
    found = diagnose(saved)
    notes = [frame["weights"]] if lacks_weights(saved) else []
    lines = [told(found, language), *notes]
    if out is not None:
        lines.append(str(page.write(out, lambda: page.of_checkpoint(file.name, found, notes, language))))
    return "\n\n".join(lines)


def of_task(
    task: str,
    optimizer: str,
    lr: float | None,
    epochs: int | None,
    seed: int,
    tried: bool,
    out: Path | None,
    language: str,
) -> str:
    """What is wrong with a run that is made now.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    from thalweg.lab.verbs.observe import observe
    from thalweg.lens.page import check_place

    texts(language)
    if not optimizer:
        raise ValueError("--optimizer: got none; must name what trains the task")
    if out is not None:
        check_place("--out", out)
    found = observe(task, optimizer, lr=lr, epochs=epochs, seed=seed, tried=tried, language=language)
    trial = found.trial
    end = f"{trial.status}" + (f" ({trial.message})" if trial.message else "")
    if trial.done:
        end = f"validation loss {trial.loss:.4g}"
    page = f"\n\n{found.seen.report(out, found.findings)}" if out is not None else ""
    return f"{trial.optimizer}, {found.seen.record.steps} steps: {end}\n{told(found.findings, language)}{page}"
