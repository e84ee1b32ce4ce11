"""Where a result comes from: hashes of code and data, the versions, the machine."""

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from hmdlib import ROOT, weights

NOT_THE_METHOD = {"study", "running", "batch", "provenance", "report", "pages", "__main__"}
"""Modules that run and show the study: a change in them changes no result."""


def digest(*parts):
    """One short hash of anything that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DATA = {".npz", ".safetensors", ".json"}
"""Files of the package, beside its modules, on which results depend: not a page's colours, nor
what Python, numba and a file manager leave there."""


def code_of(sources, package=None):
    """Hash of every module of hmdlib that these sources import, through any number of steps.

    sources: Python texts. Comments, blank lines and docstrings do not count; data files of the
    package do.
    """
    package = Path(package or ROOT / "hmdlib")
    modules = {_module_name(path, package): path for path in package.rglob("*.py")}
    waiting, reached = [name for text in sources for name in _imports(_parse(text))], {}
    while waiting:
        name = waiting.pop()
        known = name in modules and name.split(".")[-1] not in NOT_THE_METHOD
        if known and name not in reached:
            about = modules[name].stat()
            reached[name], further = _module(name, modules[name], about.st_size, about.st_mtime_ns)
            waiting += further
    files = [path for path in package.rglob("*") if path.is_file()]
    return digest(reached, hashes([f for f in files if f.suffix in DATA], package))


@functools.cache
def _module(name, path, size, changed):
    """What a module says, as it was at that time, and what it imports: asked by every notebook."""
    tree = ast.parse(path.read_text())
    further = _imports(tree, name, path.name == "__init__.py")
    return hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest(), further


def _module_name(path, package):
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree, inside="", is_package=False):
    """Names that a source imports, wherever in it, each with the packages that it lies in.

    inside: the module that the code is, to resolve `from . import x`.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = inside.split(".") + (["__init__"] if is_package else [])
                base = ".".join(filter(None, [*parents[: -node.level], base]))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    # a.b.c runs a and a.b, too.
    return {".".join(name.split(".")[:depth]) for name in found for depth in range(1, 9)}


def _parse(source):
    """A notebook cell's tree: lines of magic (`%matplotlib inline`, `!ls`) are no Python."""
    try:
        return ast.parse(re.sub(r"(?m)^(\s*)[%!?].*$", r"\1pass", source))
    except SyntaxError:
        return ast.parse("")


def _without_docstrings(tree):
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                line
                for line in body
                if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return tree


def hashes(paths, below=ROOT):
    """sha256 of each file, by its path below a folder (its whole path when it lies elsewhere)."""
    found = {}
    for path in sorted(map(Path, paths)):
        name = path.relative_to(below) if path.is_relative_to(below) else path
        about = path.stat()
        found[str(name)] = _sha256(path, about.st_size, about.st_mtime_ns)
    return found


@functools.lru_cache
def _sha256(path, size, changed):
    """Of a file as it was at that time: a run asks for its videos' after every notebook."""
    return weights.sha256(path)


def fingerprint(paths):
    """Names, sizes and times of files and of all that lies in folders: cheap, for large inputs."""
    found = []
    for path in map(Path, paths):
        path = path if path.is_absolute() else ROOT / path
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file():
                about = file.stat()
                name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
                found.append((str(name), about.st_size, about.st_mtime_ns))
    return digest(found)


def origin():
    """Commit, versions and machine of this run: the part of run.json that no parameter says."""
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit or None,
        "dirty": bool(changed) if commit else None,
        "versions": versions(),
        "hardware": hardware(),
    }


def versions():
    """Python's and every direct dependency's version, where installed."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {"python": platform.python_version()}
    for requirement in ["hmdlib", *settings["project"]["dependencies"]]:
        name = re.match(r"[\w.-]+", requirement).group()
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def hardware():
    """Processor, cores that we may use, memory, GPU (by nvidia-smi; None without)."""
    import psutil

    can_ask = hasattr(os, "sched_getaffinity")
    graphics = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if can_ask else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": graphics or None,
    }


def _processor():
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()


def _output(*command):
    """What a command prints, or "" when it is not there or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
