"""Where eyes and brows are, under a headset that hides them: a first look, and a second.

The coarsest maps know the whole picture, but a place there is 16 pixels wide, and the landmarks
read off them are off by nearly a pixel, even those of a mouth in full view. So after the first look
the finer maps are read at the places found, where mouth, jaw and nose say by how much it erred;
and what they say of the head's place and turn holds for the hidden landmarks too. Notebook 06c
shows what it is worth.
"""

import torch
import torch.nn.functional as F
from torch import nn

from hmdlib.head_pose import AVERAGE_FACE

POINTS = 68
EACH = 8
"""Numbers that the second look takes from each landmark's place."""


class LandmarkFinder(nn.Module):
    """68 landmarks from an encoder's maps, and their correction from its finer maps.

    channels: of the encoder's scales, fine to coarse, the coarsest with 8 x 8 places. wide: numbers
    between the linear layers. looks_again: False stops after the first look. The second look
    corrects nothing at first.

    forward: coarsest maps (N, c, 8, 8), the two finest [(N, c, h, w), (N, c, h / 2, w / 2)] ->
    what each look found, (looks, N, 68, 2), each coordinate from -1 to 1 within the picture. The
    loss asks both looks for the truth: were it the last alone, the first would drift away from the
    places, and the second would read beside them. Features read at the places of an earlier guess
    are the shape-indexed features of Cao et al. 2012 (Face Alignment by Explicit Shape Regression).
    """

    def __init__(self, channels, wide, looks_again=True):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels[-1], 24, 1), nn.ReLU(), nn.Flatten(),
                                   nn.Linear(24 * 64, wide), nn.ReLU(),
                                   nn.Linear(wide, 2 * POINTS))  # fmt: skip
        with torch.no_grad():  # at first a small average face in the middle
            nn.init.zeros_(self.first[-1].weight)
            self.first[-1].bias.copy_(0.3 * torch.tensor(AVERAGE_FACE[:, :2]).flatten())
        self.looks_again = looks_again
        if looks_again:
            seen = sum(channels[:2])
            self.read = nn.Parameter(torch.randn(POINTS, seen, EACH) / seen**0.5)
            self.correct = nn.Sequential(
                nn.Linear(POINTS * (EACH + 2) + channels[-1], wide), nn.ReLU(),
                nn.Linear(wide, 2 * POINTS))  # fmt: skip
            nn.init.zeros_(self.correct[-1].weight)
            nn.init.zeros_(self.correct[-1].bias)

    def forward(self, coarsest, finer):
        found = self.first(coarsest).unflatten(1, (POINTS, 2))
        if not self.looks_again:
            return found[None]
        places = found.detach()  # each look is taught by its own error
        there = [F.grid_sample(maps, places[:, :, None], align_corners=False) for maps in finer]
        there = torch.cat(there, dim=1)[..., 0].transpose(1, 2)  # (N, 68, c)
        # normalised, each place by itself: a face says the same in dim light as in bright
        there = F.layer_norm(there, there.shape[2:])
        read = torch.relu(torch.einsum("npc,pce->npe", there, self.read))
        code = coarsest.mean(dim=(2, 3))
        told = [read.flatten(1), places.flatten(1), F.layer_norm(code, code.shape[1:])]
        # in hundredths: Adam's first steps would move landmarks by several pixels
        correction = 0.01 * self.correct(torch.cat(told, dim=1)).unflatten(1, (POINTS, 2))
        return torch.stack([found, places + correction])
