"""Pictures from a folder: `<split>/<class>/*.jpg|png` or `<class>/*`, listed first, decoded when a phase asks."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from danas_jax.config import DataSettings
from danas_jax.data import metadata
from danas_jax.data.splits import Items, hold_out
from danas_jax.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png")
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")  # what may hide behind those extensions and still be decoded
_SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")

Progress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class Listing:
    """A folder's files sorted into train, validation and test; nothing decoded yet."""

    class_names: tuple[str, ...]
    splits: dict[str, Items]
    warnings: tuple[str, ...]
    fingerprint: str  # of the file list and the sizes
    slices: dict[str, dict[str, str]]  # field of metadata.csv -> {file: value}


def list_folder(settings: DataSettings, seed: int) -> Listing:
    """List, check and split the folder `settings.path`. UserError says what is wrong with it, and where."""
    root = Path(settings.path).expanduser()
    if not root.is_dir():
        problem = "it is a file, give a folder" if root.exists() else "no such folder"
        raise UserError(f"data.path = {settings.path!r}: {problem}")
    warnings: list[str] = []
    places = _split_places(root, settings.path, warnings)
    class_names = _class_names(root, places, settings.path)
    ignored: Counter[str] = Counter()
    found = {
        split: [class_files(root, place, name, ignored) for name in class_names] for split, place in places.items()
    }  # split -> per class [(key, size in bytes)]
    if ignored:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        warnings.append(f"ignored {ignored.total()} entries that are not jpg, jpeg or png files: {kinds}")
    for split, classes in found.items():
        for name, files in zip(class_names, classes, strict=True):
            if not files:
                where = f"{places[split]}/{name}" if places[split] else name
                raise UserError(
                    f"data.path = {settings.path!r}: class {name!r} has no jpg, jpeg or png in {where}/"
                    + (f" ({split} split)" if places[split] else "")
                )
    everything = [file for classes in found.values() for files in classes for file in files]
    bad = _probe(root, everything)
    report_unreadable(bad, len(everything), settings, warnings)
    keys = [key for key, _ in everything]
    groups, slices = _groups(root, settings, keys, warnings), _slices(root, settings, keys, warnings)
    splits = {}
    for split, classes in found.items():
        rows = [(key, label) for label, files in enumerate(classes) for key, _ in files if key not in bad]
        keys = tuple(key for key, _ in rows)
        splits[split] = Items(keys, np.array([n for _, n in rows], np.int32), tuple(groups[key] for key in keys))
    _warn_of_shared_groups(splits, warnings)
    splits = _derive(splits, settings, seed, class_names, warnings)
    text = "\n".join([*class_names, *(f"{key}\t{size}" for key, size in sorted(everything))])
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Listing(class_names, splits, tuple(warnings), fingerprint, slices)


def sub_folders(place: Path) -> list[str]:
    """Names of the visible sub-folders, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{place}: cannot be listed ({error.strerror})") from error


def _split_places(root: Path, path: str, warnings: list[str]) -> dict[str, str]:
    """{split: its folder below root}; {"train": ""} when the classes lie directly in root."""
    names = sub_folders(root)
    here = [name for name in names if name in SPLIT_FOLDERS]
    if not here:
        return {"train": ""}
    if "train" not in here:
        raise UserError(f"data.path = {path!r}: there is {', '.join(here)} but no train folder")
    if "val" in here and "validation" in here:
        raise UserError(f"data.path = {path!r}: both val and validation are there, keep one")
    others = [name for name in names if name not in SPLIT_FOLDERS]
    if others:
        warnings.append(f"ignored folders beside train: {', '.join(others[:5])}{' ...' if len(others) > 5 else ''}")
    return {SPLIT_FOLDERS[name]: name for name in sorted(here, key=list(SPLIT_FOLDERS).index)}


def _class_names(root: Path, places: dict[str, str], path: str) -> tuple[str, ...]:
    """The classes of train, sorted; every other split must have the same."""
    classes = {split: sub_folders(root / place) for split, place in places.items()}
    train = classes["train"]
    inside = places["train"] or "it"
    if not train:
        raise UserError(f"data.path = {path!r}: no class folders in {inside}, expected <class>/*.jpg")
    for split, names in classes.items():
        for name in names:
            if name not in train:
                raise UserError(f"data.path = {path!r}: class {name!r} is in {split} but not in train")
        for name in train:
            if name not in names:
                raise UserError(f"data.path = {path!r}: class {name!r} is in train but not in {split}")
    if len(train) == 1:
        raise UserError(f"data.path = {path!r}: only one class, {train[0]!r}, in {inside}; give two or more")
    return tuple(train)


def class_files(root: Path, place: str, name: str, ignored: Counter[str]) -> list[tuple[str, int]]:
    """(key relative to root, size [B]) of a class's images, sorted; counts the rest into `ignored` by kind."""
    files = []
    try:
        for entry in os.scandir(root / place / name):
            extension = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                ignored["sub-folder"] += 1
            elif extension in EXTENSIONS:
                # a dangling link has no size: it counts as unreadable, not as absent
                size = entry.stat().st_size if os.path.exists(entry.path) else 0
                files.append(("/".join(part for part in (place, name, entry.name) if part), size))
            else:
                ignored[extension or "without extension"] += 1
    except OSError as error:
        raise UserError(f"{root / place / name}: cannot be listed ({error.strerror})") from error
    return sorted(files)


def _probe(root: Path, files: list[tuple[str, int]]) -> dict[str, str]:
    """{key: reason} of files that cannot be images, judged by size and first bytes (20 us a file, no decoding)."""
    bad = {}
    for key, size in files:
        if size == 0:
            bad[key] = "empty file"
            continue
        try:
            with open(root / key, "rb") as file:
                if not file.read(4).startswith(_SIGNATURES):
                    bad[key] = "not an image inside"
        except OSError as error:
            bad[key] = error.strerror or "cannot be opened"
    return bad


def report_unreadable(bad: dict[str, str], total: int, settings: DataSettings, warnings: list[str]) -> None:
    """Name and count unreadable images ({key: reason} of `total`) in `warnings`; UserError above the allowed share."""
    if not bad:
        return
    named = ", ".join(f"{key} ({reason})" for key, reason in list(bad.items())[:5])
    named += f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    text = f"{len(bad)} of {total} images cannot be read: {named}"
    if len(bad) > settings.max_unreadable_fraction * total:
        raise UserError(
            f"data.path = {settings.path!r}: {text}; that is {len(bad) / total:.1%}, above "
            f"data.max_unreadable_fraction = {settings.max_unreadable_fraction:g}"
        )
    warnings.append(text + " (left out)")


def _groups(root: Path, settings: DataSettings, keys: list[str], warnings: list[str]) -> dict[str, str]:
    """{key: group}; each file is its own group unless metadata.csv says otherwise in column `group_field`."""
    groups = {key: f"file:{key}" for key in keys}
    if not settings.group_field:
        return groups
    rows = metadata.read_column(root, settings.group_field, f"data.group_field = {settings.group_field!r}")
    for key in keys:
        if rows.get(key):
            groups[key] = f"group:{rows[key]}"
    alone = sum(group.startswith("file:") for group in groups.values())
    if alone:
        warnings.append(
            f"{alone} of {len(keys)} images have no {settings.group_field!r} in {metadata.NAME}: each is a group of "
            "its own"
        )
    return groups


def _slices(root: Path, settings: DataSettings, keys: list[str], warnings: list[str]) -> dict[str, dict[str, str]]:
    """{field: {key: value}} of `slice_fields`; what metadata.csv does not tell is said in `warnings`."""
    fields = settings.slice_fields
    slices = metadata.read_slices(root, fields, "data.slice_fields")
    if fields and not slices:
        warnings.append(f"no {metadata.NAME} beside the pictures: no figures by {', '.join(fields)}")
    for field, by_file in slices.items():
        unknown = sum(not by_file.get(key) for key in keys)
        if unknown:
            warnings.append(f"{unknown} of {len(keys)} images have no {field!r} in {metadata.NAME}")
    return slices


def _warn_of_shared_groups(splits: dict[str, Items], warnings: list[str]) -> None:
    """The folder's own splits are kept as they are, but a group on both sides of one is said."""
    for split in ("validation", "test"):
        if split in splits:
            shared = sorted(set(splits["train"].groups) & set(splits[split].groups))
            if shared:
                warnings.append(
                    f"{len(shared)} groups are in both train and {split}, e.g. {shared[0].split(':', 1)[1]}"
                )


def _derive(
    splits: dict[str, Items], settings: DataSettings, seed: int, class_names: tuple[str, ...], warnings: list[str]
) -> dict[str, Items]:
    """Missing validation and test splits, taken out of train by hash."""
    splits = dict(splits)
    missing = [split for split in ("test", "validation") if split not in splits]
    total = len(splits["train"])
    for split in missing:
        share = settings.test_fraction if split == "test" else settings.validation_fraction
        fraction = share * total / len(splits["train"])  # of the whole, also when test has been taken already
        splits["train"], splits[split] = hold_out(splits["train"], fraction, seed, split, class_names)
        warnings.append(f"no {split} folder: {len(splits[split])} images taken out of train (seed {seed})")
    return splits


def read_image(path: str | Path, native_px: int) -> np.ndarray:
    """A picture as uint8 [S, S, 3]: turned upright, alpha laid on white, the whole squashed to a square.

    A picture that is already S x S is not resampled. UserError, naming the file, when it cannot be read.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.draft("RGB", (2 * native_px, 2 * native_px))  # large JPEGs: decode at a half, quarter or eighth
            return squash(_rgb(ImageOps.exif_transpose(image)), native_px)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Warning) as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)})") from error


def squash(image: Image.Image, native_px: int) -> np.ndarray:
    """An RGB picture of any shape as uint8 [S, S, 3]."""
    if image.size != (native_px, native_px):
        image = image.resize((native_px, native_px), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _reason(error: BaseException) -> str:
    """A short reason without the path, which the caller names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error)
    if "cannot identify" in text:
        return "not an image inside"
    return "truncated" if "truncated" in text.lower() else text or type(error).__name__


def _rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode -> RGB: 16 bits scaled to 8, transparent parts on white (not what lies hidden under them)."""
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def read_images(
    root: Path, keys: tuple[str, ...], native_px: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Decode files in parallel: (uint8 [M, S, S, 3], bool [N] readable, {key: reason} of the rest).

    `progress(done, total)` is called from this thread, about a hundred times.
    """
    images = np.empty((len(keys), native_px, native_px, 3), np.uint8)
    bad: dict[str, str] = {}

    def read(i: int) -> str:
        try:
            images[i] = read_image(root / keys[i], native_px)
        except UserError as error:
            return str(error).rsplit("cannot be read (", 1)[1].removesuffix(")")
        return ""

    every = max(1, len(keys) // 100)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for i, reason in enumerate(pool.map(read, range(len(keys)))):
            if reason:
                bad[keys[i]] = reason
            if progress and ((i + 1) % every == 0 or i + 1 == len(keys)):
                progress(i + 1, len(keys))
    readable = np.array([key not in bad for key in keys], bool)
    return (images if not bad else images[readable]), readable, bad
