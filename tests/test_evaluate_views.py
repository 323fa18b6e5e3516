"""`danas evaluate` on sound and series: folders, manifests and arrays; what is refused."""

import json

import numpy as np
import pytest
from firmware_toys import VIEWS, exported_view, raw_examples
from wav_files import wav

from danas_jax import cli
from danas_jax.deploy.examples import network_input
from danas_jax.deploy.integer import integer_forward
from danas_jax.disk import write_bytes, write_json

COUNT = 12
LABELS = np.arange(COUNT) % 2
CLASSES = ["no", "yes"]


class Toy:
    """An exported network behind one of VIEWS, raw examples, and its confusion by the integer network."""

    def __init__(self, name, folder):
        tflite, self.manifest, model = exported_view(name, seed=1)
        self.raw = raw_examples(name, COUNT)
        logits = integer_forward(model, network_input(self.manifest["data"]).deployed(self.raw)).astype(int)
        gaps = logits[:, 1] - logits[:, 0]
        threshold = int(np.median(gaps))
        self.manifest["operating_point"] = {"positive_class": "yes", "threshold_codes": threshold}
        self.detected = float((gaps >= threshold)[LABELS == 1].mean())
        self.confusion = np.zeros((2, 2), int)
        np.add.at(self.confusion, (LABELS, logits.argmax(axis=1)), 1)
        self.file = folder / "e" / "model_int8.tflite"
        write_bytes(self.file, tflite)
        write_json(folder / "e" / "manifest.json", self.manifest)

    def clips(self, root, rate_hz):
        """The sound in files; their names as a manifest has them."""
        names = [f"{CLASSES[label]}/{i:02d}.wav" for i, label in enumerate(LABELS)]
        for name, clip in zip(names, self.raw, strict=True):
            wav(root / name, clip, rate_hz=rate_hz)
        return names


@pytest.fixture(params=VIEWS)
def toy(request, tmp_path):
    return Toy(request.param, tmp_path)


@pytest.fixture
def sound(tmp_path):
    return Toy("mfcc", tmp_path)


@pytest.fixture
def series(tmp_path):
    return Toy("series", tmp_path)


def found(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_arrays_give_the_integer_networks_answers(toy, tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", x=toy.raw, y=LABELS, who=np.array(["ann", "ben"])[LABELS // 1])
    result = found(capsys, toy.file, tmp_path / "mine.npz", "--slice-fields", "who")
    assert result["figures"]["confusion"] == toy.confusion.tolist()
    assert (result["split"], result["classes"], result["notes"]) == (None, CLASSES, [])
    assert result["operating_point"]["here"]["detection_rate"] == pytest.approx(toy.detected)
    assert {name: row["images"] for name, row in result["figures"]["slices"]["who"].items()} == {"ann": 6, "ben": 6}
    np.savez(tmp_path / "turned.npz", x=toy.raw, y=1 - LABELS, classes=["yes", "no"])
    assert found(capsys, toy.file, tmp_path / "turned.npz")["figures"] == {**result["figures"], "slices": {}}
    assert cli.main(["evaluate", str(toy.file), str(tmp_path / "mine.npz")]) == 0
    assert "int8 = code - 128" in capsys.readouterr().out


def test_a_folder_of_arrays_has_splits(series, tmp_path, capsys):
    for name, rows in (("val", slice(0, 5)), ("test", slice(5, 12))):
        np.savez(tmp_path / f"{name}.npz", x=series.raw[rows], y=LABELS[rows])
    result = found(capsys, series.file, tmp_path)
    assert (result["split"], result["figures"]["images"], result["notes"]) == ("validation", 5, [])
    tested = found(capsys, series.file, tmp_path, "--split", "test")
    assert tested["figures"]["images"] == 7 and "windows of a test split" in tested["notes"][0]
    assert found(capsys, series.file, tmp_path / "test.npz") | {"data": ""} == tested | {"data": ""}
    assert "no train split: give --split validation or test" in refused(
        capsys, series.file, tmp_path, "--split", "train"
    )


def values(result):
    """The figures; the resamples of an interval depend on the order of the examples."""
    return {name: value for name, value in result["figures"].items() if not name.endswith("_interval")}


def test_folders_and_manifests_of_wavs(sound, tmp_path, capsys):
    names = sound.clips(tmp_path / "flat", 8000)
    result = found(capsys, sound.file, tmp_path / "flat")
    assert result["figures"]["confusion"] == sound.confusion.tolist() and result["notes"] == []
    sound.clips(tmp_path / "split" / "validation", 8000)
    assert values(found(capsys, sound.file, tmp_path / "split")) == values(result)
    listed = zip(names, LABELS, ["val"] * 9 + ["test"] * 3, strict=True)
    rows = [f"flat/{name},{CLASSES[label]},{split}" for name, label, split in listed]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,split", *rows]))
    assert found(capsys, sound.file, tmp_path / "list.csv")["figures"]["images"] == 9
    tested = found(capsys, sound.file, tmp_path / "list.csv", "--split", "test")
    assert tested["figures"]["images"] == 3 and "clips of a test split" in tested["notes"][0]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *(row.rsplit(",", 1)[0] for row in rows)]))
    assert values(found(capsys, sound.file, tmp_path / "list.csv")) == values(result)


def test_sound_of_another_rate(sound, tmp_path, capsys):
    sound.clips(tmp_path / "high", 16000)
    assert found(capsys, sound.file, tmp_path / "high")["notes"] == ["12 of 12 clips are not at 8000 Hz: resampled"]
    sound.clips(tmp_path / "between", 4000)  # all that the network hears
    assert len(found(capsys, sound.file, tmp_path / "between")["notes"]) == 1
    sound.clips(tmp_path / "low", 2000)
    said = refused(capsys, sound.file, tmp_path / "low")
    assert "12 files cannot be read" in said and "at 2000 Hz: the network hears 4000 Hz" in said


def test_what_is_refused_of_sound(sound, tmp_path, capsys):
    sound.clips(tmp_path / "flat", 8000)
    (tmp_path / "list.csv").write_text("file,label\nflat/no/00.wav,no\nflat/yes/01.wav,maybe\n")
    assert "line 3: 'maybe' is none of the classes no, yes" in refused(capsys, sound.file, tmp_path / "list.csv")
    (tmp_path / "flat" / "maybe").mkdir()
    assert "folder 'maybe' is none of the classes" in refused(capsys, sound.file, tmp_path / "flat")
    (tmp_path / "pictures" / "no").mkdir(parents=True)
    assert "no wav in its folders" in refused(capsys, sound.file, tmp_path / "pictures")
    wav(tmp_path / "torn" / "no" / "a.wav", sound.raw[0], rate_hz=8000, size=10**6)
    assert "no/a.wav (truncated)" in refused(capsys, sound.file, tmp_path / "torn")


def test_without_its_manifest_it_is_no_network_of_pictures(toy, tmp_path, capsys):
    """Log-mel features of some length have the shape of a grey picture."""
    toy.file.parent.joinpath("manifest.json").unlink()
    said = refused(capsys, toy.file, tmp_path)
    assert "reads no pictures: sound and series need the manifest.json" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"x": x[:, :, :3], "y": y}, "x has windows of (55, 3), the model reads (55, 4)"),
        (lambda x, y: {"x": x, "y": y + 1}, "y goes up to 2, there are 2 classes"),
        (lambda x, y: {"x": x, "y": y, "classes": ["no", "maybe"]}, "classes: 'maybe' is none of the classes no, yes"),
        (lambda x, y: {"x": x}, "has no array 'y'"),
        (lambda x, y: {"x": x, "y": y, "scale": np.zeros(4)}, "scale is float64 (4,): give a positive number"),
    ],
)
def test_arrays_that_do_not_suit(series, tmp_path, capsys, change, message):
    np.savez(tmp_path / "mine.npz", **change(series.raw, LABELS))
    assert message in refused(capsys, series.file, tmp_path / "mine.npz")
    assert "give .npz arrays" in refused(capsys, series.file, tmp_path / "e")
