"""The `thalweg` command: it needs the `lab` extra, and says so where it is missing."""

from __future__ import annotations

import sys

LAB = ("typer", "rich", "sklearn", "scipy", "statsmodels", "pandas", "bokeh", "optuna")


def main() -> None:
    """Run the command line."""
    try:
        from thalweg.lab.commands import app

        app()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LAB:
            raise
        sys.exit(f"The lab needs {error.name}, which is not installed: pip install 'thalweg[lab]'")


if __name__ == "__main__":
    main()
