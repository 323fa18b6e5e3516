"""SearchSpace: data axes x architecture axes, and the integer genes that everything else speaks.

A candidate system is an integer vector; gene g_i is an index into `space.axes[i].values`, which are sorted from
cheap to costly, so `genes <= bound` elementwise means "inside the envelope `bound`". No jax here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np

from danas_jax.errors import UserError
from danas_jax.layers import LayerBuilder, LayerSpec
from danas_jax.views.base import Axis, DataConfig, NetworkInput, View, check_ascending

Bounds = tuple[np.ndarray, np.ndarray]  # lower and upper genes [G], inclusive, of a (pruned) space


@dataclass(frozen=True)
class Stage:
    """One stage of blocks; the first block has the stride and never a residual.

    `block` "inverted_residual": 1x1 expansion, depthwise, 1x1 projection; `expansions == (1,)` means blocks without the
    expanding 1x1 convolution (1 mixes with no other value). "conv": one dense convolution, which expands nothing: more
    weights and MACs for a map, but no wider one in memory.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...] = (1,)
    stride: int = 1
    expansions: tuple[int, ...] = (1,)
    kernels: tuple[int, ...] = (3,)
    block: Literal["inverted_residual", "conv"] = "inverted_residual"

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of a block's convolutions in order, of which the last is as wide as the stage."""
        if self.block == "conv":
            return ("conv",)
        return ("depthwise", "project") if self.expansions == (1,) else ("expand", "depthwise", "project")

    @property
    def windowed(self) -> str:
        """Which of `layers` has the block's kernel and stride."""
        return "conv" if self.block == "conv" else "depthwise"


@dataclass(frozen=True)
class Block:
    """One active block."""

    expansion: int
    kernel: int


@dataclass(frozen=True)
class ArchConfig:
    """The architecture of one subnet: `stages[i]` is (width, blocks)."""

    stem_width: int
    stages: tuple[tuple[int, tuple[Block, ...]], ...]
    head_width: int


@dataclass(frozen=True)
class SearchSpace:
    """Every axis of the joint search. Values are sorted; an axis with one value is switched off.

    Raises UserError naming the field when a value cannot be.
    """

    name: str
    view: View  # the axes of the data
    stem_widths: tuple[int, ...]
    stages: tuple[Stage, ...]
    head_widths: tuple[int, ...]
    version: int = 1

    def __post_init__(self) -> None:
        check_ascending("stem_widths", self.stem_widths, 1, 4096)
        check_ascending("head_widths", self.head_widths, 1, 8192)
        if not self.stages:
            raise UserError("space.stages is empty: give at least one Stage")
        for i, stage in enumerate(self.stages):
            check_ascending(f"stages[{i}].widths", stage.widths, 1, 4096)
            check_ascending(f"stages[{i}].depths", stage.depths, 1, 32)
            check_ascending(f"stages[{i}].expansions", stage.expansions, 1, 16)
            check_ascending(f"stages[{i}].kernels", stage.kernels, 1, 15)
            check_ascending(f"stages[{i}].stride", (stage.stride,), 1, 2)
            if any(k % 2 == 0 for k in stage.kernels):
                raise UserError(f"space.stages[{i}].kernels = {stage.kernels}: kernels are odd")
            if stage.stride > 1 and 1 in stage.kernels and stage.kernels != (1,):
                raise UserError(
                    f"space.stages[{i}].kernels = {stage.kernels}: with a stride 1 mixes with no other value, as SAME "
                    "padding moves the centre"
                )
            if 1 in stage.expansions and stage.expansions != (1,):
                raise UserError(f"space.stages[{i}].expansions = {stage.expansions}: 1 mixes with no other value")
            if stage.block == "conv" and stage.expansions != (1,):
                raise UserError(
                    f"space.stages[{i}].expansions = {stage.expansions}: conv blocks expand nothing, so (1,)"
                )

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The genes in order: data (shape first), stem, per stage (width, depth, blocks (expansion, kernel)), head."""
        axes = [*self.view.axes, Axis("stem.width", self.stem_widths)]
        for s, stage in enumerate(self.stages):
            axes += [Axis(f"s{s}.width", stage.widths), Axis(f"s{s}.depth", stage.depths)]
            for b in range(stage.depths[-1]):
                axes += [Axis(f"s{s}.b{b}.expansion", stage.expansions), Axis(f"s{s}.b{b}.kernel", stage.kernels)]
        axes.append(Axis("head.width", self.head_widths))
        return tuple(axes)

    @cached_property
    def index(self) -> dict[str, int]:
        """Axis name -> position in the gene vector."""
        return {axis.name: i for i, axis in enumerate(self.axes)}

    @property
    def data_axes(self) -> tuple[int, ...]:
        """Positions of the genes that say what the network sees."""
        return tuple(range(len(self.view.axes)))

    @property
    def shape_axes(self) -> tuple[int, ...]:
        """Positions of the genes that change the input's shape; the first ones."""
        return tuple(range(len(self.view.shape_axes)))

    def shape_genes(self, lower: np.ndarray, upper: np.ndarray) -> list[tuple[int, ...]]:
        """Every combination of the shape axes' genes within bounds [G], in order."""
        ranges = (range(int(lower[axis]), int(upper[axis]) + 1) for axis in self.shape_axes)
        return list(product(*ranges))

    def data_genes(self) -> list[tuple[int, ...]]:
        """The genes of every data configuration, in order."""
        return list(product(*(range(len(axis.values)) for axis in self.view.axes)))

    def costliest_input(self, shape: Sequence[int] | np.ndarray) -> NetworkInput:
        """What a network of these shape genes reads from which nothing is taken away."""
        genes = self.max_genes
        genes[list(self.shape_axes)] = shape
        return self.input(genes)

    @cached_property
    def cardinalities(self) -> np.ndarray:
        """Number of values of each axis, int64 [G]."""
        return np.array([len(axis.values) for axis in self.axes])

    @property
    def min_genes(self) -> np.ndarray:
        """The smallest system, int64 [G]."""
        return np.zeros_like(self.cardinalities)

    @property
    def max_genes(self) -> np.ndarray:
        """The largest system, int64 [G]."""
        return self.cardinalities - 1

    @cached_property
    def _block_genes(self) -> list[tuple[int, int, int, int]]:
        """(depth axis, block number, expansion axis, kernel axis) of every block."""
        rows = []
        for s, stage in enumerate(self.stages):
            for b in range(stage.depths[-1]):
                i = self.index[f"s{s}.b{b}.expansion"]
                rows.append((self.index[f"s{s}.depth"], b, i, i + 1))
        return rows

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform over every axis, canonical; int64 [count, G]."""
        return self.canonical(rng.integers(0, self.cardinalities, size=(count, len(self.axes))))

    def active(self, genes: np.ndarray) -> np.ndarray:
        """Which genes count: all but those of blocks beyond the depth; bool [..., G] for genes [..., G]."""
        genes = np.asarray(genes)
        found = np.ones(genes.shape, dtype=bool)
        for depth_axis, block, expansion_axis, kernel_axis in self._block_genes:
            depth = np.array(self.axes[depth_axis].values)[genes[..., depth_axis]]
            found[..., expansion_axis] = found[..., kernel_axis] = block < depth
        return found

    def canonical(self, genes: np.ndarray) -> np.ndarray:
        """Genes of blocks beyond the depth set to 0, so that equal systems have equal genes; int64 [..., G]."""
        return np.where(self.active(genes), np.asarray(genes, dtype=np.int64), 0)

    def check(self, genes: np.ndarray) -> np.ndarray:
        """`genes` as int64 [G]; UserError when the length or a value is outside the space."""
        genes = np.asarray(genes, dtype=np.int64)
        if genes.shape != self.cardinalities.shape:
            raise UserError(f"genes: {genes.size} values, the space {self.name} has {len(self.axes)}")
        bad = np.flatnonzero((genes < 0) | (genes >= self.cardinalities))
        if bad.size:
            axis = self.axes[bad[0]]
            raise UserError(f"genes: {axis.name} = {genes[bad[0]]}, allowed 0 to {len(axis.values) - 1}")
        return genes

    def _value(self, genes: np.ndarray, name: str):
        i = self.index[name]
        return self.axes[i].values[int(genes[i])]

    def data(self, genes: np.ndarray) -> DataConfig:
        """The data configuration of `genes` [G]."""
        return self.view.data(**{axis.name: self._value(genes, axis.name) for axis in self.view.axes})

    def input(self, genes: np.ndarray) -> NetworkInput:
        """What the network of `genes` [G] reads."""
        return NetworkInput(self.view, self.data(genes))

    def decode(self, genes: np.ndarray) -> tuple[DataConfig, ArchConfig]:
        """Genes [G] -> what they mean."""
        genes = self.check(genes)
        stages = []
        for s in range(len(self.stages)):
            depth = self._value(genes, f"s{s}.depth")
            blocks = tuple(
                Block(self._value(genes, f"s{s}.b{b}.expansion"), self._value(genes, f"s{s}.b{b}.kernel"))
                for b in range(depth)
            )
            stages.append((self._value(genes, f"s{s}.width"), blocks))
        arch = ArchConfig(self._value(genes, "stem.width"), tuple(stages), self._value(genes, "head.width"))
        return self.data(genes), arch

    def encode(self, data: DataConfig, arch: ArchConfig) -> np.ndarray:
        """The inverse of `decode` (canonical genes); UserError when a value is not in the space."""
        chosen: dict[str, float | str] = {axis.name: getattr(data, axis.name) for axis in self.view.axes}
        chosen |= {"stem.width": arch.stem_width, "head.width": arch.head_width}
        for s, (width, blocks) in enumerate(arch.stages):
            chosen |= {f"s{s}.width": width, f"s{s}.depth": len(blocks)}
            for b, block in enumerate(blocks):
                chosen |= {f"s{s}.b{b}.expansion": block.expansion, f"s{s}.b{b}.kernel": block.kernel}
        genes = self.min_genes
        for name, value in chosen.items():
            if name not in self.index or value not in self.axes[self.index[name]].values:
                raise UserError(f"{name} = {value} is not in the space {self.name}")
            genes[self.index[name]] = list(self.axes[self.index[name]].values).index(value)
        return genes

    @cached_property
    def _one_dimensional(self) -> bool:
        return self.input(self.max_genes).shape[1] == 1

    def builder(self, shape: tuple[int, int, int]) -> LayerBuilder:
        """For a network of this space, or a part of one, from a map of `shape` on: k x 1 kernels if inputs are 1 wide.

        A part's map does not tell, as the last ones of a picture may be one wide, too.
        """
        return LayerBuilder(shape, one_dimensional=self._one_dimensional)

    def layers(self, genes: np.ndarray, num_classes: int) -> tuple[LayerSpec, ...]:
        """The network of `genes` [G] as it is retrained, costed and exported."""
        data, arch = self.decode(genes)
        net = self.builder(self.view.shape(data))
        self.add_stem(net, arch.stem_width)
        for s, (width, blocks) in enumerate(arch.stages):
            for b, block in enumerate(blocks):
                self.add_block(net, s, b, width, block)
        self.add_top(net, arch.head_width, num_classes)
        return net.build()

    def add_stem(self, net: LayerBuilder, width: int) -> None:
        """The first part of a network: what reads the image."""
        net.conv("stem", width, kernel=3, stride=2)

    def add_block(self, net: LayerBuilder, s: int, b: int, width: int, block: Block) -> None:
        """Block `b` of stage `s` after what `net` has; of its genes it depends on `width` and `block` alone."""
        stage, entry, name = self.stages[s], net.last, f"s{s}.b{b}"
        stride = stage.stride if b == 0 else 1
        for layer in stage.layers:
            if layer == "conv":
                net.conv(f"{name}.conv", width, block.kernel, stride)
            elif layer == "expand":
                net.conv(f"{name}.expand", block.expansion * net.shape[2])
            elif layer == "depthwise":
                net.depthwise(f"{name}.depthwise", block.kernel, stride)
            else:
                net.conv(f"{name}.project", width, activate=False)
        if b > 0:
            net.add(f"{name}.add", entry)

    def add_top(self, net: LayerBuilder, width: int, num_classes: int) -> None:
        """The last part: head, pooling and classifier."""
        net.conv("head", width)
        net.pool("pool")
        net.dense("classifier", num_classes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that gives genes their meaning."""
        meaning = asdict(self)
        meaning.pop("view")
        for stage in meaning["stages"]:
            if stage["block"] == Stage.block:
                del stage["block"]  # as before there were others: ids stay
        meaning |= self.view.meaning
        text = json.dumps(meaning, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def candidate_id(self, genes: np.ndarray) -> str:
        """Stable id of a system: hash of the space's fingerprint and the canonical genes."""
        text = self.fingerprint + ":" + ",".join(str(int(g)) for g in self.canonical(genes))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def describe(self, genes: np.ndarray) -> dict:
        """JSON-ready data and architecture configuration of `genes`."""
        data, arch = self.decode(genes)
        return {
            "data": {axis.name: getattr(data, axis.name) for axis in self.view.axes},
            "arch": {
                "stem_width": arch.stem_width,
                "stages": [
                    {"width": width, "block": stage.block, "blocks": [asdict(block) for block in blocks]}
                    for stage, (width, blocks) in zip(self.stages, arch.stages, strict=True)
                ],
                "head_width": arch.head_width,
            },
        }
