"""Types of a JSON document's fields: what is right passes, what is wrong is told by its place."""

import re

import pytest

from danas_jax import schema
from danas_jax.errors import UserError
from danas_jax.report.files import read_summary
from danas_jax.report.summary_schema import SUMMARY
from danas_jax.schema import NUMBER, Either

WANTED = {
    "a": int,
    "b?": NUMBER | None,
    "c": [{"d": str}],
    "e?": {str: Either(((NUMBER, NUMBER), type(None)))},
    "f?": bool,
    "g?": {"h": int, str: str},
}


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "c": []},
        {"a": -5, "b": 1.5, "c": [{"d": "x", "more": 1}], "other": 0},
        {"a": 0, "b": None, "c": [], "e": {"x": [1, 2.5], "y": None}, "f": True},
        {"a": 1, "c": [], "g": {"h": 1, "i": "x"}},
    ],
)
def test_what_is_right(value):
    schema.check(value, WANTED, "file")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "it = []: an object is right"),
        ({"c": []}, "a is missing"),
        ({"a": 1.0, "c": []}, "a = 1.0: int is right"),
        ({"a": True, "c": []}, "a = True: int is right"),
        ({"a": 2**63, "c": []}, f"a = {2**63}: a smaller number is right"),
        ({"a": 1, "b": "x", "c": []}, "b = 'x': int or float or null is right"),
        ({"a": 1, "c": {}}, "c = {}: a list is right"),
        ({"a": 1, "c": [{"d": "x"}, {"d": 3}]}, "c[1].d = 3: str is right"),
        ({"a": 1, "c": [{}]}, "c[0].d is missing"),
        ({"a": 1, "c": [], "e": {"x": [1]}}, "e.x = [1]: a list of 2 is right"),
        ({"a": 1, "c": [], "e": {"x": [1, "y"]}}, "e.x[1] = 'y': int or float is right"),
        ({"a": 1, "c": [], "f": 1}, "f = 1: bool is right"),
        ({"a": 1, "c": [], "g": {"i": "x"}}, "g.h is missing"),
        ({"a": 1, "c": [], "g": {"h": 1, "i": 2}}, "g.i = 2: str is right"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(value, message):
    with pytest.raises(UserError, match=f"^file: {re.escape(message)}$"):
        schema.check(value, WANTED, "file")


def test_a_summary_of_an_older_run_is_right():
    schema.check({"finalists": [{"name": "x", "accuracy": {"int8_test": 0.5}}], "times_s": {}}, SUMMARY, "x")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{"name": "../../x"}', "name = '../../x': give a path inside"),
        ('{"name": "x", "accuracy": {"search": "y"}}', r"finalists\[0\]\.accuracy\.search = 'y'"),
    ],
)
def test_a_summary_of_somebody_else(tmp_path, entry, message):
    (tmp_path / "summary.json").write_text(f'{{"schema_version": 1, "finalists": [{entry}]}}')
    with pytest.raises(UserError, match=message):
        read_summary(tmp_path)
