"""A classifier's .tflite file, ours or another's, on examples whose class is known: every figure, by TFLM."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data import metadata, sound
from danas_jax.data.labelled import DEFAULT_SPLIT, Labelled, list_folder, list_manifest, require_readable
from danas_jax.data.labelled_arrays import list_arrays
from danas_jax.data.sources.base import read_items
from danas_jax.data.sources.readers import NOUNS, Reader, reader
from danas_jax.data.splits import SPLIT_NAMES
from danas_jax.deploy import operating_point
from danas_jax.deploy.answers import Answers, figures
from danas_jax.deploy.classifier import Classifier, Normalisation, parse_classifier, read_file, try_foreign
from danas_jax.deploy.examples import check_raw, network_input
from danas_jax.deploy.own_examples import OwnExamples, notes, own_examples
from danas_jax.deploy.predict import MANIFEST_NAME, load_export, model_path
from danas_jax.deploy.tflite_writer import read_metadata
from danas_jax.errors import UserError
from danas_jax.views.base import DataConfig, NetworkInput
from danas_jax.views.frame import FITS, Size, aspect_of
from danas_jax.views.image import ImageData
from danas_jax.views.resize import deployed_view, fit_of, known_view, native_size_of, size_of, view_of

EXAMPLES_AT_ONCE = 256  # decoded at a time


@dataclass(frozen=True)
class Given:
    """What the user says of a file that says nothing itself; () and "" = not said."""

    classes: tuple[str, ...] = ()  # in the order of the outputs
    colour: str = ""  # mono or rgb
    normalisation: Normalisation | None = None
    fit: str = ""  # one of FITS


@dataclass(frozen=True)
class Subject:
    """A classifier, and how an example becomes its input."""

    path: Path
    model: Classifier
    known_by: str  # what told the rest: "its manifest", "its metadata", "its tensors and flags"
    classes: tuple[str, ...]  # () = by the folders' names
    data: DataConfig  # what the network sees
    native_px: Size = 0  # of pictures: the frame that they are brought to first
    fit: str = FITS[0]  # how those of another shape get there
    normalisation: Normalisation | None = None
    operating_point: dict | None = None
    source: NetworkInput | None = None  # of what is no picture
    raw_shape: tuple[int, ...] = ()  # of its raw examples
    raw_scale: tuple[float, ...] | None = None  # of series, in the unit of the data
    native_rate_hz: int = 0  # of sound

    @property
    def modality(self) -> str:
        """As data.modality."""
        return self.source.view.kind if self.source else "image"

    @property
    def noun(self) -> str:
        """What its examples are called."""
        return NOUNS[self.modality]

    def settings(self, slice_fields: tuple[str, ...]) -> DataSettings:
        """Settings by which the sources read its examples."""
        chosen: dict = {"modality": self.modality, "fit": self.fit}
        settings = DataSettings(slice_fields=slice_fields, **chosen)
        if self.modality != "audio":
            return settings
        clip_s = self.raw_shape[0] / self.native_rate_hz
        return dataclasses.replace(settings, sample_rate_hz=self.native_rate_hz, clip_s=clip_s)

    def reader(self) -> Reader | None:
        """Of files and arrays; None for series."""
        if self.modality == "series":
            return None
        found = reader(self.settings(()), self.native_px)
        return found if self.modality == "image" else dataclasses.replace(found, probe=self._heard(found.probe))

    def _heard(self, probe: Callable[[bytes], str]) -> Callable[[bytes], str]:
        """`probe` of sound, which also refuses recordings that lack a part of what the network hears."""
        lowest_hz = self.data.sample_rate_hz  # ty: ignore[missing-attribute]

        def looked(head: bytes) -> str:
            said = probe(head)
            rate_hz = sound.header(head).rate_hz if said else lowest_hz
            if rate_hz < lowest_hz:
                raise ValueError(f"at {rate_hz} Hz: the network hears {lowest_hz} Hz, give that rate or a higher one")
            return said

        return looked

    def codes(self, raw: np.ndarray) -> np.ndarray:
        """Raw examples [N, ...] -> uint8 [N, h, w, c] as the device sees them."""
        if self.source:
            return self.source.deployed(raw)
        return deployed_view(raw, *view_of(asdict(self.data)))  # ty: ignore[invalid-argument-type]


def read_subject(name: str, given: Given) -> Subject:
    """What `name` (a file, an export's folder, a run) is. UserError for damaged files and flags that do not suit."""
    path = model_path(Path(name))
    where = f"model {path}"
    if (path.parent / MANIFEST_NAME).exists():
        tflite, known = load_export(path)
        if known.get("multi_label"):
            raise UserError(f"{path}: data.multi_label: danas evaluate knows examples of one class only")
        model, known_by = parse_classifier(tflite, where), "its manifest"
    else:
        model = parse_classifier(read_file(path), where)
        try_foreign(model, where)
        known, known_by = stored(model, where), "its metadata"
    if not known or "view" not in known["data"]:
        model.require_picture(where)
    if known:
        told = [flag for flag, value in (("--classes", given.classes), ("--colour", given.colour)) if value]
        told += ["--mean"] if given.normalisation else []
        told += ["--fit"] if given.fit else []
        if told:
            raise UserError(f"{told[0]}: {known_by} says it already, leave it out")
        return _known(path, model, known_by, known, where)
    if given.classes and len(given.classes) != model.classes:
        raise UserError(f"--classes: {len(given.classes)} names, {where} has {model.classes} outputs")
    if given.colour == "rgb" and model.channels == 1:
        raise UserError(f"--colour rgb: {where} reads 1 channel")
    for flag, values in zip(("--mean", "--std"), given.normalisation or (), strict=False):
        if len(values) not in (1, model.channels):
            raise UserError(f"{flag}: {len(values)} numbers, give 1 or {model.channels}, one a channel")
    seen = _picture(model, given.colour or {1: "mono", 3: "rgb"}[model.channels])
    return Subject(
        path, model, "its tensors and flags", given.classes, seen, seen.size, given.fit or FITS[0], given.normalisation
    )


def _picture(model: Classifier, colour: str, resize: str = "area", bit_depth: int = 8) -> ImageData:
    """What a network of pictures sees, in the shape of its input."""
    height, width, _ = model.shape
    return ImageData(height, colour, resize, bit_depth, aspect_of((height, width)))


def _known(path: Path, model: Classifier, known_by: str, known: Mapping, where: str) -> Subject:
    """A classifier of ours, by its manifest or its metadata."""
    data, classes, point = known["data"], tuple(known["classes"]), operating_point.from_manifest(dict(known), where)
    if "view" not in data:
        seen = _picture(model, *view_of(data)[1:])
        return Subject(path, model, known_by, classes, seen, native_size_of(data), fit_of(data), operating_point=point)
    source = network_input(data)
    if source.view.kind not in NOUNS:
        raise UserError(f"{where}: it reads {source.text}; danas evaluate knows {', '.join(NOUNS.values())}")
    scale = data.get("raw_scale")
    return Subject(
        path, model, known_by, classes, source.data, operating_point=point, source=source,
        raw_shape=tuple(data["raw_shape"]), raw_scale=tuple(scale) if scale else None,
        native_rate_hz=data["view"]["native_rate_hz"] if source.view.kind == "audio" else 0,
    )  # fmt: skip


def stored(model: Classifier, where: str) -> dict | None:
    """The classes and data that danas wrote into the file itself; None where there are none that suit it.

    UserError for a network of ours that reads no pictures: its view is in the manifest alone.
    """
    try:
        found = read_metadata(model.tflite) or {}
        data, classes = found["data"], found["classes"]
        if "raw_shape" in data:
            raise UserError(f"{where}: it reads no pictures: sound and series need the manifest.json beside their file")
        size, native = size_of(data), native_size_of(data)
        channels = {"mono": 1, "rgb": 3}[data["colour"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error):
        return None
    check_raw(data, (1, *model.shape), "its metadata")
    known = isinstance(classes, list) and len(classes) == model.classes and all(isinstance(c, str) for c in classes)
    suits = (*size, channels) == model.shape and native >= size and known_view(data)
    return {"data": data, "classes": classes} if known and suits else None


def _listed(subject: Subject, place: Path, split: str, fields: tuple[str, ...]) -> Labelled:
    """The examples of a split of a folder, a .csv manifest or .npz arrays."""
    if not place.exists():
        raise UserError(f"{place}: no such folder")
    kinds, series = subject.reader(), subject.modality == "series"
    arrays = place.is_dir() and any((place / f"{name}.npz").is_file() for name in SPLIT_NAMES)
    if arrays or place.suffix == ".npz":
        settings = subject.settings(fields)
        return list_arrays(place, split, settings, kinds, subject.raw_shape, subject.raw_scale, subject.classes)
    if series or kinds is None:
        raise UserError(f"{place}: the network reads {subject.data.text}: give .npz arrays, or a folder of them")
    if place.suffix == ".csv":
        return list_manifest(place, split, kinds, subject.classes, fields)
    if not place.is_dir():
        raise UserError(f"{place}: is a file, give a folder, a .csv manifest or .npz arrays")
    return list_folder(place, split, kinds, subject.classes, fields)


def _examples(subject: Subject, place: Path, split: str, fields: tuple[str, ...], own: OwnExamples | None) -> Labelled:
    """The examples to evaluate on; of a run's own place without splits those that the run put into `split`."""
    found = _listed(subject, place, split, fields)
    if len(found.classes) != subject.model.classes:
        raise UserError(
            f"{place}: {len(found.classes)} classes, the network has {subject.model.classes} outputs: "
            "name them in their order, --classes A B ..."
        )
    if not fields and own and place.is_dir() and os.path.realpath(found.root) == own.root:
        slices = metadata.read_slices(found.root, own.slice_fields, "data.slice_fields")
        found = dataclasses.replace(found, slices=metadata.values(slices, found.keys))
    if found.split:
        return found
    if own and os.path.realpath(found.root) == own.root:
        split = split or DEFAULT_SPLIT
        return found.where([i for i, name in enumerate(own.splits(found.root, found.keys)) if name == split], split)
    if split:
        raise UserError(f"{place}: --split {split}: it has no splits, leave --split out")
    return found


def evaluate(
    subject: Subject,
    data: str,
    split: str,
    slice_fields: tuple[str, ...],
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """The figures of `subject` on the examples in `data`, ready for JSON; `progress` gets (done, total).

    `data`: a folder, a .csv manifest or .npz arrays. Keys: split, classes, notes, figures (docs/run_directory.md),
    operating_point. UserError on bad input, an unreadable example included.
    """
    place = Path(data).expanduser()
    own, unknown = own_examples(subject.path)
    found = _examples(subject, place, split, slice_fields, own)
    interpreter, codes = subject.model.start(), []
    for start in range(0, len(found.keys), EXAMPLES_AT_ONCE):
        keys = found.keys[start : start + EXAMPLES_AT_ONCE]
        raw, _, bad = read_items(found.examples, keys)
        require_readable(bad, found)
        codes.append(subject.model.codes(interpreter, subject.codes(raw), subject.normalisation))
        if progress:
            progress(start + len(keys), len(found.keys))
    given, point = np.concatenate(codes), subject.operating_point
    answers = Answers(subject.model.logits(given), found.labels, found.keys, found.slices)
    if point:
        point = {**point, "here": operating_point.rates(given, found.labels, found.classes, point)}
    return {
        "split": found.split or None,
        "classes": list(found.classes),
        "notes": [*found.notes, *notes(found, subject.noun, own), *filter(None, [unknown])],
        "figures": figures(answers, found.classes, seed=0),
        "operating_point": point,
    }
