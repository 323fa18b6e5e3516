#!/usr/bin/env bash
# The same command on all workers of a TPU VM, through gcloud's ssh.
#
#   launch/tpu.sh NAME ZONE COMMAND [ARGUMENT ...]
#   launch/tpu.sh my-tpu us-central2-b .venv/bin/python launch/local.py sweep.py --dir /mnt/shared/sweep
#
# COMMAND runs in the folder DANAS_DIR (danas_jax) below each worker's home. With a --dir that all workers share, locks
# there give every job to one worker. TOGETHER=1: the workers are the hosts of one run (docs/scale.md), which the VM's
# metadata name. DRY_RUN=1 prints the gcloud command. A killed worker's job: the same line again.
set -eu
if [ $# -lt 3 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2
shift 2
printf -v command '%q ' "$@"
printf -v folder '%q' "${DANAS_DIR:-danas_jax}"
if [ -n "${TOGETHER:-}" ]; then
  # worker-network-endpoints is a list of NAME:ID:ADDRESS, by commas.
  ask='ask() { curl -sf -H Metadata-Flavor:Google http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1; }'
  hosts='$(ask worker-network-endpoints | tr , "\n" | cut -d: -f3 | paste -sd, -)'
  command="env TPU_WORKER_ID=\$(ask agent-worker-number) TPU_WORKER_HOSTNAMES=$hosts $command"
  folder="$folder && $ask"
fi
set -- gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker all --command "cd $folder && exec $command"
if [ -n "${DRY_RUN:-}" ]; then
  printf '%q ' "$@"
  echo
  exit 0
fi
exec "$@"
