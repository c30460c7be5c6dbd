"""A result's table for a paper: LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
}


def latex(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    r"""A `table` environment; it needs `\usepackage{booktabs}`. The first column is set left, the others right.

    >>> print(latex(["optimizer", "test accuracy"], [["sgd", "97.2 % ± 0.6"]], "Digits."))
    \begin{table}
      \centering
      \caption{Digits.}
      \begin{tabular}{lr}
        \toprule
        optimizer & test accuracy \\
        \midrule
        sgd & 97.2 \% $\pm$ 0.6 \\
        \bottomrule
      \end{tabular}
    \end{table}
    """
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(caption)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"    \toprule",
        _row(headings),
        r"    \midrule",
        *map(_row, rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is.

    >>> escaped("adam(lr=1e-3), 5 % of x_1")
    'adam(lr=1e-3), 5 \\\\% of x\\\\_1'
    """
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _row(cells: Sequence[str]) -> str:
    return f"    {' & '.join(map(escaped, cells))} \\\\"
