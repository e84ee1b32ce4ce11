"""What PSNR does not ask: are the eyes open, where do they look, is the face in place, is it still?

The first three are read from a picture by MediaPipe's landmarker (478 points, the irises among
them), from the output, and from the true frames to see how far it misreads those. The last two
compare neighbouring frames of a video. Under a headset no camera sees lids and pupils: a method
that agrees with the truth there has guessed, and these numbers say how well.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from skimage.registration import optical_flow_ilk
from skimage.transform import warp

from hmdlib import InputError, detectors, faces

CORNERS = ((33, 133), (362, 263))
"""Of the mesh: the corners of each eye, from the picture's left to its right; the person's right
eye first."""

IRISES = (468, 473)
"""Of the mesh: the middle of each iris, in the order of CORNERS."""


class Reading(NamedTuple):
    """What a landmarker reads from N pictures; NaN where it finds no face.

    landmarks: (N, 68, 2) pixels. openness: (N,) height over width of the eyes (faces.eye_openness).
    gaze: (N, 2) where the irises sit between the eyes' corners, mean of both eyes, in eye widths:
    rightwards and downwards in the picture, (0, 0) half way on the line between the corners.
    """

    landmarks: np.ndarray
    openness: np.ndarray
    gaze: np.ndarray


def read(images, enlarge=3):
    """A Reading of each picture, (N, 3, S, S) in [0, 1].

    enlarge: pictures are made so much larger first, for the landmarker knows larger faces. All NaN
    where its model file is not at hand; `note` says which file and where to put it.

    Measured on the shipped person at 128 x 128 (session_5, every fourth frame): openness follows
    the rendered lids, and rightward gaze the rendered eyes with a correlation of 0.92; downward
    gaze does not (0.18), for it is a fraction of a pixel.
    """
    if note():
        nothing = np.full((len(images), 68, 2), np.nan)
        return Reading(nothing, nothing[:, 0, 0], nothing[:, 0])
    size = enlarge * images.shape[-1]
    large = F.interpolate(images.clamp(0, 1), size=(size, size), mode="bicubic").clamp(0, 1)
    frames = (255 * large).round().byte().permute(0, 2, 3, 1).numpy()
    mesh = detectors.largest_mesh(frames) / enlarge  # (N, 478, 2)
    landmarks = detectors.mesh_to_68(mesh)
    return Reading(landmarks, faces.eye_openness(landmarks), gaze(mesh))


def note():
    """ "" where the landmarker works; else one sentence on what it wants."""
    try:
        detectors.usable_landmarker()
    except InputError as error:
        return f"Eyes, gaze and landmarks are not available: {error}."
    return ""


def gaze(mesh):
    """Where the irises sit in the eyes: (N, 478, 2) -> (N, 2), in eye widths (see Reading)."""
    offsets = []
    for (left, right), iris in zip(CORNERS, IRISES, strict=True):
        across = mesh[:, right] - mesh[:, left]  # (N, 2)
        width = np.linalg.norm(across, axis=1, keepdims=True)
        along = across / np.maximum(width, 1e-6)
        down = np.stack([-along[:, 1], along[:, 0]], axis=1)
        away = (mesh[:, iris] - (mesh[:, left] + mesh[:, right]) / 2) / np.maximum(width, 1e-6)
        offsets.append(np.stack([(away * along).sum(1), (away * down).sum(1)], axis=1))
    return np.mean(offsets, axis=0)


def landmark_error(found, truth, hidden):
    """How far the hidden parts of the face are from their place, in inter-ocular distances: (N,).

    found, truth: (N, 68, 2) pixels. hidden: (N, 1, S, S); the mean is over the landmarks whose
    true place is under the headset. NaN where no face was found or nothing is hidden.
    """
    side = hidden.shape[-1]
    there = np.isfinite(truth).all(axis=(1, 2))
    x, y = np.moveaxis(np.nan_to_num(truth).astype(int).clip(0, side - 1), -1, 0)
    under = hidden[:, 0].numpy()[np.arange(len(truth))[:, None], y, x] * there[:, None]  # (N, 68)
    between = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    distance = np.linalg.norm(found - truth, axis=2) / between[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(under > 0, distance, 0).sum(axis=1) / under.sum(axis=1)


def blinks(openness, share=0.6):
    """Shut eyes: openness (N,) below a share of its own median -> bool (N,). NaN counts as open."""
    return openness < share * np.nanmedian(openness)


def blink_agreement(drawn, truth):
    """How well drawn blinks follow true ones: bool (N,) each -> between 0 and 1.

    The mean of two shares: of the true blinks that are drawn, and of the open eyes that are drawn
    open. Eyes that are always open, and guesses that know nothing, score one half. NaN where the
    truth never blinks.
    """
    if not truth.any() or truth.all():
        return np.nan
    return float((drawn[truth].mean() + (~drawn[~truth]).mean()) / 2)


def flicker(frames, hidden):
    """How much each frame differs from the one before, under both headsets, in grey levels.

    frames: (T, 3, S, S) in [0, 1], in order; hidden: (T, 1, S, S). Returns (T - 1,). A head that
    moves changes, too: read it beside the truth's own.
    """
    return _over(255 * (frames[1:] - frames[:-1]).abs(), hidden[1:] * hidden[:-1])


def movement(truth):
    """The optical flow from each frame of a video to the next, and where it can be believed.

    truth: (T, 3, S, S) in [0, 1]. Returns the flow (T - 1, 2, S, S), down and right, in pixels, by
    scikit-image's iterative Lucas-Kanade; and (T - 1, 1, S, S), 1 where the way there and the way
    back cancel, 0 where something came into sight or went out of it (Sundaram et al. 2010, Eq. 5,
    as Lai et al. 2018 use it).
    """
    grey = truth.mean(dim=1).numpy()
    there, back = (
        np.stack([np.stack(optical_flow_ilk(a, b, radius=5)) for a, b in pairs])
        for pairs in (list(zip(grey, grey[1:], strict=False)),
                      list(zip(grey[1:], grey, strict=False)))
    )  # fmt: skip
    way_back = np.stack([_laid_back(b, step) for b, step in zip(back, there, strict=True)])
    left = np.square(there + way_back).sum(axis=1)
    length = np.square(there).sum(axis=1) + np.square(way_back).sum(axis=1)
    believed = left <= 0.01 * length + 0.5
    return there, torch.from_numpy(believed[:, None]).float()


def warping_error(frames, movement, hidden):
    """How much the picture changes beyond the true movement, under both headsets, in grey levels.

    Each frame is laid back along the true video's `movement` onto the frame before; what then
    differs where that flow can be believed is flicker (Lai et al. 2018). frames, hidden as in
    `flicker`; movement: as the function of that name returns it, of the true video. Returns
    (T - 1,).
    """
    flow, believed = movement
    laid = [_laid_back(after.numpy(), step) for after, step in zip(frames[1:], flow, strict=True)]
    difference = 255 * (torch.from_numpy(np.stack(laid)) - frames[:-1]).abs()
    return _over(difference, hidden[1:] * hidden[:-1] * believed)


def _laid_back(channels, step):
    """(C, S, S) read at each pixel's place one frame later; step: (2, S, S), down and right."""
    side = channels.shape[-1]
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    return np.stack([warp(one, grid + step, order=1, mode="edge") for one in channels])


def _over(difference, region):
    """Mean of (N, 3, S, S) over each picture's region (N, 1, S, S): (N,) as numpy."""
    total = (difference * region).sum(dim=(1, 2, 3))
    return (total / (3 * region.sum(dim=(1, 2, 3)))).double().numpy()
