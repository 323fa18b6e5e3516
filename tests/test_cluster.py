"""Who belongs to a run, by the variables of each scheduler."""

import pytest

from danas_jax.cluster import Cluster, cluster_of, first_node
from danas_jax.errors import UserError

OWN = {"JAX_COORDINATOR_ADDRESS": "a:1234", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "2"}
TPU = {"TPU_WORKER_HOSTNAMES": "t0,t1,t2,t3", "TPU_WORKER_ID": "1"}
SLICES = {"MEGASCALE_COORDINATOR_ADDRESS": "s0:9999", "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"}
SLURM = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "gpu[007-009,12]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        (OWN, Cluster("jax", "a:1234", 3, 2)),
        (TPU, Cluster("tpu", "t0:8476", 4, 1)),
        ({**TPU, **SLICES}, Cluster("tpu", "s0:8476", 8, 5)),
        (SLURM, Cluster("slurm", "gpu007:61441", 4, 3)),
        ({**OWN, **TPU, **SLURM}, Cluster("jax", "a:1234", 3, 2)),
        ({**OWN, "DANAS_HOSTS": "off"}, None),
        ({**OWN, "DANAS_HOSTS": "on"}, Cluster("jax", "a:1234", 3, 2)),
        ({**OWN, "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
        # A batch script before srun, and salloc's shell.
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        ({"SLURM_JOB_ID": "4097", "SLURM_NTASKS": "4"}, None),
    ],
)
def test_complete_sets_are_found_and_single_processes_are_left_alone(environ, found):
    said = []
    assert cluster_of(environ, said.append) == found
    assert said == []


@pytest.mark.parametrize("names", [OWN, TPU, SLURM], ids=["jax", "tpu", "slurm"])
def test_half_a_set_is_named_and_ignored(names):
    for missing in names:
        if missing == "SLURM_STEP_NUM_TASKS":
            continue  # without it nothing says that there are several
        said = []
        assert cluster_of({k: v for k, v in names.items() if k != missing}, said.append) is None
        assert len(said) == 1 and f"without {missing}" in said[0] and "ignored" in said[0]


def test_half_of_the_slices_leaves_the_slice():
    said = []
    part = {k: v for k, v in SLICES.items() if k != "MEGASCALE_SLICE_ID"}
    assert cluster_of({**TPU, **part}, said.append) == Cluster("tpu", "t0:8476", 4, 1)
    assert "without MEGASCALE_SLICE_ID" in said[0]


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({**OWN, "JAX_PROCESS_ID": "3"}, r"\$JAX_PROCESS_ID = 3: there are 3 processes, give 0 to 2"),
        ({**OWN, "JAX_NUM_PROCESSES": "many"}, r"\$JAX_NUM_PROCESSES = 'many': give a whole number"),
        ({**TPU, "TPU_WORKER_ID": "-1"}, r"\$TPU_WORKER_ID = '-1': give a whole number"),
        ({"DANAS_HOSTS": "2"}, r"\$DANAS_HOSTS = '2': give on or off"),
    ],
)
def test_values_that_cannot_be(environ, why):
    with pytest.raises(UserError, match=why):
        cluster_of(environ)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("login", "login"),
        ("n1,n2", "n1"),
        ("gpu[007-009,12],login", "gpu007"),
        ("a-b[3]", "a-b3"),
        ("r[1-2].example.org", "r1.example.org"),
    ],
)
def test_the_first_node_of_slurms_list(nodes, first):
    assert first_node(nodes) == first
    with pytest.raises(UserError, match="no host's name"):
        first_node("[1-2]")
