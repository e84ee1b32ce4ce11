"""LaFIn's published weights under this package's names.

Three files, each with the tensors of one network. The published code counts its layers otherwise
and lists some tensors twice; the layers themselves are the same.
"""

import re
from pathlib import Path

from hmdlib.checkpoint import take
from hmdlib.peers.lafin import Discriminator, Generator, LandmarkPredictor
from hmdlib.published import read_state

PUBLISHED = {
    LandmarkPredictor: ("landmark_detector.pth", "detector"),
    Generator: ("InpaintingModel_gen.pth", "generator"),
    Discriminator: ("InpaintingModel_dis.pth", "discriminator"),
}
"""Network -> (its published file, the entry of that file that holds its tensors)."""

RULES = {
    LandmarkPredictor: (
        (r"features\.(\d+)\.conv\.", r"trunk.\1.layers."),
        (r"features\.0\.", "trunk.0."),
        (r"last_block\.", "last."),
        (r"conv_node1\.", "from_trunk."),
        (r"conv_node2\.", "from_last."),
        (r"conv1_after_mbnet\.", "from_last_narrow."),
        (r"fc_landmark\.", "points."),
    ),
    Generator: (
        (r"encoder1\.1\.", "encoder1.0."),  # there, the mirrored border is a layer of its own
        (r"decoder3\.1\.", "decoder3."),
        (r"middle\.(\d)\.conv_block\.1\.", r"middle.\1.conv1.0."),
        (r"middle\.(\d)\.conv_block\.5\.", r"middle.\1.conv2.0."),
        (r"fushion(\d)\.", r"fusion\1."),
        (r"auto_attn\.query_conv\.", "attention.query."),
        (r"auto_attn\.model\.(conv1|conv2)\.", r"attention.\1."),
        (r"auto_attn\.model\.bypass\.", "attention.shortcut."),
        (r"auto_attn\.model\.(model|shortcut)\.", None),  # the same three once more
        (r"auto_attn\.", "attention."),
    ),
    Discriminator: (
        (r"features\.0\.", None),  # conv1 once more
        (r"conv(\d)\.0\.", r"conv\1."),
        (r"auto_attn\.query_conv\.", "attention.query."),
        (r"auto_attn\.(model|alpha)", None),  # there, but never used
        (r"auto_attn\.", "attention."),
    ),
}
"""Network -> (pattern at the start of a published name, what takes its place or None to leave the
tensor out), the first match wins."""


def load_lafin(folder):
    """The published networks from the folder with their three files, in eval mode.

    Returns LandmarkPredictor, Generator, Discriminator. Raises InputError as `load_published`.
    """
    return tuple(load_published(kind(), Path(folder) / PUBLISHED[kind][0]) for kind in PUBLISHED)


def load_published(network, path_or_state):
    """Give one of LaFIn's networks its published weights, and return it in eval mode.

    path_or_state: the published file, which is read without running any code in it, or its state
    dict. Raises InputError that says which tensors are missing (by their names in this package),
    unknown or of another shape.
    """
    file, entry = PUBLISHED[type(network)]
    source = path_or_state if isinstance(path_or_state, str | Path) else f"{entry}'s state dict"
    read = isinstance(path_or_state, str | Path)
    state = read_state(path_or_state, "LaFIn's published weights") if read else path_or_state
    state = state.get(entry, state)
    state = _with_singular_vectors({k.removeprefix("module."): v for k, v in state.items()})
    named = {_our_name(type(network), key): value for key, value in state.items()}
    named.pop(None, None)
    take(network, named, f"{source}: not the weights of LaFIn's {entry}", f"give its {file}")
    return network.eval()


def _our_name(kind, published):
    for pattern, ours in RULES[kind]:
        if re.match(pattern, published):
            return ours and re.sub(pattern, ours, published, count=1)
    return published


def _with_singular_vectors(state):
    """Fill in spectral norm's v, in whose place files of early torch hold the divided weight.

    Any v with u W v = sigma divides alike, and training finds the next one from u.
    """
    for name in [key for key in state if key.endswith(".weight_orig")]:
        weight = name.removesuffix("_orig")
        if {weight, f"{weight}_u"} <= state.keys() and f"{weight}_v" not in state:
            matrix = state[name].flatten(1)
            sigma = matrix.norm() / state.pop(weight).norm()
            v = matrix.T @ state[f"{weight}_u"]
            state[f"{weight}_v"] = v * sigma / (v @ v)
    return state
