"""A file that a setting names, with its digest beside it: a teacher's model, weights to begin with. No jax."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from danas_jax import untrusted
from danas_jax.errors import UserError

MAX_FILE_BYTES = 2 * 2**30

S = TypeVar("S")


def resolved(
    settings: S,
    section: str,
    names: tuple[str, str],
    file_of: Callable[[Path, str], Path],
    digest_of: Callable[[Path, str], str],
) -> S:
    """The settings with the fields `names`: the file itself, absolute, and its digest.

    `file_of` finds the file that a path means, `digest_of` its digest; both raise UserError naming the field they get.
    A file that is gone keeps the digest it had: what is done needs it no more.
    """
    name, digest = names
    path = getattr(settings, name)
    if not path:
        changes: dict[str, Any] = {digest: ""}
    elif getattr(settings, digest) and not os.path.exists(path):
        return settings
    else:
        field = f"{section}.{name}"
        file = file_of(Path(os.path.abspath(os.path.expanduser(path))), field)
        changes = {name: str(file), digest: digest_of(file, field)}
    return dataclasses.replace(settings, **changes)  # ty: ignore[invalid-argument-type]


def content(path: Path | str, field: str) -> bytes:
    """The bytes of such a file; UserError naming `field` where it cannot be read."""
    try:
        return untrusted.read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"{field} = {path}: {error.strerror or error}") from error
