"""What the peers that learn are taught: who learns, by which optimiser, and what one step is.

`hole_training` has the loop around the step: it is the same for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hmdlib import losses
from hmdlib.peers import gated, lafin, lafin_losses


@dataclass(eq=False)
class Lesson:
    """Who learns and how.

    modules, optimisers: by name, an optimiser a module. rates: each one's share of the learning
    rate. step: callable (batch, mixed precision) -> terms by name, detached. losses: for the facts.
    """

    name: str
    modules: dict
    optimisers: dict
    rates: dict
    step: Callable
    losses: dict


def landmark_lesson(peer):
    """LaFIn's first phase: tell where the landmarks are, the hidden ones too.

    In float32 throughout: 16 bits tell places apart by half a pixel only. Adam as published.
    """
    predictor = peer.predictor
    learn = torch.optim.Adam(predictor.parameters(), betas=(0.9, 0.999), weight_decay=1e-6)

    def step(batch, mixed):
        guess = predictor(batch.occluded, batch.hidden)  # (N, 68, 2)
        loss = lafin_losses.landmark_loss(guess, batch.landmarks)
        update(learn, loss)
        return {"total": loss.detach(), "landmarks": loss.detach()}

    parts, learners = {"predictor": predictor}, {"predictor": learn}
    return Lesson("landmarks", parts, learners, {"predictor": 1}, step, {"landmarks": 1})


def lafin_lesson(peer, see=None):
    """LaFIn's second phase: paint around the true landmarks, as published.

    see: a VGG-19 (peers.vgg19) on the peer's device; None leaves out the perceptual and style
    terms.
    """

    def paint(batch):
        lit = lafin.landmark_map(batch.landmarks, batch.target.shape[-1])
        return peer.generator(batch.occluded, batch.hidden, lit)

    def judge(batch, images):
        lit = lafin.landmark_map(batch.landmarks, batch.target.shape[-1])
        return peer.discriminator(images, lit)

    def terms(output, batch, fake):
        return lafin_losses.generator_terms(output, batch.target, batch.hidden, fake, see)

    extra = ("perceptual", "style") if see is not None else ()
    weights = {name: lafin_losses.WEIGHTS[name] for name in ("rec", "adv", "tv", *extra)}
    rule = lafin_losses.adversarial_loss_discriminator
    return _game("lafin", peer, paint, judge, terms, rule, weights, betas=(0.0, 0.9), rate=0.1)


def gated_lesson(peer):
    """The gated network's only phase: hidden and visible pixels, and a judge of the composite."""

    def paint(batch):
        return peer.generator(batch.occluded, batch.hidden)

    def judge(batch, images):
        composite = images * batch.hidden + batch.target * (1 - batch.hidden)
        return peer.discriminator(composite, batch.hidden)

    def terms(output, batch, fake):
        return gated.generator_terms(output, batch.target, batch.hidden, fake)

    rule, betas = gated.hinge_loss_discriminator, (0.5, 0.999)  # of the published code
    return _game("gated", peer, paint, judge, terms, rule, gated.WEIGHTS, betas, rate=1)


def _game(name, peer, paint, judge, terms, rule, weights, betas, rate):
    """A generator against its discriminator, one step each a batch, the generator first.

    In this order spectral norm's own update never falls between a forward and its backward pass.
    """
    parts = {"generator": peer.generator, "discriminator": peer.discriminator}
    learn = {k: torch.optim.Adam(part.parameters(), betas=betas) for k, part in parts.items()}

    def step(batch, mixed):
        with mixed():
            output = paint(batch)
        output = output.float()
        peer.discriminator.requires_grad_(False)
        with mixed():
            fake = judge(batch, output)
        said = terms(output, batch, fake.float())
        said["total"] = losses.total_loss(said, weights)
        update(learn["generator"], said["total"])
        peer.discriminator.requires_grad_(True)
        with mixed():
            real, fake = judge(batch, batch.target), judge(batch, output.detach())
        said["D"] = rule(real.float(), fake.float())
        update(learn["discriminator"], said["D"])
        return {name: value.detach() for name, value in said.items()}

    return Lesson(name, parts, learn, {"generator": 1, "discriminator": rate}, step, weights)


def update(optimiser, loss):
    """One step down the gradient of a loss."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
