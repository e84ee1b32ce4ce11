"""The study as a whole: profiles, strict parameters, and every notebook in order.

A profile (profiles/*.yml) says what the notebooks' parameters are. `run` hands them out, runs what
is not finished yet, and records how (run.json, index.html). The first four functions are for the
notebooks themselves; nothing here knows the method.
"""

import ast
import difflib
import json
import math
import os
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hmdlib import ROOT, InputError

RESULTS_VERSION = 1
"""Layout of results/: raised when older results can no longer be read beside newer ones."""

OWN_PARAMETERS = ("profile", "subject", "results", "data")
"""Parameters that say where things lie: one value a run, never one a notebook."""


# --- for the notebooks ---------------------------------------------------------------------------


def folder(notebook, profile, subject, results="results"):
    """results/<profile>/<subject>/<notebook>, made if need be; `results` lies below ROOT."""
    path = ROOT / results / profile / subject / notebook
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_metrics(folder, metrics, reads=()):
    """Write what a notebook found out to metrics.json in its folder; returns the path.

    metrics: names to numbers, text or nested dicts; numpy scalars become numbers, NaN becomes null.
    reads: files or folders outside the study that went in (a face collection, say): when they
    change, the notebook counts as unfinished. Kept as paths from the repository's root where they
    lie inside it, so that a recorded run names no machine's folders.
    """
    record = {"results_version": RESULTS_VERSION, **metrics}
    if reads:
        record["reads"] = [str(shown(path)) for path in reads]
    return write_json(Path(folder) / "metrics.json", record)


def is_rendered(subject):
    """Is this the name of a person that the study renders itself, synthetic_7?"""
    return re.fullmatch(r"synthetic_\d+", subject) is not None


def require(path, what_to_do):
    """The path, if an earlier notebook wrote it; else InputError with what to do ("run 04")."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{shown(path)}: is not there; {what_to_do}")
    metrics = path.parent / "metrics.json"
    if metrics.exists():
        check_version(metrics)
    return path


def check_version(path):
    """InputError when this JSON file was written for another layout of the results."""
    version = read_json(path).get("results_version")
    if version != RESULTS_VERSION:
        age = "a newer" if isinstance(version, int) and version > RESULTS_VERSION else "an older"
        raise InputError(
            f"{shown(path)}: was written by {age} version of the study (layout {version}, this is"
            f" {RESULTS_VERSION}); move or delete {shown(path.parent)} and run again"
        )


def shown(path):
    """A path for people: from the repository's root where it lies in there."""
    path = Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def read_json(path):
    """What a JSON file holds; {} when it is missing or was cut off."""
    try:
        return json.loads(Path(path).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_json(path, record):
    """Write a dict as JSON, whole or not at all; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_text(json.dumps(_plain(record), indent=1) + "\n")
    os.replace(half, path)
    return path


def _plain(value):
    """The same value in JSON's own types."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy and torch, scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


# --- notebooks and their parameters --------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: its default and the names of the types that it takes."""

    default: object
    kinds: tuple


@dataclass(frozen=True)
class Notebook:
    """A numbered notebook. cells: (kind, source) pairs; declared: its parameters by name."""

    path: Path
    cells: list = field(repr=False)
    declared: dict = field(repr=False)

    @property
    def name(self):
        return self.path.stem


def collect(notebooks_folder=None):
    """Every numbered notebook of the folder, in order. InputError when there is none."""
    notebooks_folder = Path(notebooks_folder or ROOT / "notebooks")
    paths = sorted(notebooks_folder.glob("[0-9][0-9]*_*.ipynb"))
    if not paths:
        raise InputError(f"{shown(notebooks_folder)}: holds no notebook named like 03_name.ipynb")
    return [read_notebook(path) for path in paths]


def read_notebook(path):
    """The cells of a notebook and the parameters that its cell tagged `parameters` declares."""
    try:
        page = json.loads(path.read_text())
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in page["cells"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{shown(path)}: is not a notebook ({error}); fetch it again") from None
    tagged = [
        "".join(cell["source"])
        for cell in page["cells"]
        if "parameters" in cell.get("metadata", {}).get("tags", [])
    ]
    return Notebook(path, cells, declared_parameters(tagged[0], shown(path)) if tagged else {})


def declared_parameters(source, where):
    """Parameters by name from a cell's source: `name = literal` or `name: type = literal` lines."""
    declared = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        try:
            default = ast.literal_eval(line.value)
            (name,) = (target.id for target in targets)
        except (ValueError, AttributeError):
            code = ast.unparse(line)
            raise InputError(f"{where}: parameters cell: `{code}` is not name = literal") from None
        declared[name] = Parameter(default, _kinds(getattr(line, "annotation", None), default))
    return declared


def _kinds(annotation, default):
    if annotation is None:
        return () if default is None else (type(default).__name__,)
    return tuple(re.sub(r"\[.*\]", "", part).strip() for part in ast.unparse(annotation).split("|"))


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 2e-5 is a number (YAML 1.1 takes it for text)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def fit(value, parameter):
    """The value as the parameter's type, or ValueError.

    Text stands for a number or a list where one is wanted: the command line gives text only.
    """
    kinds = parameter.kinds
    if isinstance(value, str) and "str" not in kinds:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = yaml.load(value, _Loader)  # true, null, [session_1, session_2]
    elif value in ("None", "null") and "None" in kinds:
        value = None
    kind = "None" if value is None else type(value).__name__
    if not kinds or kind in kinds:
        return value
    if kind == "int" and "float" in kinds:
        return float(value)
    if {kind, *kinds} <= {"list", "tuple"}:
        return list(value)
    default = textwrap.shorten(repr(parameter.default), 60)
    raise ValueError(f"takes {' or '.join(kinds)} (its default is {default})")


# --- profiles ------------------------------------------------------------------------------------


def read_profile(name, after=()):
    """A profile by name (profiles/NAME.yml) or path: (name, about, global, notebooks).

    `like: NAME` begins with what that profile says (a path: from this profile's folder); what this
    one says of a parameter in the same section wins. after: the profiles that were begun with this
    one, which it must not name again.
    """
    path = Path(name) if str(name).endswith((".yml", ".yaml")) else ROOT / f"profiles/{name}.yml"
    if path in after:
        raise InputError(f"{shown(after[-1])}: like: {name}: goes in a circle; name another")
    if not path.is_file():
        known = sorted(found.stem for found in (ROOT / "profiles").glob("*.yml"))
        raise InputError(
            f"profile {str(name)!r}: there is none of that name; {nearest(name, known)}"
        )
    try:
        settings = yaml.load(path.read_text(), _Loader) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{shown(path)}: is not YAML: {' '.join(str(error).split())}") from None
    kinds = {"about": str, "global": dict, "notebooks": dict, "like": str}
    if not isinstance(settings, dict):
        raise InputError(f"{shown(path)}: is no profile; it needs {', '.join(kinds)}")
    for section, value in settings.items():
        if section not in kinds:
            raise InputError(f"{shown(path)}: {section!r}: {nearest(section, kinds)}")
        if not isinstance(value, (kinds[section], type(None))):
            raise InputError(f"{shown(path)}: {section}: is no {kinds[section].__name__}")
    about, shared, own, like = (settings.get(name) or kind() for name, kind in kinds.items())
    if like:
        like = path.parent / like if like.endswith((".yml", ".yaml")) else like
        _, _, first, theirs = read_profile(like, (*after, path))
        shared = first | shared
        own = {name: (theirs.get(name) or {}) | (own.get(name) or {}) for name in {**theirs, **own}}
    return path.stem, about, shared, own


def nearest(name, known):
    """The end of an error message: the known name that was probably meant, or all of them."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(known))}"


def hand_out(notebooks, profile, shared, own, overrides=()):
    """Each notebook's parameters from a profile and the command line: {notebook: {name: value}}.

    shared: the profile's `global` section; own: its `notebooks` section; overrides: (name, value)
    pairs, the last one wins. A shared parameter goes to every notebook that declares it. A name
    that nobody declares and a value of another type are InputErrors: papermill would only warn.
    """
    given = {notebook.name: {} for notebook in notebooks}
    declared = {name for notebook in notebooks for name in notebook.declared}

    def put(notebook, name, value, where):
        try:
            given[notebook.name][name] = fit(value, notebook.declared[name])
        except (ValueError, yaml.YAMLError) as error:
            raise InputError(f"{where}: {name}={value!r}: {notebook.name} {error}") from None

    def put_everywhere(name, value, where):
        if name == "profile" or name not in declared:
            names = declared - {"profile"}
            raise InputError(f"{where}: {name}: no such parameter; {nearest(name, names)}")
        for notebook in notebooks:
            if name in notebook.declared:
                put(notebook, name, value, where)

    for name, value in shared.items():
        put_everywhere(name, value, f"profile {profile}")
    for title, values in own.items():
        found = [notebook for notebook in notebooks if notebook.name == title]
        where = f"profile {profile}: {title}"
        if not found:
            raise InputError(f"{where}: no such notebook; {nearest(title, given)}")
        for name, value in (values or {}).items():
            known = set(found[0].declared) - set(OWN_PARAMETERS)
            if name not in known:
                raise InputError(f"{where}: {name}: no such parameter; {nearest(name, known)}")
            put(found[0], name, value, where)
    for name, value in overrides:
        put_everywhere(name, value, "-p")
    for notebook in notebooks:
        if "profile" in notebook.declared:
            given[notebook.name]["profile"] = profile
    return given


def common(notebooks, parameters, name, default):
    """The one value that a parameter has throughout the run (subject, results, data)."""
    for notebook in notebooks:
        if name in notebook.declared:
            return parameters[notebook.name].get(name, notebook.declared[name].default)
    return default
