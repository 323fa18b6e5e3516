"""The launchers: local workers share jobs and take killed ones again; scripts for SLURM, TPUs and Kubernetes."""

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from danas_jax import cli, disk, run
from danas_jax.cluster import Cluster, cluster_of
from danas_jax.errors import UserError
from danas_jax.sweep import plan

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
CONFIG = """
from danas_jax.config_io import load_config
from danas_jax.sweep import product


def get_config():
    return load_config("quickstart")


def sweep():
    return product(seed=range({count}))
"""
# In place of danas: notes who ran what, and does what the sweep's folder asks for.
FAKE = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[-1])
home, name = folder.parent, folder.name
with open(home / "ran", "a") as file:
    file.write(f"{name} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
def save(number, frame):
    (home / f"saved {name}").touch()
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
(home / f"parent {name}").write_text(str(os.getppid()))
(home / f"hosts {name}").write_text(os.environ.get("DANAS_HOSTS", ""))
os.mkdir(home / f"at {name}")  # fails where another process is at the same job
time.sleep(0.1)
while (home / f"hold {name}").exists():
    time.sleep(0.02)
os.rmdir(home / f"at {name}")
if (home / f"die {name}").exists():
    (home / f"die {name}").unlink()
    os.kill(os.getpid(), signal.SIGKILL)
print("my last words")
sys.exit(2 if (home / f"fail {name}").exists() else 0)
"""


def launcher(name):
    spec = importlib.util.spec_from_file_location(f"launch_{name}", LAUNCH / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def local():
    return launcher("local")


@pytest.fixture
def slurm():
    pytest.importorskip("submitit")
    return launcher("slurm")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Four jobs of a program that only sleeps."""
    return swept(tmp_path, monkeypatch, 4)


def swept(folder, monkeypatch, count):
    fake = folder / "fake.py"
    fake.write_text(FAKE)
    monkeypatch.setattr(plan, "DANAS", (sys.executable, str(fake)))
    config = folder / "swept.py"
    config.write_text(CONFIG.format(count=count))
    (folder / "out").mkdir()
    return plan.load(str(config), folder / "out")


def ran(sweep):
    path = sweep.folder / "ran"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.02)


def test_workers_share_the_jobs_each_with_its_gpu(sweep, local, capsys):
    assert local.work(sweep, [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "7"}]) == 0
    lines = ran(sweep)
    assert [line.split()[0] for line in lines] == ["seed-0", "seed-1", "seed-2", "seed-3"]
    assert {line.split()[1] for line in lines} == {"5", "7"}
    assert "my last words" in (sweep.folder / "logs/seed-3.log").read_text()
    assert disk.read_json(sweep.folder / plan.PLAN)["jobs"][3]["flags"] == ["--seed", "3"]


def test_two_launchers_never_have_the_same_job_at_a_time(sweep, local):
    """A job that another launcher has is waited for, and not taken while its process lives."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
        f"from test_launch import launcher\nfrom danas_jax.sweep import plan\nplan.DANAS = {plan.DANAS!r}\n"
        f"sys.exit(launcher('local').work(plan.load({sweep.config!r}, Path({str(sweep.folder)!r})), [{{}}]))"
    )
    (sweep.folder / "hold seed-0").touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as other:
        wait_for(sweep.folder / "at seed-0")
        other.kill()  # its run goes on, and keeps the job
        other.wait()
        assert plan.claim(sweep, sweep.jobs[0]) is None
        release = threading.Timer(1.0, (sweep.folder / "hold seed-0").unlink)
        release.start()
        assert local.work(sweep, [{}, {}]) == 0
    # The fake leaves no result, so the first job was run again; at the same time it would have failed.
    assert [line.split()[0] for line in ran(sweep)] == ["seed-0", "seed-0", "seed-1", "seed-2", "seed-3"]


def test_a_killed_workers_job_is_taken_again_and_a_failed_one_is_not(sweep, local, capsys):
    (sweep.folder / "die seed-1").touch()
    (sweep.folder / "fail seed-2").touch()
    assert local.work(sweep, [{}]) == 1
    names = [line.split()[0] for line in ran(sweep)]
    assert [names.count(job.name) for job in sweep.jobs] == [1, 2, 1, 1]
    out = capsys.readouterr().out
    assert "seed-1: killed by signal 9" in out and "taken again" in out
    assert "seed-2: failed, exit code 2: my last words" in out and "failed: seed-2\n" in out


def test_jobs_that_are_done_are_left_out(tmp_path, monkeypatch, local, capsys):
    sweep = swept(tmp_path, monkeypatch, 2)
    run.open_run(plan.check(sweep)["seed-0"])
    disk.write_text(sweep.folder / "seed-0/report/index.html", "")
    assert local.work(sweep, [{}]) == 0
    assert ran(sweep) == ["seed-1 "] and "seed-0: done before" in capsys.readouterr().out
    assert (sweep.folder / "hosts seed-1").read_text() == "off"  # a job is of one process, whoever started local.py


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_runs_once_and_they_save(tmp_path, monkeypatch, local, capsys, number):
    sweep = swept(tmp_path, monkeypatch, 3)
    for job in sweep.jobs:
        (sweep.folder / f"hold {job.name}").touch()

    def interrupt():
        for name in ("seed-0", "seed-1"):
            wait_for(sweep.folder / f"at {name}")
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    before = signal.getsignal(number)
    assert local.work(sweep, [{}, {}]) == 3
    assert signal.getsignal(number) == before
    assert sorted(path.name for path in sweep.folder.glob("saved *")) == ["saved seed-0", "saved seed-1"]
    assert "3 jobs left" in capsys.readouterr().out and len(ran(sweep)) == 2


def test_wrong_fields_start_nothing(sweep, local, capsys):
    config = Path(sweep.config)
    config.write_text(config.read_text().replace("seed=range(4)", "seed=range(2), train__epoch=(1,)"))
    assert local.main([str(config), "--dir", str(sweep.folder)]) == 2
    assert "job seed-0_train.epoch-1: Unrecognized options: --train.epoch" in capsys.readouterr().err
    assert local.main([str(config), "--workers", "0"]) == 2
    assert list(sweep.folder.iterdir()) == []


def test_the_dry_run_prints_an_array_script_without_slurm(sweep, slurm, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    arguments = [sweep.config, "--dir", str(sweep.folder), "--hours", "1.5", "--partition", "gpu", "--at-once", "2"]
    assert slurm.main([*arguments, "--smoke", "--dry-run"]) == 0
    script = capsys.readouterr().out
    for line in ("--array=0-3%2", "--time=90", "--gpus-per-node=1", "--ntasks-per-node=1", "--partition=gpu"):
        assert f"#SBATCH {line}\n" in script
    assert "#SBATCH --requeue\n" in script and "#SBATCH --signal=USR2@120\n" in script
    assert f"swept.py --smoke --seed 3 --run-dir {sweep.folder}/seed-3" in script
    assert list(sweep.folder.iterdir()) == []
    path = tmp_path / "script.sh"
    path.write_text(script)
    subprocess.run(["bash", "-n", path], check=True)
    assert slurm.main(arguments) == 2
    assert "no srun here" in capsys.readouterr().err


def test_slurm_without_submitit_says_what_to_install(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert launcher("slurm").main([sweep.config, "--dir", str(sweep.folder), "--dry-run"]) == 2
    assert "pip install 'danas-jax[sweep]'" in capsys.readouterr().err


def test_on_slurms_notice_the_run_saves_and_the_same_is_queued(sweep, slurm):
    job = sweep.jobs[0]
    (sweep.folder / f"hold {job.name}").touch()
    resumed = slurm.Resumed(sweep.command(job))
    queued = []

    def notice(number, frame):
        os.kill(resumed.process.pid, signal.SIGUSR2)  # which SLURM sends to the run, too
        queued.append(resumed.checkpoint())

    def send():
        wait_for(sweep.folder / f"at {job.name}")
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, notice)
    threading.Thread(target=send).start()
    try:
        with pytest.raises(RuntimeError, match="exit code 3"):  # submitit's handler would have left before
            resumed()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (sweep.folder / f"saved {job.name}").exists()
    (sweep.folder / f"hold {job.name}").unlink()
    os.rmdir(sweep.folder / f"at {job.name}")
    queued[0].result()
    assert len(ran(sweep)) == 2


def test_submitit_resumes_an_interrupted_job_with_the_same_command(sweep, slurm, tmp_path):
    """Through submitit's own local executor, whose requeueing is SLURM's."""
    cloudpickle = importlib.import_module("cloudpickle")
    cloudpickle.register_pickle_by_value(slurm)  # as a script's classes are
    submitit = importlib.import_module("submitit")
    job = sweep.jobs[0]
    (sweep.folder / f"hold {job.name}").touch()
    executor = submitit.LocalExecutor(tmp_path / "logs")
    executor.update_parameters(timeout_min=60)
    submitted = executor.submit(slurm.Resumed(sweep.command(job)))
    wait_for(sweep.folder / f"at {job.name}")
    os.rmdir(sweep.folder / f"at {job.name}")
    os.kill(int((sweep.folder / f"parent {job.name}").read_text()), signal.SIGUSR2)
    wait_for(sweep.folder / f"saved {job.name}")
    wait_for(sweep.folder / f"at {job.name}")
    (sweep.folder / f"hold {job.name}").unlink()
    submitted.result()
    assert len(ran(sweep)) == 2


def test_tpu_runs_one_command_on_all_workers(tmp_path):
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\nmkdir -p danas_jax\nexec bash -c "${!#}"\n')
    gcloud.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [LAUNCH / "tpu.sh", "pod", "zone-b", "printf", "%s\\n", "danas", "my config.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[4:9] == ["pod", "--zone", "zone-b", "--worker", "all"]
    assert lines[-2:] == ["danas", "my config.py"]
    dry = subprocess.run(command, env={**environment, "DRY_RUN": "1"}, capture_output=True, text=True, check=True)
    assert dry.stdout.startswith("gcloud compute tpus tpu-vm ssh pod --zone zone-b --worker all --command ")
    assert subprocess.run(command[:3], capture_output=True, check=False).returncode == 2


def test_tpu_workers_together_are_the_hosts_that_the_metadata_name(tmp_path):
    (tmp_path / "gcloud").write_text('#!/bin/bash\nmkdir -p danas_jax\nexec bash -c "${!#}"\n')
    (tmp_path / "curl").write_text(
        "#!/bin/bash\ncase ${!#} in */agent-worker-number) echo 1;; */worker-network-endpoints) "
        "echo -n unknown:8470:10.0.0.2,unknown:8470:10.0.0.3;; *) exit 1;; esac\n"
    )
    for name in ("gcloud", "curl"):
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TOGETHER": "1"}
    command = [LAUNCH / "tpu.sh", "pod", "zone-b", sys.executable, "-c", "import os; print(dict(os.environ))"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert cluster_of(ast.literal_eval(done.stdout)) == Cluster("tpu", "10.0.0.2:8476", 2, 1)


def test_the_jobset_says_what_the_exit_codes_mean_and_its_command_is_ours():
    yaml = pytest.importorskip("yaml")
    manifest = yaml.safe_load((LAUNCH / "k8s/jobset.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["maxFailedIndexes"] == job["completions"]
    actions = {
        code: rule["action"]
        for rule in job["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", [])
    }
    assert actions == {cli.INTERRUPTED: "Ignore", cli.BAD_INPUT: "FailIndex"}
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # a podFailurePolicy needs it
    container = pod["containers"][0]
    assert {rule["onExitCodes"]["containerName"] for rule in job["podFailurePolicy"]["rules"][1:]} == {
        container["name"]
    }
    program, *arguments = container["command"]
    assert program == "danas" and " ".join(arguments[:2]) in cli.COMMANDS
    with pytest.raises(UserError, match="no such file"):
        plan.load(arguments[2])
