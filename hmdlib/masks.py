"""The headset over a face: silhouettes, textured headsets, and the picture that they leave.

The paper places a binary mask over the eye region, guided by facial landmarks (Sec. IV-1); its
released picture shows photographed headsets (decision 17). Both come from one three-dimensional
headset, posed from 68 landmarks, so that they follow roll, yaw, pitch and scale alike. Masks are
(N, 1, H, W), 1 = hidden, exactly 0 or 1.
"""

from dataclasses import asdict, replace

import numpy as np
import torch

import hmdlib
from hmdlib import head_pose
from hmdlib.head_pose import smooth
from hmdlib.headset_render import paint
from hmdlib.headset_shape import FAMILIES, Headset

__all__ = [
    "FAMILIES", "Headset", "headset", "occlude", "occluder", "random_headset", "render", "smooth",
]  # fmt: skip

FILLS = ("flat", "mean", "noise", "textured")


def headset(landmarks, size, model=None):
    """The headset's silhouette over each face, (N, 1, H, W): 1 = hidden.

    landmarks: (N, 68, 2) pixels. size: the picture's side in pixels, or (height, width).
    model: a Headset for all (default: the visor), or one for each picture. Straps and cable only
    where the model has them. Every pixel that the headset touches counts as hidden. Raises
    InputError when a frame has no face.
    """
    return _painted(landmarks, size, model)[1].gt(0).float()


def render(landmarks, size, model=None, over=None):
    """Textured, shaded headsets. Returns (picture (N, 3, H, W) in [0, 1], hidden (N, 1, H, W)).

    Arguments as in `headset`; hidden is what `headset` gives, and the picture is black outside it.
    over: the faces (N, 3, H, W) to paint on; then the picture is the whole occluded picture, and
    the rim's pixels are blended with the face as a camera would. Pixels that are not hidden are
    those of the faces, bit by bit.
    """
    picture, opacity = _painted(landmarks, size, model)
    if over is not None:
        picture, opacity = picture.to(over), opacity.to(over)
        picture = torch.lerp(over, picture, opacity)
    return picture, opacity.gt(0).float()


def _painted(landmarks, size, model):
    """Colours (N, 3, H, W) and opacity (N, 1, H, W) of the headsets alone."""
    landmarks = np.asarray(torch.as_tensor(landmarks).cpu())
    size = (size, size) if isinstance(size, int) else tuple(size)
    models = model if isinstance(model, list) else [model or Headset()] * len(landmarks)
    if len(models) != len(landmarks):
        raise hmdlib.InputError(f"model: {len(models)} headsets for {len(landmarks)} faces")
    pose = head_pose.fit(landmarks)
    picture = np.zeros((len(landmarks), 3, *size), np.float32)
    opacity = np.zeros((len(landmarks), *size), np.float32)
    for n, one in enumerate(models):
        paint(one, head_pose.Pose(*(a[n : n + 1] for a in pose)), size, picture[n], opacity[n])
    return torch.from_numpy(picture), torch.from_numpy(opacity)[:, None]


def occlude(faces, hidden, fill="flat", generator=None):
    """Put something over the hidden pixels; the visible ones stay as they are, bit by bit.

    faces: (N, 3, H, W) in [0, 1]. hidden: (N, 1, H, W), 1 = hidden. fill: "flat" (mid grey), "mean"
    (the mean colour of what is visible in each picture), "noise" (uniform, from `generator`), or a
    picture that broadcasts to faces, such as `render` gives. Raises InputError for another fill.
    """
    if isinstance(fill, torch.Tensor):
        cover = fill.to(faces)
    elif fill == "flat":
        cover = torch.full_like(faces, 0.5)
    elif fill == "mean":
        visible = 1 - hidden
        mean = (faces * visible).sum((2, 3)) / visible.sum((2, 3)).clamp(min=1)
        cover = mean[:, :, None, None]
    elif fill == "noise":
        cover = _uniform(generator, faces.shape).to(faces)
    else:
        raise hmdlib.InputError(f"fill={fill!r}: choose flat, mean, noise or give a picture")
    return torch.where(hidden.to(faces.device) > 0, cover, faces)


def _uniform(generator, shape):
    """Uniform numbers in [0, 1) from a torch or a numpy generator; None = the same every time."""
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.random(shape, np.float32))
    generator = generator or torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator, device=generator.device).cpu()


# Real headsets are dark or light, rarely in between: (red, green, blue), brightness spread.
_COLOURS = [
    (0.86, 0.86, 0.85), (0.78, 0.78, 0.80), (0.19, 0.19, 0.20), (0.11, 0.11, 0.12),
    (0.30, 0.31, 0.33), (0.17, 0.19, 0.25),
]  # fmt: skip


def random_headset(generator, families=("visor", "visor", "visor", "goggles", "glasses")):
    """Draw a headset: family, sizes, colour, light, strap, cable. Same generator, same headset.

    generator: a torch.Generator or numpy Generator. families: the names to draw from, as often as
    they stand there.
    """
    u = _uniform(generator, (24,)).double().tolist()
    family = families[int(u[0] * len(families))]
    usual = FAMILIES[family]
    colour = _COLOURS[int(u[1] * len(_COLOURS))]
    colour = tuple(
        min(max(c * (0.85 + 0.3 * u[2]) + 0.03 * (u[3] - 0.5), 0.02), 0.95) for c in colour
    )
    return Headset(
        family,
        width=usual["width"] * (0.94 + 0.12 * u[4]),
        height=usual["height"] * (0.92 + 0.18 * u[5]),
        drop=usual["drop"] + 0.1 * (u[6] - 0.5),
        depth=usual["depth"] * (0.85 + 0.3 * u[7]),
        corner=usual["corner"] * (0.75 + 0.5 * u[8]),
        curve=usual["curve"] * (0.6 + 0.8 * u[9]),
        notch=usual["notch"] * (0.5 + u[10]),
        colour=colour,
        gloss=usual["gloss"] * (0.3 + 1.2 * u[11]),
        dots=(0, 2, 4, 4, 4, 9)[int(u[12] * 6)] if family == "visor" else 0,
        strap=u[13] < 0.8,
        top_strap=u[14] < 0.3 and family == "visor",
        strap_colour=(0.12, 0.12, 0.13) if u[15] < 0.7 else (0.7, 0.7, 0.71),
        cable=0 if u[16] < 0.6 else (-1 if u[16] < 0.8 else 1),
        light=(1.6 * (u[17] - 0.5), -0.2 - 0.8 * u[18], 0.35 + 0.4 * u[19]),
        brightness=0.7 + 0.4 * u[20],
    )


def occluder(kind="textured", random=True, model=None):
    """What hides the eyes of a batch: (images, landmarks, generator) -> (occluded, hidden).

    kind: "flat", "mean" or "noise" fill the plain silhouette of the box (the paper's binary mask);
    "textured" paints a headset with its strap and cable. random: a new headset for each picture,
    drawn from the generator; otherwise `model` (default: the visor) on all, and the result depends
    on nothing but its input, as a test wants. Raises InputError for another kind.
    """
    if kind not in FILLS:
        raise hmdlib.InputError(f"occluder={kind!r}: choose one of {', '.join(FILLS)}")

    def cover(images, landmarks, generator=None):
        models = model or Headset()
        if random:
            models = [random_headset(generator) for _ in images]
            if kind != "textured":
                models = [replace(m, dots=0, strap=False, top_strap=False, cable=0) for m in models]
        size = tuple(images.shape[-2:])
        if kind == "textured":
            return render(landmarks, size, models, over=images)
        hidden = headset(landmarks, size, models).to(images.device)
        return occlude(images, hidden, kind, generator), hidden

    told = asdict(model) if model else None
    cover.told = {"kind": kind, "random": random, "model": told}  # a checkpoint asks for it
    return cover
