"""What the report reads: the JSON files of a run directory, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danas_jax import disk, run, schema, untrusted
from danas_jax.report.summary_schema import SUMMARY

MEMORY, EXAMPLES, DIAGNOSTICS = "memory.json", "examples.json", "diagnostics.json"  # in <run>/report/, derived.py
TEACHER = "teacher.json"  # likewise, teacher_doubts.py
UNLABELLED = "unlabelled.json"  # likewise, teachers/unlabelled.py
File = Mapping[str, Any]


@dataclass(frozen=True)
class RunFiles:
    """The files as dictionaries, empty where a run has not come that far."""

    name: str
    summary: File = field(default_factory=dict)
    pareto: File = field(default_factory=dict)
    metrics: Sequence[File] = ()
    config: File = field(default_factory=dict)
    provenance: File = field(default_factory=dict)
    memory: File = field(default_factory=dict)
    examples: File = field(default_factory=dict)
    diagnostics: File = field(default_factory=dict)
    teacher: File = field(default_factory=dict)
    splits: File = field(default_factory=dict)
    unlabelled: File = field(default_factory=dict)
    exported: Mapping[str, File] = field(default_factory=dict)  # network's name -> its manifest
    emulated: Mapping[str, Sequence[File]] = field(default_factory=dict)  # name -> what it took on emulated cores

    @property
    def networks(self) -> list[File]:
        """The summary's entries, each network once: two budgets may have chosen the same."""
        return list({str(entry.get("name")): entry for entry in self.summary.get("finalists", [])}.values())

    @property
    def budgets(self) -> list[File]:
        """What each budget got."""
        return self.pareto.get("budgets", [])


def read_run(folder: Path) -> RunFiles:
    """The files of the run in `folder`; UserError when one is damaged."""
    read = {
        name: _read(folder / place)
        for name, place in (
            ("pareto", "search/pareto.json"),
            ("config", "config.json"),
            ("provenance", "provenance.json"),
            ("memory", f"report/{MEMORY}"),
            ("examples", f"report/{EXAMPLES}"),
            ("diagnostics", f"report/{DIAGNOSTICS}"),
            ("teacher", f"report/{TEACHER}"),
            ("splits", "splits.json"),
            ("unlabelled", f"report/{UNLABELLED}"),
        )
    }
    read["summary"] = read_summary(folder) if (folder / "summary.json").exists() else {}
    exports = [folder / "export" / str(entry.get("name")) for entry in read["summary"].get("finalists", [])]
    return RunFiles(
        name=str(read["summary"].get("name") or folder.resolve().name),
        metrics=run.read_metrics(folder),
        exported={export.name: _read(export / "manifest.json") for export in exports},
        emulated={export.name: [_read(path) for path in sorted(export.glob("emulated_*.json"))] for export in exports},
        **read,
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary.json of the run in `folder`, its fields' types checked; UserError naming the one that is wrong."""
    found = disk.read_json(folder / "summary.json")
    where = f"{folder / 'summary.json'} is damaged"
    schema.check(found, SUMMARY, where)
    for entry in found.get("finalists", []):
        if "name" in entry:
            untrusted.inside(folder / "export", entry["name"], f"{where}: name")
    return found


def _read(path: Path) -> dict[str, Any]:
    return disk.read_json(path) if path.exists() else {}
