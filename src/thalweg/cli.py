"""The `thalweg` command. What trains needs the `lab` extra, and says so where it is missing; the rest does not."""

from __future__ import annotations

import sys

LAB = ("bokeh", "cloudpickle", "cmaes", "optuna", "pandas", "scipy", "sklearn")


def main() -> None:
    """Run the command line."""
    from thalweg.lab.cli.commands import app

    try:
        app()
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in LAB:
            raise
        sys.exit(f"The lab needs {name}, which is not installed: pip install 'thalweg[lab]'")


if __name__ == "__main__":
    main()
