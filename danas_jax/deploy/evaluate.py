"""A classifier's .tflite file, ours or another's, on pictures whose class is known: every figure, by TFLM."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from danas_jax.data import metadata
from danas_jax.data.labelled import DEFAULT_SPLIT, Labelled, list_labelled
from danas_jax.data.sources.base import read_items
from danas_jax.data.sources.files import Files
from danas_jax.data.sources.readers import images as pictures
from danas_jax.deploy import operating_point
from danas_jax.deploy.answers import Answers, figures
from danas_jax.deploy.classifier import Classifier, Normalisation, parse_classifier, read_file, try_foreign
from danas_jax.deploy.own_pictures import OwnPictures, notes, own_pictures
from danas_jax.deploy.predict import MANIFEST_NAME, load_export, model_path
from danas_jax.deploy.tflite_writer import read_metadata
from danas_jax.errors import UserError
from danas_jax.views.frame import FITS, aspect_of
from danas_jax.views.image import ImageData
from danas_jax.views.resize import deployed_view, fit_of, known_view, native_size_of, size_of, view_of

IMAGES_AT_ONCE = 256  # decoded at a time


@dataclass(frozen=True)
class Given:
    """What the user says of a file that says nothing itself; () and "" = not said."""

    classes: tuple[str, ...] = ()  # in the order of the outputs
    colour: str = ""  # mono or rgb
    normalisation: Normalisation | None = None
    fit: str = ""  # one of FITS


@dataclass(frozen=True)
class Subject:
    """A classifier, and how a picture becomes its input."""

    path: Path
    model: Classifier
    known_by: str  # what told the rest: "its manifest", "its metadata", "its tensors and flags"
    classes: tuple[str, ...]  # () = by the folders' names
    colour: str
    native_px: tuple[int, int]  # (height, width) of the frame that pictures are brought to first
    normalisation: Normalisation | None
    operating_point: dict | None
    resize: str = "area"
    bit_depth: int = 8  # of the codes
    fit: str = "stretch"  # how pictures of another shape get to the frame

    @property
    def data(self) -> ImageData:
        """What the network sees."""
        height, width = self.model.shape[:2]
        return ImageData(height, self.colour, self.resize, self.bit_depth, aspect_of((height, width)))


def read_subject(name: str, given: Given) -> Subject:
    """What `name` (a file, an export's folder, a run) is. UserError for damaged files and flags that do not suit."""
    path = model_path(Path(name))
    where = f"model {path}"
    if (path.parent / MANIFEST_NAME).exists():
        tflite, known = load_export(path)
        if known.get("multi_label"):
            raise UserError(f"{path}: data.multi_label: danas evaluate knows pictures of one class only")
        model, known_by = parse_classifier(tflite, where), "its manifest"
    else:
        model = parse_classifier(read_file(path), where)
        try_foreign(model, where)
        known, known_by = _stored(model), "its metadata"
    if known and "view" in known["data"]:
        raise UserError(f"{where}: it reads {known['data']['text']}; danas evaluate takes classifiers of pictures")
    model.require_picture(where)
    if known:
        told = [flag for flag, value in (("--classes", given.classes), ("--colour", given.colour)) if value]
        told += ["--mean"] if given.normalisation else []
        told += ["--fit"] if given.fit else []
        if told:
            raise UserError(f"{told[0]}: {known_by} says it already, leave it out")
        data = known["data"]
        return Subject(
            path, model, known_by, tuple(known["classes"]), data["colour"],
            native_size_of({"resolution_px": model.shape[0], **data}), None,
            operating_point.from_manifest(known, where), *view_of(data)[2:], fit_of(data),
        )  # fmt: skip
    if given.classes and len(given.classes) != model.classes:
        raise UserError(f"--classes: {len(given.classes)} names, {where} has {model.classes} outputs")
    if given.colour == "rgb" and model.channels == 1:
        raise UserError(f"--colour rgb: {where} reads 1 channel")
    for flag, values in zip(("--mean", "--std"), given.normalisation or (), strict=False):
        if len(values) not in (1, model.channels):
            raise UserError(f"{flag}: {len(values)} numbers, give 1 or {model.channels}, one a channel")
    colour = given.colour or {1: "mono", 3: "rgb"}[model.channels]
    return Subject(
        path, model, "its tensors and flags", given.classes, colour, model.shape[:2], given.normalisation, None,
        fit=given.fit or FITS[0],
    )  # fmt: skip


def _stored(model: Classifier) -> dict | None:
    """The classes and data that danas wrote into the file itself; None where there are none that suit it."""
    try:
        found = read_metadata(model.tflite) or {}
        data, classes = found["data"], found["classes"]
        size, native = size_of(data), native_size_of(data)
        channels = {"mono": 1, "rgb": 3}[data["colour"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error):
        return None
    known = isinstance(classes, list) and len(classes) == model.classes and all(isinstance(c, str) for c in classes)
    suits = (*size, channels) == model.shape and native >= size and known_view(data)
    return {"data": data, "classes": classes} if known and suits else None


def _pictures(subject: Subject, root: Path, split: str, own: OwnPictures | None) -> Labelled:
    """The pictures to evaluate on; of a run's own folder without splits those that the run put into `split`."""
    found = list_labelled(root, split, subject.classes)
    if len(found.classes) != subject.model.classes:
        raise UserError(
            f"{root}: {len(found.classes)} folders of classes, the network has {subject.model.classes} outputs: "
            "name them in their order, --classes A B ..."
        )
    if found.split:
        return found
    if own and os.path.realpath(root) == own.root:
        split = split or DEFAULT_SPLIT
        rows = [i for i, where in enumerate(own.splits(root, found.keys)) if where == split]
        return replace(found, split=split, keys=tuple(found.keys[i] for i in rows), labels=found.labels[rows])
    if split:
        raise UserError(f"{root}: --split {split}: there are no folders of splits in it, leave --split out")
    return found


def _slices(root: Path, fields: tuple[str, ...], keys: tuple[str, ...], own: OwnPictures | None) -> dict:
    if fields:
        setting = f"--slice-fields {' '.join(fields)}"
        return metadata.values({name: metadata.read_column(root, name, setting) for name in fields}, keys)
    if own and os.path.realpath(root) == own.root:
        return metadata.values(metadata.read_slices(root, own.slice_fields, "data.slice_fields"), keys)
    return {}


def evaluate(
    subject: Subject,
    data: str,
    split: str,
    slice_fields: tuple[str, ...],
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """The figures of `subject` on the pictures in the folder `data`, ready for JSON; `progress` gets (done, total).

    Keys: split, classes, notes, figures (docs/run_directory.md), operating_point. UserError on bad input, an unreadable
    picture included.
    """
    root = Path(data).expanduser()
    own, unknown = own_pictures(subject.path)
    found = _pictures(subject, root, split, own)
    slices = _slices(root, slice_fields, found.keys, own)
    interpreter, codes = subject.model.start(), []
    for start in range(0, len(found.keys), IMAGES_AT_ONCE):
        keys = found.keys[start : start + IMAGES_AT_ONCE]
        images, _, bad = read_items(Files(root, pictures(subject.native_px, subject.fit)), keys)
        if bad:
            named = ", ".join(f"{key} ({reason})" for key, reason in list(bad.items())[:5])
            raise UserError(f"{root}: {len(bad)} images cannot be read, mend or remove them: {named}")
        views = deployed_view(images, *view_of(asdict(subject.data)))
        codes.append(subject.model.codes(interpreter, views, subject.normalisation))
        if progress:
            progress(start + len(keys), len(found.keys))
    given, point = np.concatenate(codes), subject.operating_point
    answers = Answers(subject.model.logits(given), found.labels, found.keys, slices)
    if point:
        point = {**point, "here": operating_point.rates(given, found.labels, found.classes, point)}
    return {
        "split": found.split or None,
        "classes": list(found.classes),
        "notes": [*notes(found, root, own), *filter(None, [unknown])],
        "figures": figures(answers, found.classes, seed=0),
        "operating_point": point,
    }
