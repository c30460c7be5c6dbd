"""The `thalweg` command. What trains needs the `lab` extra, and says so where it is missing; the rest does not."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    from thalweg.lab.cli.commands import app
    from thalweg.lab.errors import MissingExtra

    try:
        app(prog_name="thalweg")  # also of `python -m thalweg`: a shell completes one word
    except MissingExtra as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
