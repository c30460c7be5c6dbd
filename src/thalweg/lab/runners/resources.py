"""What a run takes: GPUs, or a share of one, and CPU cores; how many runs go at once, and what each of them sees."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from thalweg.lab.errors import LabError

VISIBLE = "CUDA_VISIBLE_DEVICES"
MOST_SHARES = 64  # runs on one GPU


@dataclass(frozen=True)
class Resources:
    """What was asked for.

    Args:
        gpus: how many GPUs the study may use; all that are visible if None.
        gpus_per_run: how many a run takes; a share such as 0.5 lets several have one together.
        cpus_per_run: cores, and torch threads, of a run.

    Raises:
        LabError: naming the argument, its value and what is allowed.
    """

    gpus: int | None = None
    gpus_per_run: float | None = None
    cpus_per_run: int | None = None

    def __post_init__(self) -> None:
        if self.gpus is not None and (isinstance(self.gpus, bool) or not isinstance(self.gpus, int) or self.gpus < 1):
            raise LabError(f"gpus: got {self.gpus!r}; must be a whole number of at least 1")
        share = self.gpus_per_run
        if share is not None and not (1 / MOST_SHARES <= share < 1 or (share >= 1 and share == int(share))):
            raise LabError(f"gpus_per_run: got {share!r}; must be a whole number, or a share below 1")
        cores = self.cpus_per_run
        if cores is not None and (isinstance(cores, bool) or not isinstance(cores, int) or cores < 1):
            raise LabError(f"cpus_per_run: got {cores!r}; must be a whole number of at least 1")

    @property
    def asked(self) -> bool:
        """Whether anything was."""
        return self != Resources()

    @property
    def gpus_of_run(self) -> float:
        """GPUs that a run takes: one, where only their number was said."""
        return self.gpus_per_run if self.gpus_per_run is not None else 1.0 if self.gpus is not None else 0.0

    @property
    def cores_of_run(self) -> int:
        return self.cpus_per_run or 1

    @property
    def of_ray(self) -> dict[str, float]:
        """As Ray is asked for it."""
        gpus = {"num_gpus": self.gpus_of_run} if self.gpus_of_run else {}
        return {"num_cpus": self.cores_of_run, **gpus}

    def slots(self, cores: int) -> list[dict[str, str]]:
        """For each run that can go at once on this machine, what is in its environment beside ours.

        Args:
            cores: the processor cores there are.

        Raises:
            LabError: where not even one run fits.
        """
        by_cores = max(1, cores // self.cores_of_run)
        each = self.gpus_of_run
        if not each:
            return [{}] * by_cores
        devices = self._devices()
        if each < 1:
            names = [device for device in devices for _ in range(int(1 / each + 1e-9))]
        else:
            size = int(each)
            names = [",".join(devices[at : at + size]) for at in range(0, len(devices) - size + 1, size)]
        if not names:
            raise LabError(f"gpus_per_run: got {each:g}; {len(devices)} are visible here")
        # A run that has a GPU waits for it more than for a core: cores count only where their number was asked for.
        most = by_cores if self.cpus_per_run is not None else len(names)
        return [{VISIBLE: name} for name in names[:most]]

    def check_here(self) -> None:
        """Refuse more GPUs than this machine has: a cluster's other machines may have them, its processes have not.

        Raises:
            LabError: naming how many there are.
        """
        here = torch.cuda.device_count()
        if self.gpus is not None and VISIBLE not in os.environ and self.gpus > here:
            raise LabError(
                f"gpus: got {self.gpus}; this machine has {here or 'none'}: leave it out, or have the runs where they "
                "are, --on ray or --on slurm"
            )

    def _devices(self) -> list[str]:
        given = os.environ.get(VISIBLE)
        if given is not None:
            visible = [name.strip() for name in given.split(",") if name.strip()]
        elif self.gpus is not None:  # who says how many there are is believed: a login node may have none itself
            visible = [str(place) for place in range(self.gpus)]
        else:
            visible = [str(place) for place in range(torch.cuda.device_count())]
        if self.gpus is not None and len(visible) < self.gpus:
            raise LabError(f"gpus: got {self.gpus}; {len(visible)} are visible here ({VISIBLE}={given})")
        return visible if self.gpus is None else visible[: self.gpus]
