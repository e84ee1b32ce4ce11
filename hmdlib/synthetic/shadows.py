"""Soft shadows: how much of a light reaches a point past meshes and through hair."""

import math

import numpy as np
from numba import njit

from .sampling import clamp

DISC = np.array(
    [
        [
            math.sqrt((i + 0.5) / 16) * math.cos(2.4 * i),
            math.sqrt((i + 0.5) / 16) * math.sin(2.4 * i),
        ]
        for i in range(16)
    ]
)


@njit(cache=True, fastmath=True, _nrt=False)
def _mesh_shadow(lights, i, x, y, z, soft):
    """Share of light i that meshes let through: percentage-closer soft shadows (Fernando 2005)."""
    depth = lights.depth
    size = depth.shape[1]
    search = clamp(lights.size[i] * 3.0 / lights.texel, 1.5, 14.0)
    blockers, gap = 0, 0.0
    for k in range(0, 16, 2):
        tx, ty = int(x + DISC[k, 0] * search), int(y + DISC[k, 1] * search)
        if 0 <= tx < size and 0 <= ty < size and depth[i, ty, tx] > z + 0.12:
            blockers += 1
            gap += depth[i, ty, tx] - z
    if blockers == 0:
        return 1.0
    radius = clamp(lights.size[i] * gap / blockers / lights.texel + soft, 1.5, 14.0)
    lit = 0.0
    for k in range(16):
        fx, fy = x + DISC[k, 0] * radius - 0.5, y + DISC[k, 1] * radius - 0.5
        x0, y0 = int(fx), int(fy)
        if x0 < 0 or y0 < 0 or x0 + 1 >= size or y0 + 1 >= size:
            lit += 1.0
            continue
        fx, fy = fx - x0, fy - y0
        level = z + 0.06 + 0.05 * radius * lights.texel
        a = 1.0 if depth[i, y0, x0] < level else 0.0
        b = 1.0 if depth[i, y0, x0 + 1] < level else 0.0
        c = 1.0 if depth[i, y0 + 1, x0] < level else 0.0
        d = 1.0 if depth[i, y0 + 1, x0 + 1] < level else 0.0
        lit += (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
    return lit / 16.0


@njit(cache=True, fastmath=True, _nrt=False)
def _hair_shadow(lights, i, x, y, z):
    """Share of light i that the hair in front lets through, thickness by thickness."""
    size = lights.front.shape[1]
    dark = 0.0
    for k in range(0, 16, 4):
        tx, ty = int(x + DISC[k, 0] * 2.5), int(y + DISC[k, 1] * 2.5)
        if 0 <= tx < size and 0 <= ty < size:
            behind = lights.front[i, ty, tx] - z
            if behind > 0.05:
                dark += lights.cover[i, ty, tx] * clamp(behind / 1.2, 0.0, 1.0)
    return math.exp(-0.3 * dark) if dark > 0.0 else 1.0


@njit(cache=True, fastmath=True, _nrt=False)
def shadow(lights, i, px, py, pz, soft):
    """Share of light i that reaches a point."""
    if not lights.casts[i]:
        return 1.0
    f = lights.frames
    x = f[i, 0, 0] * px + f[i, 0, 1] * py + f[i, 0, 2] * pz + f[i, 0, 3]
    y = f[i, 1, 0] * px + f[i, 1, 1] * py + f[i, 1, 2] * pz + f[i, 1, 3]
    z = f[i, 2, 0] * px + f[i, 2, 1] * py + f[i, 2, 2] * pz + f[i, 2, 3]
    return _mesh_shadow(lights, i, x, y, z, soft) * _hair_shadow(lights, i, x, y, z)
