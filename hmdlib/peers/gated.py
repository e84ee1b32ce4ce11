"""A generic inpainting network of DeepFill v2's kind ([22]): each feature says whether it is valid.

Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019, arXiv:1806.03589. A plain
convolution treats a hidden pixel like a visible one. A gated one computes a second map that opens
or closes each feature in each place, so the network learns for itself what the hole reaches.

What differs from the published network: one stage instead of a coarse and a fine one, hence no
contextual attention; fewer convolutions between, and the decoder narrows before it enlarges. It
knows nothing of faces: no landmarks, only the picture and the hole. It paints whatever such holes
usually held in training.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm

WEIGHTS = {"hidden": 1.0, "visible": 1.0, "adv": 0.05}
"""The generator's objective. Published: L1 over all pixels and the adversarial term, 1 each. Here
the hole counts as much as all that is seen, and the adversary little: it needs long trainings."""


class GatedConv(nn.Module):
    """elu(a) * sigmoid(b): a is what a place has to say, b whether it is heard (Eq. 3).

    forward: (N, channels_in, H, W) -> (N, channels, H / stride, W / stride). A gate half open and
    elu take away most of what comes in: torch's usual start would leave a 60th of it after eleven
    layers, and nothing to learn from. So a starts 2.5 times as wide, which keeps the strength.
    """

    def __init__(self, channels_in, channels, kernel=3, stride=1, dilation=1):
        super().__init__()
        pad = dilation * (kernel // 2)
        self.conv = nn.Conv2d(channels_in, 2 * channels, kernel, stride, pad, dilation)
        usual = self.conv.weight[0].numel() ** -0.5
        nn.init.normal_(self.conv.weight[:channels], std=2.5 * usual)
        nn.init.normal_(self.conv.weight[channels:], std=usual)
        nn.init.zeros_(self.conv.bias)

    def forward(self, features):
        said, gate = self.conv(features).chunk(2, dim=1)  # (N, channels, H, W) each
        return F.elu(said) * torch.sigmoid(gate)


class Enlarge(nn.Module):
    """Double the side by repeating pixels, then a gated convolution: no checkerboard."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.gated = GatedConv(channels_in, channels)

    def forward(self, features):
        return self.gated(F.interpolate(features, scale_factor=2, mode="nearest"))


class Generator(nn.Module):
    """Paint the hidden part of any picture, from the picture and the hole alone.

    forward: images (N, 3, H, W) in [0, 1], anything under the mask; hidden (N, 1, H, W), 1 = hidden
    -> the whole picture, same shape and range as images. H and W: multiples of 4. width: features
    at full resolution (24, as published, costs 2.7 GFLOP at 128 x 128; two FLOPs a multiply-add).
    """

    def __init__(self, width=24):
        super().__init__()
        w = width
        self.encoder = nn.Sequential(
            GatedConv(5, w, 5), GatedConv(w, 2 * w, stride=2), GatedConv(2 * w, 4 * w, stride=2)
        )
        # dilation: at a quarter of the side, 1 + 2 (2 + 4 + 8 + 16) places: right across the hole
        self.middle = nn.Sequential(
            *(GatedConv(4 * w, 4 * w, dilation=d) for d in (1, 2, 4, 8, 16))
        )
        self.decoder = nn.Sequential(
            GatedConv(4 * w, 2 * w), Enlarge(2 * w, w), Enlarge(w, max(w // 2, 1))
        )
        self.head = nn.Conv2d(max(w // 2, 1), 3, 3, padding=1)

    def forward(self, images, hidden):
        features = self.encoder(shown(images, hidden))  # (N, 4w, H / 4, W / 4)
        features = self.decoder(self.middle(features))  # (N, w / 2, H, W)
        return (torch.tanh(self.head(features)) + 1) / 2


def shown(images, hidden):
    """What the network gets: the picture in [-1, 1], hidden pixels 0; ones; the mask. (N, 5, H, W).

    The ones are there as published: next to the zero padding they tell where the picture ends.
    """
    blanked = (2 * images - 1) * (1 - hidden)
    return torch.cat([blanked, torch.ones_like(hidden), hidden], dim=1)


class Discriminator(nn.Module):
    """Is each patch real, given where the hole is? A spectral-norm PatchGAN (Sec. 3.3).

    forward: images (N, 3, H, W) in [0, 1], hidden (N, 1, H, W) -> scores (N, 1, H / 16, W / 16),
    unbounded: above 1 is surely real, below -1 surely painted. The published one has one more
    halving, for 256 x 256 and more.
    """

    def __init__(self, width=24):
        super().__init__()
        steps = [4, width, 2 * width, 4 * width, 4 * width]
        convs = [
            spectral_norm(nn.Conv2d(a, b, 5, 2, 2)) for a, b in zip(steps, steps[1:], strict=False)
        ]
        self.convs = nn.ModuleList(convs)
        self.judge = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, images, hidden):
        features = torch.cat([2 * images - 1, hidden], dim=1)  # (N, 4, H, W)
        for conv in self.convs:
            features = F.leaky_relu(conv(features), 0.2)
        return self.judge(features)


# ---- losses -------------------------------------------------------------------------------------


def hinge_loss_discriminator(real, fake):
    """(max(0, 1 - D(real)) + max(0, 1 + D(fake))) / 2: who is sure and right pays nothing."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def hinge_loss_generator(fake):
    """- D(fake)."""
    return -fake.mean()


def generator_terms(output, target, hidden, fake):
    """Every term of the generator's objective by name, unweighted.

    output, target: (N, 3, H, W) in [0, 1]. hidden, visible: L1 averaged over those pixels, on the
    published scale of [-1, 1]. fake: the discriminator's scores of the composite.
    """
    difference = 2 * (output - target).abs().mean(dim=1, keepdim=True)  # (N, 1, H, W)
    visible = 1 - hidden
    return {
        "hidden": (difference * hidden).sum() / hidden.sum().clamp(min=1),
        "visible": (difference * visible).sum() / visible.sum().clamp(min=1),
        "adv": hinge_loss_generator(fake),
    }
