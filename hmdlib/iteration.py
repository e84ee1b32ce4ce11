"""One iteration of training: who learns, from which losses, in which order (Sec. III-C, Eq. 6).

The order is that of [3] (3FabRec), and with its settings the numbers are, too.
"""

from contextlib import nullcontext

import torch

from hmdlib import InputError, losses

PARTS = ("encoder", "decoder", "attention", "common")
"""What a stage may freeze. `common` is what both ways through the network share: the encoder up to
F_enc and the decoder from F_fused on. Frozen in step 1b, it keeps a trained attention at home."""


def part_of(model, name):
    """The modules of one of the PARTS."""
    if name == "common":
        decoder = model.decoder
        blocks = [getattr(decoder, f"dec{n}") for n in range(decoder.fused_after + 1,
                                                             decoder.blocks + 1)]  # fmt: skip
        encoder = model.encoder
        early = [encoder.stem, encoder.enc1 if encoder.enc0 is None else encoder.enc0]
        return [*early, *blocks, decoder.head]
    return [part for part in [getattr(model, name)] if part is not None]


class Players:
    """Those who learn, each with its optimiser: the generator and its one or two adversaries."""

    def __init__(self, model, discriminator=None, latent_discriminator=None, precision="float32"):
        self.model, self.precision = model, precision
        self.discriminator, self.latent_discriminator = discriminator, latent_discriminator
        self.device = next(model.parameters()).device
        everyone = {"model": model, "discriminator": discriminator,
                    "latent_discriminator": latent_discriminator}  # fmt: skip
        self.modules = {name: module for name, module in everyone.items() if module is not None}
        # decision 13. Not Adam's fused kernel: it is no faster on a CPU, and silently takes one
        # gradient for another where weights and gradients are laid out differently in memory
        settings = {"betas": (0.0, 0.999), "foreach": True}
        self.optimisers = {
            name: torch.optim.Adam(module.parameters(), lr=2e-5, **settings)
            for name, module in self.modules.items()
        }

    def mixed_precision(self):
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def set_lr(self, lr):
        """D learns at half the rate of the others (decision 13)."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = lr / 2 if name == "discriminator" else lr

    def enter(self, stage):
        """Training mode; the stage's momentum, norms, frozen parts; attention bypassed or not."""
        for group in self.optimisers["model"].param_groups:
            group["betas"] = (stage.momentum, group["betas"][1])
        for module in self.modules.values():
            module.train()
        if stage.fixed_norm:
            for module in self.model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
        self.model.bypass_attention = not stage.attention
        self.model.requires_grad_(True)
        for name in stage.frozen:
            for part in part_of(self.model, name):
                part.requires_grad_(False)
                part.train(False)  # else batch norm's statistics would go on drifting


def train_step(players, batch, stage, number):
    """One iteration of [3]'s loop, in its order. Returns the terms as detached scalars by name.

    batch: occluded, target, hidden, and landmarks where the model wants them. number: steps done
    before; D learns at every second step, before the generator is judged by it; the latent
    discriminator at every fourth.
    """
    model = players.model
    known = {"landmarks": batch.landmarks} if model.wants_landmarks else {}
    with players.mixed_precision():
        code, seen = model.encode(batch.occluded, batch.hidden, **known)
        reconstruction, *maps = model.decode(code, seen, stage.code_only_of(len(code)))
    said = {"code_std": code.std(), "code_mean": code.mean()}
    extra = 0.0
    if stage.code_adversary:
        extra, said["code"] = _code_adversary(players, code, number)
    terms = image_terms(reconstruction, batch, stage)
    if "landmarks" in stage.losses:
        size = model.architecture["image_size"]
        terms["landmarks"] = losses.landmark_loss(maps[-1], batch.landmarks, size)
    if "adv" in stage.losses:
        if number % 2 == 0:
            said |= _discriminator_step(players, batch.target, reconstruction.detach())
        terms["adv"] = _judged(players, reconstruction)
    total = losses.total_loss(terms, stage.losses, stage.halved)
    players.optimisers["model"].zero_grad()
    (total + extra).backward()
    players.optimisers["model"].step()
    return {name: value.detach() for name, value in {**terms, **said, "total": total}.items()}


def image_terms(reconstruction, batch, stage):
    """The terms of Eq. 6 that compare pictures."""
    terms = {}
    if "rec" in stage.losses:
        terms["rec"] = losses.reconstruction_loss(reconstruction, batch.target)
    if "ssim" in stage.losses:
        terms["ssim"] = losses.structure_loss(
            reconstruction, batch.target, stage.window, stage.published_range
        )
    if "mask" in stage.losses:
        terms["mask"] = losses.mask_loss(
            reconstruction, batch.target, batch.hidden, stage.mask_by_area
        )
    return terms


def _discriminator_step(players, real, fake):
    with players.mixed_precision():
        real_logits, fake_logits = players.discriminator(real), players.discriminator(fake)
    loss = losses.adversarial_loss_discriminator(real_logits, fake_logits)
    players.optimisers["discriminator"].zero_grad()
    loss.backward()
    players.optimisers["discriminator"].step()
    return {"D": loss, "D_real": real_logits.sigmoid().mean()}


def _judged(players, reconstruction):
    """The generator's adversarial term; D passes the gradient on and learns nothing from it."""
    players.discriminator.requires_grad_(False)
    with players.mixed_precision():
        logits = players.discriminator(reconstruction)
    players.discriminator.requires_grad_(True)
    return losses.adversarial_loss_generator(logits)


def _code_adversary(players, code, number):
    """[3]'s game about codes: D_z learns at every fourth step, the encoder at every second.

    Returns the encoder's term (0 where it rests) and what to log.
    """
    judge, optimiser = players.latent_discriminator, players.optimisers["latent_discriminator"]
    if number % 4 == 0:
        loss = losses.adversarial_loss_discriminator(
            judge(torch.randn(code.shape).to(code.device)), judge(code.detach())
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    judge.requires_grad_(False)
    term = losses.adversarial_loss_generator(judge(code))
    judge.requires_grad_(True)
    return (term if number % 2 == 0 else 0.0), term


def choose_precision(name, device):
    """ "float32" or "bfloat16": "auto" takes bfloat16 where the hardware computes in it.

    Elsewhere bfloat16 is emulated and slower. First and last layers and all losses stay float32.
    """
    if name not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision={name!r}: choose auto, float32 or bfloat16")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return "bfloat16" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"
    return "float32"


@torch.no_grad()
def update_average(average, model, decay, updates):
    """average += (1 - decay) (model - average), batch norm's statistics included.

    The decay starts low, so that the first weights, which are far off, are soon forgotten.
    """
    decay = min(decay, (1 + updates) / (10 + updates))
    kept, new = list(average.state_dict().values()), list(model.state_dict().values())
    floats = [i for i, tensor in enumerate(kept) if tensor.is_floating_point()]
    torch._foreach_lerp_([kept[i] for i in floats], [new[i] for i in floats], 1 - decay)
    for old, now in zip(kept, new, strict=True):
        if not old.is_floating_point():
            old.copy_(now)
