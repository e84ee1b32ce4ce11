"""The training objective, one function a term of Eq. 6.

Pictures are (N, 3, H, W), RGB in [0, 1]; masks (N, 1, H, W), 1 = hidden. The terms are in the
scale of [3] (3FabRec), so that the paper's weights 1, 0.25, 60, 1 mean what they meant: L1 terms
count grey levels (x 255). Everything is computed in float32, whatever precision the networks run
in.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F


def reconstruction_loss(reconstruction, target):
    """Mean absolute difference in grey levels (Eq. 2, decision 9). Returns a scalar."""
    return 255 * (target - reconstruction).abs().mean()


def mask_loss(reconstruction, target, hidden, by_area=False):
    """L1 over the hidden pixels, averaged over all pixels, in grey levels (Eq. 5, decision 10).

    hidden: (N, 1, H, W), 1 = hidden. by_area: average over the hidden pixels instead, so that a
    small headset counts as much as a large one; 0 where nothing is hidden. Returns a scalar.
    """
    difference = 255 * (hidden * (target - reconstruction)).abs()
    if not by_area:
        return difference.mean()
    area = hidden.mean(dim=(1, 2, 3)).clamp_min(1e-6)
    return (difference.mean(dim=(1, 2, 3)) / area).mean()


def landmark_loss(found, landmarks, image_size):
    """How far landmarks are off, in percent of the picture's side, the mean over both coordinates.

    landmarks: (N, 68, 2) in pixels; found: the same, or several guesses of them (looks, N, 68, 2),
    whose mean is taken. Not in the paper: ours lays a texture by them. Returns a scalar.
    """
    return 100 / image_size * (found - landmarks).abs().mean()


def adversarial_loss_discriminator(real_logits, fake_logits):
    """-log D(X_gt) - log(1 - D(X_rec)): what D minimises (Eq. 3, decision 7).

    Logits (N,). Returns a scalar. -log D(x) = softplus(-logit), which no logit can overflow.
    """
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def adversarial_loss_generator(fake_logits):
    """-log D(X_rec), the non-saturating form of Eq. 3 (decision 7). Logits (N,), a scalar."""
    return F.softplus(-fake_logits.float()).mean()


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a matrix first made while scoring must serve training as well
def gaussian_band(size, window, sigma, device, dtype):
    """The matrix (size - window + 1, size) that blurs a line of pixels, keeping the valid part
    only.

    A blur written as a matrix product runs at the processor's full speed, and its gradient too.
    """
    at = torch.arange(window, dtype=torch.float64) - window // 2
    taps = torch.exp(-(at**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    band = torch.zeros(size - window + 1, size, dtype=torch.float64)
    for row in range(len(band)):
        band[row, row : row + window] = taps
    return band.to(device, dtype)


def blur(images, window=11, sigma=1.5):
    """Gaussian-weighted mean around each pixel, valid part only: (N, C, H - window + 1, ...)."""
    height, width = images.shape[-2:]
    rows = gaussian_band(height, window, sigma, images.device, images.dtype)
    columns = gaussian_band(width, window, sigma, images.device, images.dtype)
    return rows @ images @ columns.T


def contrast_structure(images, target, window=31, level_range=1.0):
    """SSIM without its luminance factor, pixel by pixel (Eq. 4 and decision 8; Wang et al. 2004).

    cs = (2 s12 + C2) / (s1^2 + s2^2 + C2), C2 = (0.03 L)^2, Gaussian of sigma 1.5, each colour
    apart. images, target: (N, 3, H, W). window: taps of the Gaussian; 31 as [3], 11 hold all but
    0.02 % of it. level_range: L, a number or (N, 1, 1, 1). Returns the map (N, 3, H - window + 1,
    W - window + 1).
    """
    with torch.autocast(images.device.type, enabled=False):
        a, b = images.float(), target.float()
        with torch.no_grad():  # the target's half needs no gradient
            mean_b, square_b = blur(torch.cat([b, b * b]), window).chunk(2)
        mean_a, product, square_a = blur(torch.cat([a, a * b, a * a]), window).chunk(3)
        covariance = product - mean_a * mean_b
        variances = square_a - mean_a**2 + square_b - mean_b**2  # s1^2 + s2^2
        c2 = (0.03 * level_range) ** 2
        return (2 * covariance + c2) / (variances + c2)


def structure_loss(reconstruction, target, window=31, published_range=False):
    """1 - cs, the mean over pixels, colours and pictures (Eq. 4, decision 8). Returns a scalar.

    published_range: as [3]'s code, L = 2 for a picture whose target has a value below -0.5 on its
    mean-free scale (red darker than 0.018 in [0, 1]), where L = 1 is meant. Only for comparison
    with [3].
    """
    level_range = published_level_range(target) if published_range else 1.0
    return 1 - contrast_structure(reconstruction, target, window, level_range).mean()


def published_level_range(target, mean_colour=(0.518, 0.418, 0.361)):
    """L as [3]'s code guesses it: 2 if a mean-free target value is < -0.5, else 1. (N, 1, 1, 1)."""
    mean_free = target - target.new_tensor(mean_colour).view(1, 3, 1, 1)
    return 1.0 + (mean_free.amin(dim=(1, 2, 3), keepdim=True) < -0.5).to(target.dtype)


def total_loss(terms, weights, halved=False):
    """The weighted sum of Eq. 6. terms, weights: dicts by name ("rec", "adv", "ssim", "mask").

    halved: as [3], rec and ssim count half when both are on (decision 15: strict baseline only).
    """
    half = 0.5 if halved and "rec" in terms and "ssim" in terms else 1.0
    scale = {"rec": half, "ssim": half}
    return sum(weights[name] * scale.get(name, 1.0) * term for name, term in terms.items())
