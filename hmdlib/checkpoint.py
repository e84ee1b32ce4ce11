"""Tensors on disk: safetensors files, written in one step, with facts in JSON beside the numbers.

Nothing here is ever unpickled, so a weights file from a stranger can be read without running its
code.
"""

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hmdlib import InputError


def write_tensors(path, tensors, facts):
    """Write name -> tensor and JSON-able facts to one file, atomically: all of it or nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    # safetensors stores the logical order: a channels-last tensor is laid out anew
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, partial, {key: json.dumps(value) for key, value in facts.items()})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_facts(path):
    """What a file says about itself: its `kind`, `architecture`, and whatever else was saved."""
    return _open(path, with_tensors=False)[1]


def read_tensors(path):
    """The tensors by name (on the CPU), and the facts. InputError for a missing or broken file."""
    return _open(path, with_tensors=True)


def _open(path, with_tensors):
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; run the step that writes it first")
    try:
        with safe_open(path, "pt") as file:
            facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            names = file.keys() if with_tensors else ()
            return {name: file.get_tensor(name) for name in names}, facts
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable weights file ({error}); delete it") from None
