#!/usr/bin/env bash
# Set-up, then every test. Arguments go to pytest: ./run_tests.sh -k masks -x
set -euo pipefail
cd "$(dirname "$0")"
. tools/setup.sh
set_up
echo "Tests: all of them take some 10 minutes on two cores; no network is needed."
# Small tensors: many threads would only wait for each other.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}"
export MPLBACKEND="${MPLBACKEND:-agg}"
exec "$python" -m pytest "$@"
