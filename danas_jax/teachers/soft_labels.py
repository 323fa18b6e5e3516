"""What a teacher says about every example and recorded view: computed once, a file a portion, beside the data cache.

A portion is one view of up to `PORTION` examples. Its file is named by all that its numbers depend on (the teacher's
digest and settings, the pictures' bytes, the rows, the view's number, seed and recipe), so a killed run goes on with
the next portion, and a run whose pictures or recipe differ in part computes that part. zip's CRC-32 finds damage.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax import disk
from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.console import Progress, say
from danas_jax.data import cache
from danas_jax.data.dataset import Split
from danas_jax.data.mixing import view_keys
from danas_jax.data.soft_labels import SoftLabels
from danas_jax.errors import UserError
from danas_jax.teachers import named
from danas_jax.teachers.teacher import FileTeacher, open_teacher
from danas_jax.views._pictures import training_views
from danas_jax.views.base import Augmentation

PORTION = 1024  # examples of a file
BATCH = 64  # pictures made at a time
_VERSION = 1
_WHOLE = -1  # number of the view that is the whole picture


@dataclasses.dataclass(frozen=True)
class _Portion:
    """View `view` of the examples `first` to `last`, and the file of its answers."""

    view: int
    first: int
    last: int
    path: Path


def taught(
    training: Split,
    settings: TrainSettings | RetrainSettings,
    seed: int,
    class_names: tuple[str, ...],
    cache_dir: str,
    folder: Path,
) -> Split:
    """`training` with the soft labels of the teacher that `settings` name, as it is where they name none.

    They lie beside the data cache in `cache_dir`, or where that is not written in the run's `folder`. UserError as
    `open_teacher` raises it.
    """
    if not settings.teacher:
        return training
    section = "train" if isinstance(settings, TrainSettings) else "retrain"
    settings = settings if settings.teacher_sha256 else named.resolved(settings, section)
    teacher = open_teacher(settings, section, class_names)
    place, lock = _opened(cache.root(cache_dir), folder, settings.teacher_sha256)
    with lock:
        cache.wait_for(lock, f"another process asks the same teacher: waiting for it ({place})")
        table, fingerprint = _table(teacher, training, settings, seed, class_names, place, section)
    return dataclasses.replace(training, soft_labels=SoftLabels(table, settings.teacher_views, seed, fingerprint))


def _opened(root: Path | None, folder: Path, digest: str) -> tuple[Path, IO]:
    """Where the answers of a teacher lie, and the file that is its lock."""

    def made(place: Path) -> tuple[Path, IO]:
        place.mkdir(parents=True, exist_ok=True)
        return place, (place / "lock").open("a")

    name = Path("soft_labels") / digest[:16]
    if root is not None:
        try:
            return made(root / name)
        except OSError as error:
            say(f"warning: cache {root}: {error.strerror}: soft labels are kept in {folder / name}")
    with disk.writing(folder / name):
        return made(folder / name)


def _table(
    teacher: FileTeacher,
    training: Split,
    settings: TrainSettings | RetrainSettings,
    seed: int,
    class_names: tuple[str, ...],
    place: Path,
    section: str,
) -> tuple[np.ndarray, str]:
    """(float16 [max(views, 1), N, classes], what it depends on); what is missing is computed, and kept."""
    height_px = training.raw.shape[1]
    say(f"{section}: teacher {Path(settings.teacher).name}: {teacher.text}")
    if teacher.size[0] > height_px:
        say(
            f"warning: the teacher sees {teacher.size[0]} px, pictures are decoded at {height_px} px: "
            f"--data.native-resolution-px {teacher.size[0]} gives it what it was made for"
        )
    portions = list(_portions(training, settings, seed, class_names, place, teacher.size))
    table = np.empty((max(1, settings.teacher_views), len(training), len(class_names)), np.float16)
    with Progress(f"{section}: soft labels") as progress:
        total, done, computed, started = table.shape[0] * len(training), 0, 0, time.monotonic()
        for portion in portions:
            count = portion.last - portion.first
            found = _kept(portion.path, (count, len(class_names)))
            if found is None:
                found = _answers(
                    teacher, training, settings, seed, portion, lambda n, done=done: progress.count(done + n, total)
                )
                disk.write_arrays(portion.path, {"probabilities": found})
                computed += count
            table[max(portion.view, 0), portion.first : portion.last] = found
            done += count
        if computed:
            seconds = time.monotonic() - started
            progress.note(f"{section}: {computed:,} soft labels, {computed / seconds:,.0f} pictures/s; kept in {place}")
    table.flags.writeable = False
    names = "".join(portion.path.name for portion in portions)
    return table, hashlib.sha256(names.encode()).hexdigest()[:16]


def _portions(
    training: Split,
    settings: TrainSettings | RetrainSettings,
    seed: int,
    class_names: tuple[str, ...],
    place: Path,
    size: tuple[int, int],
) -> Iterator[_Portion]:
    """All of them, with the names of their files."""
    teacher = (
        _VERSION, settings.teacher_sha256, settings.teacher_classes, settings.teacher_range, settings.teacher_output,
        class_names, size,
        training.raw.shape[1:],
    )  # fmt: skip
    starts = range(0, len(training), PORTION)
    digests = [hashlib.blake2b(training.raw[i : i + PORTION].tobytes()).hexdigest() for i in starts]
    for view in range(settings.teacher_views) if settings.teacher_views else (_WHOLE,):
        for first, digest in zip(starts, digests, strict=True):
            # A recorded view is one of (seed, row, number); the whole picture is the same in any row.
            which = (view,) if view == _WHOLE else (view, first, seed, _recipe(settings))
            name = hashlib.blake2b(repr((teacher, digest, which)).encode(), digest_size=12).hexdigest()
            yield _Portion(view, first, min(first + PORTION, len(training)), place / f"{name}.npz")


def _recipe(settings: Augmentation) -> tuple[float, float, float]:
    """What a picture's training view depends on."""
    return settings.crop_area_min, settings.colour_jitter, settings.saturation_jitter


def _kept(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The answers of a file, None where it is not there or damaged."""
    if not path.exists():
        return None
    try:
        found = disk.read_arrays(path).get("probabilities")
    except UserError as error:
        say(f"warning: {error}: computed again")
        return None
    fine = found is not None and found.shape == shape and found.dtype == np.float16 and np.isfinite(found).all()
    return found if fine else None


def _answers(
    teacher: FileTeacher,
    training: Split,
    settings: TrainSettings | RetrainSettings,
    seed: int,
    portion: _Portion,
    progress: Callable[[int], None],
) -> np.ndarray:
    """float16 [examples of the portion, classes]; `progress(examples done)`."""
    found = []
    for first in range(portion.first, portion.last, BATCH):
        rows = np.arange(first, first + BATCH)
        known = np.minimum(rows, portion.last - 1)  # filled up: one program, whatever the number of examples
        pictures = np.asarray(training.raw[known])
        shown = _views(teacher.size, _recipe(settings))(pictures, seed, known, portion.view)
        found.append(teacher.probabilities(np.asarray(shown)[: portion.last - first]))
        progress(min(first + BATCH, portion.last) - portion.first)
    return np.concatenate(found).astype(np.float16)


@lru_cache(maxsize=4)
def _views(size: tuple[int, int], recipe: tuple[float, float, float]) -> Callable[..., jax.Array]:
    """jitted (pictures uint8 [B, H, W, 3], seed, rows [B], view) -> uint8 [B, h, w, 3] of the student's crops."""

    @jax.jit
    def crops(pictures, seed, rows, view):
        return training_views(view_keys(seed, rows, view), pictures, size, *recipe)

    @jax.jit
    def whole(pictures):
        return jax.image.resize(pictures.astype(jnp.float32), (len(pictures), *size, 3), "linear")

    def views(pictures: np.ndarray, seed: int, rows: np.ndarray, view: int) -> jax.Array:
        found = whole(pictures) if view == _WHOLE else crops(pictures, seed, rows, view)
        return jnp.clip(jnp.round(found), 0, 255).astype(jnp.uint8)

    return views
