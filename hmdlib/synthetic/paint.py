"""Brushes for textures that live on a surface: noise, lines and spots in cm, hairs in texels."""

import math

import numpy as np
from numba import njit, prange

from .visibility import fill_triangles


def texel_places(vertices, uv, triangles, size):
    """The point of the surface under each texel: (size, size, 3) float32 cm, NaN off the map."""
    screen = np.concatenate([uv * size, np.ones((len(uv), 1))], 1).astype(np.float32)
    near = np.zeros((size, size), np.float32)
    ids = np.full((size, size), -1, np.int32)
    fill_triangles(near, ids, screen, triangles, np.ones(len(triangles), bool))
    return _places(ids, screen, np.asarray(vertices, np.float32), triangles)


@njit(cache=True)
def _places(ids, screen, vertices, triangles):
    out = np.full((*ids.shape, 3), np.nan, np.float32)
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            if ids[y, x] < 0:
                continue
            i, j, k = triangles[ids[y, x]]
            a, b, c = screen[i], screen[j], screen[k]
            area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
            px, py = x + 0.5, y + 0.5
            wb = ((a[0] - c[0]) * (py - c[1]) - (a[1] - c[1]) * (px - c[0])) / area
            wc = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / area
            for d in range(3):
                out[y, x, d] = (
                    (1 - wb - wc) * vertices[i, d] + wb * vertices[j, d] + wc * vertices[k, d]
                )
    return out


@njit(cache=True, inline="always")
def _lattice(i, j, k, seed):
    n = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791) ^ (seed * 2654435761)
    n = (n ^ (n >> 13)) * 1274126177 & 0xFFFFFFFF
    n = (n ^ (n >> 15)) * 2246822519 & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFFFF) / 8388608.0 - 1.0


@njit(cache=True, parallel=True, fastmath=True)
def noise(places, cell, octaves, seed):
    """Smooth fractal noise about 0 with a deviation near 0.4; cell: cm of the coarsest waves."""
    height, width = places.shape[:2]
    out = np.zeros((height, width), np.float32)
    for y in prange(height):
        for x in range(width):
            if not places[y, x, 0] == places[y, x, 0]:
                continue
            scale, strength, total = 1.0 / cell, 1.0, 0.0
            for o in range(octaves):
                p, q, r = places[y, x, 0] * scale, places[y, x, 1] * scale, places[y, x, 2] * scale
                i, j, k = int(math.floor(p)), int(math.floor(q)), int(math.floor(r))
                fx, fy, fz = p - i, q - j, r - k
                fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
                fz = fz * fz * (3 - 2 * fz)
                value = 0.0
                for corner in range(8):
                    a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
                    weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                    value += weight * _lattice(i + a, j + b, k + c, seed + o)
                total += strength * value
                scale *= 2.03
                strength *= 0.55
            out[y, x] = total
    return out


@njit(cache=True, parallel=True, fastmath=True)
def line_distance(places, line, limit):
    """Distance from each texel to a polyline (K, 3), and how far along it in [0, 1]; cm."""
    height, width = places.shape[:2]
    out = np.full((height, width, 2), limit, np.float32)
    low = np.array([line[:, d].min() - limit for d in range(3)])
    high = np.array([line[:, d].max() + limit for d in range(3)])
    for y in prange(height):
        for x in range(width):
            p = places[y, x]
            if not (
                low[0] < p[0] < high[0] and low[1] < p[1] < high[1] and low[2] < p[2] < high[2]
            ):
                continue
            for k in range(len(line) - 1):
                dx, dy, dz = line[k + 1] - line[k]
                ux, uy, uz = p[0] - line[k, 0], p[1] - line[k, 1], p[2] - line[k, 2]
                t = (ux * dx + uy * dy + uz * dz) / (dx * dx + dy * dy + dz * dz + 1e-9)
                t = min(max(t, 0.0), 1.0)
                d = math.sqrt((ux - t * dx) ** 2 + (uy - t * dy) ** 2 + (uz - t * dz) ** 2)
                if d < out[y, x, 0]:
                    out[y, x, 0] = d
                    out[y, x, 1] = (k + t) / (len(line) - 1)
    return out


@njit(cache=True, fastmath=True)
def draw_hairs(cover, roots, steps, widths):
    """Draw tapering polylines into cover (h, w): roots (N, 2) texels, steps (N, K, 2), widths (N,).

    Each hair adds its share of a texel; 1 - exp(-cover) is then what they hide together.
    """
    height, width = cover.shape
    for n in range(len(roots)):
        x, y = roots[n]
        count = steps.shape[1]
        for k in range(count):
            dx, dy = steps[n, k]
            thick = widths[n] * (1.0 - 0.75 * k / count)
            pieces = int(max(abs(dx), abs(dy)) * 1.5) + 1
            share = thick * math.sqrt(dx * dx + dy * dy) / pieces
            for i in range(pieces):
                px, py = x + dx * (i + 0.5) / pieces - 0.5, y + dy * (i + 0.5) / pieces - 0.5
                ix, iy = int(math.floor(px)), int(math.floor(py))
                if ix < 0 or iy < 0 or ix + 1 >= width or iy + 1 >= height:
                    continue
                fx, fy = px - ix, py - iy
                cover[iy, ix] += share * (1 - fx) * (1 - fy)
                cover[iy, ix + 1] += share * fx * (1 - fy)
                cover[iy + 1, ix] += share * (1 - fx) * fy
                cover[iy + 1, ix + 1] += share * fx * fy
            x += dx
            y += dy


def spot(places, centre, radius):
    """A soft round spot: Gaussian of the distance to a point, radius in cm (a number or (3,))."""
    return np.exp(-((((places - centre) / radius) ** 2).sum(-1)))
