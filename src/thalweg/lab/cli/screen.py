"""What a person sees in the terminal: a bar with the time left, tables; plain lines where there is none."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thalweg.lab.arguments import length, several
from thalweg.lab.printable import visible

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.conformance.law import Law
    from thalweg.conformance.report import Outcome
    from thalweg.lab.results import Answer
    from thalweg.lab.study.campaign import Progress
    from thalweg.lab.task.builtin import Listing

console = Console(highlight=False)
FIRST_ESTIMATE = 8  # runs after which the time they take is worth telling
VERDICTS = ("verdict", "")  # the columns that are shown before all others
GAP = 2  # between the columns of a table
ROOM = 36  # letters of a column of prose: with fewer a table gets longer than anybody reads
TOO_LITTLE = 1.5  # times what the budget leaves: then it will be cut short, which is said at once
PROSE = re.compile(r"[`'(]?\w[\w'=`-]*[:,.;]? [`'(]?[A-Za-z\d]")  # two words; an equation has a sign after the first
QUIET = 30.0  # seconds without a line


@contextmanager
def progress_display() -> Iterator[Callable[[Progress], None]]:
    """A function to call after each run."""
    if not console.is_terminal:
        with Lines() as lines:
            yield lines.tell
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        row = bar.add_task("starting", total=None, left="")

        def tell(now: Progress) -> None:
            if now.said:
                bar.console.print(_plain(now.said))
                return
            if now.trial is None:
                bar.console.print(_plain(_price(now)))
            what = visible(f"{now.trial.optimizer} {now.trial.phase}") if now.trial else "starting"
            bar.update(row, completed=now.done, total=now.total, description=what, left=_left(now))

        yield tell


class Lines:
    """Progress as plain lines: at each tenth, and where that takes long, every half a minute."""

    def __init__(self, quiet: float = QUIET) -> None:
        self.quiet = quiet
        self.tenths, self.estimated = -1, False
        self.now: Progress | None = None
        self.last_said = time.monotonic()
        self.over = threading.Event()

    def __enter__(self) -> Lines:
        threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *what: object) -> None:
        self.over.set()

    def tell(self, now: Progress) -> None:
        if now.said:
            self._say(now.said)
            return
        self.now = now
        if now.trial is None:
            self._say(_price(now))
            return
        tenths = 10 * now.done // now.total
        first = not self.estimated and now.done - now.found >= _first_estimate(now)
        if first or tenths > self.tenths:
            self.tenths, self.estimated = tenths, self.estimated or first
            self._say(_stand(now))

    def _tick(self) -> None:
        """A run may take minutes: somebody who reads the log wants to see that it lives."""
        while not self.over.wait(max(0.01, self.last_said + self.quiet - time.monotonic())):
            if self.now is not None and time.monotonic() - self.last_said >= self.quiet:
                self._say(_stand(self.now))

    def _say(self, text: str) -> None:
        self.last_said = time.monotonic()
        print(visible(text), flush=True)


def _stand(now: Progress) -> str:
    left = _left(now)
    return f"{now.done} of {several(now.total, 'run')}{', ' + left if left else ''}"


def _price(now: Progress) -> str:
    before = f", {now.found} of them done before" if now.found else ""
    first = f"{several(now.total, 'run')}{before}; the study is in {now.folder}"
    if now.done >= now.total:
        return first
    price = f"about {length(now.seconds_left)}" if now.seconds_left is not None else "the price is told after a run"
    if now.budget is not None:
        price += f", within the budget of {length(now.budget)}"
        if now.seconds_left is not None and (now.needed or 0.0) > TOO_LITTLE * now.seconds_left:
            price = f"about {length(now.needed or 0.0)}, of which the budget of {length(now.budget)} leaves "
            price += f"{length(now.seconds_left)} ({length(now.before)} went by before the first run)"
    return "\n".join(filter(None, [first, ", ".join(filter(None, [price, now.how]))]))


def _left(now: Progress) -> str:
    if now.seconds_left is None or now.trial is None or now.done >= now.total:
        return ""
    if now.done - now.found < min(_first_estimate(now), now.total - now.found):
        return ""
    low, high = max(0.0, now.seconds_left - 2 * now.within), now.seconds_left + 2 * now.within
    if now.within > 0.1 * now.seconds_left:
        return f"about {length(low)} to {length(high)} left"
    return f"about {length(now.seconds_left)} left"


def _first_estimate(now: Progress) -> int:
    """After how many runs their time is worth telling: at once, where nothing was known before."""
    return FIRST_ESTIMATE if now.priced else 1


def show_result(result: Answer, as_json: bool = False) -> None:
    """The table, the sentence, the line to paste, where the report is; or all of it as JSON."""
    if as_json:
        print(json.dumps({**result.to_dict(), "folder": str(result.folder)}, indent=2))
        return
    headings, rows = result.cells()
    if console.is_terminal:
        _print_table(headings, rows, fit=True)
        console.print("\n", _plain(result.verdict, "bold"), sep="")
        console.print(_plain(f"{result.line}\n" if result.line else ""), soft_wrap=True)  # a line to copy stays one
    else:
        print(result, end="\n\n")
    print(visible(f"report: {result.folder / 'report.html'}"))
    if (result.folder / "table.tex").exists():
        print(visible(f"tables for a paper: {result.folder / 'table.tex'}, table.csv"))


def show_tasks(listings: Sequence[Listing]) -> None:
    """The built-in tasks as a table."""
    rows = [
        [t.name, t.about, t.usual_time, t.metric, f"pip install 'thalweg[{t.extra}]'" * bool(t.extra)] for t in listings
    ]
    _print_table(["task", "what it is", "one run", "metric", "needs"], rows, prose=1)


def show_rules(entries: Sequence[Entry]) -> None:
    """The catalogue as a table."""
    headings = ["name", "what it is", "default lr", "searched", "source"]
    rows = []
    for entry in entries:
        search = entry.search("lr")
        rule = entry.rule
        rows.append(
            [
                entry.name,
                rule.title if rule else (entry.optimizer.__doc__ or "").partition("\n")[0],
                f"{entry.default('lr'):g}",
                f"{search[0]:g} to {search[1]:g}" if search else "none",
                rule.source if rule else "",
            ]
        )
    _print_table(headings, rows, prose=1)


def show_rule(entry: Entry) -> None:
    """One rule in full."""
    from thalweg.lab.search.hyperparameters import bounds_of

    rule = entry.rule
    print(entry.line())
    if rule is None:
        return
    parts = [f"{wrapped(rule.title)}\n{wrapped(rule.source)}", wrapped(rule.paper), rule.equations]
    print("", *[f"{part.rstrip()}\n" for part in parts if part], sep="\n")
    searched = bounds_of(entry)
    rows = [
        [
            name,
            str(entry.default(name)),
            part.valid,
            ", ".join(f"{low:g} to {high:g}" for low, high in searched.get(name, [])) or "no",
        ]
        for name, part in entry.hyperparameters.items()
    ]
    _print_table(["hyperparameter", "default", "valid", "searched"], rows)
    if rule.departures:
        print(f"\n{wrapped(f'Departures: {rule.departures}')}")
    show_order(entry)


def show_order(entry: Entry) -> None:
    """The first configurations of a rule's learned order, with how good the best of the first k was."""
    from thalweg.lab.search import order

    known = order.known(entry)[:8]
    if not known:
        none = f"No order of configurations to try was learned for {entry.name}; there is one for"
        print("", wrapped(f"{none} {', '.join(order.orders()['rules'])}."), sep="\n")
        return
    told = (
        f"What `thalweg tune TASK --optimizer {entry.name}` tries first, after the default: an order that was learned\n"
        "from all kinds of tasks at hand. Regret: of the best so far, by orders learned likewise without the kind of\n"
        "task that they were judged on; 0 is the best known, 1 the median configuration."
    )
    print(f"\n{wrapped(told)}")
    regrets = order.orders()["rules"][entry.name]["regret"]
    rows = [
        [str(place), *(f"{value:g}" for value in values.values()), f"{regret:.2f}"]
        for place, (values, regret) in enumerate(zip(known, regrets, strict=False), 1)
    ]
    _print_table(["", *known[0], "regret"], rows)


def wrapped(text: str, width: int | None = None) -> str:
    """A text whose prose fits the terminal; equations, and what no terminal shows, keep their lines.

    >>> print(wrapped("A rule of few words.\\n    p = p - eta * g\\nthe end", 12))
    A rule of
    few words.
        p = p - eta * g
    the end
    """
    if width is None:
        if not console.is_terminal:
            return text
        width = console.width
    parts = [(prose, list(lines)) for prose, lines in groupby(text.splitlines(), lambda line: bool(PROSE.match(line)))]
    return "\n".join(
        fill(" ".join(lines), width, break_on_hyphens=False, break_long_words=False)
        if prose and max(map(len, lines)) > width
        else "\n".join(lines)
        for prose, lines in parts
    )


@contextmanager
def law_progress() -> Iterator[Callable[[Outcome], None]]:
    """A function to call after each law; it shows how far one is, on a terminal."""
    if not console.is_terminal:
        yield lambda outcome: None
        return
    with console.status("starting") as status:
        yield lambda outcome: status.update(_plain(f"{outcome.law} {outcome.variant}"))


def show_laws(laws: Sequence[Law]) -> None:
    """Every law: its name, its theme, its meaning."""
    _print_table(["law", "about", "meaning"], [[law.name, law.theme, law.meaning] for law in laws])


def _print_table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], fit: bool = False, prose: int | None = None
) -> None:
    """A table; where there is no terminal, plain columns of their full width.

    `fit`: only the columns that fit unbroken. `prose`: the column that wraps, beside as many as leave it room.
    """
    headings, *rows = ([visible(str(cell)) for cell in row] for row in (headings, *rows))
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for row in [headings, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    shown = list(range(len(headings)))
    if fit:
        shown = fitting(headings, rows, console.width)
    if prose is not None:
        shown = shown[: roomy(headings, rows, console.width, prose)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for index in shown:
        table.add_column(_plain(headings[index]), overflow="fold", no_wrap=fit and index not in (shown[0], shown[-1]))
    for row in rows:
        table.add_row(*(_plain(row[index]) for index in shown))
    console.print(table)
    if len(shown) < len(headings):
        left_out = [heading for index, heading in enumerate(headings) if index not in shown]
        console.print(_plain(f"Too wide for this terminal: {', '.join(left_out)}.", "dim"))


def roomy(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, prose: int) -> int:
    """How many of the columns, from the left, leave the one of prose its room; those up to it at least.

    >>> roomy(["task", "what it is", "metric"], [["digits", "small pictures of digits", "accuracy"]], 50, prose=1)
    2
    """
    widths = [min(ROOM, max(map(len, column))) + GAP for column in zip(headings, *rows, strict=True)]
    others = [sum(widths[:count]) - widths[prose] for count in range(len(widths) + 1)]
    return max([prose + 1, *(count for count in range(prose + 1, len(widths) + 1) if width - others[count] >= ROOM)])


def fitting(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Which columns fit side by side unbroken: the first and the verdict, and from the left what leaves these room; two
    at least, of which the last may wrap.

    >>> fitting(["optimizer", "lr", "accuracy", "verdict"], [["adam", "0.001", "97.2 % ± 0.6", "leads"]], 30)
    [0, 1, 3]
    """
    widths = [max(map(len, column)) + GAP for column in zip(headings, *rows, strict=True)]
    always = [index for index, heading in enumerate(headings) if index == 0 or heading in VERDICTS]
    shown = always if len(always) > 1 else [*range(len(headings))][:2]
    for index in range(len(headings)):
        more = sorted({*shown, index})
        if sum(widths[each] for each in more) - GAP > width and index not in shown:
            break
        shown = more
    return shown


def _plain(text: str, style: str = "") -> Text:
    """Text that is shown as it is: brackets in a name are no markup."""
    return Text(visible(text), style)
