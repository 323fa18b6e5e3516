"""Accuracies that were measured once, kept beside the supernet: a second search of it does not measure them again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import untrusted
from danas_jax.errors import UserError

SCHEMA_VERSION = 1
Evaluate = Callable[[np.ndarray, str], np.ndarray]  # (genes [N, G], tier) -> accuracy [N]; tiers: runner.py


class AccuracyCache:
    """Accuracies by (genes, tier) in a JSONL file whose first line names what they depend on.

    `key` stands for the supernet's weights and the images it is measured on; a file of another key is started anew.
    A line torn by a kill is dropped. UserError when the file cannot be written.
    """

    def __init__(self, path: Path | str, key: str):
        self.path = Path(path)
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        header: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "key": key}
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        whole: list[dict[str, Any]] = [record for line in lines if (record := _record(line)) is not None]
        if not whole or whole[0] != header:
            whole = [header]
        whole[1:] = [record for record in whole[1:] if "tier" in record]
        self._known = {(r["tier"], tuple(r["genes"])): float(r["accuracy"]) for r in whole[1:]}
        # Rewritten: a torn line would swallow the next one appended to it.
        self._write("".join(json.dumps(record) + "\n" for record in whole), "w")

    def __len__(self) -> int:
        return len(self._known)

    def over(self, evaluate: Evaluate, progress: Callable[[int], None] = lambda known: None) -> Evaluate:
        """`evaluate` that asks only for what is not known; `progress` hears how many were. NaN is never kept."""

        def cached(genes: np.ndarray, tier: str) -> np.ndarray:
            keys = [(tier, tuple(int(g) for g in row)) for row in genes]
            missing = np.array([i for i, key in enumerate(keys) if key not in self._known], dtype=np.int64)
            progress(len(genes) - len(missing))
            accuracy = np.array([self._known.get(key, np.nan) for key in keys])
            if missing.size:
                accuracy[missing] = evaluate(genes[missing], tier)
                lines = []
                for i in missing:
                    if not np.isnan(accuracy[i]):
                        self._known[keys[i]] = float(accuracy[i])
                        lines.append({"tier": tier, "genes": list(keys[i][1]), "accuracy": float(accuracy[i])})
                self._write("".join(json.dumps(line) + "\n" for line in lines), "a")
            return accuracy

        return cached

    def _write(self, text: str, mode: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, mode, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); the same command resumes") from error


def _record(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None for an empty, torn or damaged one."""
    try:
        record = untrusted.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or set(record) == {"schema_version", "key"}:
        return record if isinstance(record, dict) else None
    genes, accuracy = record.get("genes"), record.get("accuracy")
    right = set(record) == {"tier", "genes", "accuracy"} and isinstance(record["tier"], str)
    right = right and isinstance(genes, list) and all(type(gene) is int for gene in genes)
    return record if right and isinstance(accuracy, int | float) and 0 <= accuracy <= 1 else None
