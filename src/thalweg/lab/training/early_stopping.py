"""Early stopping: the best epoch counts, and after a number of epochs without a better one the training ends."""

from __future__ import annotations


class EarlyStopping:
    """Follows the validation metric. With `epochs` None nothing stops early, and the last epoch counts."""

    def __init__(self, epochs: int | None, larger_is_better: bool) -> None:
        self.epochs, self.larger_is_better = epochs, larger_is_better
        self.best: int | None = None  # the epoch that counts, from 0; None: the last
        self.value = 0.0
        self.seen = 0

    def see(self, metric: float) -> bool:
        """Take in an epoch's metric; whether its weights are to be kept as the best so far. NaN is never better."""
        place, self.seen = self.seen, self.seen + 1
        if self.epochs is None:
            return False
        sign = 1 if self.larger_is_better else -1
        better = metric == metric if self.best is None else sign * metric > sign * self.value
        if better:
            self.best, self.value = place, metric
        return better

    @property
    def over(self) -> bool:
        """Whether so many epochs have passed without a better one that the training ends."""
        if self.epochs is None:
            return False
        return self.seen - 1 - (-1 if self.best is None else self.best) >= self.epochs
