"""A teacher opened from its file: uint8 pictures of its size in, probabilities of our classes out."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax import named_files
from danas_jax.config import TeacherSettings
from danas_jax.console import say
from danas_jax.deploy.tflite_writer import read_metadata
from danas_jax.errors import UserError
from danas_jax.teachers import engines
from danas_jax.teachers.engines import End, Engine
from danas_jax.views.base import Shape
from danas_jax.views.resize import coarser, grey

SMALLEST_PX = 8
IGNORED = "-"  # in teacher_classes: an output that is none of our classes
_PROBED = 8
_SUM_TOLERANCE = 0.02  # of probabilities that come as floats
_TABLE_TYPES = ("uint8", "int8", "float16", "float32", "float64")
_RANGES: dict[str, tuple[Sequence[float], Sequence[float]]] = {  # (pixel - mean) / std, per channel
    "0..1": ((0.0,) * 3, (255.0,) * 3),
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # 255 times torchvision's
}


@dataclass(frozen=True, eq=False)
class FileTeacher:
    """A network of pictures in a file."""

    engine: Engine
    shape: Shape  # height, width, channels of what it sees
    channels_first: bool
    bit_depth: int  # of what it sees
    table: np.ndarray  # input of each pixel value in each channel, [256, channels]
    classes: np.ndarray  # float32 [outputs, our classes]: which output speaks for which class
    gives_logits: bool
    where: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) [px]."""
        return self.shape[:2]

    @property
    def text(self) -> str:
        """What was found, for people."""
        height, width, channels = self.shape
        order = "channels first" if self.channels_first else "channels last"
        kind = "logits, softmax makes probabilities" if self.gives_logits else "probabilities, divided by their sum"
        return (
            f"{height} x {width} px, {channels} channel{'s' * (channels > 1)}, {order}, {self.engine.source.dtype}; "
            f"{self.engine.outputs} outputs ({kind}); {self.engine.name}"
        )

    def probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """Of our classes, float32 [N, K], of uint8 pictures [N, h, w, 3] of its size.

        UserError where an answer is no number.
        """
        answers = self._answers(pictures)
        if self.gives_logits:
            answers = np.exp(answers - answers.max(axis=1, keepdims=True))
        # Ours alone, so that what it believes of other classes is left out.
        known = np.maximum(answers, 0) @ self.classes
        total = known.sum(axis=1, keepdims=True)
        uniform = np.full_like(known, 1 / known.shape[1])
        return np.where(total > 0, known / np.where(total > 0, total, 1), uniform).astype(np.float32)

    def _answers(self, pictures: np.ndarray) -> np.ndarray:
        """Real-valued outputs float64 [N, outputs]."""
        channels = self.shape[2]
        seen = coarser(grey(pictures) if channels == 1 else pictures, self.bit_depth)
        inputs = self.table[seen, np.arange(channels)]
        if self.channels_first:
            inputs = inputs.transpose(0, 3, 1, 2)
        found = self.engine.run(np.ascontiguousarray(inputs)).astype(np.float64)
        if quantisation := self.engine.target.quantisation:
            found = (found - quantisation.zero_point) * quantisation.scale
        if not np.isfinite(found).all():
            raise UserError(f"{self.where}: it answers NaN or infinity: check its input's range (teacher_range)")
        return found


def open_teacher(settings: TeacherSettings, section: str, class_names: tuple[str, ...]) -> FileTeacher:
    """The teacher of `settings` (`named.resolved`), those of config's `section`, for our `class_names`.

    UserError naming the field for a file that has changed since the run began, that is damaged, no classifier of
    pictures, or tells other classes.
    """
    where = f"{section}.teacher = {settings.teacher}"
    content = named_files.content(settings.teacher, f"{section}.teacher")
    if hashlib.sha256(content).hexdigest() != settings.teacher_sha256:
        raise UserError(
            f"{where}: has changed since the run began; give the file as it was, or another --run-dir and the new one"
        )
    suffix = Path(settings.teacher).suffix
    engines.try_file(content, suffix, where)
    engine = engines.load(content, suffix, where)
    shape, channels_first = _picture(engine.source, where)
    known = _danas(content, where) if suffix == ".tflite" else {}
    names = settings.teacher_classes or known.get("classes", ())
    teacher = FileTeacher(
        engine, shape, channels_first, known.get("bit_depth", 8), _table(engine.source, shape[2], settings, where),
        _mapping(names, engine.outputs, class_names, section, where), False, where,
    )  # fmt: skip
    if settings.teacher_output != "file":
        return dataclasses.replace(teacher, gives_logits=settings.teacher_output == "logits")
    answers = teacher._answers(_probe(shape))
    gives_logits = _gives_logits(engine.target, answers)
    if gives_logits and answers.min() >= 0 and answers.max() <= 1:
        say(
            f"warning: {where}: all that it answers lies from 0 to 1 and does not sum to 1; taken as logits. Where it "
            f"ends in sigmoids give --{section}.teacher-output probabilities"
        )
    return dataclasses.replace(teacher, gives_logits=gives_logits)


def _picture(source: End, where: str) -> tuple[Shape, bool]:
    """(height, width, channels) and whether channels come first, of an input's shape."""
    shape = source.shape
    if len(shape) == 4:
        for first, (height, width, channels) in ((False, shape[1:]), (True, (*shape[2:], shape[1]))):
            if channels in (1, 3) and min(height, width) >= SMALLEST_PX:
                return (height, width, channels), first
    raise UserError(
        f"{where}: its input is {list(shape)}, not [1, height, width, 1 or 3] or [1, 1 or 3, height, width] of "
        f"{SMALLEST_PX} px or more: one picture"
    )


def _table(source: End, channels: int, settings: TeacherSettings, where: str) -> np.ndarray:
    """Input of each pixel value, [256, channels] of the input's type."""
    pixels, dtype, chosen = np.arange(256)[:, None], source.dtype, settings.teacher_range
    if dtype.name not in _TABLE_TYPES:
        raise UserError(f"{where}: its input is {dtype}: give a network of {', '.join(_TABLE_TYPES)}")
    integer = dtype.kind in "iu"
    if chosen == "file" and integer:  # 256 pixel values are the 256 codes, in their order
        return np.broadcast_to(pixels + np.iinfo(dtype).min, (256, channels)).astype(dtype)
    mean, std = (np.array(values[:channels]) for values in _RANGES["0..1" if chosen == "file" else chosen])
    real = (pixels - mean) / std
    if not integer:
        return real.astype(dtype)
    if source.quantisation is None or not source.quantisation.scale > 0:
        raise UserError(f"{where}: its input has no scale, so teacher_range = {chosen!r} says nothing: leave it out")
    codes = np.rint(real / source.quantisation.scale) + source.quantisation.zero_point
    return np.clip(codes, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def _mapping(names: Sequence[str], outputs: int, class_names: tuple[str, ...], section: str, where: str) -> np.ndarray:
    """float32 [outputs, classes]: 1 where an output speaks for a class; by order where there are no names."""
    flag = f"--{section}.teacher-classes"
    if not names:
        if outputs != len(class_names):
            raise UserError(
                f"{where}: {outputs} outputs, the data have {len(class_names)} classes ({', '.join(class_names)}): "
                f"name the outputs in their order, {flag} A B ... ({IGNORED} for those that are none of ours)"
            )
        return np.eye(outputs, dtype=np.float32)
    if len(names) != outputs:
        raise UserError(f"{where}: {outputs} outputs, {len(names)} names: give one each, {flag} A B ...")
    if missing := [name for name in class_names if name not in names]:
        raise UserError(
            f"{where}: none of its outputs is {', '.join(missing)}, they are {', '.join(names)[:300]}: "
            f"name them as the data do, {flag} A B ..."
        )
    return (np.array(names)[:, None] == np.array(class_names)).astype(np.float32)


def _gives_logits(target: End, answers: np.ndarray) -> bool:
    """Whether softmax is due, by `answers` [N, outputs] to some pictures.

    Codes that cannot be negative are shares, whatever their sum; floats are where none is negative and they sum to 1.
    """
    if target.quantisation and target.dtype.kind in "iu":
        return bool(target.quantisation.zero_point > np.iinfo(target.dtype).min)
    return bool(answers.min() < 0 or np.abs(answers.sum(axis=1) - 1).max() > _SUM_TOLERANCE)


def _probe(shape: Shape) -> np.ndarray:
    """A few pictures, uint8 [N, h, w, 3]: noise from fine to plain."""
    rng = np.random.default_rng(0)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    found = []
    for i in range(_PROBED):
        blocks = rng.integers(0, 256, (shape[0], shape[1], 3), np.uint8)
        found.append(blocks[rows >> i, columns >> i])
    return np.stack(found)


def _danas(content: bytes, where: str) -> dict:
    """{"classes", "bit_depth"} of a file that danas wrote, else {}."""
    try:
        found = read_metadata(content) or {}
        data, classes = found["data"], found["classes"]
        if "raw_shape" in data:
            raise UserError(f"{where}: it reads no pictures: it hears sound or measures a series")
        depth = int(data.get("bit_depth", 8))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error):
        return {}
    known = isinstance(classes, list) and all(isinstance(name, str) for name in classes) and 1 <= depth <= 8
    return {"classes": tuple(classes), "bit_depth": depth} if known else {}
