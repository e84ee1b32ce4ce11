"""Small changes of place and colour, so that a network does not learn one camera by heart."""

import math

import torch
import torch.nn.functional as F

from hmdlib.faces import MIRROR_68


def augment(images, landmarks, generator, strength=1.0, flip=False):
    """Mild random affine and colour changes of a batch (decision 19).

    images: (N, 3, S, S) in [0, 1]; landmarks: (N, 68, 2) in pixels, moved along. generator: a CPU
    torch.Generator. strength 1: rotation up to 8 degrees, size 8 %, shift 4 % of the side, shear 3
    degrees; light, contrast, saturation and each channel's tint by factors up to 1.65, 1.4, 1.65
    and 1.13 either way; and a light from one side that makes the picture up to 35 % brighter at one
    edge and darker at the other. The colours change more than the places: the next room may be dark
    or red, but a crop is a crop. Other strengths scale all of it, 0 changes nothing. flip: mirror
    half of the pictures (not for one person, whose sides differ). What comes into the picture from
    outside mirrors its edge. Returns the two, new.
    """
    count = len(images)
    mirrored = torch.rand(count, generator=generator) < 0.5 if flip else torch.zeros(count).bool()
    if strength:
        images, landmarks = _move(images, landmarks, _affine(count, generator, strength, mirrored))
        images = _light_from_a_side(_recolour(images, generator, strength), generator, strength)
    elif flip:
        sides = torch.eye(2).repeat(count, 1, 1)
        sides[mirrored, 0, 0] = -1
        images, landmarks = _move(images, landmarks, (sides, torch.zeros(count, 2)))
    if flip:
        swap = torch.as_tensor(MIRROR_68, device=landmarks.device)
        where = mirrored.to(landmarks.device)[:, None, None]
        landmarks = torch.where(where, landmarks[:, swap], landmarks)
    return images, landmarks


def _affine(count, generator, strength, mirrored):
    """Random maps p -> A p + b, from new to old coordinates in [-1, 1]: (N, 2, 2) and (N, 2)."""
    spread = torch.rand(count, 5, generator=generator) * 2 - 1  # (N, 5) in [-1, 1]
    turn, shear = (spread[:, :2] * strength * torch.tensor([8.0, 3.0]) * math.pi / 180).T
    size = 1 + 0.08 * strength * spread[:, 2]
    cos, sin, slant = turn.cos() * size, turn.sin() * size, shear.tan()
    matrix = torch.stack([cos, cos * slant - sin, sin, sin * slant + cos], 1).view(count, 2, 2)
    matrix[mirrored, :, 0] *= -1
    return matrix, 0.08 * strength * spread[:, 3:]  # coordinates span 2: 0.08 is 4 %


def _move(images, landmarks, affine):
    matrix, shift = (part.to(images.device) for part in affine)
    grid = F.affine_grid(
        torch.cat([matrix, shift[:, :, None]], 2), images.shape, align_corners=False
    )
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    half = images.shape[-1] / 2
    old = landmarks / half - 1 - shift[:, None]  # (N, 68, 2)
    new = torch.linalg.solve(matrix, old.transpose(1, 2)).transpose(1, 2)
    return moved, (new + 1) * half


def _recolour(images, generator, strength):
    """Light, contrast, saturation and tint of each picture, as one 3x3 matrix and an offset."""
    count = len(images)
    spread = (torch.rand(count, 6, generator=generator) * 2 - 1) * strength
    gain = torch.exp(0.5 * spread[:, :1] + 0.12 * spread[:, 3:])  # (N, 3): light x tint
    contrast, saturation = torch.exp(0.35 * spread[:, 1]), torch.exp(0.5 * spread[:, 2])
    grey = torch.tensor([0.299, 0.587, 0.114]).expand(count, 3, 3)
    mix = saturation[:, None, None] * torch.eye(3) + (1 - saturation[:, None, None]) * grey
    mix = (contrast[:, None] * gain)[:, :, None] * mix  # (N, 3, 3)
    offset = (1 - contrast) * 0.4 * gain.mean(1)  # contrast about the picture's own middle
    flat = torch.baddbmm(
        offset[:, None, None].to(images.device), mix.to(images.device), images.flatten(2)
    )
    return flat.view_as(images).clamp_(0, 1)


def _light_from_a_side(images, generator, strength):
    """Brighten each picture towards one edge, darken it towards the other: exp(a x + b y)."""
    slopes = (torch.rand(len(images), 2, generator=generator) * 2 - 1) * strength * math.log(1.35)
    side = images.shape[-1]
    across = (torch.arange(side) + 0.5) * (2 / side) - 1  # (S,) from -1 to 1
    gain = torch.exp(slopes[:, 0, None, None] * across + slopes[:, 1, None, None] * across[:, None])
    return (images * gain[:, None].to(images.device)).clamp_(0, 1)  # (N, S, S)
