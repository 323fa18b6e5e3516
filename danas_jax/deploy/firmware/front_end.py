"""What makes a network's input on a board: its C, its memory, and the raw examples as the board reads them.

Each kind of view has one, in a file of its own (c_frame.py, c_mel.py, c_series.py), behind the interface of
sources/front_end.h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple, Self

import numpy as np

from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.views.base import DataConfig, NetworkInput, View

TEMPLATE = """\
/* what the board reads: an example, {portions} */
typedef {type}_t danas_raw;
#define DANAS_EXAMPLE_COUNT {example}
#define DANAS_PORTION_COUNT {portion}"""


class Words(NamedTuple):
    """What a project's README.md says of its examples."""

    examples: str  # what one is
    own: str  # how the board's own camera, microphone or sensors come into it
    data: str  # lines of Python that make its bytes, `data`
    hint: str = ""  # for who writes a board in C


class FrontEnd(ABC):
    """Of one network. A board reads examples in portions and makes codes of them, one portion at a time."""

    sources: ClassVar[tuple[str, ...]]  # files of sources/, beside the program's
    code_bytes: ClassVar[int]  # allowance for their code (memory.py) [B]
    dtype: ClassVar[np.dtype]  # of the numbers that the board reads
    noun: ClassVar[str]  # what an example is called

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one example as the board reads it."""

    @property
    @abstractmethod
    def portion(self) -> int:
        """Numbers that are read at a time."""

    @property
    @abstractmethod
    def words(self) -> Words:
        """For people."""

    @property
    def bytes(self) -> int:
        """Of one example [B]."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def portion_bytes(self) -> int:
        """Of what is read at a time [B]."""
        return self.portion * self.dtype.itemsize

    @property
    def config(self) -> str:
        """Its lines of firmware_config.h."""
        count = prod(self.shape)
        portions = "one portion" if self.portion == count else "a portion after the other; the last may be shorter"
        return TEMPLATE.format(portions=portions, type=self.dtype.name, example=count, portion=self.portion)

    @property
    def generated(self) -> dict[str, str]:
        """Text of its generated files, by name."""
        return {}

    @property
    def constant_bytes(self) -> int:
        """Flash that its tables take [B]."""
        return 0

    @abstractmethod
    def ram(self, model: QuantisedModel) -> dict[str, int]:
        """{part: bytes} beside the arena of `model`."""

    @abstractmethod
    def examples(self, raw: np.ndarray) -> np.ndarray:
        """Raw examples [N, ...] as the board reads them: [N, *shape]."""

    def check(self, model: QuantisedModel, where: str) -> None:  # noqa: B027
        """UserError naming `where` when the network cannot be fed with such examples."""


@dataclass(frozen=True)
class Samples(FrontEnd):
    """Of int16 samples at the rate of the recordings, which the view works on while they come."""

    view: View
    data: DataConfig

    dtype: ClassVar[np.dtype] = np.dtype(np.int16)

    @classmethod
    def of(cls, source: NetworkInput, raw_shape: tuple[int, ...]) -> Self:
        """What `source` is made of."""
        return cls(source.view, source.data)

    def ram(self, model: QuantisedModel) -> dict[str, int]:
        """The samples of a portion, and what the view works in."""
        return {"samples": self.portion_bytes, "front end": self.view.pipeline_bytes(self.data)}
