"""The rules of docs/design.md about who imports what, read from the source and checked in a fresh interpreter."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "danas_jax"
# Top to bottom: a module imports only what stands above it (or what is in its own folder).
ORDER = (
    *(
        "errors",
        "untrusted",
        "schema",
        "npz",
        "disk",
        "layers",
        "views",
        "space",
        "spaces",
        "networks",
        "classification",
        "task",
        "config",
        "baselines",
        "config_checks_data",
        "config_checks",
        "config_io",
        "provenance",
        "run",
        "reuse",
        "console",
        "own_flags",
        "csv_text",
        "named_files",
        "transfer",
        "records",
        "tensorboard",
        "metrics",
        "resampling",
    ),
    *(
        "cluster",
        "hosts",
        "memory",
        "runtime",
        "devices",
        "data",
        "supernet",
        "hardware",
        "search",
        "deploy",
        "teachers",
        "report",
        "trained",
        "follower",
        "phases",
        "pipeline",
        "overrides",
        "evidence",
        "sweep",
    ),
    *("bench", "lut", "doctor", "cli", "__main__"),
)
NO_JAX = {
    *(
        "__init__",
        "errors",
        "untrusted",
        "schema",
        "npz",
        "disk",
        "layers",
        "space",
        "spaces",
        "networks",
        "config",
        "config_checks_data",
        "config_checks",
        "config_io",
        "provenance",
        "run",
        "reuse",
        "console",
        "own_flags",
        "csv_text",
        "named_files",
        "transfer",
        "records",
        "tensorboard",
        "metrics",
        "resampling",
        "cluster",
    ),
    *(
        "classification",
        "task",
        "baselines",
        "hardware",
        "search",
        "report",
        "overrides",
        "sweep",
        "lut",
        "cli",
        "__main__",
    ),
}
HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(text):
    """(dotted name, whether at module level) of every import in a source text."""
    tree = ast.parse(text)
    later = (ast.FunctionDef, ast.AsyncFunctionDef, ast.If)  # `if TYPE_CHECKING` is never true
    inside = {n for f in ast.walk(tree) if isinstance(f, later) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from danas_jax import run` imports danas_jax.run
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "danas_jax" else [node.module]
            yield from ((name, node not in inside) for name in names)


def violations(stage, text, module=""):
    """What is wrong with the imports of a module of `stage` (its file's or folder's name)."""
    found = []
    later = HEAVY if stage == "views" and not module.startswith("_") else {"tensorflow", "tensorflow_datasets"}
    for name, top in imported(text):
        root, _, rest = name.partition(".")
        if root == "danas_jax":
            other = rest.split(".")[0]
            if other in ORDER and other != stage and stage in ORDER and ORDER.index(other) > ORDER.index(stage):
                found.append(f"imports danas_jax.{other}, which stands below {stage}")
        elif stage in NO_JAX and root in HEAVY:
            found.append(f"imports {root}")
        elif root == "flax" and stage != "supernet":
            found.append("imports flax outside supernet/")
        elif top and root in later:
            found.append(f"imports {root} at module level")
    return found


def stage_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_keep_the_rules(path):
    assert violations(stage_of(path), path.read_text(), path.stem) == []


def test_every_module_has_its_place():
    stages = {stage_of(path) for path in FILES} - {"__init__"}
    assert stages <= set(ORDER), "a new stage: give it its place here and in docs/design.md"


def mapped(text):
    """The modules that docs/design.md's map names, as paths inside the package."""
    found, folder = set(), ""
    for line in text.split("```")[1].partition("\nconfigs/")[0].splitlines():
        if begins := re.match(r"  (?:([a-z/]+/)|\S)", line):
            folder = begins[1] or ""
        found |= {folder + name for name in re.findall(r"\w+\.py\b", line)}
    return found


def test_the_map_lists_every_module_and_no_other():
    modules = {path.relative_to(PACKAGE).as_posix() for path in FILES if path.name != "__init__.py"}
    assert mapped((PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")) == modules


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ("space", "from danas_jax.config import Config"),
        ("hardware", "import jax.numpy as jnp"),
        ("search", "def f():\n    from danas_jax import deploy"),
        ("deploy", "from flax import linen"),
        ("deploy", "import tensorflow as tf"),
        ("data", "import tensorflow_datasets as tfds"),
        ("cli", "def f():\n    import jax"),
        ("views", "import jax"),
    ],
)
def test_the_rules_catch_their_breach(stage, text):
    assert violations(stage, text)


def test_the_rules_allow_what_is_right():
    assert not violations(
        "deploy", "import jax\ndef f():\n    import tensorflow\nfrom danas_jax.hardware import boards"
    )
    assert not violations("supernet", "from flax import linen")


def test_a_fresh_interpreter_stays_without_jax():
    stages = [p for p in FILES if stage_of(p) in NO_JAX - {"__main__", "__init__"} and p.stem != "__init__"]
    stages += [p for p in FILES if stage_of(p) == "data" and p.stem not in ("batches", "feed", "mixing", "__init__")]
    names = [".".join(("danas_jax", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in stages]
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
