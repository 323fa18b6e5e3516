"""Rows of a larger array, such as a split's in a store of all examples: gathered when somebody asks for them."""

from __future__ import annotations

from threading import Lock

import numpy as np

from danas_jax.data.sources.base import aligned

_GATHERED = 4096  # rows at a time


class Rows:
    """`array[chosen]` without the copy: NumPy and jax read it as an array, indexing it gathers only what is asked for.

    What stands in a row (all, or a stretch) is a view of the array; else the first that needs all of it makes one
    copy, which is kept.
    """

    def __init__(self, array: np.ndarray, chosen: np.ndarray | None = None):
        self._array = array
        self._chosen = np.arange(len(array)) if chosen is None else chosen
        self._whole: np.ndarray | None = None
        self._gathering = Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self._chosen), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        """Of all rows [B]."""
        return len(self) * int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, rows) -> np.ndarray:
        first, *others = rows if isinstance(rows, tuple) else (rows,)
        if first is Ellipsis:  # stands for more than the rows
            return self._array[self._chosen][rows]
        return self._array[(self._chosen[first], *others)]

    @property
    def whole(self) -> np.ndarray:
        """All rows, at a 64 B boundary, not to be written to."""
        with self._gathering:  # of several that want them one makes the copy
            if self._whole is None:
                self._whole = self._gathered()
            return self._whole

    def _gathered(self) -> np.ndarray:
        count = len(self._chosen)
        first = int(self._chosen[0]) if count else 0
        if (self._chosen == np.arange(first, first + count)).all():
            found = self._array[first : first + count]
            if found.ctypes.data % 64 == 0:
                return found
        out = aligned(self.shape, self.dtype)
        np.take(self._array, self._chosen, axis=0, out=out, mode="clip")
        out.flags.writeable = False
        return out

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.whole if dtype is None or dtype == self.dtype else self.whole.astype(dtype)

    def of(self, rows: np.ndarray) -> Rows:
        """Some of them, no copy."""
        return Rows(self._array, self._chosen[rows])

    def joined(self, other: Rows) -> Rows:
        """These rows and then the other's; of one array no example is copied."""
        if type(self) is type(other) is Rows and self._array is other._array:
            return Rows(self._array, np.concatenate([self._chosen, other._chosen]))
        return _Chained(self, other)


class _Chained(Rows):
    """The rows of one and then those of another, of two arrays; only what is asked for is gathered here, too."""

    def __init__(self, first: Rows, second: Rows):
        self._parts = first, second
        self._whole: np.ndarray | None = None
        self._gathering = Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        first, second = self._parts
        return (len(first) + len(second), *first.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self._parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        first, *others = rows if isinstance(rows, tuple) else (rows,)
        if first is Ellipsis:
            return self.whole[rows]
        chosen = np.arange(len(self))[first]
        out = np.empty((chosen.size, *self.shape[1:]), self.dtype)
        start = 0
        for part in self._parts:
            here = (chosen.ravel() >= start) & (chosen.ravel() < start + len(part))
            out[here] = part[chosen.ravel()[here] - start]
            start += len(part)
        return out.reshape(*chosen.shape, *self.shape[1:])[(*[slice(None)] * chosen.ndim, *others)]

    def _gathered(self) -> np.ndarray:
        out = aligned(self.shape, self.dtype)
        for start in range(0, len(self), _GATHERED):  # so that the parts keep no copy of their own
            out[start : start + _GATHERED] = self[start : start + _GATHERED]
        out.flags.writeable = False
        return out


def as_rows(array: np.ndarray | Rows) -> Rows:
    """All rows of an array."""
    return array if isinstance(array, Rows) else Rows(array)
