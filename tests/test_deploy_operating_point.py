"""The threshold of a detector: within the rate asked for, no lower than need be, the same in Python and in C."""

import shutil
import subprocess

import numpy as np
import pytest
from deploy_exports import change, export
from deploy_nets import networks
from PIL import Image

from danas_jax.config import ExportSettings
from danas_jax.deploy import header, operating_point, predict, tflite_writer
from danas_jax.deploy.verify import run_tflm
from danas_jax.errors import UserError

CLASSES = ("no", "yes")


def settings(rate, positive=""):
    return ExportSettings(max_false_alarm_rate=rate, positive_class=positive)


def codes_of(differences, positive=1):
    """int8 logits whose positive one exceeds the other by `differences`."""
    low = np.array([min(127, max(-128, -d)) for d in differences])
    pair = np.stack([low, low + differences], axis=1)
    return (pair if positive == 1 else pair[:, ::-1]).astype(np.int8)


def picked(negatives, positives, rate, positive=""):
    labels = np.array([0] * len(negatives) + [1] * len(positives))
    codes = codes_of(np.array([*negatives, *positives]))
    if positive == "no":
        codes, labels = codes[:, ::-1], 1 - labels
    return operating_point.pick(codes, labels, CLASSES, settings(rate, positive))


@pytest.mark.parametrize(
    ("rate", "threshold", "alarms", "detected"),
    [
        (0.5, 6, 1 / 4, 1.0),  # two of four may be called, but the tie at 5 would call three
        (0.25, 6, 1 / 4, 1.0),
        (0.24, 21, 0.0, 1 / 3),
        (0.0, 21, 0.0, 1 / 3),
        (0.75, 1, 3 / 4, 1.0),
    ],
)
@pytest.mark.parametrize("positive", ["", "yes", "no"])
def test_the_lowest_threshold_within_the_rate(rate, threshold, alarms, detected, positive):
    point = picked([0, 5, 5, 20], [6, 20, 21], rate, positive)
    assert point["threshold_codes"] == threshold
    assert point["positive_class"] == (positive or "yes")
    assert point["validation"]["false_alarm_rate"] == alarms <= rate
    assert point["validation"]["detection_rate"] == pytest.approx(detected)
    assert (point["validation"]["positives"], point["validation"]["negatives"]) == (3, 4)
    low, high = point["validation"]["detection_rate_interval"]
    assert low < detected <= high


def test_no_threshold_is_too_high():
    """A negative at the highest difference there is: nothing may be called positive."""
    point = picked([255, 0], [255], 0.4)
    assert (point["threshold_codes"], point["validation"]["detection_rate"]) == (256, 0.0)
    assert picked([-255, -255], [255], 0.4)["threshold_codes"] == -254


@pytest.mark.parametrize("seed", range(5))
def test_against_every_threshold(seed):
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(-128, 128, (60, 2)).astype(np.int8), rng.integers(0, 2, 60)
    rate = float(rng.uniform(0, 0.5))
    point = operating_point.pick(codes, labels, CLASSES, settings(rate))
    differences = codes[:, 1].astype(int) - codes[:, 0]
    allowed = [t for t in range(-255, 257) if (differences[labels == 0] >= t).mean() <= rate]
    assert point["threshold_codes"] == min(allowed)


def test_without_a_rate_there_is_none():
    assert operating_point.pick(codes_of([1, 2]), np.array([0, 1]), CLASSES, ExportSettings()) is None


def test_what_cannot_be_asked_for():
    operating_point.check(settings(0.1, "no"), CLASSES)
    with pytest.raises(UserError, match=r"max_false_alarm_rate = 0\.1: there are 3 classes"):
        operating_point.check(settings(0.1), ("a", "b", "c"))
    with pytest.raises(UserError, match=r"positive_class = 'maybe': give one of no, yes"):
        operating_point.check(settings(None, "maybe"), CLASSES)


def point_of(threshold, positive="dog"):
    return {"positive_class": positive, "threshold_codes": threshold, "max_false_alarm_rate": 0.1}


@pytest.mark.parametrize("positive", ["cat", "dog"])
def test_predict_honours_it(tmp_path, positive):
    """Label and highest score are the decision, at a threshold that an image meets exactly and one above it."""
    export(tmp_path / "e")
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    tflite, manifest = predict.load_export(tmp_path / "e")
    predictor = predict.Predictor(tmp_path / "e")
    views = np.stack([predictor.view(np.asarray(Image.open(tmp_path / f"{i}.png"))) for i in range(8)])
    codes = run_tflm(tflite, views).astype(int)
    index = manifest["classes"].index(positive)
    differences = codes[:, index] - codes[:, 1 - index]
    for threshold in (int(np.sort(differences)[4]), int(np.sort(differences)[4]) + 1, -255, 256):
        change(tmp_path / "e", lambda m, t=threshold: m.update(operating_point=point_of(t, positive)))
        rows = predict.predict_files(tmp_path / "e", tmp_path)
        assert [row["label"] == positive for row in rows] == (differences >= threshold).tolist()
        assert all(row["scores"][row["label"]] == max(row["scores"].values()) > 0.5 for row in rows)


@pytest.mark.parametrize(
    "point", [[], point_of(1.5), point_of(300), point_of(True), point_of(0, "cow"), {"positive_class": "dog"}]
)
def test_a_wrong_one_in_the_manifest_is_named(tmp_path, point):
    export(tmp_path / "e")
    change(tmp_path / "e", lambda m: m.update(operating_point=point))
    with pytest.raises(UserError, match=r"manifest .*operating_point = .*are right; export again"):
        predict.load_export(tmp_path / "e")


PROGRAM = """
#include <stdio.h>
#include "model.h"
int main(void) {
  int low, high;
  for (low = -128; low < 128; low += 5) {
    for (high = -128; high < 128; ++high) {
      int8_t logits[2];
      logits[0] = (int8_t)low;
      logits[1] = (int8_t)high;
      putchar('0' + danas_model_class(logits));
    }
  }
  return 0;
}
"""


@pytest.mark.parametrize(("compiler", "language"), [("gcc", "c99"), ("g++", "c++11")])
@pytest.mark.parametrize("point", [None, point_of(-7), point_of(256), point_of(30, "cat")])
def test_the_header_decides_as_python_does(tmp_path, compiler, language, point):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    tflite = tflite_writer.write_tflite(tflite_writer.random_model(networks()[0]), {})
    export(tmp_path)
    _, manifest = predict.load_export(tmp_path)
    manifest |= {"operating_point": point, "memory": {"predicted": {"arena_device_bytes": 1}}}
    manifest["data"]["resize"] = "area"
    (tmp_path / "model.h").write_text(header.c_header(tflite, manifest))
    source = tmp_path / ("main.c" if language == "c99" else "main.cc")
    source.write_text(PROGRAM)
    flags = [f"-std={language}", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([compiler, *flags, str(source), "-o", str(tmp_path / "main")], check=True)
    said = subprocess.run([str(tmp_path / "main")], check=True, capture_output=True, text=True).stdout
    pairs = np.array([(low, high) for low in range(-128, 128, 5) for high in range(-128, 128)], np.int8)
    decided = operating_point.shifted(pairs, tuple(manifest["classes"]), point).argmax(axis=1)
    if point:
        called = operating_point.decide(pairs, tuple(manifest["classes"]), point)
        assert (called == (decided == manifest["classes"].index(point["positive_class"]))).all()
    assert said == "".join(map(str, decided))
