"""One network's weights into another's: block by block, cut as a subnet is cut, or padded so that they do the same.

Cut: first channels, central taps. Padded: what is new has its fresh values, but what is known reads nothing of it, so a
padded network answers for the known classes as the source does. No jax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from danas_jax.layers import DENSE, LayerSpec
from danas_jax.transfer.source import Source

Arrays = Mapping[str, np.ndarray]
Params = dict[str, dict[str, np.ndarray]]
_PARTS = {"depthwise": 1, "project": 2}  # a block's layers in their order, which a file need not keep
Taken = tuple[Sequence[int], Sequence[int]]  # along one axis: places here, and places there, of what comes over


@dataclass(frozen=True)
class Row:
    """What came over of one block; shapes as `_shape_text` says them."""

    block: str
    source: str  # "" where the source has no such block
    target: str
    what: str  # "taken" | "cut" | "padded" | "cut and padded" | "fresh"
    note: str  # why it is fresh, or which classes
    values: int  # of the target
    came: int  # of these, from the source


@dataclass(frozen=True)
class Begun:
    """Params to begin with, which of their values came over (bool, in the same shapes), and a row for each block."""

    params: Params
    came: Params
    rows: tuple[Row, ...]

    @property
    def share(self) -> float:
        """Of all values, those that came over."""
        return sum(row.came for row in self.rows) / sum(row.values for row in self.rows)

    def rates(self, rate: float) -> Params | None:
        """Learning rates relative to the schedule's, float32: `rate` for what came over, else 1; None if all are 1."""
        if rate == 1:
            return None
        return {
            layer: {name: np.where(mask, rate, 1).astype(np.float32) for name, mask in arrays.items()}
            for layer, arrays in self.came.items()
        }


def matched(layers: Iterable[LayerSpec], source: Source, classes: tuple[str, ...]) -> dict[str, str]:
    """Block -> why nothing of it comes over, "" where something does; in the order of the network."""
    layers, found = tuple(layers), {}
    dims = {layer.name: len(layer.weight_shape) for layer in layers if layer.weight_shape}
    ours, theirs = _blocks(dims), _blocks(source.params)
    last_here, last_there = (max(map(_stage, blocks)) for blocks in (ours, theirs))
    for block, names in ours.items():
        if block not in theirs:
            found[block] = "not in the source"
        elif set(names) != set(theirs[block]) or any(source.params[n]["kernel"].ndim != dims[n] for n in names):
            found[block] = "other operators"
        elif block == "head" and last_here != last_there:
            found[block] = "follows another stage"
        elif names == [layers[-1].name] and layers[-1].op == DENSE:
            found[block] = _classifier_problem(source.classes, classes, found.get("head", ""))
        else:
            found[block] = ""
    return found


def transferred(layers: Iterable[LayerSpec], fresh: Params, source: Source, classes: tuple[str, ...]) -> Begun:
    """The `fresh` params of `layers`, whose classes are `classes`, with what comes over of the source."""
    layers = tuple(layers)
    problems = matched(layers, source, classes)
    params, came, rows = {}, {}, []
    for block, names in _blocks(fresh).items():
        for name in names:
            params[name] = {part: array.copy() for part, array in fresh[name].items()}
            came[name] = {part: np.zeros(array.shape, bool) for part, array in fresh[name].items()}
            if problems[block]:
                continue
            outputs = None
            if name == layers[-1].name and layers[-1].op == DENSE:
                outputs = _by_name(source.classes, classes)
            _put(params[name], came[name], source.params[name], outputs)
        stage, number = _stage(block), block.rpartition(".b")[2]
        first = block.rpartition(".b")[0] + ".b0"
        if problems[block] and stage and number != "0" and not problems.get(first, "?"):
            params[names[-1]]["scale"][:] = 0  # a residual block of ours alone passes its input on
        rows.append(_row(block, names, fresh, source, came, problems[block], classes))
    return Begun(params, came, tuple(rows))


def _blocks(names: Iterable[str]) -> dict[str, list[str]]:
    """Block -> its layers: s0.b1 of s0.b1.expand; stem, head and classifier are blocks by themselves."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    for parts in found.values():
        parts.sort(key=lambda name: _PARTS.get(name.rpartition(".")[2], 0))
    return found


def _stage(block: str) -> int:
    """The number of a block's stage, from 1; 0 where it is none's."""
    head = block.partition(".")[0]
    return int(head[1:]) + 1 if head[:1] == "s" and head[1:].isdecimal() else 0


def _classifier_problem(theirs: tuple[str, ...], ours: tuple[str, ...], head_problem: str) -> str:
    if head_problem:
        return "the head is fresh"
    if not theirs:
        return "its classes are not known"
    return "" if set(theirs) & set(ours) else "no class in common"


def _by_name(theirs: tuple[str, ...], ours: tuple[str, ...]) -> Taken:
    common = [name for name in ours if name in theirs]
    return [ours.index(name) for name in common], [theirs.index(name) for name in common]


def _first(here: int, there: int) -> Taken:
    both = range(min(here, there))
    return both, both


def _centre(here: int, there: int) -> Taken:
    both = min(here, there)
    return tuple(range((size - both) // 2, (size - both) // 2 + both) for size in (here, there))  # ty: ignore


def _put(params: dict[str, np.ndarray], came: dict[str, np.ndarray], known: Arrays, outputs: Taken | None) -> None:
    """What comes over of one layer, into its `params`; kernels are [k, k, in, out], [k, k, c] or [in, out]."""
    kernel, theirs = params["kernel"], known["kernel"]
    if kernel.ndim == 4:
        theirs = _inputs_alike(theirs, kernel.shape[2])
    outputs = outputs or _first(kernel.shape[-1], theirs.shape[-1])
    spatial = 2 if kernel.ndim > 2 else 0
    axes = [_centre(*sizes) for sizes in zip(kernel.shape[:spatial], theirs.shape[:spatial], strict=True)]
    axes += [_first(*sizes) for sizes in zip(kernel.shape[spatial:-1], theirs.shape[spatial:-1], strict=True)]
    axes.append(outputs)
    here, there = (np.ix_(*(axis[side] for axis in axes)) for side in (0, 1))
    kernel[..., list(outputs[0])] = 0  # of what is new, the known channels read nothing
    kernel[here] = theirs[there]
    came["kernel"][here] = True
    for name in ("bias", "scale"):
        if name in params and name in known:
            params[name][list(outputs[0])] = known[name][list(outputs[1])]
            came[name][list(outputs[0])] = True


def _inputs_alike(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel [k, k, in, out] of one input for equal ones, or of several for one: summed, as `View.stem_kernel` does.

    Other numbers are left alone: of them the first ones count.
    """
    have = kernel.shape[2]
    if have == 1 < channels:
        return np.repeat(kernel / channels, channels, axis=2).astype(np.float32)
    return kernel.sum(axis=2, keepdims=True) if channels == 1 < have else kernel


def _row(
    block: str, names: list[str], fresh: Params, source: Source, came: Params, problem: str, classes: tuple[str, ...]
) -> Row:
    here = {name: fresh[name]["kernel"].shape for name in names}
    there = {name: source.params[name]["kernel"].shape for name in _blocks(source.params).get(block, ())}
    values = sum(array.size for name in names for array in fresh[name].values())
    taken = sum(int(mask.sum()) for name in names for mask in came[name].values())
    what, note = "fresh", problem
    if not problem:
        sizes = [pair for name in names for pair in zip(here[name], there[name], strict=True)]
        cut, padded = any(a < b for a, b in sizes), any(a > b for a, b in sizes)
        if names == ["classifier"]:
            common = len(_by_name(source.classes, classes)[0])
            cut, padded = cut or common < len(source.classes), padded or common < len(classes)
            note = f"{common} of {len(classes)} classes by name"
        what = " and ".join(word for word, is_so in (("cut", cut), ("padded", padded)) if is_so) or "taken"
    return Row(block, _shape_text(there), _shape_text(here), what, note, values, taken)


def _shape_text(kernels: Mapping[str, tuple[int, ...]]) -> str:
    """Channels in > inside > out and the largest kernel: `16>64>24 5x5`, `192>2`; of no kernel nothing."""
    if not kernels:
        return ""
    shapes = list(kernels.values())
    widths = [shapes[0][-2] if len(shapes[0]) != 3 else shapes[0][-1]]
    widths += [shape[-1] for shape in shapes if len(shape) != 3]
    windows = [shape[:2] for shape in shapes if len(shape) > 2]
    window = f" {'x'.join(map(str, max(windows)))}" if windows else ""
    return ">".join(map(str, widths)) + window
