"""The page and the table: numbers from the files, text escaped, nothing fetched."""

import base64
import hashlib
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from danas_jax import disk, run
from danas_jax.report import html, paper, svg, table
from danas_jax.report.blocks import Axis, Chart, Point
from danas_jax.report.files import RunFiles
from danas_jax.report.sections import curves, search

BUDGET = {"sram_bytes": 65536, "flash_bytes": 524288, "macs": None, "latency_ms": None, "board": ""}
SUMMARY = {
    "name": "demo <&>",
    "seed": 3,
    "classes": ["cat", "dog"],
    "finalists": [
        {
            "id": "abc",
            "name": "abc",
            "kind": "candidate",
            "data": {"resolution_px": 48, "colour": "mono"},
            "budget": BUDGET,
            "predicted": {"macs": 1_234_567, "arena_device_bytes": 20480, "arena_host_bytes": 22528},
            "measured": {"arena_bytes": 21504, "file_bytes": 51200},
            "accuracy": {"int8_test": 0.8125, "int8_test_interval": [0.75, 0.875], "search": None},
            "files": {
                "tflite": "export/abc/model_int8.tflite",
                "header": "../../etc/passwd",
                "manifest": "javascript:x",
            },
        },
        {"id": "m", "name": "mobilenet", "kind": "baseline", "data": {"resolution_px": 96, "colour": "rgb"}},
    ],
    "comparisons": [{"finalist": "abc", "baseline": "m", "difference": 0.031, "interval": [0.01, 0.05]}],
    "times_s": {"train": 90.0},
}


def overall(images, accuracy, auc):
    interval = [accuracy - 0.1, accuracy + 0.1]
    return {
        "images": images,
        "accuracy": accuracy,
        "accuracy_interval": interval,
        "balanced_accuracy": 0.7125,
        "f1": 0.6125,
        "auc": auc,
    }


def figures(accuracy):
    per_class = [
        {"class": "cat", "images": 1200, "recall": 0.75, "precision": 0.5, "f1": 0.6},
        {"class": "<dog>", "images": 0, "recall": None, "precision": 0.25, "f1": None},
    ]
    slices = {"source": {"flickr": overall(7, 0.4375, None), "": overall(5, 0.3125, 0.9375)}}
    confusion = [[1111, 89], [0, 0]]
    return {**overall(1200, accuracy, 0.8125), "per_class": per_class, "confusion": confusion, "slices": slices}


RATES = {
    "detection_rate": 0.8125,
    "detection_rate_interval": [0.75, 0.875],
    "positives": 1300,
    "false_alarm_rate": 0.0625,
    "false_alarm_rate_interval": [0.03125, 0.125],
    "negatives": 900,
}
POINT = {"positive_class": "<dog>", "threshold_codes": -3, "max_false_alarm_rate": 0.1, "test": RATES}


def with_figures():
    """SUMMARY, its candidate with figures and chosen by two budgets."""
    kinds = {"float_validation": figures(0.6875), "int8_validation": figures(0.6625), "int8_test": figures(0.65)}
    entry = {**SUMMARY["finalists"][0], "figures": kinds, "operating_point": POINT}
    return {**SUMMARY, "finalists": [entry, entry, SUMMARY["finalists"][1]]}


def without_plotly(page):
    """A page but for the text of its first script."""
    return re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.S)


def texts(page):
    """Rows of a page's tables as lists of text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)] for row in rows]


def test_the_page_shows_what_each_network_gets_right(finished):
    disk.write_json(finished / "summary.json", with_figures())
    page = html.write_report(finished).read_text()
    rows = texts(page)
    for row in (
        ["validation, float", "1,200", "0.688 [0.588, 0.787]", "0.713", "0.613", "0.812"],
        ["test, int8", "1,200", "0.650 [0.550, 0.750]", "0.713", "0.613", "0.812"],
        ["cat", "1,200", "0.750", "0.500", "0.600"],
        ["&lt;dog&gt;", "0", table.DASH, "0.250", table.DASH],
        ["cat", "1,111", "89"],
        ["source", "images", "accuracy [95 %]", "balanced accuracy", "F1", "ROC-AUC"],
        ["flickr", "7", "0.438 [0.338, 0.537]", "0.713", "0.613", table.DASH],
        ["(none)", "5", "0.312 [0.212, 0.412]", "0.713", "0.613", "0.938"],
    ):
        assert rows.count(row) == 1, row
    assert (
        "Test: operating point &lt;dog&gt; from -3 codes on: detects 0.812 [0.750, 0.875] of 1,300 &lt;dog&gt;, "
        "false alarms 0.062 [0.031, 0.125] of 900 others." in page
    )


def test_the_table_says_each_operating_point_once(capsys):
    table.print_table(with_figures(), Console(width=200))
    shown = capsys.readouterr().out
    assert shown.count("abc at its operating point, on test: 0.812 of <dog> detected, 0.062 false alarms") == 1
    table.print_table(SUMMARY, Console(width=200))
    assert "operating point" not in capsys.readouterr().out


def candidate(number, arena, half, full=None):
    return {
        "id": f"c{number}",
        "data": {"resolution_px": 48, "colour": "rgb"},
        "accuracy": {"half": half, "full": full},
        "costs": {"arena_device_bytes": arena},
    }


PARETO = {
    "budgets": [
        {
            "budget": BUDGET,
            "front": [candidate(i, 10_000 * i, 0.5 + 0.05 * i) for i in range(1, 6)],
            "reranked": [candidate(5, 50_000, 0.75, 0.7)],
            "finalists": ["c5"],
        }
    ]
}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """They take a second, and test_report_page.py looks at them."""
    monkeypatch.setattr(paper, "draw", lambda folder, charts: [])


@pytest.fixture
def finished(tmp_path):
    disk.write_json(tmp_path / "summary.json", SUMMARY)
    disk.write_json(tmp_path / "search/pareto.json", PARETO)
    for step in range(50):
        run.append_metrics(tmp_path, {"phase": "train", "step": step, "loss": 1 / (1 + step)})
    return tmp_path


def test_the_page_holds_the_numbers_and_fetches_nothing(finished):
    page = html.write_report(finished).read_text()
    for text in (
        "0.812 [0.750, 0.875]",
        "1.23 M",
        "20.0 kB / 22.0 kB",
        "21.0 kB",
        "50.0 kB",
        "64 kB SRAM",
        "mobilenet",
    ):
        assert text in page, text
    assert "demo &lt;&amp;&gt;" in page
    assert "<&>" not in without_plotly(page)
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|@import|url\(", without_plotly(page))
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_page_runs_its_own_scripts_only(finished):
    page = html.write_report(finished).read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    allowed = re.findall(r"'sha256-([^']*)'", re.search(r'content="([^"]*)"', page)[1])
    assert allowed == [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert "unsafe-inline" not in page.split("script-src")[1].split(">")[0]


def test_texts_cannot_leave_the_data_of_the_script(finished):
    summary = json.loads(json.dumps(SUMMARY).replace("mobilenet", "</script><script>alert(1)</script>"))
    disk.write_json(finished / "summary.json", summary)
    page = html.write_report(finished).read_text()
    assert "<script>alert" not in page
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.S)[1]
    assert "</script><script>alert(1)</script>" in json.loads(inside)["systems"]


def test_without_plotly_the_charts_are_pictures_and_the_page_says_so(finished, monkeypatch):
    assert "pip install" not in html.write_report(finished).read_text()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    path = html.write_report(finished)
    page = path.read_text()
    assert "interactive ones need plotly" in page
    assert page.count("<svg") == len(re.findall("<figure", page)) > 4
    assert path.stat().st_size < 200_000


def test_report_md_holds_the_numbers_and_says_that_figures_are_missing(finished):
    text = html.write_report(finished).with_name("report.md").read_text()
    assert "| 0.812 [0.750, 0.875] | 1.23 M |" in text
    assert "# demo &lt;&amp;>" in text
    assert "No figures: they need matplotlib" in text and "![" not in text


def test_what_was_searched_for_has_its_name(finished, capsys):
    assert "search F1" not in html.write_report(finished).read_text()
    disk.write_json(finished / "summary.json", {**SUMMARY, "search_metric": "f1"})
    disk.write_json(finished / "search/pareto.json", {**PARETO, "metric": "f1"})
    page = html.write_report(finished).read_text()
    assert '<th scope="col" class=number>search F1 [95 %]</th>' in page
    assert "Search F1 over tensor arena" in page and "Exact supernet F1 on the" in page
    table.print_table({**SUMMARY, "search_metric": "f1"}, Console(width=200))
    assert "search F1" in capsys.readouterr().out


def test_links_stay_inside_the_run(finished):
    page = html.write_report(finished).read_text()
    links = [link for link in re.findall(r'href="([^"]*)"', without_plotly(page)) if not link.startswith("#")]
    assert links == ["../export/abc/model_int8.tflite"]


def test_an_unfinished_run_gets_a_page_too(tmp_path):
    assert "No finalists yet" in html.write_report(tmp_path).read_text()


def test_the_table_shows_every_network_and_what_is_missing_as_a_dash(capsys):
    table.print_table(SUMMARY, Console(width=200))
    shown = capsys.readouterr().out
    assert "0.812 [0.750, 0.875]" in shown
    baseline = next(line for line in shown.splitlines() if "mobilenet" in line and "96 px" in line)
    assert baseline.count(table.DASH) >= 5
    assert "abc minus mobilenet: +3.1 points of int8 test accuracy, 95 % interval [+1.0, +5.0] (above)" in shown


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [([-0.02, 0.05], "no difference shown"), ([-0.05, -0.01], "below"), ([0.01, 0.02], "above")],
)
def test_comparisons_say_what_the_interval_allows(interval, verdict):
    summary = {"comparisons": [{"finalist": "a", "baseline": "b", "difference": 0.0, "interval": interval}]}
    assert table.comparison_lines(summary)[0].endswith(f"({verdict})")


def test_the_pareto_picture_is_well_formed_and_marks_each_candidate():
    root = ElementTree.fromstring(svg.svg(search.over_costs(RunFiles("", pareto=PARETO))[0]))
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "c1: 48 px rgb, 9.8 kB, 0.550" in titles
    # on the front and as a finalist, with the whole slice's accuracy
    assert titles.count("c5: 48 px rgb, 48.8 kB, 0.700") == 2
    assert any("SRAM limit" in t for t in titles)


def test_a_plot_without_points_says_so():
    assert "nothing to show yet" in svg.svg(Chart("empty", "empty", Axis("x"), Axis("y"), []))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.61, 0.87), (10, 65_000), (-3, 3), (1e-6, 2e-6)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = svg.nice_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert all(low - 1e-9 * abs(low) <= t <= high * (1 + 1e-9) for t in ticks)


def test_long_curves_keep_points_of_the_run_and_the_last_one():
    points = [Point(i, 0.5 * i) for i in range(5 * curves.MOST_POINTS + 3)]
    kept = curves.curve("loss", points).points
    assert curves.MOST_POINTS / 2 < len(kept) <= curves.MOST_POINTS
    assert set(kept) <= set(points)
    assert kept[-1] == points[-1]
