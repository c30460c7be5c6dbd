"""Is the CUDA engine right on this card, and how fast is it? Ten minutes, with nothing but a CUDA torch.

    make gpu                                 checks first, the first failure stops; then figures
    python benchmarks/gpu.py --dry-run       the same code on the CPU, tiny, in Triton's interpreter

It needs torch with its Triton, and numpy; nothing is installed or downloaded. PYTHONPATH must hold src (make sets it).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the CPU, in Triton's interpreter")
    parser.add_argument("--only", choices=("checks", "figures"), help="one half")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--rules", default="", help="rules to measure, by their catalogue names")
    chosen = parser.parse_args()
    chosen.quick = True
    return chosen


def checked(dry: bool) -> bool:
    """Run the checks in their order; False at the first that fails, with where."""
    import gpu_checks
    import gpu_machine

    machine = gpu_machine.DryRun() if dry else gpu_machine.Gpu()
    print(machine.described(), flush=True)
    for check in gpu_checks.CHECKS:
        start = time.perf_counter()
        try:
            told = check(machine)
        except Exception:
            traceback.print_exc()
            print(f"FAILED  {check.__doc__}", flush=True)
            return False
        print(f"ok  {time.perf_counter() - start:6.1f} s  {check.__doc__} {told or ''}".rstrip(), flush=True)
    return True


def main() -> int:
    """The exit status."""
    chosen = arguments()
    if chosen.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported
    import torch

    if not chosen.dry_run and not torch.cuda.is_available():
        print("gpu.py: this Python's torch sees no CUDA device; --dry-run tries the script on the CPU", file=sys.stderr)
        return 1
    if chosen.only != "figures" and not checked(chosen.dry_run):
        return 1
    if chosen.only != "checks":
        import gpu_sizes
        import on_cuda

        print(gpu_sizes.measured(chosen.dry_run), flush=True)
        return on_cuda.main(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
