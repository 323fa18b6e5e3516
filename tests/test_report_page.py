"""The report of a finished run: in a browser, and number by number against the run's JSON files."""

import html as html_text
import json
import re
import shutil

import pytest

from danas_jax import disk, run
from danas_jax.report import html

PROSE = {"95", "1", "1,024", "64", "2"}  # of explanations: 95 %, 1 kB = 1,024 B, 64-bit
NUMBER = re.compile(r"(?<![\w.#/-])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")


def leaves(value):
    """Every number and text of a JSON value, keys included."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from leaves(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from leaves(inside)
    elif value is not None and not isinstance(value, bool):
        yield value


def of_run(folder):
    """(numbers, texts) of all JSON files of a run."""
    values = [disk.read_json(path) for path in folder.rglob("*.json") if "checkpoints" not in path.parts]
    values += run.read_metrics(folder)
    found = list(leaves(values))
    return {v for v in found if not isinstance(v, str)}, {v for v in found if isinstance(v, str)}


def written(number):
    """The ways in which the report may write a number."""
    yield from (str(number), f"{number:.1f}", f"{number:.2f}", f"{number:+.2f}", f"{number:.3f}", f"{number:.3g}")
    yield from (f"{number:,}", f"{100 * number:+.1f}", f"{number / 60:.1f}", f"{number:g}")
    for per in (1024, 1e6):
        yield from (f"{number / per:.1f}", f"{number / per:.2f}", f"{number / per:g}")


def embedded(page):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.S)[1])


def unknown(page, folder):
    """Numbers of a page that no JSON file of the run tells: raw ones of the charts, and those of any text."""
    numbers, texts = of_run(folder)
    data = embedded(page)
    charts = [v for chart in data["charts"].values() for s in chart["series"] for k in ("xs", "ys") for v in s[k]]
    charts += [v for c in data["charts"].values() for s in c["series"] for i in s["intervals"] or () for v in i or ()]
    charts += [limit["x"] for chart in data["charts"].values() for limit in chart["limits"]]
    charts += [layer[2] for network in data["networks"].values() for layer in network.get("layers", ())]
    generations = {i for budget in disk.read_json(folder / "search/pareto.json")["budgets"]
                   for i in range(1, len(budget["hypervolume"]) + 1)}  # fmt: skip
    found = [v for v in charts if v not in numbers | generations]
    shown = re.sub(r"<(script|style|head|pre)\b.*?</\1>", " ", page, flags=re.S)
    shown = html_text.unescape(re.sub(r"<[^>]*>", " ", shown))
    for network in data["networks"].values():
        network.pop("examples", None)  # their texts are names
    shown += " ".join(v for v in leaves([data["systems"], data["networks"]]) if isinstance(v, str) and "/" not in v)
    allowed = {text for number in numbers for text in written(number)} | PROSE
    allowed |= {number for text in texts for number in NUMBER.findall(text)}
    return [*found, *(number for number in NUMBER.findall(shown) if number not in allowed)]


def test_every_number_is_one_of_the_runs_files(run_with_baseline):
    page = (run_with_baseline / "report" / "index.html").read_text()
    assert len(NUMBER.findall(page)) > 300
    assert unknown(page, run_with_baseline) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("summary.json", r'"int8_test": 0\.\d+', '"int8_test": 0.123456'),
        ("search/pareto.json", r'"arena_device_bytes": \d+', '"arena_device_bytes": 987654321'),
        ("metrics.jsonl", r'"loss": [\d.]+', '"loss": 12345.678'),
        ("report/memory.json", r'(?<="live_bytes": \[\n)( +)\d+', r"\g<1>7654321"),
    ],
)
def test_a_number_of_another_run_is_found_out(run_with_baseline, tmp_path, file, old, new):
    other = tmp_path / "other"
    shutil.copytree(run_with_baseline, other, ignore=shutil.ignore_patterns("checkpoints", "qat"))
    text, count = re.subn(old, new, (other / file).read_text())
    assert count
    (other / file).write_text(text)
    page = html.write_report(other).read_text()
    assert unknown(page, other) == []
    assert unknown(page, run_with_baseline) != []


def test_the_page_shows_the_costs_peak_memory_and_validation_examples(run_with_baseline):
    summary, page = (
        disk.read_json(run_with_baseline / "summary.json"),
        (run_with_baseline / "report" / "index.html").read_text(),
    )
    memory, data = disk.read_json(run_with_baseline / "report/memory.json")["networks"], embedded(page)
    names = {entry["name"] for entry in summary["finalists"]}
    assert names <= set(memory)
    for entry in summary["finalists"]:
        profile = memory[entry["name"]]
        assert (
            max(profile["live_bytes"]) == profile["bottleneck"]["live_bytes"] == entry["predicted"]["peak_sram_bytes"]
        )
        assert sum(profile["macs"]) == entry["predicted"]["macs"]
        shown = data["networks"][entry["name"]]
        confusion = entry["figures"]["int8_test"]["confusion"]
        assert [[int(cell) for cell in row[1:]] for row in shown["confusion"]["rows"]] == confusion
    front = {c["id"] for b in disk.read_json(run_with_baseline / "search/pareto.json")["budgets"] for c in b["front"]}
    assert front <= set(data["networks"]) and all("layers" in data["networks"][name] for name in front)


def test_figures_for_papers_are_there_and_the_same_again(run_with_baseline):
    pytest.importorskip("matplotlib")
    folder = run_with_baseline / "report" / "figures"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    html.write_report(run_with_baseline)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    text = (run_with_baseline / "report" / "report.md").read_text()
    linked = re.findall(r"\]\(figures/([^)]*)\)", text)
    assert {"search_sram.png", "search_flash.png", "cost_model.png", "train_loss.png"} <= set(linked) <= set(before)
    assert all(before[name.replace(".png", ".svg")].startswith(b"<?xml") for name in linked)
    assert all(before[name].startswith(b"\x89PNG") for name in linked)
