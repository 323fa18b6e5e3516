"""How well a table predicts whole networks that were timed end to end, beside a line over their MACs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware import lut
from danas_jax.hardware.graph import total_macs
from danas_jax.lut import measured
from danas_jax.metrics import kendall_tau

HIT = 0.1  # a prediction within this share of the measured time is a hit
LEAST = 3  # networks; a line through two of them says nothing of a third


def figures(error: np.ndarray, tau: float) -> dict[str, float | None]:
    """What is printed of relative errors [N]; `kendall_tau` is None where the times do not differ."""
    size = np.abs(error)
    return {
        "error_median_pct": float(100 * np.median(size)),
        "error_mean_pct": float(100 * np.mean(size)),
        "error_max_pct": float(100 * np.max(size)),
        "hit_rate": float(np.mean(size <= HIT)),
        "kendall_tau": None if np.isnan(tau) else tau,
    }


def macs_line_errors(macs: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Relative errors [N] of a + b * MACs, each network by the line through all others.

    The line has the least squared relative errors, the best case for it. Leaving one out of a least-squares fit
    multiplies its residual by 1 / (1 - leverage).
    """
    scale = max(float(np.max(macs)), 1.0)
    a = np.column_stack([1 / ms, macs / scale / ms])
    inverse = np.linalg.pinv(a)
    residual = a @ inverse.sum(axis=1) - 1
    leverage = np.einsum("ij,ji->i", a, inverse)
    return residual / np.maximum(1 - leverage, 1e-9)


def pace(table_info: Mapping, header: Mapping) -> float | None:
    """Time of the reference inference when the networks were timed, over that when the table was; None where a file
    does not say (only those of `danas lut measure` and `time` do)."""
    now, then = header.get("reference_ms"), table_info.get("reference_ms")
    known = isinstance(now, int | float) and isinstance(then, int | float) and then > 0
    return now / then if known else None


def check(table_path: Path | str, measured_path: Path | str) -> dict:
    """What `danas lut check` prints (JSON-ready; docs/lut.md has the keys).

    Raises UserError for bad files, fewer than LEAST networks, and when the two say that they are of different boards
    or runtimes.
    """
    table = lut.load(table_path)
    header, rows = measured.read(measured_path)
    if len(rows) < LEAST:
        raise UserError(f"{measured_path}: {len(rows)} networks, give {LEAST} or more")
    for field in ("board", "runtime"):
        theirs, ours = header.get(field), getattr(table, field)
        if theirs is not None and theirs != ours:
            raise UserError(f"{measured_path}: {field} is {theirs!r}, the table's is {ours!r}")
    graphs = [network.graph for network in rows]
    latencies = [lut.predict(table, graph) for graph in graphs]
    ms = np.array([row.ms for row in rows.values()])
    predicted = np.array([latency.total_ms for latency in latencies])
    macs = np.array([total_macs(graph) for graph in graphs], np.float64)
    shares = ("looked_up_share", "interpolated_share", "fallback_share")
    total = predicted.sum()
    return {
        "schema_version": 1,
        "table": {"board": table.board, "runtime": table.runtime, "rows": len(table.rows), **table.info},
        "measured": header,
        "networks": len(rows),
        **{s: sum(getattr(x, s) * x.total_ms for x in latencies) / total if total else 0.0 for s in shares},
        "fallback_basis": table.fallback.basis,
        "pace": pace(table.info, header),
        "estimated_rows": sum(not row.readings for row in table.rows.values()),
        "estimated_networks": sum(not row.readings for row in rows.values()),
        "lookup": figures(predicted / ms - 1, kendall_tau(predicted, ms)),
        "macs_line": figures(macs_line_errors(macs, ms), kendall_tau(macs, ms)),
        "rows": [
            {"network": str(network), "macs": int(count), "measured_ms": row.ms, "predicted_ms": float(guess)}
            for (network, row), count, guess in zip(rows.items(), macs, predicted, strict=True)
        ],
    }
