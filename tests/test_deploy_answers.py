"""Answers that are kept, and the figures read from them: by hand, per class, per slice."""

import json

import numpy as np
import pytest

from danas_jax.data.dataset import Split
from danas_jax.deploy.answers import Answers, answers_of, answers_path, figures, read_answers, write_answers
from danas_jax.errors import UserError
from danas_jax.metrics import bootstrap_interval

CLASSES = ("no", "yes")
# rights: no no - yes - ; the last image ties, and the first class wins
LOGITS = np.array([[3, 1], [2, 0], [0, 4], [-5, -4], [1, 1]], np.int8)
LABELS = np.array([0, 0, 0, 1, 1], np.int32)
SOURCES = np.array(["a", "a", "b", "b", ""])


def split(**slices):
    return Split(np.zeros((5, 2, 2, 3), np.uint8), LABELS, tuple("vwxyz"), slices=slices)


def test_figures_by_hand():
    found = figures(answers_of(LOGITS, split(source=SOURCES)), CLASSES, seed=3)
    assert (found["images"], found["accuracy"]) == (5, 0.6)
    assert found["accuracy_interval"] == list(bootstrap_interval(np.array([1, 1, 0, 1, 0], bool), 3))
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["auc"] == pytest.approx((3 + 2 - 1) / 6)  # margins -2 -2 4 of no, 1 0 of yes: 4 of 6 pairs in order
    assert found["confusion"] == [[2, 1], [1, 1]]
    same = dict.fromkeys(("recall", "precision", "f1"), pytest.approx(2 / 3))
    assert found["per_class"] == [
        {"class": "no", "images": 3, **same},
        {"class": "yes", "images": 2, "recall": 0.5, "precision": 0.5, "f1": 0.5},
    ]
    assert found["f1"] == 0.5
    by_source = found["slices"]["source"]
    assert {value: (row["images"], row["accuracy"]) for value, row in by_source.items()} == {
        "a": (2, 1.0),
        "b": (2, 0.5),
        "": (1, 0.0),
    }
    assert by_source["a"]["auc"] is None  # one class only
    json.dumps(found, allow_nan=False)


def test_a_class_without_images_has_no_recall():
    found = figures(Answers(LOGITS[:3], LABELS[:3], tuple("vwx")), CLASSES, seed=0)
    assert found["per_class"][1] == {"class": "yes", "images": 0, "recall": None, "precision": 0.0, "f1": None}
    assert found["balanced_accuracy"] == pytest.approx(2 / 3)


def test_answers_are_kept(tmp_path):
    path = answers_path(tmp_path, "int8_test")
    write_answers(path, answers_of(LOGITS, split(source=SOURCES)))
    kept = read_answers(path)
    assert kept.logits.dtype == np.int8
    for field in ("logits", "labels"):
        np.testing.assert_array_equal(getattr(kept, field), {"logits": LOGITS, "labels": LABELS}[field])
    assert kept.names == tuple("vwxyz")
    assert kept.slices["source"].tolist() == SOURCES.tolist()
    assert kept.right.tolist() == [True, True, False, True, False]
    write_answers(path, answers_of(LOGITS, split()))
    assert read_answers(path).slices == {}
    path.write_bytes(b"no answers")
    with pytest.raises(UserError, match=r"int8_test\.npz: cannot be read as \.npz"):
        read_answers(path)
