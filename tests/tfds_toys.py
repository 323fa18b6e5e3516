"""Sets as TensorFlow Datasets prepares them, small: one with Wake Vision's features, one of sound."""

import io
import json

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from danas_jax.data import synthetic

YES_NO = (
    *("person", "depiction", "body_part", "predominantly_female", "predominantly_male", "gender_unknown", "young"),
    *("middle_age", "older", "age_unknown", "near", "medium_distance", "far", "dark", "normal_lighting", "bright"),
    *("person_depiction", "non-person_depiction", "non-person_non-depiction"),
)
SPLITS = {"train_large": 8, "train_quality": 96, "validation": 32, "test": 32}


class WakeVisionToy(tfds.core.GeneratorBasedBuilder):
    """The features and splits of the catalogue's wake_vision 1.0.0; synthetic scenes as JPEGs of several sizes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "filename": tfds.features.Text()}
        features.update({name: tfds.features.ClassLabel(names=["No", "Yes"]) for name in YES_NO})
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "person")
        )

    def _split_generators(self, dl_manager):
        return {split: self._examples(split, count) for split, count in SPLITS.items()}

    def _examples(self, split, count):
        for i in range(count):
            yield i, wake_vision_example(split, i)

    def _generate_examples(self):
        raise NotImplementedError  # abstract in the library, `_split_generators` names its own


def wake_vision_example(split, i, file=io.BytesIO):
    """Example `i` of a split; the labels of what is no person are -1, as in the catalogue's set."""
    scene, present = synthetic.scene(0, "test" if split == "test" else "train", i, 16, 0.5)
    jpeg = io.BytesIO()
    Image.fromarray(scene[: 96 + i % 16]).save(jpeg, "JPEG", quality=90)
    labels = {name: (i // 2 + n) % 2 if present else -1 for n, name in enumerate(YES_NO)}
    return {**labels, "image": file(jpeg.getvalue()), "filename": f"{split}_{i}.jpg", "person": present}


class WordsToy(tfds.core.GeneratorBasedBuilder):
    """Sound as the library stores it: its own feature for sound needs tensorflow, one for arrays stores the same."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int64),
            "label": tfds.features.ClassLabel(names=["down", "up"]),
            "speaker": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("audio", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._examples(48), "test": self._examples(12)}

    def _examples(self, count):
        for i in range(count):
            sound = np.full(2000 + i, (-100, 100)[i % 2], np.int64)
            yield i, {"audio": sound, "label": i % 2, "speaker": f"s{i // 4}"}

    def _generate_examples(self):
        raise NotImplementedError


def prepared(builder, folder):
    """The folder of a set, prepared by `builder` as array_record."""
    made = builder(data_dir=str(folder), file_format="array_record")
    made.download_and_prepare()
    return folder / made.name / "1.0.0"


def as_sound(folder, rate_hz):
    """Make features.json of WordsToy what tensorflow-datasets 4.9.10 with tensorflow writes for features.Audio."""
    described = json.loads((folder / "features.json").read_text())
    audio = described["featuresDict"]["features"]["audio"]
    stored = audio.pop("tensor")
    audio["pythonClassName"] = "tensorflow_datasets.core.features.audio_feature.Audio"
    audio["audio"] = {**stored, "encoding": "NONE", "fileFormat": "wav", "sampleRate": str(rate_hz)}
    (folder / "features.json").write_text(json.dumps(described))
