"""What is installed: every folder, every data file, the console script; the wheel itself in fresh environments."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_folder_is_listed():
    listed = set(setup_cfg()["options"]["packages"].split())
    folders = {p.parent.relative_to(REPOSITORY) for p in (REPOSITORY / "danas_jax").rglob("*.py")}
    assert listed == {".".join(f.parts) for f in folders} | {"danas_jax.configs"}


def test_every_data_file_is_listed():
    patterns = setup_cfg()["options.package_data"]
    files = [p for p in (REPOSITORY / "danas_jax").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert any(p.name == "boards.toml" for p in files)
    for path in files:
        package = ".".join(path.parent.relative_to(REPOSITORY).parts)
        listed = re.split(r"[\n,]", patterns.get(package, ""))  # as setuptools does: spaces do not part patterns
        assert any(path.match(pattern.strip()) for pattern in listed if pattern.strip()), path


def test_extras_are_complete():
    assert {"tfds", "data-prep", "export", "sweep", "report", "dev"} <= set(setup_cfg()["options.extras_require"])


def test_constraints_pin_everything_that_is_asked_for():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), flags=re.M))
    pinned = {name.lower().replace("_", "-") for name in pins}
    asked = setup_cfg()["options"]["install_requires"] + setup_cfg()["options.extras_require"]["dev"]
    names = {re.split(r"[<>=!]", line)[0].strip().lower() for line in asked.splitlines() if line.strip()}
    assert names <= pinned


def interpreters():
    """Those of Python 3.11 and 3.12 that are here and run."""
    found = []
    for version in ("3.11", "3.12"):
        candidates = [
            shutil.which(f"python{version}"),
            *sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python")),
        ]
        for candidate in filter(None, candidates):
            code = f"import sys, ensurepip; sys.exit('{version}' != '%d.%d' % sys.version_info[:2])"
            if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
                found.append(pytest.param(str(candidate), id=version))
                break
    return found


def command(*arguments, cwd, timeout):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the tree, so that nothing is left behind in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    skip = shutil.ignore_patterns(".git", ".venv*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=skip)
    command(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source, cwd=folder, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("python", interpreters())
def test_an_installed_wheel_runs_quickstart_in_an_empty_folder(wheel, python, tmp_path):
    environment, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    command(python, "-m", "venv", environment, cwd=tmp_path, timeout=120)
    pins = REPOSITORY / "constraints.txt"
    command(environment / "bin/pip", "install", "--quiet", "-c", pins, wheel, cwd=empty, timeout=900)
    command(environment / "bin/danas", "run", "quickstart", "--smoke", cwd=empty, timeout=600)
    assert (empty / "runs/quickstart-smoke/summary.json").is_file()
    assert list(empty.glob("runs/quickstart-smoke/export/*/model_int8.tflite"))
