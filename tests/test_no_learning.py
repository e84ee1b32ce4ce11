"""Fillings without a network: exact where the answer is known."""

import numpy as np
import pytest
import torch

from hmdlib import InputError
from hmdlib.peers.no_learning import Memory, align, as_complex, biharmonic, moved


class Frames:
    """Smooth pictures, each with its own 68 landmarks, in the place of dataset.Samples."""

    def __init__(self, count=6, size=48):
        generator = torch.Generator().manual_seed(3)
        coarse = torch.rand(count, 3, 5, 5, generator=generator)
        self.images = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
        self.landmarks = 8 + 32 * torch.rand(count, 68, 2, generator=generator)

    def __len__(self):
        return len(self.images)

    def batch(self, indices):
        return self.images[indices], self.landmarks[indices]


def a_hole(count, size=48):
    hidden = torch.zeros(count, 1, size, size)
    hidden[..., 10:24, 8:40] = 1
    return hidden


def test_biharmonic_continues_a_slope_exactly():
    """A plane has no curvature at all, so nothing is smoother."""
    row, column = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    plane = torch.stack([row, column, row + column]) / 100
    hidden = a_hole(1)
    filled = biharmonic(plane[None] * (1 - hidden), hidden)
    torch.testing.assert_close(filled, plane[None], atol=2e-3, rtol=0)


def test_a_similarity_is_found_again_and_hidden_points_do_not_count():
    generator = np.random.default_rng(0)
    shape = as_complex(generator.uniform(0, 40, (68, 2)))
    target = 1.2 * np.exp(0.3j) * shape + (5 - 2j)
    weight = np.r_[np.ones(40), np.zeros(28)]
    target[40:] += 100
    (turn,), (shift,), (left,) = align(shape[None], target, weight)
    np.testing.assert_allclose([turn, shift], [1.2 * np.exp(0.3j), 5 - 2j], rtol=1e-9)
    assert left < 1e-9


def test_a_frame_that_is_remembered_comes_back():
    frames = Frames()
    hidden = a_hole(len(frames))
    covered = frames.images * (1 - hidden)
    filled = Memory(frames).nearest(covered, hidden, frames.landmarks)
    torch.testing.assert_close(filled, frames.images, atol=1e-3, rtol=0)


def test_a_picture_moves_with_its_landmarks():
    """A soft dot ends where its landmark does; a pixel's middle is at half a pixel."""
    row, column = np.mgrid[:64, :64] + 0.5

    def dot(at):
        return np.exp(-((column - at.real) ** 2 + (row - at.imag) ** 2) / 8)

    turn, shift, at = 1.4 * np.exp(0.25j), 3 - 18j, 20 + 24j
    drawn = moved(torch.from_numpy(dot(at)).expand(3, 64, 64), turn, shift)[0].numpy()
    middle = (drawn * column).sum() / drawn.sum() + 1j * (drawn * row).sum() / drawn.sum()
    assert abs(middle - (turn * at + shift)) < 0.02


def test_the_rim_is_blended_with_what_it_meets():
    """Light from the left: where the remembered picture is too dark there, no step shows."""
    frames, hidden = Frames(), a_hole(1)
    light = torch.linspace(0.2, -0.2, 48).expand(1, 3, 48, 48)
    given = (0.5 * frames.images[:1] + 0.25 + light) * (1 - hidden)
    filled = Memory(frames).nearest(given, hidden, frames.landmarks[:1])
    usual = frames.images[:1, :, 10:24, 8] - frames.images[:1, :, 10:24, 7]
    step = filled[..., 10:24, 8] - filled[..., 10:24, 7] - 0.5 * usual
    assert step.mean().abs() < 0.05  # 0.09 without the blending


def test_the_mean_of_one_frame_is_that_frame():
    frames = Frames(count=1)
    hidden = a_hole(1)
    filled = Memory(frames).mean(frames.images * (1 - hidden), hidden, frames.landmarks)
    torch.testing.assert_close(filled, frames.images, atol=1e-3, rtol=0)


@pytest.mark.parametrize("way", ["nearest", "mean", "biharmonic"])
def test_no_visible_pixel_changes(way):
    frames, stranger = Frames(), Frames(count=7)
    hidden = a_hole(2)
    given = stranger.images[5:] * (1 - hidden) + 0.3 * hidden
    memory = Memory(frames)
    filled = (biharmonic(given, hidden) if way == "biharmonic"
              else getattr(memory, way)(given, hidden, stranger.landmarks[5:]))  # fmt: skip
    assert torch.equal(filled * (1 - hidden), given * (1 - hidden))
    assert (filled - given)[hidden.expand_as(given) > 0].abs().max() > 0.01


def test_a_darker_room_darkens_the_filling():
    frames = Frames()
    hidden = a_hole(1)
    covered = 0.6 * frames.images[:1] * (1 - hidden)
    filled = Memory(frames).nearest(covered, hidden, frames.landmarks[:1])
    torch.testing.assert_close(filled, 0.6 * frames.images[:1], atol=2e-2, rtol=0)


def test_a_face_wholly_under_the_headset_is_refused():
    frames = Frames()
    everything = torch.ones(1, 1, 48, 48)
    with pytest.raises(InputError, match="fewer than three"):
        Memory(frames).nearest(frames.images[:1], everything, frames.landmarks[:1])
