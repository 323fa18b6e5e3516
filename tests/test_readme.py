"""The commands of README and docs/, run as they stand but for --smoke and the reader's own folders.

A block below `<!-- not run: why -->` is only parsed, so that a renamed flag is found there, too.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danas_jax import cli, config_io, overrides

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCS}
README = TEXTS[DOCS[0]]
SMOKE_SECONDS = 60  # what --smoke promises on two cores


def commands(text, run):
    """Every `danas` line of the shell blocks that are to `run`, or of those that are not, without its comment."""
    blocks = re.findall(r"(<!-- not run: [^\n]+ -->\n)?```sh\n(.*?)```", text, flags=re.S)
    lines = [line.split(" #")[0].strip() for mark, block in blocks if run != bool(mark) for line in block.splitlines()]
    return [line for line in lines if line.startswith("danas ")]


RUN, PARSED = (list(dict.fromkeys(c for text in TEXTS.values() for c in commands(text, run))) for run in (True, False))


def pictures(folder, labels=("dark", "light"), splits=(("train", 24), ("validation", 8), ("test", 8))):
    """A folder that tells apart light and dark: <split>/<class>/*.jpg."""
    rng = np.random.default_rng(0)
    for split, count in splits:
        for label, low in zip(labels, (0, 128), strict=True):
            place = folder / split / label
            place.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(low, low + 128, (128, 128, 3), dtype=np.uint8)
                Image.fromarray(image).save(place / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the documents' config files, pictures, and the run that `make run` makes."""
    folder = tmp_path_factory.mktemp("readme")
    for text in TEXTS.values():
        for file, name in re.findall(r"```(?:python|toml)\n(# (\S+\.(?:py|toml))\n.*?)```", text, flags=re.S):
            assert not (folder / name).exists(), f"{name}: two documents show a file of this name"
            (folder / name).write_text(file)
    pictures(folder / "pictures")
    pictures(folder / "photos", ("absent", "present"), (("", 4),))
    danas(folder, "danas run quickstart")
    shutil.copy(next((folder / "runs/quickstart-smoke/export").glob("*/model_int8.tflite")), folder / "MODEL.tflite")
    danas(folder, "danas boards add my_board.toml")  # the lines below may run in any order
    return folder


def danas(folder, line):
    """Run a line of the documents in `folder`."""
    line = line.replace("DIR", "pictures").replace("FILE_OR_FOLDER", "pictures/test").replace("PHOTOS", "photos")
    line = re.sub(r"\bRUN\b", "runs/quickstart", line)
    line = line.replace("runs/quickstart", "runs/quickstart-smoke")
    if "/ID" in line:
        line = line.replace("/ID", f"/{min((folder / 'runs/quickstart-smoke/export').iterdir()).name}")
    words = shlex.split(line)[1:]
    if words[0] == "run" and "--smoke" not in words:
        words.append("--smoke")
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from danas_jax.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    env = {**os.environ, "DANAS_BOARDS": str(folder / "boards.toml")}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=SMOKE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("line", RUN)
def test_the_command_works(workplace, line):
    assert danas(workplace, line).strip()


class Parsed(BaseException):
    """The command line was understood; raised in place of what it would do."""


def parse(line, monkeypatch):
    """Parse a line of the documents and stop there; SystemExit or an exit code where it is not understood."""

    def parsing(real):
        def parse(*arguments, **keywords):
            real(*arguments, **keywords)
            raise Parsed

        return parse

    for owner, name in ((argparse.ArgumentParser, "parse_args"), (overrides, "parse_flags")):
        monkeypatch.setattr(owner, name, parsing(getattr(owner, name)))
    words = shlex.split(line)[1:]
    if words[0] in ("run", *cli.PHASES) and words[1] not in config_io.shipped_configs():
        words[1] = "quickstart"  # for a run of the reader's
    with pytest.raises(Parsed):
        assert cli.main(words) == "parsed"


@pytest.mark.parametrize("line", PARSED)
def test_the_command_parses(monkeypatch, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL.tflite", "WEIGHTS.npz"):
        Path(name).touch()
    parse(line, monkeypatch)


@pytest.mark.parametrize("line", [line for line in PARSED if " --" in line])
def test_a_flag_that_is_not_there_is_found(monkeypatch, capsys, line):
    with pytest.raises((SystemExit, AssertionError)):
        parse(re.sub(r" --", " --no-such-", line, count=1), monkeypatch)


def test_flags_named_in_the_text_exist(capsys):
    named = {flag for text in TEXTS.values() for flag in re.findall(r"--[a-z]+\.[a-z0-9-]+(?![\w.])", text)}
    with pytest.raises(SystemExit):
        cli.main(["run", "quickstart", "--help"])
    known = set(re.findall(r"--[a-z]+\.[a-z0-9-]+", capsys.readouterr().out))
    assert len(named) > 20
    assert named - known == set()


def test_the_documents_show_every_kind_of_command():
    assert len(commands(README, True)) >= 7
    shown = {line.split()[1] for line in (*RUN, *PARSED)}
    every = set(re.findall(r"^ +(?:usage: )?danas (\w+)", cli.HELP.replace("usage:", "      "), flags=re.M))
    assert {"run", "train", "status", "predict", "bench"} <= every
    assert every - {"train", "retrain"} <= shown  # `danas train|search|retrain|export|report CONFIG`, in one line


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_files_it_names_exist(path):
    for target in re.findall(r"\]\(([^)#]+)\)", TEXTS[path]):
        assert target.startswith("https://") or (path.parent / target).exists(), target
