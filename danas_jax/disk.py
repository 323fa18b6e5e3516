"""Files of danas: written whole or not at all, and read with a clear word where they are missing or damaged.

Everything here may be killed at any instant: a file is either the old one or the new one, never half of each.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from danas_jax import untrusted
from danas_jax.errors import UserError

SCHEMA_VERSION = 1
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # what tempfile makes of the names that `write_bytes` gives


@contextlib.contextmanager
def writing(path: Path | str) -> Generator[None]:
    """Turn an OSError while writing `path` (full disk, no permission ...) into a UserError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"disk full: cannot write {path}; free some space and run the same command again, it resumes"
            ) from error
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically: readers and crashes see the old content or the new, nothing between."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Same folder, because os.replace is atomic only inside one file system.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_arrays(path: Path | str, tree: dict) -> None:
    """Write nested dictionaries of arrays atomically as .npz; a leaf's name is its path, a/b/c."""
    import numpy as np  # here, because most commands need none

    def leaves(node: Any, name: str) -> Generator[tuple[str, Any]]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from leaves(value, f"{name}/{key}" if name else str(key))
        else:
            yield name, np.asarray(node)

    buffer = io.BytesIO()
    np.savez(buffer, **dict(leaves(tree, "")))
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path | str) -> dict:
    """Read what `write_arrays` wrote; UserError naming the file when it is missing or damaged. Never unpickles."""
    from danas_jax import npz  # here, because most commands need no NumPy

    tree: dict = {}
    with npz.opened(path) as file:
        for name in file.names:
            *parents, last = name.split("/")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
                if not isinstance(node, dict):
                    raise UserError(f"{path} is damaged: {name} is below an array")
            node[last] = file.array(name)
    return tree


def plain(value: Any) -> Any:
    """`value` for JSON: of NumPy (without importing it) and of paths; TypeError for what else is none."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def write_json(path: Path | str, obj: dict, compact: bool = False) -> None:
    """Write a dictionary atomically as JSON, keys sorted; adds `schema_version`. NaN and infinity are refused.

    `compact`: on one line, for what is large and nobody reads.
    """
    obj = {"schema_version": SCHEMA_VERSION, **obj}
    form: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 2}
    write_text(path, json.dumps(obj, sort_keys=True, allow_nan=False, default=plain, **form) + "\n")


def read_json(path: Path | str, remedy: str = "") -> dict:
    """Read what `write_json` wrote; UserError naming the file when missing, damaged or of another schema version.

    `remedy`: what the user can do about it, the end of the message.
    """
    end = f"; {remedy}" if remedy else ""
    try:
        obj = untrusted.loads(untrusted.read_bytes(path, untrusted.MAX_JSON_BYTES))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}){end}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}{end}") from error
    if not isinstance(obj, dict):
        raise UserError(f"{path} is damaged: a JSON object is expected, found {type(obj).__name__}{end}")
    version = obj.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version is {version!r}, this danas reads {SCHEMA_VERSION}{end}")
    return obj
