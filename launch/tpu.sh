#!/usr/bin/env bash
# The same command on all workers of a TPU VM, through gcloud's ssh.
#
#   launch/tpu.sh NAME ZONE COMMAND [ARGUMENT ...]
#   launch/tpu.sh my-tpu us-central2-b .venv/bin/python launch/local.py sweep.py --dir /mnt/shared/sweep
#
# COMMAND runs in the folder DANAS_DIR (danas_jax) below each worker's home. With a --dir that all workers share, locks
# there give every job to one worker. DRY_RUN=1 prints the gcloud command. A killed worker's job: the same line again.
set -eu
if [ $# -lt 3 ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2
shift 2
printf -v command '%q ' "$@"
printf -v folder '%q' "${DANAS_DIR:-danas_jax}"
set -- gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker all --command "cd $folder && exec $command"
if [ -n "${DRY_RUN:-}" ]; then
  printf '%q ' "$@"
  echo
  exit 0
fi
exec "$@"
