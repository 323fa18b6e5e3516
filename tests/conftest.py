"""Shared fixtures. jax, where a test imports it, runs on the CPU and keeps compiled programs."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["DANAS_BOARDS"] = os.devnull  # no boards of the person who runs the tests
_EXAMPLES = tempfile.TemporaryDirectory(prefix="danas-examples-")  # nor that person's cache
os.environ["DANAS_CACHE"] = _EXAMPLES.name


def _compile_cache() -> str:
    """Where compiled programs are kept between tests and sessions, subprocesses included; writable in any case."""
    folder = Path.home() / ".cache" / "danas_jax" / "xla-tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return tempfile.mkdtemp(prefix="danas-xla-")
    return str(folder) if os.access(folder, os.W_OK) else tempfile.mkdtemp(prefix="danas-xla-")


if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compile_cache()
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's shared data beside the checkout; skips where there is none."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture
def strict_types():
    """No silent type promotion inside our own programs (optax promotes, so not wherever it takes part)."""
    import jax

    before = jax.config.jax_numpy_dtype_promotion  # not the context manager: that is of one thread only
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder to be in, for every run of this module."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def pytest_addoption(parser):
    parser.addoption("--finished-run", help="folder of a run to test the report of, instead of a toy made on the spot")


@pytest.fixture(scope="session")
def run_with_baseline(tmp_path_factory, request):
    """The folder of a run with a baseline; tests copy it before they change it."""
    if given := request.config.getoption("--finished-run"):
        return Path(given).resolve()
    from pipeline_toys import config_file

    from danas_jax import cli

    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["run", config_file(folder, "WITH_BASELINE")]) == 0
    return folder / "runs" / "with_baseline"
