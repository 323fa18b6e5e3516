"""Sweeps: what `sweep()` is made of, jobs as commands, wrong fields, and what the runs found in one table."""

import json
import os
import subprocess
import sys

import pytest

from danas_jax import cli, disk, run
from danas_jax.errors import UserError
from danas_jax.sweep import fields, plan, product, sample, zipped
from danas_jax.sweep.collect import collect

FILE = """
from danas_jax.config_io import load_config
from danas_jax.sweep import product, sample, zipped


def get_config():
    return load_config("quickstart")


def sweep():
    {body}
"""


def config_file(folder, body):
    path = folder / "swept.py"
    path.write_text(FILE.format(body=body))
    return str(path)


def test_product_zipped_and_sample():
    assert product(seed=(0, 1), train__epochs=range(2, 4)) == [
        {"seed": 0, "train.epochs": 2},
        {"seed": 0, "train.epochs": 3},
        {"seed": 1, "train.epochs": 2},
        {"seed": 1, "train.epochs": 3},
    ]
    assert zipped(seed=(0, 1), train__epochs=(5, 6)) == [
        {"seed": 0, "train.epochs": 5},
        {"seed": 1, "train.epochs": 6},
    ]
    every = product(seed=range(3), train__epochs=range(4))
    drawn = sample(5, 7, seed=range(3), train__epochs=range(4))
    assert drawn == sample(5, 7, seed=range(3), train__epochs=range(4))
    assert drawn != sample(5, 8, seed=range(3), train__epochs=range(4))
    assert len({json.dumps(values) for values in drawn}) == 5 and all(values in every for values in drawn)
    assert sorted(map(str, sample(12, 0, seed=range(3), train__epochs=range(4)))) == sorted(map(str, every))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: zipped(seed=(0, 1), train__epochs=(5,)), "seed has 2 values, train.epochs has 1 values"),
        (lambda: sample(3, 0, seed=(0, 1)), "count = 3: there are 2 combinations"),
        (lambda: product(data__source="npz"), "data__source = 'npz': a list of values"),
        (lambda: product(seed=3), "seed = 3: a list of values"),
    ],
)
def test_lists_of_values_that_do_not_fit(call, said):
    with pytest.raises(UserError, match=said):
        call()


def test_values_become_flags_and_names():
    np = pytest.importorskip("numpy")
    values = {
        "train.learning_rate": np.float64(1e-3),
        "train.full_resolution": False,
        "search.rerank_int8": True,
        "smoke": False,
        "limits.sram_bytes": (1, 2),
        "board": ("a", "b"),
    }
    assert fields.flags(values) == [
        *("--train.learning-rate", "0.001", "--train.no-full-resolution", "--search.rerank-int8"),
        *("--limits.sram-bytes", "1", "2", "--board", "a", "--board", "b"),
    ]
    assert fields.name({"seed": 0, "data.path": "/a b"}) == "seed-0_data.path--a-b"
    long = [fields.name({"data.path": "x" * 200 + end}) for end in "yz"]
    assert long[0] != long[1] and max(map(len, long)) < 120


def test_list_prints_a_command_for_each_job(tmp_path, capsys):
    config = config_file(tmp_path, "return product(seed=(0, 1), limits__sram_bytes=((32768, 65536),))")
    arguments = ["sweep", "list", config, "--dir", str(tmp_path / "out"), "--smoke"]
    assert cli.main(arguments) == 0
    name = "seed-1_limits.sram_bytes-32768-65536"
    assert capsys.readouterr().out.splitlines()[1] == (
        f"1: danas run {config} --smoke --seed 1 --limits.sram-bytes 32768 65536 --run-dir {tmp_path}/out/{name}"
    )
    assert cli.main([*arguments, "--json"]) == 0
    assert [job["name"] for job in json.loads(capsys.readouterr().out)["jobs"]][1] == name
    assert not (tmp_path / "out").exists()


def test_wrong_fields_are_named_with_their_jobs_all_at_once(tmp_path, capsys):
    body = """return [*zipped(train__epoch=(3,)), *zipped(seed=("a",)), {"train.optimiser": "adam"},
        {"search.population": 0}, {"command": "rank", "pool": "x"}, {"space.stages": 1}, {"seed": 4}]"""
    assert cli.main(["sweep", "list", config_file(tmp_path, body)]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = {
        "train.epoch-3": "--train.epoch",
        "seed-a": "--seed",
        "train.optimiser-adam": "'adamw', 'sgd'",
        "search.population-0": "search.population = 0",
        "command-rank_pool-x": "--pool",
        "space.stages-1": "--space.stages",
    }
    for line, (job, reason) in zip(lines, expected.items(), strict=True):
        assert f"job {job}: " in line and reason in line.split(f"job {job}: ")[1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return product(seed=(0, 0))", r"sweep\(\)\[1\] is the same job as sweep\(\)\[0\]: seed-0"),
        ("return [{'run_dir': 'x'}]", "run_dir"),
        ("return [{'command': 'sing'}]", "command = 'sing': give run or rank"),
        ("return []", "gives no jobs"),
        ("return [3]", r"sweep\(\)\[0\] = 3: a dictionary"),
        ("return 3", "swept.py.*TypeError"),
        ("yield {'seed': 1}\n    1 / 0", "swept.py, line 12: ZeroDivisionError"),
        ("return product(seed=3)", "swept.py: seed = 3"),
    ],
)
def test_sweeps_that_are_none(tmp_path, body, said):
    with pytest.raises(UserError, match=said):
        plan.load(config_file(tmp_path, body))


def test_a_config_without_sweep_is_told(tmp_path):
    with pytest.raises(UserError, match=r"quickstart.py: has no function sweep\(\)"):
        plan.load("quickstart")
    with pytest.raises(UserError, match="--run-dir"):
        plan.load(config_file(tmp_path, "return product(seed=(0, 1))"), tmp_path, ("--run-dir", "x"))


@pytest.mark.parametrize("variable", ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"])
def test_run_becomes_the_job_of_its_index(tmp_path, variable):
    config = config_file(tmp_path, "return product(seed=(0, 1), smoke=(False,))")
    code = (
        "import sys\nfrom danas_jax import cli\nfrom danas_jax.sweep import plan\n"
        "plan.DANAS = ('/bin/sh', '-c', 'echo \"$@\"; exit 3', 'sh')\nsys.exit(cli.main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), variable: "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", "run", config, "--dir", str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == f"run {config} --seed 1 --run-dir {tmp_path}/out/seed-1_smoke-False", done.stderr
    assert done.returncode == 3
    assert disk.read_json(tmp_path / "out/sweep.json")["jobs"][0]["name"] == "seed-0_smoke-False"


@pytest.mark.parametrize(("given", "said"), [([], "give --index, or set"), (["--index", "2"], "give 0 to 1")])
def test_an_index_that_is_none(tmp_path, monkeypatch, capsys, given, said):
    for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    config = config_file(tmp_path, "return product(seed=(0, 1))")
    assert cli.main(["sweep", "run", config, "--dir", str(tmp_path / "out"), *given]) == 2
    assert said in capsys.readouterr().err


def entry(name, sram_bytes, accuracy, arena, macs):
    budget = None
    if sram_bytes:
        budget = {"sram_bytes": sram_bytes, "flash_bytes": None, "macs": None, "latency_ms": None, "board": ""}
    return {
        "id": name,
        "name": name,
        "kind": "candidate" if budget else "baseline",
        "genes": None,
        "data": {"resolution_px": 32, "colour": "mono"},
        "arch": {},
        "budget": budget,
        "predicted": {"arena_device_bytes": arena, "macs": macs},
        "measured": {},
        "accuracy": {"int8_validation": accuracy, "int8_test": 0.5},
    }


def finished(folder, *entries, classes=("no", "yes")):
    disk.write_json(folder / "config.json", {})
    disk.write_json(
        folder / "summary.json",
        {"name": "q", "seed": 1, "search_metric": "accuracy", "classes": classes, "finalists": entries},
    )


@pytest.fixture
def sweep(tmp_path):
    config = config_file(tmp_path, "return product(seed=range(6))")
    found = plan.load(config, tmp_path / "out")
    plan.write_plan(found)
    return found


def test_collect_is_one_table_by_budget_and_one_front(sweep, capsys):
    finished(sweep.folder / "seed-0", entry("big", 65536, 0.9, 60000, 9e6), entry("fixed", 0, 0.8, 50000, 9e6))
    finished(sweep.folder / "seed-1", entry("small", 24576, 0.8, 20000, 1e6), entry("worse", 24576, 0.7, 20000, 1e6))
    finished(sweep.folder / "seed-2", entry("untold", 24576, None, 20000, 1e6))
    finished(sweep.folder / "seed-3", {"id": "x"})
    (sweep.folder / "seed-4").mkdir()
    disk.write_json(sweep.folder / "seed-4/config.json", {})
    finished(sweep.folder / "by-hand", entry("extra", 32768, 0.85, 30000, 2e6), classes=("a", "b"))
    with run.lock(sweep.folder / "seed-4"):
        found = collect(sweep.folder)
    assert [(row["job"], row["name"], row["on_front"]) for row in found["rows"]] == [
        ("seed-1", "small", True),
        ("seed-1", "worse", False),
        ("seed-2", "untold", False),
        ("by-hand", "extra", True),
        ("seed-0", "big", True),
        ("seed-0", "fixed", False),
    ]
    assert {row["job"]: row["state"] for row in found["unfinished"]} == {
        "seed-3": "damaged",
        "seed-4": "running",
        "seed-5": "missing",
    }
    assert found["notes"] == ["other classes or another metric, so not to be compared: seed-0, by-hand"]
    (sweep.folder / "seed-5").mkdir()
    (sweep.folder / "seed-5" / "summary.json").write_text("{")
    assert cli.main(["sweep", "collect", str(sweep.folder)]) == 0
    shown = capsys.readouterr().out
    assert "seed-4: stopped" in shown and "seed-5: damaged" in shown and "32 px mono" in shown
    assert cli.main(["sweep", "collect", str(sweep.folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 6


@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        (None, "finalists[0].predicted = None"),
        ({"macs": {}}, "finalists[0].predicted.macs = {}"),
        ({"latency_shares": {"lookup": ""}}, "finalists[0].predicted.latency_shares.lookup = ''"),
    ],
)
def test_collect_names_the_field_of_a_damaged_summary(sweep, predicted, said):
    finished(sweep.folder / "seed-0", {**entry("big", 65536, 0.9, 60000, 9e6), "predicted": predicted})
    found = collect(sweep.folder)
    assert not found["rows"] and found["unfinished"][0]["state"] == "damaged"
    assert said in found["unfinished"][0]["why"]


def test_collect_goes_on_with_a_damaged_plan_and_refuses_other_folders(sweep, tmp_path):
    finished(sweep.folder / "seed-0", entry("big", 65536, 0.9, 60000, 9e6))
    (sweep.folder / "sweep.json").write_text("[")
    found = collect(sweep.folder)
    assert len(found["rows"]) == 1 and "sweep.json is damaged" in found["notes"][0]
    jobs = [{"name": "../elsewhere", "command": "run"}]
    (sweep.folder / "sweep.json").write_text(json.dumps({"schema_version": 1, "jobs": jobs}))
    found = collect(sweep.folder)
    assert not found["unfinished"] and "name of a job = '../elsewhere': give a path inside" in found["notes"][0]
    (tmp_path / "empty").mkdir()
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "not a sweep's folder")):
        with pytest.raises(UserError, match=said):
            collect(folder)


def test_collect_merges_the_tables_of_jobs_that_rank(tmp_path):
    ranks = plan.load(
        config_file(tmp_path, "return product(command=['rank'], seeds=((0,), (1,), (2,)))"), tmp_path / "out"
    )
    plan.write_plan(ranks)
    plan.check(ranks)
    header = "key,system,seed\n"
    for job, text in zip(
        ranks.jobs, (header + "a,x,0\nb,y,0\n", header + "b,y,0\nc,x,1\n", "key,other\n"), strict=True
    ):
        disk.write_text(ranks.folder / job.name / "rank/trained.csv", text)
        disk.write_json(ranks.folder / job.name / "rank/rank.json", {})
    found = collect(ranks.folder)
    assert found["ranked"] == {"networks": 3, "table": str(ranks.folder / "trained.csv")}
    assert (ranks.folder / "trained.csv").read_text() == header + "a,x,0\nb,y,0\nc,x,1\n"
    assert [row["job"] for row in found["unfinished"]] == [ranks.jobs[2].name] and found["rows"] == []


def test_a_job_is_done_only_for_the_config_that_made_it(sweep):
    job, other = sweep.jobs[:2]
    configs = plan.check(sweep)
    assert not plan.is_done(sweep, job, configs[job.name])
    run.open_run(configs[job.name])
    disk.write_text(sweep.folder / job.name / "report/index.html", "")
    assert plan.is_done(sweep, job, configs[job.name])
    assert not plan.is_done(sweep, job, configs[other.name])


def test_a_claim_is_of_one_process_until_it_ends(sweep):
    job = sweep.jobs[0]
    claimed = plan.claim(sweep, job)
    assert claimed is not None and plan.claim(sweep, job) is None
    with subprocess.Popen(["sleep", "99"], pass_fds=(claimed,)) as process:
        os.close(claimed)
        assert plan.claim(sweep, job) is None
        process.kill()
    again = plan.claim(sweep, job)
    assert again is not None
    os.close(again)


@pytest.mark.slow
def test_a_sweep_of_two_small_runs_from_start_to_table(tmp_path, repository, capsys):
    config = config_file(tmp_path, "return product(seed=(0, 1), smoke=(True,))")
    command = [
        sys.executable,
        str(repository / "launch/local.py"),
        config,
        "--dir",
        str(tmp_path / "out"),
        "--workers",
        "2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    first = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.stdout.count("done before") == 2
    assert cli.main(["sweep", "collect", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["unfinished"] and {row["seed"] for row in found["rows"]} == {0, 1}
    assert any(row["on_front"] for row in found["rows"])
