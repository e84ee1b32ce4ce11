"""Tensors on disk: safetensors files, written in one step, with facts in JSON beside the numbers.

Nothing here is ever unpickled, so a weights file from a stranger can be read without running its
code.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hmdlib import InputError, leftovers


def write_tensors(path, tensors, facts):
    """Write name -> tensor and JSON-able facts to one file, atomically: all of it or nothing.

    Raises InputError when the disk refuses; an earlier file of that name is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.clear(path.parent, path.name + ".", ".tmp")
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    # safetensors stores the logical order: a channels-last tensor is laid out anew
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, partial, {key: json.dumps(value) for key, value in facts.items()})
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({error}); make room, run again") from None
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
        raise InputError(
            f"{path}: not a readable weights file of this package ({error}); train it again, or "
            "name another"
        ) from None


def take(network, named, wrongly, remedy):
    """Give a network its tensors, all of them and no others.

    named: by this package's names. Else an InputError: `wrongly`, which tensors are missing,
    unknown or of another shape, and the `remedy`.
    """
    own = network.state_dict()
    wrong = {
        "missing": [n for n in own if n not in named and not n.endswith("num_batches_tracked")],
        "unknown": [name for name in named if name not in own],
        "of another shape": [n for n in own if n in named and named[n].shape != own[n].shape],
    }
    if any(wrong.values()):
        said = "; ".join(f"{what}: {_some(names)}" for what, names in wrong.items() if names)
        raise InputError(f"{wrongly}; {said}; {remedy}")
    network.load_state_dict({**own, **named})  # old torch did not count batches


def _some(names):
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


# ---- the parts of a training run, as flat names -----------------------------------------------


def prefixed(prefix, tensors):
    """{"a": tensor} -> {"prefix/a": tensor}."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix, tensors):
    """The inverse of `prefixed`: the tensors below a prefix, under their own names."""
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def optimiser_tensors(optimiser, module):
    """Adam's memory under its parameters' names: {"encoder.stem.0.weight/exp_avg_sq": tensor}."""
    return {
        f"{name}/{key}": value
        for name, parameter in module.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


@torch.no_grad()
def restore_optimiser(optimiser, module, tensors):
    """Give Adam back its memory, each tensor laid out in memory as its parameter is."""
    for name, parameter in module.named_parameters():
        memory = without_prefix(name, tensors)
        for key, value in memory.items():
            if value.shape == parameter.shape:  # else Adam's count of steps, which stays on the CPU
                memory[key] = torch.empty_like(parameter).copy_(value)
        if memory:
            optimiser.state[parameter] = memory


def learners_tensors(modules, optimisers):
    """Several networks and their optimisers' memory as flat names; both are dicts by one name."""
    tensors = {}
    for name, module in modules.items():
        tensors |= prefixed(name, module.state_dict())
        memory = optimiser_tensors(optimisers[name], module)
        tensors |= prefixed(f"optimiser/{name}", memory)
    return tensors


def restore_learners(modules, optimisers, tensors):
    """The inverse of `learners_tensors`: networks and optimisers go on as they were."""
    for name, module in modules.items():
        module.load_state_dict(without_prefix(name, tensors))
        memory = without_prefix(f"optimiser/{name}", tensors)
        restore_optimiser(optimisers[name], module, memory)


def fingerprint(module):
    """A short hash of a network's weights, to tell whether a run began from these."""
    import hashlib

    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
