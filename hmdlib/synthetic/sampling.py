"""What the renderer knows of the scene, and what lies at a sample: place, normal, texture.

The kernels below never allocate: they are compiled without reference counts (_nrt=False), which
numba would otherwise keep up at every look into a tuple of arrays, at half the speed.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from .visibility import edge

CHANNELS = 6
"""Of a texture: red, green, blue, roughness, slope of the bump along u, and along v."""


class Surface(NamedTuple):
    """All meshes in one. material (M, 5): -, specular, subsurface, emission, opacity."""

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    occlusion: np.ndarray
    screen: np.ndarray
    triangles: np.ndarray
    gradients: np.ndarray
    mesh_of: np.ndarray
    material: np.ndarray
    label: np.ndarray


class Atlas(NamedTuple):
    """All texture pyramids, flat; levels (M, L, 3): offset, height, width (0 = no such level)."""

    texels: np.ndarray
    levels: np.ndarray


class Hair(NamedTuple):
    """All strands in one; tables per strand set are spread over its strands."""

    points: np.ndarray
    tangents: np.ndarray
    screen: np.ndarray
    colours: np.ndarray
    occlusion: np.ndarray
    gloss: np.ndarray
    label: np.ndarray


class Lights(NamedTuple):
    """direction (L, 3), colour (L, 3), size (L,), ambient (2, 3): sky, ground; and shadow maps.

    frames (L, 3, 4): from the camera's cm to texel x, texel y, nearness; depth (L, R, R) nearness
    of meshes, front and cover (L, R, R) of hair; casts (L,) whether there is a map; texel cm.
    """

    direction: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    ambient: np.ndarray
    frames: np.ndarray
    depth: np.ndarray
    front: np.ndarray
    cover: np.ndarray
    casts: np.ndarray
    texel: float


@njit(cache=True, fastmath=True, _nrt=False)
def clamp(x, low, high):
    return min(max(x, low), high)


@njit(cache=True, fastmath=True, _nrt=False)
def _sample_level(atlas, m, level, u, v, weight, out):
    """Add weight times the bilinear sample of one level to out (CHANNELS,)."""
    levels = atlas.levels
    offset, height, width = levels[m, level, 0], levels[m, level, 1], levels[m, level, 2]
    x = clamp(u * width - 0.5, 0.0, width - 1.0)
    y = clamp(v * height - 0.5, 0.0, height - 1.0)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    w00, w10 = weight * (1 - fx) * (1 - fy), weight * fx * (1 - fy)
    w01, w11 = weight * (1 - fx) * fy, weight * fx * fy
    p00, p10 = offset + (y0 * width + x0) * CHANNELS, offset + (y0 * width + x1) * CHANNELS
    p01, p11 = offset + (y1 * width + x0) * CHANNELS, offset + (y1 * width + x1) * CHANNELS
    t = atlas.texels
    for c in range(CHANNELS):
        out[c] += w00 * t[p00 + c] + w10 * t[p10 + c] + w01 * t[p01 + c] + w11 * t[p11 + c]


@njit(cache=True, fastmath=True, _nrt=False)
def sample(atlas, m, u, v, footprint, out):
    """Trilinear: footprint is the area of a sample in units of uv, which picks the level."""
    for c in range(CHANNELS):
        out[c] = 0.0
    last = 0
    while last + 1 < atlas.levels.shape[1] and atlas.levels[m, last + 1, 1] > 0:
        last += 1
    texels = footprint * atlas.levels[m, 0, 1] * atlas.levels[m, 0, 2]
    level = clamp(0.5 * math.log2(max(texels, 1e-9)), 0.0, float(last))
    fine = min(int(level), last)
    blend = level - fine
    _sample_level(atlas, m, fine, u, v, 1.0 - blend, out)
    if blend > 0.0 and fine < last:
        _sample_level(atlas, m, fine + 1, u, v, blend, out)


@njit(cache=True, fastmath=True, _nrt=False)
def _barycentric(surface, t, x, y):
    """Perspective-correct weights of the corners of triangle t at sample (x, y)."""
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    s = surface.screen
    ax, ay, bx, by, cx, cy = s[i, 0], s[i, 1], s[j, 0], s[j, 1], s[k, 0], s[k, 1]
    area = edge(ax, ay, bx, by, cx, cy)
    wb = clamp(edge(cx, cy, ax, ay, x, y) / area, 0.0, 1.0)
    wc = clamp(edge(ax, ay, bx, by, x, y) / area, 0.0, 1.0 - wb)
    pa, pb, pc = (1.0 - wb - wc) * s[i, 2], wb * s[j, 2], wc * s[k, 2]
    total = pa + pb + pc
    return pa / total, pb / total, pc / total, abs(area)


@njit(cache=True, fastmath=True)
def gradients(vertices, uv, triangles):
    """Per triangle the gradients of u and v along the surface, 1/cm: (T, 2, 3)."""
    out = np.zeros((len(triangles), 2, 3), np.float32)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        a = vertices
        px, py, pz = a[j, 0] - a[i, 0], a[j, 1] - a[i, 1], a[j, 2] - a[i, 2]
        qx, qy, qz = a[k, 0] - a[i, 0], a[k, 1] - a[i, 1], a[k, 2] - a[i, 2]
        mx, my, mz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        scale = 1.0 / (mx * mx + my * my + mz * mz + 1e-20)
        dual_p = (qy * mz - qz * my, qz * mx - qx * mz, qx * my - qy * mx)
        dual_q = (my * pz - mz * py, mz * px - mx * pz, mx * py - my * px)
        for axis in range(2):
            along_p, along_q = uv[j, axis] - uv[i, axis], uv[k, axis] - uv[i, axis]
            for c in range(3):
                out[t, axis, c] = scale * (along_p * dual_p[c] + along_q * dual_q[c])
    return out


@njit(cache=True, fastmath=True, _nrt=False)
def unit(x, y, z):
    length = 1.0 / math.sqrt(x * x + y * y + z * z + 1e-20)
    return x * length, y * length, z * length


@njit(cache=True, fastmath=True, _nrt=False)
def bumped(surface, t, nx, ny, nz, slope_u, slope_v):
    """Tilt a unit normal by the bump's slopes along u and v (cm per unit of uv)."""
    g = surface.gradients
    gx = slope_u * g[t, 0, 0] + slope_v * g[t, 1, 0]
    gy = slope_u * g[t, 0, 1] + slope_v * g[t, 1, 1]
    gz = slope_u * g[t, 0, 2] + slope_v * g[t, 1, 2]
    limit = min(1.0, 1.0 / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9))
    return unit(nx - gx * limit, ny - gy * limit, nz - gz * limit)


@njit(cache=True, fastmath=True, _nrt=False)
def interpolate(surface, t, x, y):
    """Position, unit normal, uv, occlusion and footprint in uv of triangle t at a sample."""
    wa, wb, wc, area = _barycentric(surface, t, x, y)
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    p, n, uv = surface.vertices, surface.normals, surface.uv
    px = wa * p[i, 0] + wb * p[j, 0] + wc * p[k, 0]
    py = wa * p[i, 1] + wb * p[j, 1] + wc * p[k, 1]
    pz = wa * p[i, 2] + wb * p[j, 2] + wc * p[k, 2]
    nx = wa * n[i, 0] + wb * n[j, 0] + wc * n[k, 0]
    ny = wa * n[i, 1] + wb * n[j, 1] + wc * n[k, 1]
    nz = wa * n[i, 2] + wb * n[j, 2] + wc * n[k, 2]
    u = wa * uv[i, 0] + wb * uv[j, 0] + wc * uv[k, 0]
    v = wa * uv[i, 1] + wb * uv[j, 1] + wc * uv[k, 1]
    o = surface.occlusion
    open_sky = wa * o[i] + wb * o[j] + wc * o[k]
    patch = edge(uv[i, 0], uv[i, 1], uv[j, 0], uv[j, 1], uv[k, 0], uv[k, 1])
    return px, py, pz, *unit(nx, ny, nz), u, v, open_sky, abs(patch) / max(area, 1e-6)
