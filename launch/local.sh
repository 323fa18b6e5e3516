#!/usr/bin/env bash
# Several runs in turn on this machine: every config with every seed. Run the same line again to resume.
#
#   launch/local.sh "quickstart my_config.py" "0 1 2" [danas flags ...]
#
# Runs land in runs/<config>-seed<N>. A run that fails does not stop the others; the exit code says how many failed.
set -u
if [ $# -lt 2 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
configs=$1 seeds=$2
shift 2
danas=$(dirname "$0")/../.venv/bin/danas
[ -x "$danas" ] || danas=danas
failed=0
for config in $configs; do
  for seed in $seeds; do
    name=$(basename "$config" .py)-seed$seed
    echo "== $name"
    "$danas" run "$config" --seed "$seed" --run-dir "runs/$name" "$@"
    code=$?
    [ "$code" -eq 3 ] && exit 3 # interrupted: the user wants all of it to stop
    [ "$code" -eq 0 ] || failed=$((failed + 1))
  done
done
exit "$failed"
