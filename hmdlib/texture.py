"""A person's eyes, remembered as a picture and laid where the landmarks are.

A decoder that must draw a brow at any of a thousand places, turns and sizes draws a smear, however
well it knows the place. But one model is for one person, and that person's brows stay the same: so
they are learnt once, in a frame of their own, and moved. Notebook 06c shows what it is worth.
"""

import torch
import torch.nn.functional as F
from torch import nn

from hmdlib.head_pose import AVERAGE_FACE

HOLDS = [0, 2, 4, 12, 14, 16, *range(17, 48)]
"""The landmarks that hold the texture: the ends of the jaw by ear and cheek, brows, nose, eyes."""

BOX = ((-0.86, -0.56), (0.86, 0.52))
"""What the texture shows of the average face, seen from the front: left, top; right, bottom, in
distances between the outer eye corners (head_pose). From the forehead to under the nose."""

EVERY = 8
"""How many pixels lie between the points that the plate is asked: between them lines will do."""


def texture_places(points):
    """Points (..., 2) of the average face's frame -> the texture's own coordinates in [-1, 1]."""
    low, high = (points.new_tensor(corner) for corner in BOX)
    return (points - low) / (high - low) * 2 - 1


def _bend(squares):
    """The thin plate's kernel r^2 log r^2, of squared distances."""
    return squares * torch.log(squares + 1e-6)


def thin_plate(sources, places, at, stiffness=0.02):
    """The smoothest map that takes each picture's sources to the places (Bookstein 1989).

    sources: (N, P, 2); places: (P, 2), the same for all; at: (M, 2), where to ask. All in [-1, 1].
    stiffness: how far a source may miss its place rather than bend the plate; 0 misses none, but a
    fold follows where landmarks err. Returns (N, M, 2).
    """
    count, points, _ = sources.shape

    def terms(queries):
        """(N, Q, P + 3): what the plate is made of, at the queries (N, Q, 2)."""
        right, down = (queries[:, :, None, i] - sources[:, None, :, i] for i in range(2))
        bends = _bend(right.square() + down.square())  # a sum over an axis of two is slow
        return torch.cat([bends, torch.ones_like(queries[..., :1]), queries], dim=2)

    upper = terms(sources)  # (N, P, P + 3)
    give = torch.eye(points, points + 3, device=sources.device)
    flat = upper[..., points:].transpose(1, 2)  # (N, 3, P)
    corner = torch.zeros(count, 3, 3, device=sources.device)
    system = torch.cat([upper + stiffness * give, torch.cat([flat, corner], dim=2)], dim=1)
    wanted = F.pad(places.expand(count, -1, -1), (0, 0, 0, 3))  # (N, P + 3, 2)
    return terms(at.expand(count, -1, -1)) @ torch.linalg.solve(system, wanted)


class Texture(nn.Module):
    """Some pictures of the eyes from forehead to nose, mixed by the code, laid by the landmarks.

    code_size: length of the code. image_size: S. layers: how many pictures are mixed; a head that
    turns shows its eyes otherwise. Nothing at first: the network begins as one without.

    forward: code (N, code_size), landmarks (N, 68, 2) in pixels -> (N, 3, S, S), to be added to a
    picture; 0 outside the texture.
    """

    SCALE = 10.0  # Adam moves each weight by some lr a step, which for a grey level is too little

    def __init__(self, code_size, image_size, layers=6):
        super().__init__()
        self.image_size = image_size
        self.pictures = nn.Parameter(torch.zeros(layers, 3, image_size // 2, 3 * image_size // 4))
        self.mix = nn.Linear(code_size, layers)
        with torch.no_grad():  # init.normal_ takes seconds on a meta device (hmdlib.checks)
            self.mix.weight.copy_(0.05 * torch.randn(self.mix.weight.shape))
        nn.init.constant_(self.mix.bias, 1 / layers)
        places = texture_places(torch.tensor(AVERAGE_FACE[HOLDS, :2], dtype=torch.float32))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("holds", torch.tensor(HOLDS), persistent=False)
        middles = (torch.arange(image_size // EVERY) + 0.5) * (2 * EVERY / image_size) - 1
        asked = torch.cartesian_prod(middles, middles).flip(1)  # row by row, each (right, down)
        self.register_buffer("asked", asked, persistent=False)
        # towards its border: no edge; and little of pixels that are hardly ever asked for, since
        # Adam moves their colours as far as all others'
        down, across = (
            ((torch.arange(n) + 0.5) * 2 / n - 1).abs() for n in self.pictures.shape[2:]
        )
        fade = (4 * (1 - down[:, None])).clamp(max=1) * (4 * (1 - across)).clamp(max=1)
        self.register_buffer("fade", fade.square(), persistent=False)

    def of(self, code):
        """The pictures as mixed by a code, faded towards the border: (N, 3, S / 2, 3 S / 4)."""
        mixed = self.mix(code) @ self.pictures.flatten(1)
        return self.SCALE * self.fade * mixed.unflatten(1, self.pictures.shape[1:])

    def grid(self, landmarks):
        """Where in the texture each pixel looks: (N, S, S, 2), inside it in [-1, 1]."""
        size = self.image_size
        sources = landmarks[:, self.holds] / (size / 2) - 1
        coarse = thin_plate(sources, self.places, self.asked).transpose(1, 2)
        coarse = coarse.unflatten(2, (size // EVERY, size // EVERY))
        fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
        return fine.permute(0, 2, 3, 1)

    def forward(self, code, landmarks):
        return F.grid_sample(self.of(code), self.grid(landmarks), align_corners=False)
