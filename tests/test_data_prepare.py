"""`danas data prepare`: sizes said, asked, checked. Nothing can be downloaded here, so a local builder stands in."""

from types import SimpleNamespace

import pytest
import tensorflow_datasets as tfds
import tfds_toys

from danas_jax import cli
from danas_jax.data import prepare
from danas_jax.data.sources.tfds import prepared_folder
from danas_jax.errors import UserError

GB = 10**9


@pytest.fixture
def local(monkeypatch):
    """tensorflow taken for installed (the local set needs none), the toy found by name, 3 GB to download said."""
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(tfds, "builder", lambda name, **options: tfds_toys.WordsToy(**options))
    infos = {f"https://example.org/{i}": SimpleNamespace(size=GB) for i in range(3)}
    monkeypatch.setattr(tfds_toys.WordsToy, "url_infos", infos)


def free(monkeypatch, size):
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: SimpleNamespace(free=size))


def test_a_set_is_prepared_once(local, tmp_path, capsys, monkeypatch):
    free(monkeypatch, 7 * GB)
    assert cli.main(["data", "prepare", "words_toy", "--data-dir", str(tmp_path), "--yes"]) == 0
    said = capsys.readouterr().out
    assert "words_toy/1.0.0 into" in said
    assert "download 3.0 GB" in said
    assert "train: 48 examples" in said
    assert f"--data.source tfds --data.path words_toy --data.data-dir {tmp_path}" in said
    assert list(prepared_folder("words_toy", str(tmp_path)).glob("*.array_record*"))
    monkeypatch.setattr(tfds, "builder", None)  # it is there: nothing is built again
    assert prepare.prepare("words_toy", str(tmp_path), yes=False) == tmp_path / "words_toy" / "1.0.0"


def test_it_asks(local, tmp_path, monkeypatch, capsys):
    free(monkeypatch, 7 * GB)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert prepare.prepare("words_toy", str(tmp_path), yes=False, ask=lambda question: "") is None
    assert not list(tmp_path.iterdir())
    assert prepare.prepare("words_toy", str(tmp_path), yes=False, ask=lambda question: "y")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(UserError, match="nobody is here to ask; give --yes"):
        prepare.prepare("words_toy", str(tmp_path / "other"), yes=False)


def test_the_disk_must_hold_it(local, tmp_path, monkeypatch, capsys):
    free(monkeypatch, 5 * GB)
    with pytest.raises(UserError, match=r"5\.0 GB are free, 6\.0 GB or more are needed"):
        prepare.prepare("words_toy", str(tmp_path), yes=True)
    (tmp_path / "downloads").mkdir()
    with open(tmp_path / "downloads" / "part", "wb") as file:
        file.truncate(2 * GB)  # sparse: finished downloads are kept
    assert prepare.prepare("words_toy", str(tmp_path), yes=True)
    assert "of which 2.0 GB may be here already" in capsys.readouterr().out


def test_a_failed_download_can_be_resumed(local, tmp_path, monkeypatch):
    free(monkeypatch, 7 * GB)

    def fail(self):
        raise ConnectionError("no route\nto host")

    with monkeypatch.context() as patch:
        patch.setattr(tfds_toys.WordsToy, "download_and_prepare", fail)
        with pytest.raises(
            UserError, match=r"ConnectionError: no route; finished downloads are kept, the same command"
        ):
            prepare.prepare("words_toy", str(tmp_path), yes=True)
    assert prepare.prepare("words_toy", str(tmp_path), yes=True)


def test_a_full_disk_is_said(local, tmp_path, monkeypatch, capsys):
    free(monkeypatch, 7 * GB)

    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds_toys.WordsToy, "download_and_prepare", fail)
    assert cli.main(["data", "prepare", "words_toy", "--data-dir", str(tmp_path), "--yes"]) == 2
    assert "disk full" in capsys.readouterr().err


def test_tensorflow_is_needed_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["data", "prepare", "wake_vision", "--data-dir", str(tmp_path)]) == 2
    assert (
        "needs tensorflow and pandas, training does not: pip install 'danas-jax[data-prep]'" in capsys.readouterr().err
    )


def test_unknown_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UserError, match=r"^NAME = 'wake_visio': Dataset wake_visio not found\."):
        prepare.prepare("wake_visio", str(tmp_path), yes=True)


def test_wake_visions_size_is_known_offline(tmp_path):
    builder = tfds.builder("wake_vision", data_dir=str(tmp_path), file_format="array_record")
    download, _ = prepare._sizes(builder)
    assert round(download / GB) == 287
