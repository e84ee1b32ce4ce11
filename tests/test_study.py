"""The study's rules: strict parameters, nothing finished runs twice, errors in one clear word."""

import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import psutil
import pytest

import hmdlib
from hmdlib import (
    ROOT,
    InputError,
    __main__,
    batch,
    capture,
    checks,
    faces,
    networks,
    pages,
    provenance,
    report,
    running,
    store,
    study,
    weights,
)

OWN = 'profile: str = "x"\nsubject: str = "synthetic_1"\nresults: str = "results"\n'
WRITE = "study.write_metrics(out, {'answer': answer})"


def notebook(path, parameters, *code, question="What is the answer?"):
    """A tiny notebook: title and question, parameters, imports, then the code cells."""
    name = path.stem
    start = f"from hmdlib import study\nout = study.folder('{name}', profile, subject, results)"
    page = nbformat.v4.new_notebook()
    page.cells = [
        nbformat.v4.new_markdown_cell(f"# {name} in *small*\n\n**{question}**"),
        nbformat.v4.new_code_cell(OWN + parameters, metadata={"tags": ["parameters"]}),
        *[nbformat.v4.new_code_cell(source) for source in (start, *code)],
    ]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(page, path)


@pytest.fixture
def small(tmp_path):
    """A study of two notebooks, 04_one and 05_two, in a folder of its own; call it to run it.

    Returns the lines that it said. `.place(name)` is a notebook's folder of results.
    """
    notebook(tmp_path / "nb/04_one.ipynb", "answer: int = 42", WRITE)
    notebook(tmp_path / "nb/05_two.ipynb", "answer: int = 1\nlr: float = 0.1", WRITE)
    profile = tmp_path / "tiny.yml"
    profile.write_text(f"about: some seconds\nglobal: {{results: {tmp_path}/results}}\n")

    def run(*overrides, **options):
        said = []
        options = {"notebooks": tmp_path / "nb", "say": said.append, **options}
        run.record = running.run(str(profile), overrides, **options)
        return said[2:-1]

    run.results = tmp_path / "results/tiny"
    run.place = lambda name: run.results / "synthetic_1" / name
    run.notebooks = tmp_path / "nb"
    run.profile = profile
    return run


# --- parameters ----------------------------------------------------------------------------------


class Declared:
    def __init__(self, name, **defaults):
        self.name = name
        source = "\n".join(f"{key} = {value!r}" for key, value in defaults.items())
        self.declared = study.declared_parameters(source, name)


BOOKS = [Declared("04_one", profile="", subject="", steps=3, lr=0.1), Declared("05_two", steps=4)]


def test_shared_parameters_go_where_they_are_declared_and_own_ones_win():
    given = study.hand_out(BOOKS, "laptop", {"lr": 1, "steps": 5}, {"05_two": {"steps": 6}})
    assert given == {"04_one": {"lr": 1.0, "steps": 5, "profile": "laptop"}, "05_two": {"steps": 6}}


def test_the_command_line_wins_and_is_read_as_the_declared_type():
    overrides = [("steps", "7"), ("lr", "2e-5"), ("subject", "7")]
    given = study.hand_out(BOOKS, "p", {"steps": 5}, {"05_two": {"steps": 6}}, overrides)
    assert given["04_one"] == {"steps": 7, "lr": 2e-5, "subject": "7", "profile": "p"}
    assert given["05_two"] == {"steps": 7}


@pytest.mark.parametrize(
    "shared, own, overrides, words",
    [
        ({"step": 1}, {}, [], ["profile p: step:", "'steps'"]),
        ({}, {"05_tow": {}}, [], ["05_tow", "'05_two'"]),
        ({}, {"05_two": {"lr": 1}}, [], ["05_two: lr:", "choose from steps"]),
        ({}, {"04_one": {"subject": "me"}}, [], ["04_one: subject"]),
        ({}, {}, [("stpes", "1")], ["-p: stpes", "'steps'"]),
        ({}, {}, [("profile", "other")], ["-p: profile"]),
        ({}, {}, [("steps", "many")], ["steps='many'", "takes int", "3"]),
        ({}, {}, [("steps", "1.5")], ["takes int"]),
        ({"steps": True}, {}, [], ["takes int"]),
        ({"lr": [1]}, {}, [], ["takes float"]),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(shared, own, overrides, words):
    with pytest.raises(InputError) as error:
        study.hand_out(BOOKS, "p", shared, own, overrides)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_types_come_from_the_annotation():
    source = 'a: int | None = None\nb: list[str] = ["x"]\nc: str = ""\nd: bool = False'
    declared = study.declared_parameters(source, "nb")
    fitted = {"a": ("None", None), "b": ("[y, z]", ["y", "z"]), "c": ("5", "5"), "d": ("true", 1)}
    for name, (text, value) in fitted.items():
        assert study.fit(text, declared[name]) == value


def test_derived_parameters_are_refused():
    """papermill injects below the cell: what was computed there would keep its default."""
    with pytest.raises(InputError, match="half = size // 2"):
        study.declared_parameters("size = 4\nhalf = size // 2", "nb")


# --- profiles ------------------------------------------------------------------------------------


def test_misspelt_profile_names_the_nearest():
    with pytest.raises(InputError, match="'labtop'.*did you mean 'laptop'"):
        study.read_profile("labtop")


@pytest.mark.parametrize(
    "text, word",
    [
        ("globl: {}", "'global'"),
        ("global: [", "not YAML"),
        ("5", "no profile"),
        ("global: 5", "no dict"),
    ],
)
def test_broken_profiles_are_refused(tmp_path, text, word):
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=word):
        study.read_profile(path)


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("global: {stages: [{lr: 2e-5, end: 1.5E+3, name: e5, date: 5e}]}")
    (stage,) = study.read_profile(path)[2]["stages"]
    assert stage == {"lr": 2e-5, "end": 1500.0, "name": "e5", "date": "5e"}


def test_a_profile_may_begin_as_another(tmp_path):
    first, second = tmp_path / "first.yml", tmp_path / "second.yml"
    first.write_text(
        "about: a\nglobal: {seed: 1, size: 2}\nnotebooks: {04_x: {lr: 1, n: 2}, 05_y: }"
    )
    second.write_text(
        f"like: {first.name}\nglobal: {{seed: 3}}\nnotebooks: {{04_x: {{n: 5}}, 06_z: {{k: 1}}}}"
    )
    name, about, shared, own = study.read_profile(second)
    assert (name, about, shared) == ("second", "", {"seed": 3, "size": 2})
    assert own == {"04_x": {"lr": 1, "n": 5}, "05_y": {}, "06_z": {"k": 1}}
    for start in (first, second):  # itself, and itself by way of another
        first.write_text(f"like: {start.name}")
        with pytest.raises(InputError, match="goes in a circle"):
            study.read_profile(first)


PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yml"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_name_in_the_profiles_is_declared_by_the_notebooks(name):
    profile, about, shared, own = study.read_profile(name)
    books = study.collect()
    given = study.hand_out(books, profile, shared, own)
    for values in given.values():  # those that an earlier part of the practice writes
        if not values.get("generic_weights", "").startswith("results/reference"):
            values["generic_weights"] = ""
    checks.check_values(books, given, [])
    assert all(values["profile"] == name for values in given.values())
    assert about and (name == "paper" or "minutes" in about or "hour" in about)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("stages", [{"name": "rec", "images": 4, "lrr": 1e-3}], "stage 'rec': lrr: is unknown"),
        ("headset_stages", [{"name": "rec"}], "stage 'rec': images: is missing"),
        ("baseline_stages", [{"name": "rec", "images": "4k"}], "images='4k': takes int"),
        ("stages", ["rec"], "'rec': is no entry"),
        ("shared", {"images": 4, "windw": 11}, "stage 'shared': windw: is unknown.* window"),
        ("practice", {"lr": 1e-3}, "images: is missing"),
        ("gated_plan", {"images": 4, "flop": True}, "flop: is unknown; there is flip"),
        ("switches", [{"name": "one", "stage": {"emma": 0}}], "stage 'one': emma: is unknown"),
        ("steps", [{"name": "one", "practiced": False}], "'one': practiced: .*'practised'"),
        ("switches", [{"name": "one", "model": {"activaton": 0}}], "model: activaton: .*'act"),
        ("switches", [{"name": "one", "model": {"activation": "no"}}], "activation='no': choose"),
        ("switches", [{"name": "one", "losses": {"recc": 1}}], "stage 'one': losses: .*'recc'"),
        ("switches", [{"name": "one", "fill": "flt"}], "choose one of flat"),
        ("steps", [{"name": "one", "model": {"textur": False}}], "'one': model: textur: .*'text"),
        ("strangers", [{"kind": "foldr", "path": "."}], "kind: choose synthetic"),
        ("collections", [{"kind": "folder", "path": "no/such"}], "no/such: is not there; see data"),
        ("occluder", "textred", "choose one of flat"),
        ("tracking", "smoth", "'smoth': did you mean 'smooth'"),
        ("detector", "mediapip", "did you mean 'mediapipe'"),
        ("attention_start", "usul", "did you mean 'usual'"),
        ("image_size", 100, "100: choose from 128, 256, 64"),
        ("max_frames", -1, "-1: takes 0 or more"),
        ("longer", 0, "0: takes 0.1 or more"),
        ("models", {"A": {"rek": 1}}, "stage 'A': losses: .*'rek'"),
        ("methods", {"mine": "mien.py"}, "mien.py: is not there; a path from the repository's"),
        ("generic_weights", "no.safetensors", "no.safetensors: is not there"),
    ],
)
def test_what_no_notebook_could_build_is_refused_in_one_line(name, value, words):
    """Else the typing error surfaces in the notebook that builds it, hours later."""
    stage, size = {"images": 8}, {"image_size": 64, "base_width": 8}
    all_of_it = {"profile": "p", "shared": stage, "personal": stage, **size, name: value}
    books, given = [Declared("05_two", **all_of_it)], {"05_two": {}}
    for asked, source in (([], "profile p"), ([name], "-p")):
        with pytest.raises(InputError, match=f"^{source}: 05_two: {name}: .*{words}") as error:
            checks.check_values(books, given, asked)
        assert "\n" not in str(error.value)


def test_the_choices_checked_beforehand_are_those_of_the_modules(monkeypatch):
    assert checks.CHOICES["image_size"] == tuple(networks.LADDERS)
    for tracking in checks.CHOICES["tracking"]:
        faces.check_tracking(tracking)
    for start in checks.CHOICES["attention_start"]:
        networks.Deoccluder(64, 8, attention_start=start)
    with pytest.raises(InputError) as error:
        faces.detector("haar")
    assert f"choose one of {', '.join(checks.CHOICES['detector'])}" in str(error.value)


# --- running -------------------------------------------------------------------------------------


def test_a_run_leaves_the_designed_layout_and_a_second_one_only_skips(small):
    small(("answer", "7"), ("lr", "0.5"))
    for name in ("04_one", "05_two"):
        assert study.read_json(small.place(name) / "metrics.json")["answer"] == 7
        assert {f"{name}.ipynb", f"{name}.html"} <= {
            path.name for path in small.place(name).glob("*")
        }
    record = study.read_json(small.results / "run.json")
    assert {"commit", "dirty", "versions", "hardware", "parameters", "data"} <= record.keys()
    assert record["parameters"]["05_two"]["lr"] == 0.5
    entry = record["notebooks"]["05_two"]
    assert entry["status"] == "finished" and entry["seconds"] > 0 and entry["peak_mib"] > 20

    before = (small.place("05_two") / "05_two.ipynb").stat().st_mtime_ns
    lines = small(("answer", "7"), ("lr", "0.5"))
    assert [line.split()[-1] for line in lines] == ["skipped", "skipped"]
    assert (small.place("05_two") / "05_two.ipynb").stat().st_mtime_ns == before
    assert study.read_json(small.results / "run.json")["started"] == record["started"]

    page = (small.results / "index.html").read_text()
    assert "What is the answer?" in page and "04_one in small" in page
    assert "synthetic_1/05_two/05_two.html" in page


def test_a_page_that_is_missing_is_drawn_anew_without_a_run(small):
    """As after a kill between a notebook's end and its page, which is drawn beside the next one."""
    small()
    page = small.place("04_one") / "04_one.html"
    drawn = page.read_text()
    page.unlink()
    assert [line.split()[-1] for line in small()] == ["skipped", "skipped"]
    assert page.read_text() == drawn


def test_a_changed_parameter_runs_its_notebook_and_the_later_ones(small):
    keys = {}
    for lr in (0.1, 0.2):
        books = study.collect(small.notebooks)
        one = running.keys_of(books[0], {}, small.results, "")
        two = running.keys_of(books[1], {"lr": lr}, small.results, one["work"])
        keys[lr] = (one, two)
    assert keys[0.1][0] == keys[0.2][0] and keys[0.1][1]["work"] != keys[0.2][1]["work"]
    three = [running.keys_of(books[1], {}, small.results, keys[lr][1]["work"]) for lr in keys]
    assert three[0]["work"] != three[1]["work"]


def test_prose_changes_the_page_and_not_the_work(small):
    before = running.keys_of(study.collect(small.notebooks)[0], {}, small.results, "")
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", WRITE, question="Why 42?")
    after = running.keys_of(study.collect(small.notebooks)[0], {}, small.results, "")
    assert before["work"] == after["work"] and before["page"] != after["page"]


def test_a_real_persons_videos_are_inputs(small, tmp_path):
    book, folder = study.collect(small.notebooks)[0], tmp_path / "anna"
    folder.mkdir()
    before = running.keys_of(book, {}, folder, "")
    (folder / "session_2.mp4").write_bytes(b"film")
    filled = running.keys_of(book, {}, folder, "")
    assert filled != before
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._session_2.mp4"):
        (folder / name).write_bytes(b"left by a file manager")
    assert running.keys_of(book, {}, folder, "") == filled
    assert [path.name for path in running.inputs(folder)] == ["session_2.mp4"]


def test_inputs_keep_their_fingerprint_where_the_repository_moves(tmp_path, monkeypatch):
    found = []
    for root in (tmp_path / "here", tmp_path / "there"):
        root.mkdir()
        (root / "a.mp4").write_bytes(b"film")
        os.utime(root / "a.mp4", (1, 1))
        monkeypatch.setattr(provenance, "ROOT", root)
        found.append(provenance.fingerprint([root / "a.mp4"]))
    assert found[0] == found[1]


def finish(place, keys, **metrics):
    """A folder as a finished notebook leaves it; its state."""
    place.mkdir(parents=True)
    study.write_metrics(place, metrics, metrics.pop("reads", ()))
    state = {**keys, "status": "finished", "reads": running.reads(place), "files": ["metrics.json"]}
    study.write_json(place / "state.json", state)
    return state


KEYS = {"work": "w", "page": "p"}


def test_finished_means_same_work_same_inputs_and_all_files(tmp_path):
    place, faces = tmp_path / "04_one", tmp_path / "faces"
    faces.mkdir()
    state = finish(place, KEYS, reads=[faces])
    assert running.is_finished(place, state, KEYS)
    assert not running.is_finished(place, state, {**KEYS, "work": "other"})
    assert not running.is_finished(place, {**state, "status": "running"}, KEYS)
    assert not running.is_finished(place, {}, KEYS)
    (faces / "new.jpg").write_bytes(b"face")
    assert not running.is_finished(place, state, KEYS)
    (faces / "new.jpg").unlink()
    (place / "metrics.json").unlink()
    assert not running.is_finished(place, {**state, "reads": running.reads(place)}, KEYS)


def test_a_model_file_that_appears_makes_its_reader_run_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HMDLIB_WEIGHTS", str(tmp_path / "weights"))
    state = finish(tmp_path / "10", KEYS, reads=weights.candidates("face_landmarker.task"))
    assert running.is_finished(tmp_path / "10", state, KEYS)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/face_landmarker.task").write_bytes(b"model")
    assert not running.is_finished(tmp_path / "10", state, KEYS)


def test_a_record_names_no_folder_of_the_machine(tmp_path):
    study.write_metrics(tmp_path, {}, reads=[ROOT / "data/README.md", "/elsewhere/faces"])
    record = study.read_json(tmp_path / "metrics.json")
    assert record["reads"] == ["data/README.md", "/elsewhere/faces"]
    shipped = sorted((ROOT / "results/reference").rglob("*.json"))
    assert shipped and not [file for file in shipped if '"/' in file.read_text()]


def test_an_interrupted_notebook_keeps_its_checkpoints_and_another_work_starts_empty(tmp_path):
    place = tmp_path / "04_one"
    finish(place, KEYS)
    (place / "checkpoint.safetensors").touch()
    running.prepare(place, {**KEYS, "status": "running"}, KEYS)
    assert (place / "checkpoint.safetensors").exists()
    running.prepare(place, {**KEYS, "status": "finished"}, {"work": "new", "page": "p"})
    assert [path.name for path in place.iterdir()] == ["state.json"]
    assert (tmp_path / ".previous/04_one/checkpoint.safetensors").exists()


def test_an_error_stops_the_run_with_notebook_cell_and_message(small):
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", "x = 1", "x += 1\nx / 0", WRITE)
    with pytest.raises(batch.Stopped) as error:
        small()
    head, line, message = str(error.value).splitlines()[:3]
    assert head == "04_one stopped at cell 5 (In [5] of the executed copy)"
    assert line.strip() == "x / 0" and message.strip() == "ZeroDivisionError: division by zero"
    assert len(str(error.value).splitlines()) < 8
    assert (small.place("04_one") / "04_one.partial.ipynb").exists()
    assert not small.place("05_two").exists()
    record = study.read_json(small.results / "run.json")
    assert record["notebooks"]["04_one"]["status"] == "running" and record["ended"] is None
    assert "stopped" in (small.results / "index.html").read_text()


def test_an_input_error_stays_one_line_and_leaves_with_two(small, capsys, monkeypatch):
    code = "from hmdlib import InputError\nraise InputError('a.mp4: no face; film again')"
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", code)
    collect = study.collect
    monkeypatch.setattr(study, "collect", lambda folder=None: collect(small.notebooks))
    assert __main__.main(["run", str(small.profile)]) == 2
    assert capsys.readouterr().err == "04_one, cell 4: a.mp4: no face; film again\n"


def test_a_misspelt_value_of_a_late_notebook_ends_the_run_before_the_first(small):
    notebook(small.notebooks / "05_two.ipynb", 'occluder: str = "textured"\nanswer: int = 1', WRITE)
    with pytest.raises(InputError, match="^-p: 05_two: occluder: occluder='textred': choose one"):
        small(("occluder", "textred"))
    assert not small.results.exists()


COLLECTORS = [
    book
    for book in study.collect()
    if any("open_collection(" in source for kind, source in book.cells if kind == "code")
]


@pytest.mark.parametrize("book", COLLECTORS, ids=lambda book: book.name)
def test_who_opens_a_collection_names_its_folder_so_that_new_pictures_are_noticed(book):
    (last,) = [source for _, source in book.cells if "study.write_metrics(" in source]
    assert "reads=" in last and re.search(r"""\[["']path["']\]""", last), "reads= lacks the folder"


def test_from_runs_that_notebook_again_and_none_before(small):
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", "raise SystemError")
    small(start="05")
    first = study.read_json(small.place("05_two") / "state.json")["finished"]
    small(start="05")
    assert study.read_json(small.place("05_two") / "state.json")["finished"] > first
    assert not small.place("04_one").exists()
    with pytest.raises(InputError, match="--from 06.*04, 05"):
        small(start="06")


def test_the_kernel_is_this_interpreter_whatever_is_installed(small, tmp_path, monkeypatch):
    other = tmp_path / "share/jupyter/kernels/python3"
    other.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "x", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share/jupyter"))
    code = "import os, sys\nanswer = [sys.executable, os.getcwd(), os.environ['HMDLIB_BATCH']]"
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", code, WRITE)
    small(only="04")
    metrics = study.read_json(small.place("04_one") / "metrics.json")
    assert metrics["answer"] == [sys.executable, str(hmdlib.ROOT), "1"]
    assert "HMDLIB_BATCH" not in os.environ


def test_a_terminated_run_ends_its_kernel_and_goes_on_later(small, tmp_path):
    started = tmp_path / "started"
    code = f"import os, pathlib, time\npathlib.Path('{started}').write_text(str(os.getpid()))"
    wait = f"time.sleep(0 if pathlib.Path('{tmp_path}/go').exists() else 60)"
    notebook(small.notebooks / "04_one.ipynb", "answer: int = 42", code, wait, WRITE)
    script = (
        "import sys; from hmdlib import __main__, study; collect = study.collect\n"
        f"study.collect = lambda folder=None: collect({str(small.notebooks)!r})\n"
        f"sys.exit(__main__.main(['run', {str(small.profile)!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    while not (started.exists() and started.read_text()) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "04_one was interrupted in cell" in said
    assert "Traceback" not in said
    kernel, patience = int(started.read_text()), time.monotonic() + 10  # its cell sleeps for 60 s
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end a moment after its run
        while psutil.Process(kernel).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < patience, "the kernel outlives its run"
            time.sleep(0.05)
    (tmp_path / "go").touch()
    small(only="04")
    assert study.read_json(small.place("04_one") / "state.json")["status"] == "finished"


def test_results_of_an_older_version_are_refused_before_any_work(small):
    small.results.mkdir(parents=True)
    (small.results / "run.json").write_text('{"commit": "abc"}')
    with pytest.raises(InputError, match="run.json: was written by an older version.*move or del"):
        small()
    assert not small.place("04_one").exists()


def test_an_unknown_person_is_refused_before_any_work(small):
    with pytest.raises(InputError, match="subject='ana': there is no folder.*put the videos there"):
        small(("subject", "ana"))
    assert not small.results.exists()


def sessions_of_anna(folder, *names):
    """A folder of videos, by name; what they hold is not asked yet."""
    for name in names:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.mp4").touch()
    return folder


def test_of_one_s_own_videos_the_last_is_for_the_test_unless_told(tmp_path):
    """So that a new person is a folder and one parameter, -p subject anna."""
    folder, said = sessions_of_anna(tmp_path / "anna", "kitchen", "office", "street"), []
    books = [Declared("01_a", unseen="session_5"), Declared("02_b", lr=0.1)]
    given = {"01_a": {"unseen": "session_5"}, "02_b": {}}
    checks.settle_unseen(books, given, folder, [], said.append)
    assert given == {"01_a": {"unseen": "street"}, "02_b": {}}
    given["01_a"]["unseen"] = "kitchen"
    checks.settle_unseen(books, given, folder, ["unseen"], said.append)
    assert given["01_a"]["unseen"] == "kitchen"
    assert [line.partition(". ")[0] for line in said] == [
        "The session to test on: street, the last",
        "The session to test on: kitchen, as asked for",
    ]


@pytest.mark.parametrize("subject", ["anna", "synthetic_7"])
def test_the_session_kept_for_the_test_is_said_where_the_profile_names_it(tmp_path, subject):
    """Seven videos named like those that are shipped: not the last one is kept, and one is told."""
    folder = sessions_of_anna(tmp_path / subject, *(f"session_{n}" for n in range(1, 8)))
    books, said = [Declared("01_a", unseen="session_5")], []
    checks.settle_unseen(books, {"01_a": {}}, folder, [], said.append)
    (line,) = said
    assert "session_5, as the profile says" in line and "-p unseen NAME" in line


def test_a_session_is_found_however_its_accents_are_kept(tmp_path):
    """macOS may keep them apart from their letters, and nobody types them so."""
    apart = "cafe\u0301"
    folder = sessions_of_anna(tmp_path / "anna", apart, "office")
    books, given = [Declared("01_a", unseen="session_5")], {"01_a": {"unseen": "caf\u00e9"}}
    checks.settle_unseen(books, given, folder, ["unseen"], print)
    assert given["01_a"]["unseen"] == apart


def test_sessions_that_leave_nothing_to_test_on_are_refused_before_any_work(tmp_path):
    books, given = [Declared("01_a", unseen="session_5")], {"01_a": {"unseen": "kichen"}}
    one = sessions_of_anna(tmp_path / "anna", "kitchen")
    with pytest.raises(InputError, match="kitchen: one session only, so nothing unseen is left"):
        checks.settle_unseen(books, given, one, [], print)
    two = sessions_of_anna(tmp_path / "ben", "kitchen", "office")
    with pytest.raises(InputError, match="unseen='kichen': no such session; .* kitchen, office"):
        checks.settle_unseen(books, given, two, ["unseen"], print)


def test_two_runs_at_once_in_the_same_place_are_refused(tmp_path):
    with running.lock(tmp_path / "results"):
        with pytest.raises(InputError, match="another run"):
            with running.lock(tmp_path / "results"):
                pass


def test_a_disk_without_locks_is_not_taken_for_another_run(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(InputError, match="cannot be locked .No locks available.* local disk"):
        with running.lock(tmp_path / "results"):
            pass


@pytest.mark.parametrize("wanted, found", [("6", "06_a"), ("06b", "06b_b"), ("10_c", "10_c")])
def test_a_notebook_is_chosen_by_its_number_or_name(wanted, found):
    books = [Declared(name) for name in ("06_a", "06b_b", "10_c")]
    assert [book.name for book in running.choose(books, None, wanted)] == [found]
    for unknown in ("1", "0", "06_"):
        with pytest.raises(InputError, match="there is no such notebook; choose from 06, 06b, 10"):
            running.choose(books, None, unknown)


@pytest.mark.parametrize("subject", ["/elsewhere/anna", "../anna", "films/anna", "", "."])
def test_a_path_is_no_subject(tmp_path, subject):
    """Results and crops would be written beside the videos."""
    with pytest.raises(InputError, match="is no name; a subject is the name of a folder"):
        checks.check_subject(subject, tmp_path / subject)


@pytest.mark.parametrize(
    "names",
    [("monday", "monday 2", "monday-3"), ("VID", "VID (1)"), ("session_2", "session_10")],
)
def test_the_last_session_by_name_is_the_last_wherever_sessions_are_listed(tmp_path, names):
    folder = sessions_of_anna(tmp_path / "anna", *reversed(names))
    assert tuple(path.stem for path in capture.videos_of(folder)) == names
    stores = [tmp_path / "crops" / name for name in names]
    assert sorted(reversed(stores), key=store.in_order) == stores
    assert store.in_order("session_1\u00b2")  # a digit to Python, but no number


def test_another_subject_does_not_push_the_first_out_of_the_record(tmp_path):
    old = {"results_version": study.RESULTS_VERSION, "subject": "a", "asked": {}, "ended": "now"}
    study.write_json(tmp_path / "run.json", old)
    record = {"subject": "b", "asked": {}, "started": "later"}
    running.follow_up(record, tmp_path)
    assert record["other_subjects"]["a"]["ended"] == "now"


# --- helpers for notebooks -----------------------------------------------------------------------


def test_metrics_are_plain_json_and_whole(tmp_path):
    metrics = {"psnr": np.float32(1.5), "n": np.int64(3), "none": float("nan"), "by": {"a": [True]}}
    path = study.write_metrics(tmp_path / "04_one", metrics)
    plain = {"psnr": 1.5, "n": 3, "none": None, "by": {"a": [True]}}
    assert json.loads(path.read_text()) == {"results_version": study.RESULTS_VERSION, **plain}
    assert [file.name for file in path.parent.iterdir()] == ["metrics.json"]


def test_require_says_what_to_run_first(tmp_path):
    with pytest.raises(InputError, match="model.safetensors: is not there; run 04 first"):
        study.require(tmp_path / "model.safetensors", "run 04 first")
    study.write_metrics(tmp_path, {})
    path = tmp_path / "model.safetensors"
    path.touch()
    assert study.require(path, "run 04 first") == path
    (tmp_path / "metrics.json").write_text('{"results_version": 0}')
    with pytest.raises(InputError, match="older version"):
        study.require(path, "run 04 first")


# --- provenance ----------------------------------------------------------------------------------


def test_code_counts_through_imports_and_without_prose(tmp_path):
    package = tmp_path / "hmdlib"
    for name, source in {
        "__init__": "",
        "a": "from hmdlib import b\n",
        "b": "def f():\n    from .deep import c\n    return 1\n",
        "deep/__init__": "",
        "deep/c": "X = 1\n",
        "lonely": "X = 1\n",
    }.items():
        (package / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(source)
    whole = provenance.code_of(["%matplotlib inline\nimport hmdlib.a"], package)

    def after(name, source):
        kept = (package / name).read_text()
        (package / name).write_text(source)
        changed = provenance.code_of(["import hmdlib.a"], package) != whole
        (package / name).write_text(kept)
        return changed

    assert after("deep/c.py", "X = 2\n")
    assert not after("deep/c.py", '"""Words."""\n\nX = 1  # more words\n')
    assert not after("lonely.py", "X = 2\n")
    (package / "weights.safetensors").write_bytes(b"1")
    assert provenance.code_of(["import hmdlib.a"], package) != whole


def test_what_is_compiled_on_the_way_is_no_change_of_the_code(tmp_path):
    package = tmp_path / "hmdlib"
    (package / "__pycache__").mkdir(parents=True)
    (package / "a.py").write_text("X = 1\n")
    whole = provenance.code_of(["import hmdlib.a"], package)
    for name in ("a.cpython-311.pyc", "a.f-1.py311.nbi", "a.f-1.py311.1.nbc"):
        (package / "__pycache__" / name).write_bytes(b"machine code")
    assert provenance.code_of(["import hmdlib.a"], package) == whole
    (package / "face.npz").write_bytes(b"data that ships")
    assert provenance.code_of(["import hmdlib.a"], package) != whole


# --- the report ----------------------------------------------------------------------------------


def test_verdict_compares_the_paper_with_the_baseline(tmp_path):
    (tmp_path / "table_1.csv").write_text(
        "method,output,region,ssim,psnr,lpips\n"
        '"paper, short",raw,frame,0.5,15.0,\n'
        "baseline,raw,frame,0.7,20.04,\n"
        "paper,raw,frame,0.91,28.11,\n"
    )
    page = report.verdict([tmp_path])
    assert "28.1 dB" in page and "+8.1 dB against 20.0" in page and "0.910" in page
    assert "LPIPS over" not in page and "composite" not in page


@pytest.mark.parametrize(
    "value, text",
    [(27.123456, "27.12"), (0.00001234, "1.234e-05"), (3, "3"), ("14400", "14400"), (None, "–"),
     (True, "yes"), ("inf", "inf"), ("a<b", "a&lt;b"), ([1, 2.5], "1, 2.5"), (123456.7, "123457")],
)  # fmt: skip
def test_values_are_shown_to_read(value, text):
    assert report.nice(value) == text


def test_equations_are_pictures_and_money_and_code_are_not():
    drawn = pages.draw_equations("The $m$ maps:\n\n$$F = a\n* b$$ and `$x$`, $5 or $6, \\$z$.")
    assert drawn.count('<img src="data:image/svg+xml;base64,') == 2
    assert drawn.endswith(" and `$x$`, $5 or $6, \\$z$.")
    assert pages.draw_equations(r"$\nothing{known}$") == r"$\nothing{known}$"


def test_addresses_of_a_page_hold_whatever_a_person_is_named(tmp_path):
    assert report.address(tmp_path, tmp_path / "anna#2" / "a b.png") == "anna%232/a%20b.png"


@pytest.mark.parametrize("subject, ours", [("synthetic_7", True), ("synthetic_anna", False)])
def test_a_rendered_person_has_a_number(tmp_path, subject, ours):
    assert study.is_rendered(subject) is ours
    if not ours:
        with pytest.raises(InputError, match="there is no folder"):
            checks.check_subject(subject, tmp_path / subject)
