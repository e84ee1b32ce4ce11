"""Fillings without a network: what any network has to beat.

`biharmonic` continues the surroundings into the hole, and knows nothing of faces. `Memory` knows
the person's training frames by heart: it lays the nearest one, or the mean of all, over the visible
landmarks and blends its rim. Both return whole pictures, the visible pixels of the input among
them.
"""

import numpy as np
import torch
from skimage.morphology import convex_hull_image
from skimage.restoration import inpaint_biharmonic
from skimage.transform import SimilarityTransform, warp

from hmdlib import InputError, inference
from hmdlib.metrics import composite


def biharmonic(occluded, hidden):
    """The smoothest surface that meets the hole's rim in value and slope (skimage).

    occluded: (N, 3, H, W) in [0, 1]; hidden: (N, 1, H, W), 1 = hidden. Returns (N, 3, H, W).
    """
    filled = [
        inpaint_biharmonic(picture.permute(1, 2, 0).numpy(), hole[0].numpy() > 0.5, channel_axis=-1)
        for picture, hole in zip(occluded, hidden, strict=True)
    ]
    drawn = torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).to(occluded)
    return composite(drawn.clamp(0, 1), occluded, hidden)


class Memory:
    """A person's training frames, to be laid under the headset.

    samples: dataset.Samples of one person. most: of these at most so many, evenly spread.
    """

    def __init__(self, samples, most=600):
        chosen = np.linspace(0, len(samples) - 1, min(most, len(samples))).astype(int)
        images, landmarks = samples.batch(np.unique(chosen))
        self.images, self.landmarks = images, landmarks.numpy()  # (M, 3, S, S), (M, 68, 2)
        self._mean = None

    def nearest(self, occluded, hidden, landmarks):
        """The training frame whose face fits the visible landmarks best, moved onto them.

        Arguments as in `fill`. How well a frame fits: the root of the mean squared distance that
        the best similarity transform leaves.
        """

        def choose(points, weight):
            turns, shifts, rest = align(as_complex(self.landmarks), points, weight)
            best = int(rest.argmin())
            return self.images[best], turns[best], shifts[best]

        return fill(occluded, hidden, landmarks, choose)

    def mean(self, occluded, hidden, landmarks):
        """The mean of all training frames, moved onto the visible landmarks; as in `fill`."""
        picture, shape = self.mean_face()

        def choose(points, weight):
            (turn,), (shift,), _ = align(shape[None], points, weight)
            return picture, turn, shift

        return fill(occluded, hidden, landmarks, choose)

    def mean_face(self):
        """All frames moved onto the mean of their landmarks, averaged: (3, S, S), and that shape
        (68,) as complex numbers."""
        if self._mean is None:
            points = as_complex(self.landmarks)
            shape = points.mean(0)
            total = torch.zeros_like(self.images[0])
            for image, turn, shift in zip(
                self.images, *align(points, shape, np.ones(68))[:2], strict=True
            ):
                total += moved(image, turn, shift)
            self._mean = total / len(self.images), shape
        return self._mean


def fill(occluded, hidden, landmarks, choose):
    """Lay a chosen picture under each headset.

    occluded: (N, 3, S, S) in [0, 1]; hidden: (N, 1, S, S); landmarks: (N, 68, 2) pixels, of which
    only those beside the headset are used. choose: (points (68,) complex, weight (68,) 1 = visible)
    -> picture (3, S, S), and the turn and shift that move it into place. The picture's colours are
    scaled to those of the skin that is visible, and its rim is blended with what it meets there
    (`inference.composite`, over a sixteenth of the side). Returns (N, 3, S, S).
    """
    filled = []
    for picture, hole, points in zip(occluded, hidden, landmarks.numpy(), strict=True):
        weight = visible_landmarks(points, hole[0])
        if weight.sum() < 3:
            raise InputError("landmarks: fewer than three lie beside the headset; nothing to fit")
        drawn = moved(*choose(as_complex(points), weight))
        skin = skin_region(points[weight > 0], hole[0])  # (S, S) bool
        gain = picture[:, skin].mean(1) / drawn[:, skin].mean(1).clamp(min=0.02)
        filled.append((drawn * gain.clamp(0.4, 2.5)[:, None, None]).clamp(0, 1))
    return inference.composite(torch.stack(filled), occluded, hidden, occluded.shape[-1] / 16)


def visible_landmarks(points, hole):
    """1 for each landmark (68, 2) that lies beside the headset, else 0: (68,)."""
    places = np.clip(points.astype(int), 0, hole.shape[-1] - 1)
    return 1.0 - hole.numpy()[places[:, 1], places[:, 0]]


def skin_region(points, hole):
    """The visible part of the hull of some landmarks (K, 2); of all that is visible if empty."""
    dots = np.zeros(hole.shape, bool)
    places = np.clip(points.astype(int), 0, hole.shape[-1] - 1)
    dots[places[:, 1], places[:, 0]] = True
    skin = torch.from_numpy(convex_hull_image(dots)) & (hole < 0.5)
    return skin if skin.any() else hole < 0.5


def as_complex(points):
    """(..., 2) -> (...): x + iy, so that turning and scaling is one multiplication."""
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def align(sources, target, weight):
    """The similarity transforms turn * z + shift that bring each of M shapes nearest to one.

    sources: (M, K) complex; target: (K,); weight: (K,). Weighted least squares, in closed form.
    Returns turn (M,), shift (M,), and the root mean squared distance that is left (M,).
    """
    weight = weight / weight.sum()
    middles, middle = sources @ weight, target @ weight
    spread = sources - middles[:, None]  # (M, K)
    turn = (spread.conj() * (target - middle)) @ weight / (np.abs(spread) ** 2 @ weight)
    shift = middle - turn * middles
    left = turn[:, None] * sources + shift[:, None] - target
    return turn, shift, np.sqrt(np.abs(left) ** 2 @ weight)


def moved(image, turn, shift):
    """An image (3, S, S) turned, scaled and shifted; beyond its edge the edge is repeated.

    turn, shift: of landmarks, whose first pixel's middle is (0.5, 0.5); skimage's is (0, 0).
    """
    shift = shift + (turn - 1) * (0.5 + 0.5j)
    way = SimilarityTransform(
        scale=abs(turn), rotation=np.angle(turn), translation=(shift.real, shift.imag)
    )
    drawn = warp(image.permute(1, 2, 0).numpy(), way.inverse, order=1, mode="edge")
    return torch.from_numpy(drawn).permute(2, 0, 1).to(image)
