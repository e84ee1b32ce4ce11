"""Trained networks on disk: safetensors with their architecture, and how others begin there."""

import torch

from hmdlib import InputError
from hmdlib.checkpoint import read_tensors, write_tensors
from hmdlib.discriminators import Discriminator
from hmdlib.networks import Deoccluder
from hmdlib.ours import Ours

KINDS = {kind.__name__: kind for kind in (Deoccluder, Discriminator, Ours)}


def save(path, model, **about):
    """Write a Deoccluder, an Ours or a discriminator with its architecture, atomically.

    about: further JSON-able facts (subject, images seen, ...), read back by
    `checkpoint.read_facts`.
    """
    kind = type(model).__name__
    facts = {"kind": kind, "architecture": model.architecture, **about}
    if isinstance(model, Deoccluder):
        facts["bypass_attention"] = model.bypass_attention
        facts["attention_has_learnt"] = model.attention_has_learnt
    write_tensors(path, model.state_dict(), facts)


def load(path, **expected):
    """A network as it was saved, in eval mode on the CPU.

    expected: parts of the architecture that the caller relies on (image_size=128, width=32, ...);
    raises InputError when the file holds another, and when it is no weights file of this package.
    """
    tensors, facts = read_tensors(path)
    if facts.get("kind") not in KINDS:
        raise InputError(f"{path}: holds no model of this package; train again to write one")
    _agree(path, facts["architecture"], expected)
    try:
        model = KINDS[facts["kind"]](**facts["architecture"])
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError):  # names, shapes or switches of an older form of this network
        raise InputError(
            f"{path}: its tensors do not fit the {facts['kind']} of this version; train again"
        ) from None
    model.bypass_attention = facts.get("bypass_attention", False)
    model.attention_has_learnt = facts.get("attention_has_learnt", False)
    return model.eval()


def adversary_of(*weights):
    """The discriminator that practised with the first of these weights files that has one.

    training.train writes it beside them, as discriminator.safetensors. None where none has one.
    """
    beside = (path.with_name("discriminator.safetensors") for path in weights)
    return next((path for path in beside if path.is_file()), None)


def start_from(model, path, attention=True):
    """Begin a new Deoccluder where an earlier step ended: 1b from 1a, 2 from 1b (Sec. III-C).

    Copies encoder and decoder from the weights file into `model`, and the attention too if it has
    learnt there and is wanted. A mask channel that the file does not have starts at zero weights.
    Raises InputError when image size, width or latent differ.
    """
    shared = ("image_size", "width", "latent")
    earlier = load(path, **{key: model.architecture[key] for key in shared})
    tensors = earlier.encoder.state_dict()
    kernel, wanted = tensors["stem.0.weight"], model.encoder.stem[0].weight
    extra = wanted.shape[1] - kernel.shape[1]
    if extra > 0:
        tensors["stem.0.weight"] = torch.cat([kernel, torch.zeros_like(kernel[:, :extra])], dim=1)
    elif extra < 0:
        raise InputError(f"{path}: takes the mask as input; set mask_input=True or start elsewhere")
    model.encoder.load_state_dict(tensors)
    model.decoder.load_state_dict(earlier.decoder.state_dict())
    if attention and earlier.attention_has_learnt and model.attention is not None:
        model.attention.load_state_dict(earlier.attention.state_dict())
        model.attention_has_learnt = True


def start_ours_from(model, path):
    """Begin an Ours with another's weights, which may keep or draw what is seen.

    A model that looks for landmarks once, or has no texture, may begin with one that does more: it
    takes the rest. Raises InputError when the file holds another kind of model, another image size,
    width or choice of scales, or no texture or second look where one is wanted.
    """
    shared = ("image_size", "width", "every_scale")
    wanted = {key: model.architecture[key] for key in shared}
    wanted |= {key: True for key in ("texture", "looks_again") if model.architecture[key]}
    tensors = load(path, **wanted).state_dict()
    own = model.state_dict()  # of the head, what is drawn and the edge come first
    model.load_state_dict({name: tensors[name][: len(one)] for name, one in own.items()})


def _agree(path, found, expected):
    """Raise an InputError that names each part of the architecture that is not as expected."""
    other = [key for key, value in expected.items() if found.get(key) != value]
    if other:
        said = ", ".join(f"{k}={found.get(k)!r} (wanted {expected[k]!r})" for k in other)
        raise InputError(f"{path}: another architecture, {said}; train again or move the file")
