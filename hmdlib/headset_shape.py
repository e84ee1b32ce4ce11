"""The headset as a thing in space: its families, and its parts as small meshes.

Everything is in the head's frame of `head_pose` (x right, y down, z to the camera, unit = distance
between the outer eye corners). `masks` decides where and why, `headset_render` draws. Own design.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

import hmdlib

FAMILIES = {
    # name: width, height, drop, depth, corner, curve, notch, colour, strap_height
    "visor": dict(width=2.42, height=1.50, drop=-0.10, depth=0.95, corner=0.5, curve=0.13,
                  notch=0.10, colour=(0.16, 0.16, 0.17), gloss=0.25, strap_height=0.34),
    "goggles": dict(width=1.95, height=1.16, drop=-0.06, depth=0.66, corner=0.62, curve=0.34,
                    notch=0.22, colour=(0.10, 0.11, 0.13), gloss=0.7, strap_height=0.42),
    "glasses": dict(width=1.98, height=0.62, drop=0.0, depth=0.46, corner=0.42, curve=0.14,
                    notch=0.16, colour=(0.72, 0.73, 0.75), gloss=0.6, strap_height=0.15),
}  # fmt: skip


@dataclass(frozen=True)
class Headset:
    """One headset: a family's shape, or a variation of it; what is left None is the family's own.

    family: "visor" (a box from mid forehead to the nose's lower third, temple to temple), "goggles"
    (close to the face and curved, as for skiing) or "glasses" (a bar with dark lenses and arms).
    width, height, depth (how far the front stands before the eye corners), drop (how far the middle
    lies below the eye corners), notch (the cut for the nose), strap_height: in inter-ocular units.
    corner: 0 a box .. 1 an ellipse. curve: how fast the front falls back to the sides, 1/unit.
    colour, strap_colour: RGB in [0, 1]. gloss: 0 matt .. 1 polished. dots: how many camera windows.
    light: the direction to the lamp in the camera's frame; brightness scales all light.
    strap: a band round the head (glasses have arms in any case); top_strap: one over the crown.
    cable: -1 hangs beside the head at the picture's left, 1 at its right, 0 for none.
    """

    family: str = "visor"
    width: float | None = None
    height: float | None = None
    drop: float | None = None
    depth: float | None = None
    corner: float | None = None
    curve: float | None = None
    notch: float | None = None
    colour: tuple[float, float, float] | None = None
    gloss: float | None = None
    dots: int = 4
    strap: bool = False
    top_strap: bool = False
    strap_height: float | None = None
    strap_colour: tuple[float, float, float] = (0.13, 0.13, 0.14)
    cable: int = 0
    light: tuple[float, float, float] = (-0.45, -0.7, 0.55)
    brightness: float = 1.0

    def __post_init__(self):
        if self.family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise hmdlib.InputError(f"family={self.family!r} is not a headset: choose {known}")
        for name, value in FAMILIES[self.family].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


class Mesh(NamedTuple):
    """Triangles with what their light depends on; those that come later lie on top."""

    points: np.ndarray  # (V, 3) head's frame
    normals: np.ndarray  # (V, 3) outwards
    albedo: np.ndarray  # (V, 3)
    gloss: np.ndarray  # (V,)
    triangles: np.ndarray  # (T, 3) clockwise on the screen when seen from outside


@lru_cache(maxsize=64)
def build(model):
    """The whole headset as one mesh, its parts in painting order: straps, body, lenses, cameras."""
    parts = []
    if model.top_strap:
        parts.append(_band(_TOP, 0.11, model, upright=False))
    if model.strap or model.family == "glasses":
        parts.append(_band(_round_the_head(model), model.strap_height / 2, model, upright=True))
    parts.append(_body(model))
    if model.family == "glasses":
        parts.append(_lenses(model))
    if model.dots:
        parts.append(_windows(model))
    points, albedo, gloss = (
        np.concatenate(field).astype(np.float32)
        for field in zip(*(part[:3] for part in parts), strict=True)
    )
    offsets = np.cumsum([0] + [len(part[0]) for part in parts])
    triangles = np.concatenate([p[3] + n for p, n in zip(parts, offsets, strict=False)])
    return Mesh(points, _normals(points, triangles), albedo, gloss, triangles)


# ---------------------------------------------------------------- parts, each as
# points (V, 3), albedo (V, 3), gloss (V,), triangles (T, 3)


def _grid(points, albedo, gloss, closed):
    """A part over points (R, A, 3); closed joins the last column to the first."""
    rows, columns = points.shape[:2]
    albedo = np.broadcast_to(albedo, points.shape).reshape(-1, 3)
    gloss = np.broadcast_to(gloss, points.shape[:2]).ravel()
    return points.reshape(-1, 3), albedo, gloss, grid_triangles(rows, columns, closed)


@lru_cache
def grid_triangles(rows, columns, closed):
    """Two triangles for each cell of the grid, (T, 3) int32."""
    row, column = np.indices((rows - 1, columns if closed else columns - 1)).reshape(2, -1)
    here, right = row * columns + column, row * columns + (column + 1) % columns
    below, corner = here + columns, right + columns
    pairs = np.stack([here, right, corner, here, corner, below], axis=1)
    return pairs.reshape(-1, 3).astype(np.int32)


@lru_cache
def _superellipse(corner, columns):
    """A rim (columns, 2) in half-sizes, clockwise from the right; corner: 1 round .. 0 square."""
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    power = max(corner, 0.1)
    return np.stack([np.sign(cos) * abs(cos) ** power, np.sign(sin) * abs(sin) ** power], axis=1)


def _front(model, x, y):
    """How far the front's surface stands before the eye corners at (x, y)."""
    return model.depth - model.curve * x**2 - 0.06 * (y - model.drop) ** 2


def _face(x):
    """About where the skin is at eye height: the face falls back towards the temples."""
    return 0.12 - 0.55 * x**2


# The body's rings from the skin to the middle of the front: size beside the rim, how far on the way
# from skin to front the ring lies, how deep the nose's cut is there, and what it is made of.
_RUBBER, _SIDE, _FRONT = 0, 1, 2
_GLASS = np.array([0.05, 0.05, 0.06])
_RINGS = [(0.80, 0.00, 2.2, _RUBBER), (0.84, 0.25, 1.9, _RUBBER), (0.90, 0.42, 1.3, _RUBBER),
          (0.93, 0.43, 1.1, _SIDE), (0.985, 0.46, 1.0, _SIDE), (1.00, 0.56, 1.0, _SIDE),
          (1.00, 0.78, 1.0, _SIDE), (0.985, 0.90, 1.0, _SIDE), (0.95, 0.97, 1.0, _SIDE),
          (0.91, 0.995, 1.0, _FRONT), (0.85, 1.00, 0.9, _FRONT), (0.72, 1.0, 0.8, _FRONT),
          (0.55, 1.0, 0.6, _FRONT), (0.36, 1.0, 0.4, _FRONT), (0.17, 1.0, 0.2, _FRONT),
          (0.00, 1.0, 0.0, _FRONT)]  # fmt: skip


def _body(model):
    """The box: from the rubber on the skin over the sides and the bevel to the front."""
    rim = _superellipse(model.corner, 56)  # (A, 2)
    size, way, cut, matter = (np.array(column)[:, None] for column in zip(*_RINGS, strict=True))
    x = size * rim[:, 0] * model.width / 2
    x = x * (1 - 0.07 * np.clip(rim[:, 1], 0, 1))  # a little narrower towards the cheeks
    nose = model.notch * cut * np.exp(-((x / 0.3) ** 2)) * np.clip(rim[:, 1], 0, 1)
    y = model.drop + size * rim[:, 1] * model.height / 2 - nose
    z = (1 - way) * _face(x) + way * _front(model, x, y)
    points = np.stack([x, y, z], axis=-1)
    return _grid(points, *_body_matter(model, matter[:, 0], x), closed=True)


def _body_matter(model, matter, x):
    """Albedo (R, A, 3) and gloss (R, A) of each ring."""
    colour = np.array(model.colour)
    side, rubber = colour * 0.82, np.full(3, 0.05)
    front = _GLASS + 0.25 * colour if model.family == "goggles" else colour
    albedo = np.stack([rubber, side, front])[matter][:, None] * np.ones((*x.shape, 1))
    gloss = np.array([0.0, 0.5 * model.gloss, model.gloss])[matter][:, None] * np.ones(x.shape)
    return albedo, gloss


def _round_the_head(model):
    """The strap's way, (P, 3), from the headset's right side (of the picture) back to its left."""
    half = model.width / 2
    side = [(0.93 * half, 0.30), (0.97 * half, 0.0), (0.95, -0.4), (0.93, -0.8), (0.84, -1.25),
            (0.6, -1.65), (0.3, -1.86)]  # fmt: skip
    bend = np.array(side + [(0, -1.92)] + [(-x, z) for x, z in reversed(side)])
    y = model.drop - 0.05 - 0.1 * np.clip(bend[:, 1], -1, 0)  # sinks towards the ears
    return np.stack([bend[:, 0], y, bend[:, 1]], axis=1)


_TOP = np.array([(0, -0.6, 0.4), (0, -0.85, 0.2), (0, -1.08, -0.1), (0, -1.22, -0.45),
                 (0, -1.28, -0.85), (0, -1.2, -1.3), (0, -0.9, -1.7), (0, -0.3, -1.9)])  # fmt: skip


def _band(way, half, model, upright):
    """A strap of half-width `half` along `way` (P, 3): upright round the head, or flat over it."""
    fine = np.linspace(0, len(way) - 1, 3 * len(way))
    way = np.stack([np.interp(fine, np.arange(len(way)), c) for c in way.T], axis=1)
    over = np.linspace(half, -half, 4)[:, None]  # so that the outside faces outwards
    points = np.repeat(way[None], len(over), axis=0)  # (4, P, 3)
    points[..., 1 if upright else 0] -= over
    glasses = model.family == "glasses"
    colour = np.array(model.colour) * 0.9 if glasses else np.array(model.strap_colour)
    seam = np.array([0.75, 1.0, 1.0, 0.75])[:, None, None]
    return _grid(points, colour * seam, model.gloss if glasses else 0.05, closed=False)


def _window_places(dots):
    """Where camera windows sit on the front, (dots, 2) half-sizes: corners, or an even ring."""
    if dots <= 4:
        return np.array([(-0.72, 0.62), (0.72, 0.62), (-0.74, -0.55), (0.74, -0.55)][:dots])
    turn = np.linspace(0, 2 * np.pi, dots, endpoint=False) + 0.3
    radius = 0.55 + 0.2 * (np.arange(dots) % 2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _windows(model):
    """Cameras behind dark glass: small discs, each with a lighter rim."""
    rim = np.array(model.colour) * 0.6
    albedo = np.stack([rim, rim, 0.3 * _GLASS, 0.4 * _GLASS, 1.4 * _GLASS])
    rings = np.array([1.0, 0.8, 0.75, 0.3, 0.0])
    return _discs(model, _window_places(model.dots), (0.055, 0.055), 1.0, rings, albedo, 0.3)


def _lenses(model):
    """The dark lenses of glasses: two wide discs under the bar."""
    half = (0.225 * model.width, 0.34 * model.height)
    rings = np.array([1.0, 0.95, 0.8, 0.6, 0.4, 0.2, 0.0])
    albedo = np.repeat(_GLASS[None], len(rings), axis=0)
    return _discs(model, np.array([(-0.49, 0.12), (0.49, 0.12)]), half, 0.4, rings, albedo, 0.8)


def _discs(model, places, half, corner, rings, albedo, gloss, columns=24):
    """Flat patches on the front, one at each of places (K, 2) half-sizes; albedo (R, 3) by ring."""
    rim = _superellipse(corner, columns) * half
    disc = rings[:, None, None] * rim  # (R, A, 2)
    middle = places * (model.width / 2, model.height / 2) + (0, model.drop)
    x, y = np.moveaxis(middle[:, None, None] + disc, -1, 0)  # (K, R, A) each
    points = np.stack([x, y, _front(model, x, y)], axis=-1)
    first = (disc[..., 0].size * np.arange(len(places), dtype=np.int32))[:, None, None]
    return (
        points.reshape(-1, 3),
        np.broadcast_to(albedo[:, None], points.shape).reshape(-1, 3),
        np.full(x.size, gloss),
        (grid_triangles(len(rings), columns, True) + first).reshape(-1, 3),
    )


@numba.njit(cache=True, nogil=True)
def _normals(points, triangles):
    """Outward unit normals (V, 3): the mean of the triangles around each vertex, by area."""
    normals = np.zeros_like(points)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = points[b] - points[a]
        vx, vy, vz = points[c] - points[a]
        for k in (a, b, c):
            normals[k, 0] += uy * vz - uz * vy
            normals[k, 1] += uz * vx - ux * vz
            normals[k, 2] += ux * vy - uy * vx
    for k in range(len(normals)):
        normals[k] /= np.sqrt((normals[k] ** 2).sum()) + 1e-12
    return normals
