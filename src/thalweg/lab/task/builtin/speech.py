"""Spoken phones, made here by a formant synthesiser, and a small network that writes them down.

A source (pulses at a speaker's pitch, or noise) goes through three resonators of the second order (Klatt 1980); where
these lie makes the phone, and a speaker's length of throat moves them all. Utterances of three to six of eight phones
become frames of log-mel energies; two convolutions and a GRU are trained with CTC (Graves et al. 2006). The metric is
the phone error rate: insertions, deletions and substitutions, as a share of the phones. No speaker is in two parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.lab.task.task import Task

RATE = 8000  # samples a second
FRAME, HOP = 200, 80  # samples: 25 ms, every 10 ms
BANDS = 24
SHORTEST, LONGEST = 3, 6  # phones of an utterance
LENGTH = 0.56  # seconds that every utterance is padded to
SIZES = {"train": 768, "validation": 256, "test": 256}
SPEAKERS = {"train": 24, "validation": 8, "test": 8}
PAD = -1
HISS = 0.2  # of a room, where a phone's loudness is 1
SEED = 4


@dataclass(frozen=True)
class Phone:
    """Centers and widths of its resonances in Hz, and how much of its source is voice; the rest is noise."""

    name: str
    formants: tuple[float, ...]
    widths: tuple[float, ...]
    voiced: float = 1.0
    loudness: float = 1.0


# Vowels: means of men's formants (Peterson and Barney 1952). Consonants: where textbooks place their energy.
PHONES = (
    Phone("i", (270, 2290, 3010), (60, 90, 150)),
    Phone("e", (530, 1840, 2480), (60, 90, 150)),
    Phone("a", (730, 1090, 2440), (60, 90, 150)),
    Phone("o", (570, 840, 2410), (60, 90, 150)),
    Phone("u", (300, 870, 2240), (60, 90, 150)),
    Phone("m", (250, 1000, 2200), (80, 300, 300), loudness=0.4),
    Phone("sh", (2300, 2700, 3300), (300, 300, 400), voiced=0.0, loudness=0.3),
    Phone("s", (3400, 3700, 3900), (300, 300, 300), voiced=0.0, loudness=0.3),
)


def resonate(sound: Any, centre: float, width: float) -> Any:
    """One resonance: a filter with a pair of poles, 1 at frequency 0."""
    import numpy as np
    from scipy.signal import lfilter

    radius = np.exp(-np.pi * width / RATE)
    feedback = [1.0, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2]
    return lfilter([sum(feedback)], feedback, sound)


def speak(phone: Phone, samples: int, pitch: float, throat: float, random: Any) -> Any:
    """A phone's sound of loudness about 1, faded in and out; `throat` multiplies all its resonances."""
    import numpy as np

    turns = np.cumsum(np.full(samples, pitch / RATE) * (1 + 0.02 * random.standard_normal()))
    pulses = np.diff(np.floor(turns), prepend=0) - pitch / RATE  # one a period, without a mean
    sound = phone.voiced * pulses * np.sqrt(RATE / pitch) + (1 - phone.voiced + 0.02) * random.standard_normal(samples)
    for centre, width in zip(phone.formants, phone.widths, strict=True):
        sound = resonate(sound, min(throat * centre, 0.49 * RATE), width)
    edge = np.minimum(1, np.arange(1, samples + 1) / 80)
    return phone.loudness * sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * edge * edge[::-1]


def utterance(phones: Any, pitch: float, throat: float, random: Any) -> Any:
    """Phones one after the other, of 50 to 90 ms each, in a room that hisses."""
    import numpy as np

    sounds = [
        speak(PHONES[phone], int(RATE * random.uniform(0.05, 0.09)), pitch * random.uniform(0.95, 1.05), throat, random)
        for phone in phones
    ]
    room = HISS * random.standard_normal(int(RATE * LENGTH))
    spoken = np.concatenate(sounds)
    start = random.integers(len(room) - len(spoken) + 1)
    room[start : start + len(spoken)] += spoken
    return room


@cache
def mel_bands() -> Tensor:
    """Triangles, evenly spaced on the mel scale, from frequencies of a frame to bands."""
    top = 2595 * torch.log10(torch.tensor(1 + RATE / 2 / 700, dtype=torch.float64))
    corners = 700 * (10 ** (torch.linspace(0, 1, BANDS + 2, dtype=torch.float64) * top / 2595) - 1)
    places = torch.linspace(0, RATE / 2, FRAME // 2 + 1, dtype=torch.float64)[:, None]
    rise = (places - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - places) / (corners[2:] - corners[1:-1])
    return torch.minimum(rise, fall).clamp(min=0)


def log_mel(sounds: Tensor) -> Tensor:
    """Rows of sound as rows of frames of bands: logarithms of energies."""
    frames = sounds.double().unfold(-1, FRAME, HOP) * torch.hann_window(FRAME, dtype=torch.float64, device="cpu")
    energies = torch.fft.rfft(frames).abs().square() @ mel_bands()
    bands: Tensor = (energies + 1e-3).log().float()
    return bands


def _part(size: int, speakers: int, random: Any) -> tuple[Tensor, Tensor]:
    import numpy as np

    voices = [(random.uniform(90, 230), random.uniform(0.9, 1.15)) for _ in range(speakers)]
    sounds, told = [], torch.full((size, LONGEST), PAD)
    for row in range(size):
        phones = random.integers(len(PHONES), size=random.integers(SHORTEST, LONGEST + 1))
        sounds.append(utterance(phones, *voices[row % speakers], random))
        told[row, : len(phones)] = torch.as_tensor(phones)
    return log_mel(torch.as_tensor(np.stack(sounds))), told


class Listener(nn.Module):
    """Two convolutions over time, the second halves it; a GRU; at each moment a score for every phone and for none."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv1d(BANDS, 32, 5, padding=2)
        self.wide = nn.Conv1d(32, 32, 5, stride=2, padding=2)
        self.memory = nn.GRU(32, 48, batch_first=True, bidirectional=True)
        self.score = nn.Linear(96, len(PHONES) + 1)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.wide(self.near(frames.mT).relu()).relu()
        scores: Tensor = self.score(self.memory(x.mT)[0])
        return scores.log_softmax(-1)


def loss(output: Tensor, target: Tensor) -> Tensor:
    """CTC: over all ways in which the phones could lie in time, the last class for none."""
    rows, moments, classes = output.shape
    return functional.ctc_loss(
        output.transpose(0, 1),
        target.clamp(min=0),
        torch.full((rows,), moments, device=output.device),
        (target != PAD).sum(1),
        blank=classes - 1,
        zero_infinity=True,
    )


def decode(output: Tensor) -> list[list[int]]:
    """The best class of each moment, repetitions joined, the class for none left out."""
    none = output.shape[-1] - 1
    best = output.argmax(-1).tolist()
    return [[now for before, now in zip([none, *row], row, strict=False) if now not in (before, none)] for row in best]


def distance(found: list[int], told: list[int]) -> int:
    """The fewest insertions, deletions and substitutions from one to the other (Levenshtein 1966)."""
    costs = list(range(len(told) + 1))
    for place, one in enumerate(found, 1):
        above, costs[0] = costs[0], place
        for other, two in enumerate(told, 1):
            above, costs[other] = costs[other], min(costs[other] + 1, costs[other - 1] + 1, above + (one != two))
    return costs[-1]


def phone_error_rate(output: Tensor, target: Tensor) -> float:
    told = [[phone for phone in row if phone != PAD] for row in target.tolist()]
    errors = sum(distance(*pair) for pair in zip(decode(output), told, strict=True))
    return errors / sum(map(len, told))


def task() -> Task:
    import numpy as np

    random = np.random.default_rng(SEED)
    found = {name: _part(size, SPEAKERS[name], random) for name, size in SIZES.items()}
    mean, deviation = found["train"][0].mean(), found["train"][0].std()
    parts: dict[str, Any] = {name: ((frames - mean) / deviation, told) for name, (frames, told) in found.items()}
    return Task(
        name="speech",
        model=Listener,
        loss=loss,
        metric=phone_error_rate,
        direction="min",
        epochs=10,
        batch_size=32,
        **parts,
    )
