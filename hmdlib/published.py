"""Published weights, and those of 3FabRec ([3] of the paper) under this package's names.

[3] calls the encoder Q, the decoder P, the discriminators D and D_z, and counts its layers
otherwise; the layers themselves are the same, so its checkpoints load here.
"""

import pickle
import re
from pathlib import Path

import torch

from hmdlib import InputError
from hmdlib.checkpoint import take
from hmdlib.discriminators import Discriminator, LatentDiscriminator
from hmdlib.networks import Deoccluder

RULES = (
    (r"Q\.conv1\.", "encoder.stem.0."),
    (r"Q\.bn1\.", "encoder.stem.1."),
    (r"Q\.layer(\d)\.(\d)\.downsample\.", r"encoder.enc\1.\2.shortcut."),
    (r"Q\.layer(\d)\.(\d)\.", r"encoder.enc\1.\2."),
    (r"Q\.fc\.", "encoder.bottleneck."),
    (r"P\.fc\.", "decoder.seed_linear."),
    (r"P\.conv1\.", "decoder.seed.0."),
    (r"P\.bn1\.", "decoder.seed.1."),
    (r"P\.layer(\d)\.0\.upsample\.", r"decoder.dec\1.shortcut."),
    (r"P\.layer(\d)\.0\.", r"decoder.dec\1."),
    (r"P\.lin\.", "decoder.head."),
    (r"D\.main\.14\.", "discriminator.judge."),
    (r"D\.main\.", "discriminator.features."),
    (r"D_z\.", "latent_discriminator."),
)
"""(pattern at the start of a published name, what takes its place), the first match wins."""


def read_state(path, whose):
    """A published file's state dict, read without running any code in it.

    whose: what it is, for the InputError when there is no such file, or no readable one.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; download {whose} first")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        said = "" if isinstance(state, dict) else "it holds no names"
    except (pickle.UnpicklingError, LookupError, RuntimeError, EOFError) as error:
        said = f"{type(error).__name__} {error}".partition("\n")[0]
    if said:
        raise InputError(f"{path}: not a readable weights file ({said}); fetch it again")
    return state


def our_name(published):
    """[3]'s name of a tensor -> ours, or None for the landmark head, which the paper leaves out.

    >>> our_name("Q.layer2.0.downsample.1.running_mean")
    'encoder.enc2.0.shortcut.1.running_mean'
    """
    for pattern, ours in RULES:
        if re.match(pattern, published):
            return re.sub(pattern, ours, published, count=1)
    if published.startswith("LMH."):
        return None
    raise InputError(f"state dict: {published!r} is no tensor of 3FabRec; give its own saae.mdl")


def load_3fabrec(path_or_state, **switches):
    """[3]'s trained networks: Deoccluder, Discriminator, LatentDiscriminator, in eval mode.

    path_or_state: the published `saae.mdl` (read with torch's weights-only loader, which runs no
    code), or its state dict. 256 and 128 are told apart by the presence of Q.layer0. switches:
    attention, activation, attention_start of the Deoccluder; the attention, which [3] does not
    have, starts untrained and bypassed. Raises InputError that says which tensors are missing (by
    their names in this package), unknown or of another shape.
    """
    read = isinstance(path_or_state, str | Path)
    source = path_or_state if read else "state dict"
    state = read_state(path_or_state, "[3]'s saae.mdl") if read else path_or_state
    state = state.get("state_dict", state)
    named = {our_name(key): torch.as_tensor(value) for key, value in state.items()}
    named.pop(None, None)
    size = 256 if any(key.startswith("encoder.enc0.") for key in named) else 128
    latent = len(named.get("encoder.bottleneck.bias", range(99)))  # missing: said below
    model, judge = Deoccluder(size, 64, latent, **switches), Discriminator()
    latent_judge = LatentDiscriminator(latent)
    model.bypass_attention = True
    parts = {"encoder": model.encoder, "decoder": model.decoder,
             "discriminator": judge, "latent_discriminator": latent_judge}  # fmt: skip
    for part, module in parts.items():
        prefix = f"{part}."
        own = {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}
        take(module, own, f"{source}: not 3FabRec's {part.replace('_', ' ')}", "give its saae.mdl")
        module.eval()
    return model.eval(), judge, latent_judge
