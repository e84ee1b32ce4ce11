#!/usr/bin/env bash
# The whole study on one command: set-up, then every notebook in order. See --help.
set -euo pipefail

usage() {
    cat <<'END'
./run_all.sh [PROFILE] [-p NAME VALUE]... [--from NN] [--only NN]

Makes the environment (first call only), runs the notebooks in order with the parameters of
profiles/PROFILE.yml, and writes results/PROFILE/index.html. A finished notebook whose parameters,
code and inputs have not changed is not run again: after an interruption, give the same command.

  PROFILE          smoke (5 minutes), laptop (the default; 26 minutes on two cores, less with
                   bfloat16),
                   full (every experiment; an hour and a half on two cores),
                   gpu (256 x 256, for one GPU; not measured), paper (the published schedule; days),
                   or the path of a profile of your own
  -p NAME VALUE    set a parameter in every notebook that has it, for example -p subject anna
  --from NN        run notebook NN and all later ones again, and none before it
  --only NN        run this one notebook
  --setup-only     make the environment and stop

HMDLIB_PYTHON=/path/to/python uses an environment of your own instead of .venv.
END
}

for argument in "$@"; do
    case "$argument" in -h | --help) usage; exit 0 ;; esac
done
case "${1:-}" in
/*) ;;
*.yml | *.yaml) # from where the caller stands
    if [ -f "$1" ]; then
        own=$PWD/$1
        shift
        set -- "$own" "$@"
    fi
    ;;
esac
cd "$(dirname "$0")"
. tools/setup.sh
profile=${1:-laptop}
case "$profile" in
-* | *.yml | *.yaml) ;;
*)
    # Said here, not after minutes of set-up; a near miss in an option is found by the study itself.
    if [ ! -f "profiles/$profile.yml" ]; then
        names=$(printf ' %s' profiles/*.yml)
        names=${names//profiles\//}
        echo "profile '$profile': there is none of that name; choose one of${names//.yml/}" >&2
        exit 2
    fi
    ;;
esac
set_up
if [ "${1:-}" = --setup-only ]; then
    exit 0
fi
exec "$python" -m hmdlib run "$@"
