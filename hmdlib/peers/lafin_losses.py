"""What LaFIn is trained on, one function a term, as its published code computes it.

Pictures are (N, 3, H, W) in [0, 1]; hidden (N, 1, H, W), 1 = hidden. The terms are in LaFIn's own
scale, so that its weights mean what they meant; every function returns a scalar.

Published training: Adam with betas (0, 0.9), learning rate 1e-4, the discriminator's 1e-5, batches
of 4; the predictor alone, Adam with betas (0.9, 0.999), 1e-4, weight decay 1e-6. Step the
discriminator only after the generator's backward pass has gone through it.
"""

import torch.nn.functional as F

WEIGHTS = {"rec": 1.0, "adv": 0.01, "perceptual": 0.1, "style": 250.0, "tv": 0.1}
"""The generator's objective: total_loss(generator_terms(...), WEIGHTS), hmdlib.losses."""

PERCEPTUAL_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_LAYERS = ("relu2_2", "relu3_4", "relu4_4", "relu5_2")


def landmark_loss(landmarks, target):
    """Distance of all 68 points at once, in pixels: the norm of 136 differences, mean over faces.

    landmarks, target: (N, 68, 2).
    """
    return (landmarks - target).flatten(1).norm(dim=1).mean()


def reconstruction_loss(output, target, hidden):
    """Mean absolute difference over all pixels, divided by the hidden share of the batch."""
    return (output - target).abs().mean() / hidden.mean()


def perceptual_loss(features, target_features):
    """Mean absolute difference of features, summed over layers. Lists of (N, c, h, w)."""
    return sum(F.l1_loss(a, b) for a, b in zip(features, target_features, strict=True))


def style_loss(features, target_features):
    """As `perceptual_loss`, of which features occur together, wherever they do (Gram matrices)."""
    grams = ([gram(one) for one in layers] for layers in (features, target_features))
    return perceptual_loss(*grams)


def gram(features):
    """Products of every two channels, summed over the picture, per value: (N, c, c)."""
    flat = features.flatten(2)  # (N, c, h w)
    return flat @ flat.mT / features[0].numel()


def total_variation_loss(images):
    """How much neighbours differ: mean absolute vertical step plus mean absolute horizontal one."""
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs().mean()
    return vertical + (images[..., 1:] - images[..., :-1]).abs().mean()


def adversarial_loss_discriminator(real, fake):
    """((1 - D(real))^2 + D(fake)^2) / 2, LSGAN on the discriminator's probabilities."""
    return ((1 - real).square().mean() + fake.square().mean()) / 2


def adversarial_loss_generator(fake):
    """(1 - D(fake))^2."""
    return (1 - fake).square().mean()


def generator_terms(output, target, hidden, fake, see=None):
    """Every term of the generator's objective by name, unweighted.

    output: as painted, not yet composited. fake: the discriminator's probabilities of it. see:
    (images, layer names) -> list of features, as `vgg19.VGG19` does; None leaves out the two terms
    that need it. The style is that of the hidden pixels alone, on black; the total variation that
    of the composite.
    """
    composite = output * hidden + target * (1 - hidden)
    terms = {
        "rec": reconstruction_loss(output, target, hidden),
        "adv": adversarial_loss_generator(fake),
        "tv": total_variation_loss(composite),
    }
    if see is not None:
        shown, wanted = (see(images, PERCEPTUAL_LAYERS) for images in (output, target))
        style, wanted_style = (see(images * hidden, STYLE_LAYERS) for images in (output, target))
        terms["perceptual"] = perceptual_loss(shown, wanted)
        terms["style"] = style_loss(style, wanted_style)
    return terms
