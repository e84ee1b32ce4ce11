"""Eyeballs: veined sclera, iris with fibres and limbal ring, wet cornea, caruncle, lashes."""

from functools import lru_cache

import numpy as np

from .expression import eyeball
from .raster import SKIN, Material, Mesh, Strands
from .topology import EYE_LEFT, EYE_RIGHT

IRIS_ANGLE = np.radians(28.5)
MAP_ANGLE = np.radians(100.0)
"""The texture is a polar map about the gaze: its border is this far from the pupil."""

IRIS_COLOURS = {
    "brown": ((0.10, 0.045, 0.018), (0.17, 0.085, 0.03)),
    "dark": ((0.035, 0.017, 0.010), (0.065, 0.032, 0.015)),
    "hazel": ((0.16, 0.105, 0.035), (0.13, 0.14, 0.06)),
    "green": ((0.16, 0.16, 0.07), (0.13, 0.19, 0.12)),
    "blue": ((0.13, 0.165, 0.20), (0.075, 0.125, 0.19)),
    "grey": ((0.15, 0.175, 0.19), (0.10, 0.13, 0.155)),
}
"""Linear colours near the pupil and near the limbus."""


CORNEA = 0.43
"""The cornea is a smaller sphere, 0.66 of the eyeball's radius, this far in front of its centre."""


@lru_cache(maxsize=1)
def ball():
    """A unit sphere about +z, all but its back: points (V, 3), uv (V, 2), triangles."""
    rings, around = 30, 48
    polar = np.concatenate([np.linspace(0, 0.62, 18), np.linspace(0.66, MAP_ANGLE, rings - 18)])
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    points = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], -1)
    uv = 0.5 + 0.5 * (p / MAP_ANGLE)[..., None] * np.stack([np.cos(t), -np.sin(t)], -1)
    rows = np.arange(p.size).reshape(p.shape)
    a, b = rows[:-1], rows[1:]
    a2, b2 = np.roll(a, -1, 1), np.roll(b, -1, 1)
    quads = [np.stack([a, b, a2], -1), np.stack([a2, b, b2], -1)]
    triangles = np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)
    return points.reshape(-1, 3), uv.reshape(-1, 2), triangles


def eye_material(generator, colour, age=35, size=256):
    """The eyeball's look. colour: a key of IRIS_COLOURS."""
    inner, outer = (np.array(c) * generator.uniform(0.8, 1.2) for c in IRIS_COLOURS[colour])
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    polar, turn = np.hypot(x, y) * MAP_ANGLE, np.arctan2(y, x)
    r = polar / IRIS_ANGLE
    fibres = sum(
        generator.normal() / np.sqrt(k) * np.cos(k * turn + generator.uniform(0, 6.28) + 2 * r)
        for k in range(6, 60, 3)
    )
    warp = 0.06 * np.cos(5 * turn + generator.uniform(0, 6.28))
    blend = np.clip((r + warp - 0.38) / 0.45, 0, 1)[..., None]
    iris = (1 - blend) * inner + blend * outer
    iris = iris * np.clip(1 + 0.13 * fibres, 0.4, 1.9)[..., None]
    collar = np.exp(-(((r - 0.52 - warp) / 0.09) ** 2))[..., None]
    iris = iris * (1 + 0.35 * collar)
    limbus = np.clip((r - 0.80) / 0.2, 0, 1)[..., None] ** 1.5
    iris = iris * (1 - 0.72 * limbus)
    pupil = np.clip((r - generator.uniform(0.33, 0.40)) / 0.045, 0, 1)[..., None]
    iris = iris * pupil + 0.002
    sclera = _sclera(generator, r, turn, age)
    edge = np.clip((r - 0.96) / 0.13, 0, 1)[..., None]
    rough = np.where(r < 1.0, 0.5, 0.32)
    texture = (1 - edge) * iris + edge * sclera
    return Material(texture.astype(np.float32), rough.astype(np.float32), 0.03, 0.35, label=SKIN)


def _sclera(generator, r, turn, age):
    """White with a warm, veined border."""
    base = np.array([0.50, 0.455, 0.42]) - max(age - 45, 0) * np.array([0.001, 0.002, 0.004])
    sides = np.clip((r - 1.25) / 1.6, 0, 1)[..., None]
    colour = base - sides * np.array([0.06, 0.17, 0.18])
    veins = np.zeros_like(r)
    for _ in range(26):
        at, bend, phase = (
            generator.uniform(0, 6.28),
            generator.uniform(1, 4),
            generator.uniform(0, 6),
        )
        path = np.angle(np.exp(1j * (turn - at - 0.12 * np.sin(bend * r + phase))))
        thin = np.exp(-((path * r / 0.022) ** 2)) * np.clip((r - 1.3) / 1.2, 0, 1)
        veins = np.maximum(veins, thin * generator.uniform(0.3, 1))
    return colour - veins[..., None] * np.array([0.05, 0.20, 0.18])


def cornea_material():
    """The wet, clear front of the eye: only its reflections are seen."""
    return Material(
        np.zeros(3), 0.07, 0.03, label=SKIN, shadow=False, opacity=0.02, two_sided=False
    )


def _gaze_matrix(yaw, pitch):
    y, p = np.radians([yaw, -pitch])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return turn @ nod


def eye_meshes(resting, face, side, gaze, material, cornea):
    """One eye in the head's rest frame: (eyeball, cornea) as dicts of a mesh's arrays.

    resting: the landmarks without expression, which fix the eyeball's place and size;
    face: the landmarks now, whose lids shade it; gaze: yaw, pitch in degrees.
    """
    centre, radius = eyeball(resting, side)
    unit, uv, triangles = ball()
    look = _gaze_matrix(*gaze)
    points = centre + radius * (unit @ look.T)
    shade = _lid_shade(points, face, side, centre)
    white = Mesh(points, triangles, material, uv, shade)
    polar = np.arccos(np.clip(unit[:, 2], -1, 1))
    inside = np.clip(0.66**2 - (CORNEA * np.sin(polar)) ** 2, 0, None)
    bulge = np.maximum(1.012, CORNEA * np.cos(polar) + np.sqrt(inside))
    wet = Mesh(centre + radius * ((unit * bulge[:, None]) @ look.T), triangles, cornea, None, shade)
    return white, wet


def _lid_shade(points, face, side, centre):
    """Occlusion of the eyeball: dark under the upper lid and in the corners."""
    contour = face[list(EYE_RIGHT if side == "right" else EYE_LEFT)]
    order = np.argsort(contour[:9, 0])
    upper = np.interp(points[:, 0], contour[:9][order, 0], contour[:9][order, 1])
    lower_points = np.concatenate([contour[8:], contour[:1]])
    order = np.argsort(lower_points[:, 0])
    lower = np.interp(points[:, 0], lower_points[order, 0], lower_points[order, 1])
    above = np.clip((upper - points[:, 1] + 0.03) / 0.5, 0, 1)
    below = np.clip((points[:, 1] - lower) / 0.2, 0, 1)
    left, right = contour[:, 0].min(), contour[:, 0].max()
    corner = np.clip(np.minimum(points[:, 0] - left, right - points[:, 0]) / 0.55, 0, 1)
    soft = (0.14 + 0.86 * above**0.9) * (0.72 + 0.28 * below) * (0.55 + 0.45 * corner)
    return np.clip(soft, 0.08, 1) * 0.95


def caruncle(face, side):
    """The small pink flesh in the inner corner: points (V, 3), triangles."""
    contour = face[list(EYE_RIGHT if side == "right" else EYE_LEFT)]
    inner, towards = contour[8], contour[[7, 9]].mean(0)
    axis = (towards - inner) / (np.linalg.norm(towards - inner) + 1e-9)
    unit, _, triangles = ball()
    gap = np.linalg.norm(contour[7] - contour[9])
    middle = inner + 0.22 * axis + np.array([0, 0, -0.20])
    return middle + unit * np.array([0.26, 0.06 + 0.16 * gap, 0.13]), triangles


def lashes(face, side, generator_seed, colour, closed=0.0, upper_count=150, lower_count=40):
    """Lashes of one eye in the head's rest frame, as Strands of 6 points.

    closed: the blink in [0, 1], which lowers the upper lashes with their lid.
    """
    generator = np.random.default_rng([generator_seed, 77, side == "left"])
    contour = face[list(EYE_RIGHT if side == "right" else EYE_LEFT)]
    outwards = -1.0 if side == "right" else 1.0
    upper = _lash_row(generator, contour[:9], outwards, upper_count, 0.62, 1 - 1.7 * closed)
    lower = _lash_row(
        generator,
        np.concatenate([contour[8:], contour[:1]])[::-1],
        outwards,
        lower_count,
        0.30,
        -0.6,
    )
    points = np.concatenate([upper, lower])
    radius = np.concatenate([np.full(len(upper), 0.0055), np.full(len(lower), 0.0028)])
    tint = np.tile(np.asarray(colour), (len(points), 1)) * generator.uniform(
        0.6, 1.2, (len(points), 1)
    )
    return Strands(points, tint, radius, 0.25, gloss=0.25, label=SKIN, shadow=False)


def _lash_row(generator, contour, outwards, count, length, rise):
    """Curved hairs along a lid's edge, which runs from the outer to the inner corner."""
    place = np.linspace(0, len(contour) - 1, 200)
    path = np.stack([np.interp(place, np.arange(len(contour)), contour[:, k]) for k in range(3)], 1)
    at = np.clip(np.sort(generator.beta(1.0, 1.15, count)) * 0.93 + 0.005, 0, 1)
    root = np.stack([np.interp(at * 199, np.arange(200), path[:, k]) for k in range(3)], 1)
    root = root + generator.normal(0, 0.012, root.shape) * [1, 1, 0.3]
    size = length * (0.55 + 0.45 * np.sin(np.pi * np.clip(at * 0.9 + 0.25, 0, 1)))
    size = size * generator.uniform(0.65, 1.1, count)
    fan = outwards * (0.95 * (0.55 - at)) + generator.normal(0, 0.12, count)
    t = np.linspace(0, 1, 6)[None, :]
    forwards = size[:, None] * (0.62 * t - 0.18 * t**2)
    up = rise * size[:, None] * (-0.16 * t + 0.52 * t**2)
    out = size[:, None] * fan[:, None] * (0.45 * t + 0.2 * t**2)
    return root[:, None] + np.stack([out, up, forwards], -1)
