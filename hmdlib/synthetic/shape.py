"""Different faces: regional changes of the canonical face, drawn from a seed.

Each basis is a smooth displacement of the 468 landmarks for one standard deviation of one trait.
Traits are drawn at random around values that lean with sex and age.
"""

from functools import lru_cache

import numpy as np

from .expression import EYE_REGION, NOSE, closed_lips
from .topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, OVAL, canonical
from .warp import both_sides, field, mirror, weight

LIPS = (*LIPS_INNER, *LIPS_OUTER)
MIDLINE = (10, 151, 9, 168, 6, 197, 195, 5, 4, 1, 2, 164, 0, 17, 18, 200, 199, 152)


LOCAL = {
    "jaw_width": (
        {
            288: (0.45, -0.1, 0),
            397: (0.5, -0.12, 0.05),
            361: (0.25, 0, 0),
            365: (0.35, -0.1, 0),
        },
        (*NOSE, *LIPS, *EYE_REGION, 454, 356, 152, 10),
    ),
    "chin_width": (
        {378: (0.3, 0, 0), 379: (0.35, 0, 0), 400: (0.22, 0, 0), 377: (0.12, 0, 0)},
        (*NOSE, *LIPS, *EYE_REGION, 361, 454, 10),
    ),
    "chin_forward": (
        {152: (0, 0, 0.42), 377: (0, 0, 0.36), 199: (0, 0, 0.5), 200: (0, 0, 0.28)},
        (*NOSE, *LIPS, *EYE_REGION, 361, 397, 454, 10),
    ),
    "cheekbones": (
        {454: (0.15, 0, 0), 345: (0.25, 0, 0.22), 346: (0.15, 0, 0.25), 352: (0.25, 0, 0.25)},
        (*NOSE, *LIPS, *EYE_REGION, 10, 397, 152, 288),
    ),
    "cheek_fullness": (
        {425: (0.12, 0, 0.3), 411: (0.25, 0, 0.3), 434: (0.3, 0, 0.15), 280: (0.1, 0, 0.15)},
        (*NOSE, *LIPS, *EYE_REGION, 10, 454, 152),
    ),
    "brow_ridge": (
        {295: (0, 0, 0.22), 282: (0, 0, 0.24), 283: (0, 0, 0.18), 9: (0, 0, 0.14)},
        (*EYE_REGION, 10, 338, 297, 168, 6, 356, 280, 151),
    ),
    "brow_height": (
        {336: (0, 0.22, 0), 296: (0, 0.24, 0), 334: (0, 0.24, 0), 300: (0, 0.2, 0)}
        | {285: (0, 0.2, 0), 295: (0, 0.22, 0), 282: (0, 0.22, 0), 283: (0, 0.2, 0)},
        (*EYE_REGION, 10, 338, 297, 332, 168, 6, 356, 280),
    ),
    "brow_tilt": (
        {336: (0, -0.12, 0), 285: (0, -0.12, 0), 300: (0, 0.16, 0), 283: (0, 0.14, 0)}
        | {334: (0, 0.1, 0)},
        (*EYE_REGION, 10, 338, 297, 332, 168, 6, 356, 280),
    ),
    "nose_length": (
        {4: (0, -0.28, 0.05), 1: (0, -0.3, 0.05), 2: (0, -0.3, 0), 327: (0, -0.28, 0)}
        | {278: (0, -0.25, 0), 5: (0, -0.15, 0.02), 294: (0, -0.28, 0)},
        (*EYE_REGION, 168, *OVAL, *LIPS, 280),
    ),
    "nose_width": (
        {278: (0.2, 0, 0), 294: (0.22, 0, -0.02), 327: (0.15, 0, 0), 358: (0.2, 0, 0)}
        | {279: (0.14, 0, 0)},
        (*EYE_REGION, *MIDLINE, *OVAL, *LIPS, 280),
    ),
    "nose_out": (
        {4: (0, 0, 0.38), 1: (0, 0, 0.34), 5: (0, 0, 0.26), 2: (0, 0, 0.16), 195: (0, 0, 0.14)},
        (*EYE_REGION, 168, *OVAL, *LIPS, 280, 278, 294),
    ),
    "nose_bridge": (
        {168: (0, 0, 0.12), 6: (0, 0, 0.26), 197: (0, 0, 0.22), 195: (0, 0, 0.08)},
        (*EYE_REGION, 4, 1, 9, *OVAL, *LIPS, 280),
    ),
    "nose_tip_up": (
        {4: (0, 0.18, 0.02), 1: (0, 0.2, 0.06), 2: (0, 0.12, 0.08)},
        (*EYE_REGION, 168, 6, *OVAL, *LIPS, 280, 278),
    ),
    "tip_width": (
        {274: (0.12, 0, 0.03), 440: (0.1, 0, 0.05), 281: (0.1, 0, 0), 248: (0.1, 0, 0)},
        (*EYE_REGION, *MIDLINE, *OVAL, *LIPS, 280, 278, 294),
    ),
    "lips_full": (
        {0: (0, 0.11, 0.12), 267: (0, 0.11, 0.11), 269: (0, 0.09, 0.08), 17: (0, -0.14, 0.1)}
        | {314: (0, -0.13, 0.1), 405: (0, -0.1, 0.07), 270: (0, 0.04, 0.03)}
        | {13: (0, 0, 0.1), 14: (0, 0, 0.1), 321: (0, -0.05, 0.03)},
        (*OVAL, 2, 164, 98, 327, 18, 61, 291, 78, 308, 199, 425, 205, 4),
    ),
    "mouth_width": (
        {291: (0.22, 0, -0.1), 308: (0.2, 0, -0.09), 409: (0.15, 0, -0.06)}
        | {375: (0.15, 0, -0.06), 415: (0.16, 0, -0.06), 324: (0.16, 0, -0.06)}
        | {270: (0.1, 0, -0.03), 321: (0.1, 0, -0.03)},
        (*OVAL, *NOSE, 0, 17, 13, 14, 18, 199, 425, 205),
    ),
    "mouth_corners": (
        {291: (0, 0.13, 0), 308: (0, 0.13, 0), 409: (0, 0.07, 0), 375: (0, 0.08, 0)},
        (*OVAL, *NOSE, 0, 17, 13, 14, 18, 199, 425, 205, 267, 314),
    ),
}
"""Traits of one region: {name: ({landmark: cm on the person's left}, landmarks that stay)}."""


@lru_cache(maxsize=1)
def traits():
    """{name: displacement (468, 3) cm for one standard deviation}."""
    face = canonical()[0]
    x, y, z = face.T
    centred = np.zeros_like(face)
    bases = {
        "width": centred + np.stack([0.045 * x, 0 * x, 0 * x], 1),
        "height": centred + np.stack([0 * x, 0.035 * y, 0 * x], 1),
        "depth": centred + np.stack([0 * x, 0 * x, 0.05 * (z + 2)], 1),
        "lower_third": centred + np.stack([0 * x, -0.5 * np.clip((-y - 1) / 8, 0, 1), 0 * x], 1),
        "forehead": centred + np.stack([0 * x, 0.45 * np.clip((y - 4) / 4, 0, 1.2), 0 * x], 1),
        "taper": centred + np.stack([-0.04 * x * np.clip((1 - y) / 6, -0.5, 1.6), 0 * x, 0 * x], 1),
    }
    for name, (handles, still) in LOCAL.items():
        bases[name] = field(both_sides(handles), still)
    return bases | _eyes()


def _eyes():
    """Traits of the eyes; the whole region moves with them."""
    face = canonical()[0]
    bases = {"eye_size": 0, "eye_open": 0, "eye_spacing": 0, "eye_tilt": 0}
    for contour, sign in ((EYE_RIGHT, -1), (EYE_LEFT, 1)):
        centre = face[list(contour)].mean(0)
        arm = face - centre
        near = np.exp(-((np.linalg.norm(arm * [0.8, 1.1, 0.6], axis=1) / 1.9) ** 4))[:, None]
        lid = np.exp(-((np.linalg.norm(arm * [0.6, 1.25, 0.5], axis=1) / 1.0) ** 4))[:, None]
        side = np.stack([0 * arm[:, 0], arm[:, 0] * sign * 0.09, 0 * arm[:, 0]], 1)
        bases["eye_size"] = bases["eye_size"] + near * arm * [0.055, 0.055, 0]
        bases["eye_open"] = bases["eye_open"] + lid * arm * [0, 0.16, 0]
        bases["eye_spacing"] = bases["eye_spacing"] + near * [sign * 0.13, 0, 0]
        bases["eye_tilt"] = bases["eye_tilt"] + near * side
    return bases


@lru_cache(maxsize=1)
def resting_face():
    """The canonical face with its lips closed and its eyes as open as a person's at ease."""
    face = canonical()[0] + closed_lips()
    bases = traits()
    face = face + 0.95 * bases["eye_open"] + 1.6 * bases["eye_size"] + _fuller_lids(face)
    chin = {152: (0, 0.1, 0.5), 377: (0, 0.1, 0.42), 400: (0, 0.08, 0.3), 378: (0, 0.04, 0.15)}
    face = face + field(
        both_sides(chin), still=(*NOSE, *LIPS, *EYE_REGION, 175, 199, 288, 397, 10, 365)
    )
    return face + field(
        both_sides({290: (0, 0.34, -0.05), 328: (0, 0.3, 0)}), still=_round_nostril()
    )


def _round_nostril():
    """Everything but the floor of the nostrils keeps its place when they are pushed in."""
    return tuple(row for row in range(468) if row not in (290, 328, 60, 99))


def _fuller_lids(face):
    """Deepen the fold above the eye a little, so that the lid reads as a lid."""
    share = weight(
        both_values({443: 1.0, 444: 1.0, 445: 0.8, 442: 0.8}),
        still=(*EYE_REGION, 282, 295, 283, 52, 65, 53, 168, 197, 356, 127, 280, 50),
    )
    return share[:, None] * [0, 0, -0.10]


def both_values(values):
    """Scalar handles for the person's left side, with their mirror images added."""
    return dict(values) | {int(mirror()[row]): value for row, value in values.items()}


def draw_traits(generator, male, age):
    """Random strengths, in standard deviations: {trait: float}.

    male in [0, 1]; age in years. Real faces are also slightly uneven; see asymmetry.
    """
    m, old = 2 * male - 1, np.clip((age - 40) / 25, -1, 1.2)
    lean = {
        "width": 0.15 * m,
        "jaw_width": 0.45 * m - 0.4,
        "chin_width": 0.6 * m,
        "chin_forward": 0.35 * m,
        "brow_ridge": 1.0 * m,
        "brow_height": -0.6 * m - 0.5 - 0.3 * old,
        "brow_tilt": -0.4 * m,
        "nose_length": 0.45 * m + 0.3 * old,
        "nose_width": 0.35 * m + 0.25 * old,
        "nose_out": 0.25 * m,
        "nose_bridge": 0.4 * m,
        "lips_full": -0.5 * m - 0.7 * max(old, 0),
        "eye_size": -0.4 * m - 0.2 * old,
        "eye_open": -0.35 * m - 0.3 * old,
        "cheek_fullness": -0.3 * m - 0.3 * abs(old),
        "mouth_corners": -0.5 * max(old, 0),
        "lower_third": 0.35 * m,
        "taper": -0.25 * m,
    }
    scale = {"eye_open": 0.35, "depth": 0.7, "eye_tilt": 0.8, "mouth_corners": 0.7}
    drawn = {}
    for name in traits():
        value = np.clip(generator.normal(), -2.0, 2.0)
        drawn[name] = lean.get(name, 0.0) + scale.get(name, 0.75) * value
    return drawn


def shaped_face(strengths, generator=None, asymmetry=0.06):
    """The resting landmarks (468, 3) of a face with these traits."""
    bases = traits()
    face = resting_face() + sum(strengths[name] * bases[name] for name in bases)
    if generator is not None:
        rows = (*OVAL[::4], 4, 61, 291, 33, 263, 105, 334, 50, 280, 13, 9)
        nudges = {row: generator.normal(0, asymmetry, 3) for row in rows}
        face = face + field(nudges)
    return face
