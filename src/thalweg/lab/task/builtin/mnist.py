"""MNIST, or any data in its files: 28 x 28 pixels and labels as IDX files in a folder, packed with gzip or not.

60,000 images, of which 10,000 are held out to select; 10,000 to test; a network of one hidden layer, 3 epochs, about
5 s a run. `thalweg compare mnist:path/to/folder`.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.lab.errors import TaskError
from thalweg.lab.task.task import Task

FILES = {
    "training images": "train-images-idx3-ubyte",
    "training labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
MAGIC = {1: 0x0801, 3: 0x0803}  # unsigned bytes in so many dimensions


def network(pixels: int, labels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(pixels, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, labels))


def task(folder: str | Path) -> Task:
    """The task of the IDX files in a folder: other data in this format (Fashion-MNIST, KMNIST) will do as well.

    Raises:
        TaskError: naming the file that is missing, not of this format, cut short, or of another size than its pair.
    """
    found = {what: read(_find(Path(folder), name), 3 if "images" in what else 1) for what, name in FILES.items()}
    for part in ("training", "test"):
        images, labels = found[f"{part} images"], found[f"{part} labels"]
        if len(images) != len(labels) or len(images) == 0:
            raise TaskError(f"mnist: {folder} has {len(images)} {part} images and {len(labels)} labels; must be equal")
    if found["training images"].shape[1:] != found["test images"].shape[1:]:
        raise TaskError(f"mnist: {folder}: training and test images differ in size; must be of one")
    train, test = (
        (found[f"{part} images"].flatten(1), found[f"{part} labels"].long()) for part in ("training", "test")
    )
    pixels = train[0].float()
    mean, deviation = pixels.mean().item(), max(pixels.std().item(), 1.0)
    classes = int(max(train[1].max(), test[1].max())) + 1
    return Task(
        name="mnist",
        model=partial(network, train[0].shape[1], classes),
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        train=((pixels - mean) / deviation, train[1]),
        validation=1 / 6,
        test=((test[0].float() - mean) / deviation, test[1]),
        epochs=3,
        batch_size=128,
        about=f"{len(train[0]):,} and {len(test[0]):,} images of {train[0].shape[1]} pixels in {folder}",
        usual_time="5 s",
    )


def read(path: Path, dimensions: int) -> Tensor:
    """One IDX file of unsigned bytes, gzip or plain."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"mnist: {path} cannot be read: {error}") from None
    head = 4 * (1 + dimensions)
    if len(data) < head:
        raise TaskError(f"mnist: {path} has {len(data)} bytes; must have a head of {head}")
    magic, *sizes = struct.unpack(f">{1 + dimensions}I", data[:head])
    if magic != MAGIC[dimensions]:
        raise TaskError(
            f"mnist: {path} starts with {magic:#010x}; must be {MAGIC[dimensions]:#010x}, an IDX file of bytes"
        )
    if len(data) - head != math.prod(sizes):
        shape = " x ".join(map(str, sizes))
        raise TaskError(f"mnist: {path} holds {len(data) - head} bytes; must be {shape} = {math.prod(sizes)}")
    return torch.frombuffer(bytearray(data[head:] or b"\0"), dtype=torch.uint8)[: math.prod(sizes)].view(sizes)


def _find(folder: Path, name: str) -> Path:
    """The file under this name, as it is distributed: with a dash or a dot, packed or not."""
    names = [stem + ending for stem in (name, name.replace("-idx", ".idx")) for ending in ("", ".gz")]
    for each in names:
        if (folder / each).is_file():
            return folder / each
    if not folder.is_dir():
        raise TaskError(f"mnist: no folder {folder}; must hold {', '.join(FILES.values())}, packed with gzip or not")
    raise TaskError(f"mnist: {folder} has no {name}; must be there, or as {' or '.join(names[1:])}")
