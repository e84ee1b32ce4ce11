"""Run the study's notebooks: what is unfinished, in order, up to the first error."""

import contextlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from hmdlib import ROOT, InputError, checks, pages, provenance, report, study
from hmdlib.batch import Stopped, Watch, execute, minutes, python_kernel


def run(profile="laptop", overrides=(), start=None, only=None, notebooks=None, say=print):
    """Run a profile and return its record, as in run.json.

    overrides: (name, value) pairs. start: "04" runs 04 and all later notebooks again, and none
    before it; only: "04" runs this one again. notebooks: their folder. say: called with each line.
    Wrong profiles, parameters and older results raise InputError before anything runs; a notebook
    that fails raises Stopped (or InputError, when that was its error).
    """
    name, about, shared, own = study.read_profile(profile)
    books = study.collect(notebooks)
    parameters = study.hand_out(books, name, shared, own, overrides)
    chosen = choose(books, start, only)
    subject = study.common(books, parameters, "subject", "nobody")
    results = ROOT / study.common(books, parameters, "results", "results") / name
    videos = ROOT / study.common(books, parameters, "videos", "data/videos") / subject
    if (results / "run.json").exists():
        study.check_version(results / "run.json")
    checks.check_subject(subject, videos)
    asked = [key for key, _ in overrides]
    checks.check_values(books, parameters, asked)
    checks.settle_unseen(books, parameters, videos, asked, say)
    say(f"Study {name!r} of {subject}: {' '.join(about.split())}")
    say(f"Results: {study.shown(results)}/index.html. Interrupted? The same command goes on.")

    origin = provenance.origin()
    record = {
        "results_version": study.RESULTS_VERSION,
        "profile": name,
        "subject": subject,
        "asked": {"from": start, "only": only},
        "started": now(),
        "ended": None,
        **origin,
        "parameters": parameters,
        "data": {},
        "notebooks": {},
    }
    with lock(results), python_kernel():
        old = follow_up(record, results)
        if not _run_all(books, chosen, record, results, videos, say):
            # Nothing ran: the results are still those of the older commit, machine and time.
            record.update(
                {name: old[name] for name in [*origin, "asked", "started"] if name in old}
            )
        record["ended"] = now()
        write_record(record, results, videos)
    say(f"Done. Open {study.shown(results / 'index.html')}")
    return record


def _run_all(books, chosen, record, results, videos, say):
    """Run or skip each notebook; write run.json and index.html after each. Returns what ran.

    With --from or --only, what was finished before this run began is run again.
    """
    parameters, subject = record["parameters"], record["subject"]
    ran, drawn = [], []
    again, since = any(record["asked"].values()), record["started"]
    before = ""  # identity of all that the earlier notebooks did
    with ThreadPoolExecutor(1) as beside:  # a page is drawn while the next notebook runs
        for book in books:
            place = results / subject / book.name
            keys = keys_of(book, parameters[book.name], videos, before)
            state = study.read_json(place / "state.json")
            if book not in chosen:
                say(f"  {book.name:<28} not asked for")
            elif is_finished(place, state, keys) and not (again and state["finished"] < since):
                say(f"  {book.name:<28} finished before and unchanged: skipped")
            else:
                prepare(place, state, keys)
                try:
                    state = run_one(book, parameters[book.name], place, keys, record, say)
                    ran.append(book.name)
                finally:
                    record["notebooks"][book.name] = summary(place)
                    write_record(record, results, videos)
            if pages.is_missing(place / f"{book.name}.ipynb"):
                drawn.append(beside.submit(pages.render_page, place / f"{book.name}.ipynb"))
            before = provenance.digest(state.get("work"), state.get("reads"))
            record["notebooks"][book.name] = summary(place)
    for page in drawn:
        page.result()  # raises what went wrong there
    return ran


def choose(books, start, only):
    """The notebooks to run: those from number `start` on, or `only` one, or all."""
    wanted = only or start
    if wanted is None:
        return books
    number = wanted.zfill(2) if wanted.isdecimal() else wanted  # 6 is 06, and not 6b
    found = [book for book in books if number in (book.name, book.name.partition("_")[0])]
    if not found:
        numbers = ", ".join(book.name.partition("_")[0] for book in books)
        option = "--only" if only else "--from"
        raise InputError(f"{option} {wanted}: there is no such notebook; choose from {numbers}")
    return found[:1] if only else books[books.index(found[0]) :]


# --- what is finished ----------------------------------------------------------------------------


def keys_of(book, parameters, videos, before):
    """Two hashes: `work` of all that decides the results, `page` of what the page says.

    A change of prose alone runs the notebook again, in the same folder (trainings find their
    checkpoints); later notebooks stay finished. A synthetic person's videos are made by the study
    itself and follow from code and parameters; a real person's are inputs.
    """
    code = [source for kind, source in book.cells if kind == "code"]
    given = [] if study.is_rendered(videos.name) else inputs(videos)
    work = provenance.digest(
        study.RESULTS_VERSION,
        code,
        parameters,
        provenance.code_of(code),
        provenance.fingerprint(given),
        before,
    )
    return {"work": work, "page": provenance.digest(book.cells)}


def inputs(videos):
    """The files of a person's folder that the study reads: videos, and the truth beside them.

    Nothing else there, such as the notes that file managers leave, makes finished work stale.
    """
    from hmdlib.capture import CONTAINERS  # it takes a second to load

    kinds = {*CONTAINERS, ".npz"}
    return sorted(path for path in videos.glob("[!.]*") if path.suffix.lower() in kinds)


def is_finished(place, state, keys):
    """True when the folder holds the complete results of exactly this work."""
    complete = all((place / name).exists() for name in state.get("files", ["no state at all"]))
    same = all(state.get(key) == value for key, value in keys.items())
    return (
        state.get("status") == "finished" and same and complete and reads(place) == state["reads"]
    )


def reads(place):
    """Fingerprint of the inputs that the notebook named in its metrics.json."""
    return provenance.fingerprint(study.read_json(place / "metrics.json").get("reads", []))


def prepare(place, state, keys):
    """Leave the folder as the notebook needs it: kept for the same work, else empty.

    What lay there before is kept once, in .previous beside it: nothing finished is lost.
    """
    interrupted = state.get("status") == "running"
    only_prose = state.get("page") != keys["page"]
    used = place.exists() and any(place.iterdir())
    same = state.get("work") == keys["work"] and (interrupted or reads(place) == state.get("reads"))
    if used and not (same and (interrupted or only_prose)):
        aside = place.parent / ".previous" / place.name
        if not (interrupted and aside.exists()):
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            place.rename(aside)
        else:
            shutil.rmtree(place)
    study.write_json(place / "state.json", {**keys, "status": "running"})


def summary(place):
    """What run.json says of a notebook: status, time, memory, metrics."""
    state = study.read_json(place / "state.json")
    told = ("status", "finished", "seconds", "peak_mib", "commit", "dirty", "error")
    metrics = study.read_json(place / "metrics.json")
    for bookkeeping in ("results_version", "reads"):  # reads may name folders of this machine
        metrics.pop(bookkeeping, None)
    entry = {name: state[name] for name in told if name in state} or {"status": "not run"}
    return {**entry, "metrics": metrics}


def follow_up(record, results):
    """Take over from the last run.json: other subjects' records, and the start of a broken run.

    run.json tells of the last subject; what it said of others stays under other_subjects. When the
    same --from was asked for and never ended, what it finished is not run a second time.
    Returns the old record if it is of this subject and these parameters, else {}.
    """
    old = study.read_json(results / "run.json")
    others = old.pop("other_subjects", {})
    same = all(old.get(key) == record[key] for key in ("subject", "parameters"))
    if same and old["asked"] == record["asked"] and not old.get("ended"):
        record["started"] = old["started"]
    if old:
        others[old["subject"]] = old
    others.pop(record["subject"], None)
    if others:
        record["other_subjects"] = others
    return old if same else {}


def write_record(record, results, videos):
    """run.json and index.html as of now."""
    record["data"] = provenance.hashes(inputs(videos))
    study.write_json(results / "run.json", record)
    report.write(results, record)


# --- one notebook ---------------------------------------------------------------------------------


def run_one(book, parameters, place, keys, origin, say):
    """Execute one notebook into its folder and return its state, also kept in state.json."""
    partial = place / f"{book.name}.partial.ipynb"
    with Watch(book.name, say) as watch:
        try:
            execute(book.path, partial, parameters, watch)
            if not (place / "metrics.json").exists():
                raise Stopped(f"{book.name} stopped: it ended without writing metrics.json")
        except BaseException as error:
            reason = str(error).splitlines()[0] if str(error) else "interrupted"
            study.write_json(place / "state.json", {**keys, "status": "running", "error": reason})
            raise
    page = json.loads(partial.read_text())
    page["metadata"].get("papermill", {}).update(input_path=book.path.name, output_path="")
    study.write_json(place / f"{book.name}.ipynb", page)
    partial.unlink()
    (place / f"{book.name}.html").unlink(missing_ok=True)  # the page of an earlier text
    made = [path for path in place.rglob("*") if not path.name.startswith(("checkpoint", "state"))]
    state = {
        **keys,
        "status": "finished",
        "finished": now(),
        "commit": origin["commit"],
        "dirty": origin["dirty"],
        "seconds": round(watch.seconds, 1),
        "peak_mib": round(watch.peak / 2**20),
        "reads": reads(place),
        "files": sorted(str(path.relative_to(place)) for path in made),
    }
    study.write_json(place / "state.json", state)
    say(f"  {book.name:<28} {minutes(watch.seconds):>8}, {state['peak_mib']} MiB")
    return state


@contextlib.contextmanager
def lock(results):
    """Two runs in the same results would spoil each other: the second one is refused."""
    import fcntl

    results.mkdir(parents=True, exist_ok=True)
    with open(results / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            place = study.shown(results)
            raise InputError(f"{place}: another run is at work there; wait for it") from None
        except OSError as error:  # some network drives have no locks
            raise InputError(
                f"{study.shown(results)}: cannot be locked ({error.strerror}), and two runs there "
                "would spoil each other; put results on a local disk: -p results FOLDER"
            ) from None
        yield


def now():
    """Local time to the millisecond; later times compare as greater."""
    return datetime.now().isoformat(timespec="milliseconds")
