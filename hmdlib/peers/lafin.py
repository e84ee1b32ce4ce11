"""LaFIn ([20] in the paper): guess the landmarks of a half-hidden face, then paint a face to match.

Yang et al., LaFIn: Generative Landmark Guided Face Inpainting, arXiv:1911.11394. Two networks in a
row: one sees where the face is, the other fills the hole around 68 lit pixels. Their published
weights are for pictures of 256 x 256; hidden pixels are shown to both as white.

The losses are in `lafin_losses`, the published weights come by `lafin_published.load_lafin`.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm

from hmdlib import InputError

# ---- what the networks are shown ----------------------------------------------------------------


def whitened(images, hidden):
    """The picture with its hidden pixels white, as LaFIn's networks want it. (N, 3, H, W)."""
    return images * (1 - hidden) + hidden


def landmark_map(landmarks, size):
    """One lit pixel a landmark: (N, 68, 2) in pixels -> (N, 1, size, size), 1 = lit.

    A landmark lights the pixel that it lies in; outside the picture, the nearest one (the published
    code clamps at the far edges only, and a negative coordinate comes out at the other side). A
    missing landmark (NaN) lights nothing.
    """
    maps = landmarks.new_zeros(len(landmarks), 1, size, size)
    face, point = landmarks.isfinite().all(dim=-1).nonzero(as_tuple=True)
    x, y = landmarks[face, point].long().clamp(0, size - 1).unbind(dim=-1)
    maps[face, 0, y, x] = 1
    return maps


# ---- where is the face? -------------------------------------------------------------------------

TRUNK = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
         (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
"""MobileNetV2 (Sandler et al. 2018, Table 2): expansion, channels, repeats, first stride."""


def conv_bn(channels_in, channels, kernel=1, stride=1, groups=1):
    """A convolution, batch norm and ReLU6: what MobileNetV2 is made of."""
    conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU6()]


class MobileBlock(nn.Module):
    """Widen, look around in each channel apart, narrow; add the input where the shape allows."""

    def __init__(self, channels_in, channels, stride, expansion):
        super().__init__()
        wide = channels_in * expansion
        self.adds = stride == 1 and channels_in == channels
        widen = conv_bn(channels_in, wide) if expansion > 1 else []
        narrow = conv_bn(wide, channels)[:2]  # no activation
        self.layers = nn.Sequential(*widen, *conv_bn(wide, wide, 3, stride, wide), *narrow)

    def forward(self, features):
        change = self.layers(features)
        return features + change if self.adds else change


class LandmarkPredictor(nn.Module):
    """Where the 68 landmarks are, the hidden ones too.

    forward: images (N, 3, 256, 256) in [0, 1], hidden (N, 1, 256, 256) -> landmarks (N, 68, 2) in
    pixels, which may lie outside the picture. Another size runs, but was never trained.
    """

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Sequential(*conv_bn(3, 32, 3, 2)))
        width = 32
        for expansion, channels, repeats, first_stride in TRUNK:
            for stride in [first_stride] + [1] * (repeats - 1):
                self.trunk.append(MobileBlock(width, channels, stride, expansion))
                width = channels
        self.last = nn.Sequential(*conv_bn(320, 1280))
        self.from_trunk = nn.Conv2d(320, 128, 1)
        self.from_last = nn.Conv2d(1280, 128, 1)
        self.from_last_narrow = nn.Conv2d(1280, 64, 1)
        self.prelu = nn.PReLU()
        self.points = nn.Linear(320, 136)

    def forward(self, images, hidden):
        trunk = self.trunk(whitened(images, hidden))  # (N, 320, 8, 8)
        last = self.last(trunk).mean(dim=(2, 3), keepdim=True)  # (N, 1280, 1, 1)
        trunk = trunk.mean(dim=(2, 3), keepdim=True)  # (N, 320, 1, 1)
        narrow = self.prelu(self.from_last_narrow(last))  # (N, 64, 1, 1)
        pooled = torch.cat([self.from_trunk(trunk), self.from_last(last), narrow], dim=1)
        return self.points(pooled.flatten(1)).view(-1, 68, 2) * images.shape[-1]


# ---- which face? --------------------------------------------------------------------------------


class SelfAttention(nn.Module):
    """Every place of a feature map gathers from all places that look alike.

    The key is the query itself and the values are the features. gamma starts at 0: at first the
    features pass unchanged.
    """

    def __init__(self, channels):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 4, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, features):
        """How much place i takes from place j: (N, c, h, w) -> (N, h w, h w), rows sum to 1."""
        query = self.query(features).flatten(2)  # (N, c / 4, h w)
        return torch.softmax(query.mT @ query, dim=-1)

    def forward(self, features):
        return features + self.gamma * gathered(features, self.weights(features))


def gathered(features, weights):
    """Features (N, c, h, w), each place a weighted mean of all: weights (N, h w, h w)."""
    return (features.flatten(2) @ weights.mT).view_as(features)


class LongShortAttention(SelfAttention):
    """Attention within what the decoder imagines (short-term) and to what the encoder saw (long).

    forward: imagined, seen (N, c, h, w), hidden (N, 1, h, w) -> (N, c, h, w). By the likeness of
    imagined places, seen features flow into the hole; beside the hole they stay. alpha starts at 0.
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv1 = spectral_norm(nn.Conv2d(2 * channels, channels, 3, 1, 1))
        self.conv2 = spectral_norm(nn.Conv2d(channels, channels, 3, 1, 1))
        self.shortcut = spectral_norm(nn.Conv2d(2 * channels, channels, 1))

    def forward(self, imagined, seen, hidden):
        weights = self.weights(imagined)  # (N, h w, h w)
        short = imagined + self.gamma * gathered(imagined, weights)  # (N, c, h, w)
        long = self.alpha * hidden * gathered(seen, weights) + (1 - hidden) * seen
        both = torch.cat([short, long], dim=1)  # (N, 2c, h, w)
        change = self.conv1(F.leaky_relu(both, 0.01))
        return self.conv2(F.leaky_relu(change, 0.01)) + self.shortcut(both)


def normed(conv):
    """A convolution, instance norm and ReLU."""
    return nn.Sequential(conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU())


def reflecting(channels_in, channels, kernel, dilation=1):
    """A convolution that keeps the size by mirroring the picture at its border."""
    pad = dilation * (kernel // 2)
    return nn.Conv2d(channels_in, channels, kernel, 1, pad, dilation, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first dilated to see farther into the hole, added to the input."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = normed(reflecting(channels, channels, 3, dilation=2))
        self.conv2 = normed(reflecting(channels, channels, 3))[:2]

    def forward(self, features):
        return features + self.conv2(self.conv1(features))


class Generator(nn.Module):
    """Paint the hidden part of a face around its landmarks.

    forward: images (N, 3, H, W) in [0, 1], hidden (N, 1, H, W), landmark_map (N, 1, H, W) -> the
    whole picture, same shape and range as images. H and W: multiples of 4; 256 as published.
    width: channels at full resolution, 64 as published.
    """

    def __init__(self, width=64):
        super().__init__()
        self.encoder1 = normed(reflecting(4, width, 7))
        self.encoder2 = normed(nn.Conv2d(width, 2 * width, 4, 2, 1))
        self.encoder3 = normed(nn.Conv2d(2 * width, 4 * width, 4, 2, 1))
        self.middle = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(7)))
        self.attention = LongShortAttention(4 * width)
        self.decoder1 = normed(nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1))
        self.fusion1 = normed(nn.Conv2d(4 * width, 4 * width, 1))
        self.decoder2 = normed(nn.ConvTranspose2d(4 * width, width, 4, 2, 1))
        self.fusion2 = normed(nn.Conv2d(2 * width, 2 * width, 1))
        self.decoder3 = reflecting(2 * width, 3, 7)

    def forward(self, images, hidden, landmark_map):
        hidden_half, hidden_quarter = shrunk(hidden, 2), shrunk(hidden, 4)
        shown = torch.cat([whitened(images, hidden), landmark_map], dim=1)  # (N, 4, 256, 256)
        seen_full = self.encoder1(shown)  # (N, 64, 256, 256)
        seen_half = self.encoder2(seen_full)  # (N, 128, 128, 128)
        seen = self.encoder3(seen_half)  # (N, 256, 64, 64)
        features = self.attention(self.middle(seen), seen, hidden_quarter)  # (N, 256, 64, 64)
        features = self.decoder1(features)  # (N, 128, 128, 128)
        features = torch.cat([seen_half * (1 - hidden_half), features], dim=1)
        features = self.decoder2(self.fusion1(features))  # (N, 64, 256, 256)
        features = torch.cat([seen_full * (1 - hidden), features], dim=1)
        return (torch.tanh(self.decoder3(self.fusion2(features))) + 1) / 2


def shrunk(hidden, factor):
    """A mask at a fraction of its size; fractional along the border of the hole."""
    size = [side // factor for side in hidden.shape[-2:]]
    return F.interpolate(hidden, size, mode="bilinear", align_corners=True)


class Discriminator(nn.Module):
    """Is each patch of a face real, and does it fit the landmarks?

    forward: images (N, 3, H, W), landmark_map (N, 1, H, W) -> probabilities (N, 1, H / 8 - 2, W / 8
    - 2). They are probabilities although the loss is LSGAN's, as published.
    """

    def __init__(self, width=64):
        super().__init__()
        steps = [4, width, 2 * width, 4 * width, 8 * width, 1]
        for number, stride in enumerate((2, 2, 2, 1, 1), start=1):
            conv = nn.Conv2d(*steps[number - 1 : number + 1], 4, stride, 1, bias=False)
            self.add_module(f"conv{number}", spectral_norm(conv))
        self.attention = SelfAttention(2 * width)

    def forward(self, images, landmark_map):
        features = torch.cat([images, landmark_map], dim=1)  # (N, 4, 256, 256)
        features = F.leaky_relu(self.conv1(features), 0.2)  # (N, 64, 128, 128)
        features = F.leaky_relu(self.conv2(features), 0.2)  # (N, 128, 64, 64)
        features = self.attention(features)
        features = F.leaky_relu(self.conv3(features), 0.2)  # (N, 256, 32, 32)
        features = F.leaky_relu(self.conv4(features), 0.2)  # (N, 512, 31, 31)
        return torch.sigmoid(self.conv5(features))  # (N, 1, 30, 30)


@torch.no_grad()
def inpaint(predictor, generator, images, hidden):
    """LaFIn at test time: predict the landmarks, draw them, paint, keep what was visible.

    images: (N, 3, S, S) in [0, 1], anything under the mask. hidden: (N, 1, S, S), 1 = hidden.
    Returns composite (visible pixels are the input's), output (all as painted), both (N, 3, S, S),
    and the landmarks (N, 68, 2). Raises InputError for shapes that do not fit.
    """
    size = images.shape[-1]
    if images.shape[1:] != (3, size, size) or size % 4:
        raise InputError(f"images of shape {tuple(images.shape)}: wants squares, side 4, 8, 12 ...")
    if hidden.shape != (len(images), 1, size, size):
        raise InputError(f"hidden of shape {tuple(hidden.shape)}: wants one mask a picture")
    landmarks = predictor(images, hidden)
    output = generator(images, hidden, landmark_map(landmarks, size))
    return output * hidden + images * (1 - hidden), output, landmarks
