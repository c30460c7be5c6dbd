"""The surfaces as JavaScript: `SURFACES`, and the functions of `surfaces.js`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from thalweg.engines.javascript.element import Loop
from thalweg.engines.javascript.precision import PRECISIONS, Precision
from thalweg.engines.javascript.scalars import SPELLING, Recorded
from thalweg.engines.trace import Trace
from thalweg.play.surfaces import SURFACES, Surface


@cache
def best() -> dict[str, Any]:
    """For each surface and start the rate at which a rule comes lowest, and how low: `benchmarks/best_rates.py`."""
    made: dict[str, Any] = json.loads(files("thalweg.play").joinpath("best.json").read_text(encoding="utf-8"))
    return made


def javascript() -> str:
    """All surfaces, after the engine's script."""
    made = [f"SURFACES[{json.dumps(name)}] = {_surface(each)};" for name, each in SURFACES.items()]
    runtime = files("thalweg.play").joinpath("surfaces.js").read_text(encoding="utf-8")
    return "\n".join(["const SURFACES = {};", *made, runtime])


def _surface(surface: Surface) -> str:
    facts = {
        "name": surface.name,
        "title_key": f"surface.{surface.name}",
        "dimension": surface.dimension,
        "domain": surface.domain,
        "starts": [{"name": name, "point": point} for name, point in surface.starts.items()],
        "optima": surface.optima,
        "constants": [vars(each) for each in surface.constants],
        "noise": surface.noise,
        "turns": surface.turns,
        "held": surface.held,
        "best": {
            start: {rule: {"lr": each["lr"]} for rule, each in rates.items()}
            for start, rates in best().get(surface.name, {}).items()
        },
    }
    plain = json.dumps(facts, separators=(",", ":"))
    loops = ", ".join(f"{each.name}: {_slopes(surface, each)}" for each in PRECISIONS)
    return f"Object.assign({plain}, {{numbers: {_numbers(surface)}, {loops}}})"


def _numbers(surface: Surface) -> str:
    trace = Trace(SPELLING)
    given = {name: trace.symbol(f"c$.{name}") for name in (*surface.defaults, "step", "large")}
    return f"(c$) => {{\n{Recorded(trace, lambda: surface.numbers(given)).body()}  }}"


def _slopes(surface: Surface, precision: Precision) -> str:
    """A function of x and y that puts height and slopes into an array."""
    loop = Loop(surface.equations, precision, {})
    lines = [
        *(f"const {name} = {text};" for text, name in loop.constants.items()),
        f"let {', '.join(dict.fromkeys(['h', 'dx', 'dy', *(line.split(' ', 1)[0] for line in loop.lines)]))};",
        *loop.lines,
        "o$[0] = h; o$[1] = dx; o$[2] = dy;",
    ]
    return "(x, y, N$, o$) => {\n" + "".join(f"    {line}\n" for line in lines) + "  }"
