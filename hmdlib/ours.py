"""Beyond the paper: a small network that continues what is seen, and remembers the eyes.

The paper draws what is under the headset from 99 numbers, averaged over the whole picture, and
looks at what the encoder saw at one scale, 4 pixels coarse, with four fat convolutions (78 % of the
arithmetic at the paper's size). But the largest part of what goes wrong there lies beyond the face,
where the hair ends and the head ends, and such borders go on beside the headset, in their place. So
here encoder and decoder meet at every scale, the finest 2 pixels coarse, as in a U-Net; and what is
seen is kept. The eyes, of which nothing is seen, are remembered as a texture (hmdlib.texture).
Notebook 06c takes it apart.
"""

import torch
import torch.nn.functional as F
from torch import nn

from hmdlib import InputError
from hmdlib.landmark_finder import LandmarkFinder
from hmdlib.networks import float32_region, mean_free, with_mean
from hmdlib.texture import Texture

CHANNELS = (0.5, 1.5, 3, 5, 5)
"""Of each scale, fine to coarse, in base widths. 128 x 128 has four scales: sides 64, 32, 16, 8."""

SCALES = {64: 3, 128: 4, 256: 5}
"""Image size -> how many scales: from half of its side down to 8 places."""


class Place(nn.Conv2d):
    """A 1x1 convolution, worked out as what it is: one matrix times each place's channels.

    With a picture or a few, on two cores, torch's convolution takes up to thirteen times as long
    for it (benchmarks/speed_of_ours.py).
    """

    def __init__(self, channels, wanted):
        super().__init__(channels, wanted, 1)

    def forward(self, features):
        matrix = self.weight.flatten(1).expand(len(features), -1, -1)
        drawn = torch.baddbmm(self.bias[:, None], matrix, features.flatten(2))
        return drawn.unflatten(2, features.shape[2:])


def finer(features):
    """(N, 4 c, h, w) -> (N, c, 2 h, 2 w), as F.pixel_shuffle, which is slower on a CPU."""
    count, channels, height, width = features.shape
    quarters = features.unflatten(1, (channels // 4, 2, 2)).permute(0, 1, 4, 2, 5, 3)
    return quarters.reshape(count, channels // 4, 2 * height, 2 * width)


class Block(nn.Module):
    """The features, and what two 3x3 convolutions add to them: nothing at first.

    Between the two there are half as many channels: with as many as outside, twice the arithmetic,
    it drew new faces hardly better (notebook 06c). No norms: a batch's own statistics let features
    grow without end (see plans.Stage), and a sum that begins as the identity learns without
    them.
    """

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, features):
        return features + self.conv2(torch.relu(self.conv1(features)))


class Ours(nn.Module):
    """A de-occluder that is told where the headset is and draws there, and only there.

    image_size: 64, 128 or 256. width: the base width of the paper's model beside it. every_scale:
    False shows the decoder the coarsest maps alone, and nothing of the finer ones. keeps: False
    leaves the whole picture as drawn; True keeps the camera's pixels beside the headset up to a
    soft edge, whose width is learnt. texture: False draws the eyes like everything else.
    looks_again: False lays the texture by the landmarks of a first look (hmdlib.landmark_finder);
    the second needs texture and every_scale.

    forward: images (N, 3, S, S) in [0, 1] and hidden (N, 1, S, S) -> reconstruction (N, 3, S, S),
    not clipped. landmarks: (N, 68, 2) in pixels, where they are known, as in training: the texture
    is laid there and not where the model finds them. With return_maps also the share of each pixel
    that is drawn, (N, 1, S, S) (None where all is), and the landmarks as each look found them,
    (looks, N, 68, 2), the last to lay the texture by (None without texture). What the headset looks
    like has no influence: it is erased first.
    """

    attention = None  # the loop asks every network; here each meeting is a 1x1 convolution
    wants_mask = True

    def __init__(self, image_size=128, width=32, every_scale=True, keeps=True, texture=True,
                 looks_again=True):  # fmt: skip
        super().__init__()
        if image_size not in SCALES:
            raise InputError(f"image_size={image_size}: choose one of {sorted(SCALES)}")
        looks_again = looks_again and texture and every_scale
        self.architecture = {"image_size": image_size, "width": width, "every_scale": every_scale,
                             "keeps": keeps, "texture": texture,
                             "looks_again": looks_again}  # fmt: skip
        self.wants_landmarks = texture
        c = [int(share * width) for share in CHANNELS[: SCALES[image_size]]]
        steps = list(zip(c, c[1:], strict=False))
        self.stem = nn.Conv2d(16, c[0], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in steps)
        self.look = nn.ModuleList(Block(each) for each in c[1:])
        self.again = Block(c[-1])  # two at the coarsest, where a step reaches across the hole
        self.whole = nn.Linear(c[-1], c[-1])
        self.up = nn.ModuleList(Place(coarse, 4 * fine) for fine, coarse in steps)
        self.meet = nn.ModuleList(Place(each, each) for each in c[:-1] if every_scale)
        self.draw = nn.ModuleList(Block(each) for each in c[:-1])
        self.head = nn.Conv2d(c[0], 28 if texture else 16, 3, 1, 1)  # drawn, edge, light on it
        with torch.no_grad():
            self.head.bias[12:16] = -4.0  # at first nearly nothing beside the headset
            self.head.bias[16:] = 1.0  # at first the texture as it is
        if texture:
            self.texture = Texture(c[-1], image_size)
            self.find = LandmarkFinder(c, 4 * width, looks_again)

    def encode(self, images, hidden=None, landmarks=None):
        """-> code (N, c), the mean of the coarsest maps; and what decode needs: the maps of each
        scale, fine to coarse, the input, the mask and the landmarks, where known."""
        size = self.architecture["image_size"]
        if images.shape[1:] != (3, size, size):
            raise InputError(f"images of shape {tuple(images.shape)}: wants (N, 3, {size}, {size})")
        if hidden is None:
            raise InputError("hidden=None: this model takes the mask as input; pass hidden=")
        erased = torch.cat([mean_free(images) * (1 - hidden), hidden], dim=1)  # (N, 4, S, S)
        scales = [torch.relu(self.stem(F.pixel_unshuffle(erased, 2)))]  # (N, c, S/2, S/2)
        for down, look in zip(self.down, self.look, strict=True):
            scales.append(look(torch.relu(down(scales[-1]))))
        scales[-1] = self.again(scales[-1])  # (N, c, 8, 8)
        return scales[-1].mean(dim=(2, 3)), (scales, images, hidden, landmarks)

    def decode(self, code, seen, code_only=0):
        """-> reconstruction, the drawn share (or None), what each look found (or None)."""
        if code_only:
            raise InputError(f"code_only={code_only}: this model has no batch in two halves; use 0")
        scales, images, hidden, landmarks = seen
        features = scales[-1] + self.whole(code)[..., None, None]
        found = self._find(features, scales) if self.wants_landmarks else None
        for n in reversed(range(len(self.up))):
            # four values a place, not one four times: under the headset no finer map tells the
            # four quarters of a place apart
            features = finer(self.up[n](features))
            if self.architecture["every_scale"]:
                features = features + self.meet[n](scales[n])
            features = self.draw[n](torch.relu(features))
        with float32_region(features):
            planes = finer(self.head(features.float()))  # (N, 4 or 7, S, S)
            drawn, edge = planes[:, :3], planes[:, 3:4]
            if self.wants_landmarks:
                where = found[-1] if landmarks is None else landmarks
                drawn = drawn + planes[:, 4:] * self.texture(code.float(), where)
        drawn = with_mean(drawn)
        if not self.architecture["keeps"]:
            return drawn, None, found
        share = torch.maximum(hidden, torch.sigmoid(edge))  # (N, 1, S, S)
        return images + share * (drawn - images), share, found

    def _find(self, features, scales):
        """The landmarks as each look found them, (looks, N, 68, 2) in pixels."""
        with float32_region(features):
            half = self.architecture["image_size"] / 2
            finer = [maps.float() for maps in scales[:2]]
            return (self.find(features.float(), finer) + 1) * half

    def forward(self, images, hidden=None, return_maps=False, landmarks=None):
        reconstruction, *maps = self.decode(*self.encode(images, hidden, landmarks))
        return (reconstruction, *maps) if return_maps else reconstruction
