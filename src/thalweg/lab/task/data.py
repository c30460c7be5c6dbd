"""What a user calls data (tensors, a Dataset, a DataLoader) as batches in an order that a seed fixes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from thalweg.lab.task.digest import bytes_of, digest

ALLOWED = "a tuple of tensors with equally many rows, a Dataset with a length, or a DataLoader"
EVALUATION_ROWS = 1024  # rows a batch where nothing is learnt: larger batches are only faster


class Source(Protocol):
    """One part of the data: training, validation or test."""

    @property
    def rows(self) -> int | None:
        """How many rows it has, None where it cannot be told."""

    @property
    def length(self) -> int | None:
        """How many batches a pass of training has, None where it cannot be told."""

    def batches(self, seed: int | None) -> Iterator[Any]:
        """The batches of one pass: shuffled by the seed, or in order for None."""

    def fingerprint(self) -> str:
        """What identifies this data in a study."""


class Rows:
    """Tensors: a batch is the same rows of each."""

    def __init__(self, tensors: tuple[Tensor, ...], batch_size: int) -> None:
        self.tensors, self.batch_size, self.rows = tensors, batch_size, len(tensors[0])

    @property
    def length(self) -> int:
        return -(-self.rows // self.batch_size)

    def batches(self, seed: int | None) -> Iterator[tuple[Tensor, ...]]:
        if seed is None:
            for start in range(0, self.rows, EVALUATION_ROWS):
                yield tuple(tensor[start : start + EVALUATION_ROWS] for tensor in self.tensors)
            return
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(seed), device="cpu")
        for chosen in torch.split(order, self.batch_size):
            yield tuple(tensor[chosen.to(tensor.device)] for tensor in self.tensors)

    def fingerprint(self) -> str:
        found = hashlib.sha256()
        for tensor in self.tensors:
            found.update(bytes_of(tensor))
        return found.hexdigest()[:16]


class Items:
    """A Dataset, gathered into batches by torch's own DataLoader."""

    def __init__(self, dataset: Dataset[Any], batch_size: int) -> None:
        self.dataset, self.batch_size, self.rows = dataset, batch_size, len(dataset)  # type: ignore[arg-type]

    @property
    def length(self) -> int:
        return -(-self.rows // self.batch_size)

    def batches(self, seed: int | None) -> Iterator[Any]:
        order = torch.Generator().manual_seed(seed or 0)
        shuffle = seed is not None
        yield from DataLoader(self.dataset, self.batch_size, shuffle=shuffle, generator=order)

    def fingerprint(self) -> str:
        kind = type(self.dataset.dataset if isinstance(self.dataset, Subset) else self.dataset)
        return f"{kind.__module__}.{kind.__qualname__} of {self.rows}, {digest(self.dataset)}"


class Loader:
    """The user's own DataLoader: its order, drawn from our seed; its generator is put back afterwards."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        try:
            self.rows: int | None = len(loader.dataset)  # type: ignore[arg-type]
        except TypeError:
            self.rows = None

    @property
    def length(self) -> int | None:
        try:
            return len(self.loader)
        except TypeError:
            return None

    def batches(self, seed: int | None) -> Iterator[Any]:
        own = self.loader.generator
        before = own.get_state() if own is not None else None
        outer = torch.get_rng_state()  # the order is drawn first; dropout then goes on as if nothing was drawn
        try:
            torch.manual_seed(seed or 0)
            if own is not None:
                own.manual_seed(seed or 0)
            batches = iter(self.loader)
            first = next(batches, None)
            torch.set_rng_state(outer)
            if first is not None:
                yield first
            yield from batches
        finally:
            if own is not None and before is not None:
                own.set_state(before)

    def fingerprint(self) -> str:
        kind = type(self.loader.dataset).__qualname__
        return (
            f"DataLoader of {kind}, {self.rows} rows, {self.loader.batch_size} a batch, {digest(self.loader.dataset)}"
        )


def as_source(value: Any, argument: str, batch_size: int) -> Source:
    """Wrap what the user gave as `argument`.

    Raises:
        ValueError: naming the argument and what is allowed.
    """
    if isinstance(value, DataLoader):
        return Loader(value)
    if isinstance(value, TensorDataset):
        value = value.tensors
    if isinstance(value, Dataset):
        if not hasattr(value, "__len__"):
            raise ValueError(f"{argument}: a Dataset without a length; put it in a DataLoader")
        return _not_empty(Items(value, batch_size), argument)
    if isinstance(value, tuple | list) and value and all(isinstance(part, Tensor) for part in value):
        sizes = [len(part) if part.dim() else 0 for part in value]
        if len(set(sizes)) > 1:
            raise ValueError(f"{argument}: tensors of {' and '.join(map(str, sizes))} rows; must be {ALLOWED}")
        return _not_empty(Rows(tuple(value), batch_size), argument)
    raise ValueError(f"{argument}: got {_kind(value)}; must be {ALLOWED}")


def split(source: Source, shares: Mapping[str, float]) -> dict[str, Source]:
    """Split shares of the rows off `source`, the same rows each time: `{"train": ..., "validation": ...}`.

    Raises:
        ValueError: for a DataLoader, which cannot be split, and where a part would be empty.
    """
    if isinstance(source, Loader) or source.rows is None:
        names = " and ".join(f"{name}={share:g}" for name, share in shares.items())
        raise ValueError(f"{names}: a share cannot be split off a DataLoader; must be {ALLOWED}")
    order = torch.randperm(source.rows, generator=torch.Generator().manual_seed(0), device="cpu")
    parts: dict[str, Source] = {}
    start = 0
    for name, share in shares.items():
        count = round(share * source.rows)
        parts[name] = _take(source, order[start : start + count], f"{name}={share:g}")
        start += count
    parts["train"] = _take(source, order[start:], "train")
    return parts


def fold(source: Source, count: int, number: int) -> dict[str, Source]:
    """One of `count` equal parts of the rows as validation data, the others as training data, the same each time.

    Raises:
        ValueError: for a DataLoader, which cannot be split, and for more parts than rows.
    """
    if isinstance(source, Loader) or source.rows is None:
        raise ValueError(f"folds={count}: a DataLoader cannot be split; must be {ALLOWED}")
    if count > source.rows:
        raise ValueError(f"folds={count}: must be at most the {source.rows} rows to train on")
    order = torch.randperm(source.rows, generator=torch.Generator().manual_seed(1), device="cpu")
    ours = torch.arange(source.rows, device="cpu") % count == number
    parts = {"validation": order[ours], "train": order[~ours]}
    return {name: _take(source, chosen, f"folds={count}") for name, chosen in parts.items()}


def _take(source: Source, chosen: Tensor, argument: str) -> Source:
    if len(chosen) == 0:
        raise ValueError(f"{argument}: no row is left for it; train has {source.rows} rows")
    if isinstance(source, Rows):
        return Rows(tuple(tensor[chosen.to(tensor.device)] for tensor in source.tensors), source.batch_size)
    assert isinstance(source, Items)
    return Items(Subset(source.dataset, chosen.tolist()), source.batch_size)


def _not_empty(source: Rows | Items, argument: str) -> Source:
    if source.rows == 0:
        raise ValueError(f"{argument}: has no rows; must be {ALLOWED}")
    return source


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value) or 'nothing'}"
    return f"{type(value).__name__} {value!r}"[:80] if isinstance(value, str | int | float) else type(value).__name__


def to_device(batch: Any, device: str) -> Any:
    """The batch with every tensor in it on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(part, device) for key, part in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(to_device(part, device) for part in batch)
    return batch


def count_rows(batch: Any) -> int:
    """How many rows a batch has: the weight of its mean."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.dim() else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch
    return next((len(part) for part in parts if isinstance(part, Tensor) and part.dim()), 1)
