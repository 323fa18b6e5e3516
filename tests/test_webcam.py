"""`danas predict RUN --webcam`: a camera's frames as the device sees them, until Ctrl-C, or a message."""

import json
import sys
import types

import pytest
from deploy_exports import export
from deploy_nets import pictures
from PIL import Image

from danas_jax import cli
from danas_jax.deploy import predict

FRAMES = [frame[:72] for frame in pictures((96, 96, 3), 3)]  # RGB, as wide as cameras are


class Camera:
    """What cv2.VideoCapture is: frames blue first, then what `after` does."""

    def __init__(self, index):
        self.index, self.left, self.released = index, list(FRAMES), False
        opened.append(self)

    def isOpened(self):
        return self.index < 2

    def read(self):
        if not self.left:
            return after()
        return True, self.left.pop(0)[..., ::-1]

    def release(self):
        self.released = True


opened = []


def after():
    """Ctrl-C."""
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def camera(monkeypatch):
    module = types.ModuleType("cv2")
    module.VideoCapture = Camera
    monkeypatch.setitem(sys.modules, "cv2", module)
    opened.clear()


@pytest.fixture
def model(tmp_path):
    export(tmp_path / "e")
    return str(tmp_path / "e")


@pytest.mark.parametrize(("arguments", "index"), [(["--webcam"], 0), (["--webcam", "1"], 1)])
def test_every_frame_is_what_the_same_picture_is(model, tmp_path, capsys, arguments, index):
    for i, frame in enumerate(FRAMES):
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    expected = [
        {key: row[key] for key in ("label", "scores")} for row in predict.predict_files(model, tmp_path / "frames")
    ]
    assert cli.main(["predict", model, *arguments, "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == expected
    assert cli.main(["predict", model, *arguments]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown == [[row["label"], f"{row['scores'][row['label']]:.1%}"] for row in expected]
    assert len({row["label"] for row in expected}) == 2
    assert all(camera.index == index and camera.released for camera in opened)


def test_a_camera_that_stops(model, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "after", lambda: (False, None))
    assert cli.main(["predict", model, "--webcam"]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == len(FRAMES)
    assert "--webcam 0: the camera gives no frame" in captured.err
    assert opened[0].released


def test_no_such_camera(model, capsys):
    assert cli.main(["predict", model, "--webcam", "7"]) == 2
    assert "--webcam 7: there is no such camera" in capsys.readouterr().err
    assert opened[0].released


def test_without_opencv(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert cli.main(["predict", model, "--webcam"]) == 2
    assert "OpenCV is not installed here: pip install 'danas_jax[webcam]'" in capsys.readouterr().err


def test_either_pictures_or_a_camera(model, capsys):
    for arguments in ([model], [model, model, "--webcam"]):
        assert cli.main(["predict", *arguments]) == 2
        assert "give either FILE_OR_FOLDER or --webcam" in capsys.readouterr().err
