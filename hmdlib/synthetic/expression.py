"""Facial expressions: how the 468 landmarks of a face move.

An expression is a dict of floats, each 0 at rest: jaw_open, smile, pucker, press, brow_raise,
brow_frown, squint, blink_left, blink_right in [0, 1] (1 = as far as people go; a little more or a
negative smile works); gaze_yaw, gaze_pitch in degrees relative to the head, > 0 = to the
picture's right and up. The upper lids follow the gaze by themselves.
"""

from functools import lru_cache

import numpy as np

from .topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, canonical
from .warp import both_sides, field, mirror, weight

NAMES = (
    *("jaw_open", "smile", "pucker", "press", "brow_raise", "brow_frown", "squint"),
    *("blink_left", "blink_right", "gaze_yaw", "gaze_pitch"),
)
JAW_HINGE = np.array([0.0, 0.6, -2.6])
JAW_ANGLE = np.radians(17.0)

EYE_REGION = tuple(EYE_RIGHT) + tuple(EYE_LEFT)
UPPER_FACE = (*EYE_REGION, 168, 6, 197, 10, 151, 9, 127, 356, 234, 454, 70, 300, 105, 334)
NOSE = (1, 4, 2, 98, 327, 195, 5, 48, 278, 64, 294)
OUTLINE = (132, 361, 58, 288, 172, 397, 150, 379, 152, 234, 454, 127, 356)


@lru_cache(maxsize=1)
def blendshapes():
    """{name: displacement (468, 3) cm} of the expressions that are plain additions."""
    shapes = {
        "smile": _smile(),
        "pucker": _pucker(),
        "press": _press(),
        "brow_raise": field(
            both_sides(
                {300: (0.05, 0.55, 0), 334: (0, 0.62, 0), 296: (0, 0.6, 0), 336: (0, 0.5, 0)}
                | {283: (0, 0.5, 0), 282: (0, 0.55, 0), 295: (0, 0.55, 0), 285: (0, 0.42, 0)}
                | {9: (0, 0.3, 0), 337: (0, 0.25, 0), 443: (0, 0.25, 0), 257: (0, 0.12, 0)}
            ),
            still=(
                *EYE_REGION,
                10,
                338,
                297,
                332,
                109,
                67,
                103,
                168,
                6,
                356,
                127,
                50,
                280,
                389,
                162,
            ),
        ),
        "brow_frown": field(
            both_sides(
                {336: (-0.28, -0.32, 0.12), 285: (-0.3, -0.3, 0.12), 296: (-0.15, -0.22, 0.08)}
                | {295: (-0.15, -0.25, 0.08), 334: (0, -0.08, 0), 9: (0, -0.18, 0.05)}
            ),
            still=(*EYE_REGION, 10, 151, 6, 197, 356, 127, 300, 70, 50, 280),
        ),
        "squint": field(
            both_sides(
                {374: (0, 0.14, 0), 373: (0, 0.13, 0), 380: (0, 0.13, 0), 381: (0, 0.08, 0)}
                | {
                    390: (0, 0.09, 0),
                    253: (0, 0.2, 0.06),
                    252: (0, 0.18, 0.06),
                    254: (0, 0.18, 0.05),
                }
                | {386: (0, -0.1, 0), 385: (0, -0.1, 0), 387: (0, -0.1, 0), 282: (0, -0.14, 0.04)}
                | {280: (0.05, 0.2, 0.1), 330: (0, 0.2, 0.1), 295: (-0.05, -0.12, 0.04)}
            ),
            still=(33, 133, 362, 263, 10, 151, 6, 197, *NOSE, 61, 291, 152, 127, 356, 234, 454),
        ),
    }
    return {name: shape.astype(np.float64) for name, shape in shapes.items()}


def _smile():
    corner = (0.62, 0.5, -0.42)
    handles = {291: corner, 308: corner, 409: (0.5, 0.36, -0.3), 375: (0.5, 0.36, -0.3)}
    handles |= {415: (0.5, 0.36, -0.3), 324: (0.5, 0.36, -0.3), 270: (0.32, 0.12, -0.2)}
    handles |= {310: (0.34, 0.14, -0.2), 321: (0.3, 0.12, -0.25), 318: (0.34, 0.14, -0.2)}
    handles |= {
        0: (0, -0.06, -0.22),
        13: (0, 0.0, -0.2),
        14: (0, -0.04, -0.2),
        17: (0, -0.02, -0.2),
    }
    handles |= {425: (0.3, 0.36, 0.22), 280: (0.12, 0.3, 0.22), 411: (0.34, 0.3, 0.1)}
    handles |= {330: (0.05, 0.22, 0.14), 426: (0.2, 0.16, 0.05), 432: (0.42, 0.3, 0.0)}
    handles |= {374: (0, 0.05, 0), 253: (0, 0.09, 0.05), 327: (0.1, 0.05, 0)}
    still = (33, 133, 362, 263, 1, 4, 2, 168, 10, 127, 356, 234, 454, 132, 361, 152, 199, 58, 288)
    return field(both_sides(handles), still)


def _pucker():
    handles = {291: (-0.75, -0.02, 0.5), 308: (-0.75, -0.02, 0.5), 409: (-0.5, 0.0, 0.5)}
    handles |= {375: (-0.5, 0, 0.5), 415: (-0.55, 0, 0.5), 324: (-0.55, 0, 0.5)}
    handles |= {270: (-0.32, 0.06, 0.5), 321: (-0.32, -0.05, 0.5), 310: (-0.38, 0.02, 0.5)}
    handles |= {
        318: (-0.38, -0.02, 0.5),
        0: (0, 0.1, 0.45),
        13: (0, 0.05, 0.5),
        14: (0, -0.05, 0.5),
    }
    handles |= {17: (0, -0.1, 0.42), 425: (-0.1, 0, 0), 432: (-0.25, 0, 0.1), 18: (0, -0.05, 0.15)}
    return field(both_sides(handles), still=(*NOSE, *EYE_REGION, *OUTLINE, 280, 50, 199, 10))


def _press():
    handles = {
        0: (0, -0.16, -0.22),
        267: (0, -0.14, -0.2),
        269: (0, -0.1, -0.16),
        17: (0, 0.2, -0.25),
    }
    handles |= {314: (0, 0.18, -0.22), 405: (0, 0.13, -0.16), 13: (0, 0, -0.22), 14: (0, 0, -0.22)}
    handles |= {
        312: (0, 0, -0.2),
        317: (0, 0, -0.2),
        291: (0.12, -0.03, -0.05),
        308: (0.12, 0, -0.05),
    }
    handles |= {310: (0.03, 0, -0.12), 318: (0.03, 0, -0.12)}
    return field(both_sides(handles), still=(*NOSE, *OUTLINE, 199, 18, 425, 205))


@lru_cache(maxsize=1)
def jaw_weight():
    """How much each landmark turns with the jaw: 1 at the chin and the lower lip (468,)."""
    values = dict.fromkeys((152, 148, 176, 377, 400, 199, 200, 18, 17, 14, 87, 317, 178, 402), 1.0)
    values |= dict.fromkeys((84, 314, 181, 405, 149, 378, 83, 313, 201, 421), 1.0)
    values |= dict.fromkeys((88, 318, 91, 321), 0.86) | dict.fromkeys((95, 324, 146, 375), 0.66)
    values |= dict.fromkeys((61, 291, 78, 308), 0.4) | dict.fromkeys((150, 379), 0.95)
    values |= dict.fromkeys((136, 365), 0.85) | dict.fromkeys((172, 397), 0.72)
    values |= dict.fromkeys((58, 288), 0.5) | dict.fromkeys((132, 361), 0.25)
    values |= dict.fromkeys((0, 37, 267, 39, 269, 13, 82, 312, 81, 311, 80, 310), 0.0)
    values |= dict.fromkeys((185, 409, 40, 270), 0.06) | dict.fromkeys((191, 415), 0.14)
    values |= dict.fromkeys((205, 425), 0.15) | dict.fromkeys((192, 416), 0.5)
    still = (*NOSE, *UPPER_FACE, 50, 280, 93, 323)
    return np.clip(weight(values, still), 0, 1)


@lru_cache(maxsize=1)
def lid_rings():
    """Upper and lower lid of the right eye: lists of (landmarks from outer to inner, share)."""
    upper = (
        ((246, 161, 160, 159, 158, 157, 173), 1.0),
        ((247, 30, 29, 27, 28, 56, 190), 0.72),
        ((113, 225, 224, 223, 222, 221, 189), 0.12),
    )
    lower = (
        ((7, 163, 144, 145, 153, 154, 155), 1.0),
        ((25, 110, 24, 23, 22, 26, 112), 0.55),
    )
    return upper, lower


def eyeball(face, side):
    """Centre (3,) and radius of an eyeball that the lids of face (468, 3) rest on.

    side: "right" or "left", the person's.
    """
    contour = face[list(EYE_RIGHT if side == "right" else EYE_LEFT)]
    outer, inner = contour[0], contour[8]
    width = np.linalg.norm((outer - inner)[:2])
    radius = 0.435 * width
    middle = (contour.min(0) + contour.max(0)) / 2
    top = contour[[3, 4, 12, 11]].mean(0)
    return np.array([0.55 * middle[0] + 0.45 * top[0], middle[1], top[2] + 0.02 - radius]), radius


def _roll_lids(face, side, blink, look):
    """Close the lids along the eyeball: blink in [0, 1], look > 0 up (radians), in place."""
    centre, radius = eyeball(face, side)
    flip = (lambda rows: list(rows)) if side == "right" else (lambda rows: mirror()[list(rows)])
    upper, lower = lid_rings()
    top, bottom = face[flip(upper[0][0])].copy(), face[flip(lower[0][0])].copy()
    meet = bottom + 0.2 * (top - bottom)
    open_angle = np.arctan2(top[:, 1] - centre[1], top[:, 2] - centre[2])
    shut_angle = np.arctan2(meet[:, 1] - centre[1], meet[:, 2] - centre[2])
    fall = blink * (shut_angle - open_angle - 0.03)  # the edges overlap a little
    fall = fall + (1 - blink) * np.where(look < 0, 0.62, 0.5) * look * _arch(len(fall))
    for rows, share in upper:
        _turn_about(face, flip(rows), centre, radius * (1.035 if share == 1 else 0), share * fall)
    low_angle = np.arctan2(bottom[:, 1] - centre[1], bottom[:, 2] - centre[2])
    rise = blink * (shut_angle - low_angle) + (1 - blink) * 0.25 * look * _arch(len(fall))
    rise = rise + 0.03 * blink
    for rows, share in lower:
        _turn_about(face, flip(rows), centre, radius * (1.035 if share == 1 else 0), share * rise)


def _arch(count):
    """1 in the middle of a lid, falling towards both corners."""
    return np.sin(np.linspace(0.35, np.pi - 0.35, count))


def _turn_about(face, rows, centre, floor, angle):
    """Turn rows up by angle about the eyeball's horizontal axis, never closer than floor."""
    arm = face[rows] - centre
    c, s = np.cos(angle), np.sin(angle)
    y, z = c * arm[:, 1] + s * arm[:, 2], c * arm[:, 2] - s * arm[:, 1]
    arm = np.stack([arm[:, 0], y, z], 1)
    length = np.linalg.norm(arm, axis=1, keepdims=True)
    face[rows] = centre + arm * np.maximum(1, floor / length)


def open_jaw(points, share, jaw_open):
    """Turn points (N, 3) about the jaw's hinge by share (N,) of the jaw's angle."""
    angle = jaw_open * JAW_ANGLE * np.asarray(share)
    arm = points - JAW_HINGE
    c, s = np.cos(angle), np.sin(angle)
    y, z = c * arm[:, 1] - s * arm[:, 2], c * arm[:, 2] + s * arm[:, 1]
    return JAW_HINGE + np.stack([arm[:, 0], y, z], 1)


def deform(face, expression):
    """The landmarks (468, 3) of a resting face with an expression (dict of floats)."""
    unknown = set(expression) - set(NAMES)
    if unknown:
        raise ValueError(f"expression: unknown {sorted(unknown)}; choose from {NAMES}")
    value = {name: float(expression.get(name, 0.0)) for name in NAMES}
    size = (face[454] - face[234])[0] / (canonical()[0][454] - canonical()[0][234])[0]
    out = face + size * sum(value[name] * shape for name, shape in blendshapes().items())
    out = open_jaw(out, jaw_weight(), value["jaw_open"])
    out = _keep_lips_apart(out)
    look = np.radians(value["gaze_pitch"])
    for side in ("right", "left"):
        _roll_lids(out, side, np.clip(value[f"blink_{side}"], 0, 1), look)
    return out


def _keep_lips_apart(face):
    """The upper lip's inner rim never dips below the lower one's."""
    for upper, lower in zip(LIPS_INNER[1:10], LIPS_INNER[:10:-1], strict=True):
        overlap = face[lower, 1] - face[upper, 1]
        if overlap > 0:
            face[upper, 1] += overlap / 2
            face[lower, 1] -= overlap / 2
    return face


@lru_cache(maxsize=1)
def closed_lips():
    """Displacement (468, 3) that closes the canonical face's slightly parted lips."""
    face = canonical()[0]
    handles = {}
    for upper, lower in zip(LIPS_INNER[1:10], LIPS_INNER[:10:-1], strict=True):
        middle = face[upper] * 0.5 + face[lower] * 0.5
        handles[upper], handles[lower] = middle - face[upper], middle - face[lower]
        handles[upper] = handles[upper] * [1, 1, 0.6]
        handles[lower] = handles[lower] * [1, 1, 0.6]
    still = (*LIPS_OUTER, *NOSE, *OUTLINE, 18, 200, 199, 78, 308, 61, 291)
    return field(handles, still)
