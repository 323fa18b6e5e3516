"""The README's commands, run as they stand but for --smoke and the reader's own folders."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.S)
SMOKE_SECONDS = 60  # what --smoke promises on two cores


def readme_commands():
    """Every `danas` line of the README's shell blocks, without its comment."""
    lines = [line.split(" #")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [line for line in lines if line.startswith("danas ")]


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
    """A folder with the README's config file, pictures, and the run that `make run` makes."""
    folder = tmp_path_factory.mktemp("readme")
    for kind, text in BLOCKS:
        if kind in ("python", "toml"):
            (folder / re.match(r"# (\S+\.(?:py|toml))\n", text).group(1)).write_text(text)
    pictures(folder / "pictures")
    pictures(folder / "photos", ("absent", "present"), (("", 4),))
    danas(folder, "danas run quickstart")
    danas(folder, "danas boards add my_board.toml")  # the lines below may run in any order
    return folder


def danas(folder, line):
    """Run a README line in `folder`."""
    line = line.replace("DIR", "pictures").replace("FILE_OR_FOLDER", "pictures/test").replace("PHOTOS", "photos")
    line = line.replace("runs/quickstart", "runs/quickstart-smoke")
    if "/ID" in line:
        line = line.replace("/ID", f"/{min((folder / 'runs/quickstart-smoke/export').iterdir()).name}")
    words = shlex.split(line)[1:]
    if words[0] == "run":
        words.append("--smoke")
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from danas_jax.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    env = {**os.environ, "DANAS_BOARDS": str(folder / "boards.toml")}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=SMOKE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("line", readme_commands())
def test_the_command_works(workplace, line):
    assert danas(workplace, line).strip()


def test_the_readme_shows_every_kind_of_command():
    commands = readme_commands()
    assert len(commands) >= 7
    assert {"run", "predict", "evaluate", "report", "boards", "cost"} <= {line.split()[1] for line in commands}


def test_the_files_it_names_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (REPOSITORY / target).exists(), target
