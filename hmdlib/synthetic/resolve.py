"""From samples to pixels: shade what each sample sees, expose the film, average four a pixel."""

import math

import numpy as np
from numba import njit, prange

from .sampling import CHANNELS, clamp
from .shade import shade_hair, shade_mesh


def _film_curve(x):
    """Linear light to a displayed value in [0, 1]: a soft shoulder, a light toe, sRGB."""
    x = np.minimum(x * (1.0 + x * 0.09) / (1.0 + 0.62 * x) * 1.12, 1.0)
    s = np.where(x < 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1.0 / 2.4) - 0.055)
    return np.clip(s + 0.10 * s * (1.0 - s) * (2.0 * s - 1.0), 0.0, 1.0)


FILM = _film_curve(16.0 * np.linspace(0.0, 1.0, 4097) ** 2).astype(np.float32)
"""The film's curve, tabled over the square root of light up to 16."""


@njit(cache=True, fastmath=True, _nrt=False)
def film(x):
    """Linear light to a displayed value in [0, 1] (see _film_curve)."""
    place = math.sqrt(clamp(x, 0.0, 15.99) / 16.0) * 4096.0
    i = int(place)
    return FILM[i] + (place - i) * (FILM[i + 1] - FILM[i])


@njit(cache=True, fastmath=True, _nrt=False)
def _same_surface(near, ids, mesh_of, y, x):
    """Whether the four samples of pixel (y, x) lie on one mesh without a step in depth."""
    first = ids[2 * y, 2 * x]
    if first == -1:  # nothing there: one sample of background will do
        low, high = ids[2 * y, 2 * x + 1], ids[2 * y + 1, 2 * x]
        return low == -1 and high == -1 and ids[2 * y + 1, 2 * x + 1] == -1
    if first < 0:
        return False
    low = high = near[2 * y, 2 * x]
    for k in range(1, 4):
        other = ids[2 * y + k // 2, 2 * x + k % 2]
        if other < 0 or mesh_of[other] != mesh_of[first]:
            return False
        low = min(low, near[2 * y + k // 2, 2 * x + k % 2])
        high = max(high, near[2 * y + k // 2, 2 * x + k % 2])
    return high - low < 0.004 * high  # 0.3 cm at 70 cm


@njit(cache=True, fastmath=True, _nrt=False)
def _shade_sample(surface, atlas, hair, lights, which, x, y, texel, light, out):
    if which >= 0:
        shade_mesh(surface, atlas, lights, which, x, y, texel, light, out)
    else:
        shade_hair(hair, lights, -2 - which, x, y, out)


@njit(cache=True, parallel=True, fastmath=True)
def resolve(near, ids, surface, atlas, hair, lights, background, exposure):
    """Shade the samples and average four to a pixel. Returns image (H, W, 3) float, depth, label.

    A pixel inside one surface is shaded once; one on an edge, once per distinct sample.
    """
    height, width = near.shape[0] // 2, near.shape[1] // 2
    image = np.empty((height, width, 3), np.float32)
    depth = np.zeros((height, width), np.float32)
    label = np.zeros((height, width), np.uint8)
    for y in prange(height):
        texel, light, out = np.empty(CHANNELS), np.empty(6), np.empty(6)
        for x in range(width):
            shared = _same_surface(near, ids, surface.mesh_of, y, x)
            for c in range(3):
                image[y, x, c] = 0.0
            nearest = 0.0
            for k in range(1 if shared else 4):
                sy, sx = 2 * y + k // 2, 2 * x + k % 2
                which = ids[sy, sx]
                weight = 1.0 if shared else 0.25
                if which == -1:
                    for c in range(3):
                        image[y, x, c] += weight * film(background[y, x, c] * exposure)
                    continue
                at_x, at_y = (2.0 * x + 1.0, 2.0 * y + 1.0) if shared else (sx + 0.5, sy + 0.5)
                _shade_sample(surface, atlas, hair, lights, which, at_x, at_y, texel, light, out)
                for c in range(3):
                    image[y, x, c] += weight * film((out[c] + out[3 + c]) * exposure)
                if near[sy, sx] > nearest:
                    nearest = near[sy, sx]
                    depth[y, x] = 1.0 / nearest
                    mesh = surface.mesh_of[max(which, 0)]
                    strand = max(-2 - which, 0) // max(hair.points.shape[1] - 1, 1)
                    label[y, x] = surface.label[mesh] if which >= 0 else hair.label[strand]
    return image, depth, label


@njit(cache=True, parallel=True, fastmath=True)
def glaze(image, near, ids, surface, atlas, lights, exposure):
    """Blend the thin transparent layer (ids of glass, near its nearness) over the picture.

    The picture is already film: the layer is blended there, which for thin glass looks the same.
    """
    for y in prange(image.shape[0]):
        texel, light, out = np.empty(CHANNELS), np.empty(6), np.empty(6)
        for x in range(image.shape[1]):
            hits, which = 0, -1
            for k in range(4):
                if ids[2 * y + k // 2, 2 * x + k % 2] >= 0:
                    hits += 1
                    which = ids[2 * y + k // 2, 2 * x + k % 2]
            if hits == 0:
                continue
            opacity = shade_mesh(
                surface, atlas, lights, which, 2.0 * x + 1.0, 2.0 * y + 1.0, texel, light, out
            )
            for c in range(3):
                behind = unfilm(image[y, x, c])
                lit = behind * (1.0 - opacity) + (out[c] * opacity + out[3 + c]) * exposure
                image[y, x, c] += 0.25 * hits * (film(lit) - image[y, x, c])


@njit(cache=True, fastmath=True, _nrt=False)
def unfilm(s):
    """The inverse of film, by bisection."""
    low, high = 0.0, 16.0
    for _ in range(22):
        middle = 0.5 * (low + high)
        if film(middle) < s:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
