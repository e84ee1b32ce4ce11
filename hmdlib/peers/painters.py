"""The peers that learn, as things that paint holes and can be kept in a file.

`Lafin` and `Gated` hold the networks of one system each; both paint in the same way. One file keeps
all networks of a system, in half precision if it is to be small.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hmdlib import InputError, checkpoint
from hmdlib.networks import parameters_of
from hmdlib.peers import gated, lafin


@dataclass(eq=False)
class Lafin:
    """LaFIn: where is the face, which face, and who judges it. `peers.lafin` has the networks."""

    predictor: nn.Module
    generator: nn.Module
    discriminator: nn.Module
    width: int = 64
    kind = "lafin"

    @classmethod
    def new(cls, width=64):
        """Untrained networks, from torch's global generator. width: 64 as published."""
        parts = lafin.LandmarkPredictor(), lafin.Generator(width), lafin.Discriminator(width)
        return cls(*parts, width)

    @property
    def modules(self):
        """The networks by name."""
        return {"predictor": self.predictor, "generator": self.generator,
                "discriminator": self.discriminator}  # fmt: skip

    @property
    def painters(self):
        """The networks that are at work when it paints."""
        return [self.predictor, self.generator]

    def landmarks(self, occluded, hidden):
        """Where it believes the 68 landmarks to be: (N, 68, 2) in pixels."""
        return _in_parts(self.painters, self.predictor, occluded, hidden)

    def paint(self, occluded, hidden):
        """What it draws, raw: (N, 3, S, S) in [0, 1], around landmarks that it predicts itself.

        occluded: (N, 3, S, S) in [0, 1]. hidden: (N, 1, S, S), 1 = hidden. On any device, where the
        result is too.
        """

        def one_batch(images, holes):
            return lafin.inpaint(self.predictor, self.generator, images, holes)[1]

        return _in_parts(self.painters, one_batch, occluded, hidden).clamp(0, 1)

    def paint_around(self, occluded, hidden, landmarks):
        """As `paint`, around landmarks that are given: (N, 68, 2) in pixels."""

        def one_batch(images, holes, points):
            return self.generator(images, holes, lafin.landmark_map(points, images.shape[-1]))

        painted = _in_parts(self.painters, one_batch, occluded, hidden, landmarks)
        return painted.clamp(0, 1)


@dataclass(eq=False)
class Gated:
    """The generic inpainter of DeepFill v2's kind and its judge. `peers.gated` has the networks."""

    generator: nn.Module
    discriminator: nn.Module
    width: int = 24
    kind = "gated"

    @classmethod
    def new(cls, width=24):
        """Untrained networks, from torch's global generator."""
        return cls(gated.Generator(width), gated.Discriminator(width), width)

    @property
    def modules(self):
        """The networks by name."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def painters(self):
        """The networks that are at work when it paints."""
        return [self.generator]

    def paint(self, occluded, hidden):
        """What it draws, raw: (N, 3, S, S) in [0, 1]; arguments as of `Lafin.paint`."""
        return _in_parts(self.painters, self.generator, occluded, hidden).clamp(0, 1)


KINDS = {"lafin": Lafin, "gated": Gated}

METHODS = {"lafin": "lafin_generic", "lafin, personal": "lafin_personal",
           "lafin, published": "lafin_published", "gated inpainting": "gated_generic"}  # fmt: skip
"""A method's name in the tables -> its folder among the results of notebook 06b."""


@torch.no_grad()
def _in_parts(networks, function, *tensors, batch_size=16):
    """Apply a function of networks to stacks, a few at a time, in eval mode; left as they were."""
    where, modes = next(networks[0].parameters()).device, [one.training for one in networks]
    for network in networks:
        network.eval()
    parts = zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)
    done = [function(*(part.to(where) for part in several)).float() for several in parts]
    for network, mode in zip(networks, modes, strict=True):
        network.train(mode)
    return torch.cat(done).to(tensors[0].device)


def to(peer, device):
    """Move all networks of a peer; returns it."""
    for module in peer.modules.values():
        module.to(device)
    return peer


def copy_of(peer):
    """A peer with the same weights on the same device, to learn on; spectral norm bars deepcopy."""
    with torch.random.fork_rng(devices=[]):
        other = to(type(peer).new(peer.width), next(peer.generator.parameters()).device)
    for name, module in other.modules.items():
        module.load_state_dict(peer.modules[name].state_dict())
        module.eval()
    return other


def cost(peer, size):
    """What painting takes: parameters (millions) and GFLOP a picture of size x size.

    A multiplication and an addition count as two operations. The discriminator does not paint.
    """
    where = next(peer.generator.parameters()).device
    blank = torch.zeros(1, 3, size, size, device=where)
    with FlopCounterMode(display=False) as counter:
        peer.paint(blank, blank[:, :1])
    return {"parameters, millions": sum(map(parameters_of, peer.painters)) / 1e6,
            "GFLOP": counter.get_total_flops() / 1e9}  # fmt: skip


# ---- in a file ----------------------------------------------------------------------------------


def save(path, peer, half=False, **facts):
    """Write all networks of a peer to one safetensors file, atomically, with facts beside them.

    half: in 16 bits, for a file of half the size; the weights change by up to a 2000th of
    themselves. Raises InputError when a weight does not fit into 16 bits.
    """
    tensors = {}
    for name, module in peer.modules.items():
        tensors |= checkpoint.prefixed(name, module.state_dict())
    if half:
        tensors = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
        burst = [n for n, t in tensors.items() if not t.isfinite().all()]
        if burst:
            raise InputError(f"{path}: {burst[0]} does not fit into 16 bits; save with half=False")
    known = {"kind": peer.kind, "width": peer.width, "half": half}
    checkpoint.write_tensors(path, tensors, {**facts, **known})


def load(path, kind=None):
    """A peer as `save` wrote it: 32 bits, on the CPU, in eval mode.

    kind: "lafin" or "gated" to insist. Raises InputError for a file of something else, and names
    the tensors that are missing, unknown or of another shape. `checkpoint.read_facts` has the rest.
    """
    tensors, facts = checkpoint.read_tensors(path)
    found = facts.get("kind")
    if found not in KINDS or kind not in (None, found):
        wanted = kind or " or ".join(KINDS)
        raise InputError(f"{path}: holds {found!r}, wanted {wanted}; give the peer's own file")
    peer = KINDS[found].new(facts["width"])
    networks = nn.ModuleDict(peer.modules).eval()
    named = {name.replace("/", ".", 1): tensor for name, tensor in tensors.items()}
    of = f"{found} of width {facts['width']}"
    checkpoint.take(networks, named, f"{path}: not the weights of {of}", "train it anew")
    return peer


def trained(results, device):
    """The peers that notebook 06b left among its results (a folder), by METHODS' names, loaded."""
    files = {name: Path(results) / place / "model.safetensors" for name, place in METHODS.items()}
    return {name: to(load(file), device) for name, file in files.items() if file.is_file()}
