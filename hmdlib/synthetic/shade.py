"""The light that leaves a point: skin, cloth and wet surfaces, hair, soft shadows, film.

Skin: a wrapped diffuse term whose wrap is widest for red, which travels furthest under the skin
(after Green, GPU Gems 2004, ch. 16), and two GGX lobes. Hair: Kajiya and Kay's (1989) diffuse
term with the two shifted highlights of Marschner et al. (2003) as Scheuermann (2004) draws them.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .visibility import edge

CHANNELS = 6
"""Of a texture: red, green, blue, roughness, slope of the bump along u, and along v."""


class Surface(NamedTuple):
    """All meshes in one. material: (M, 5) roughness scale, specular, subsurface, emission, opacity."""

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
def _sample(atlas, m, u, v, footprint, out):
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


DISC = np.array(
    [
        [math.sqrt((i + 0.5) / 16) * math.cos(2.4 * i), math.sqrt((i + 0.5) / 16) * math.sin(2.4 * i)]
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
def _shadow(lights, i, px, py, pz, soft):
    """Share of light i that reaches a point."""
    if not lights.casts[i]:
        return 1.0
    f = lights.frames
    x = f[i, 0, 0] * px + f[i, 0, 1] * py + f[i, 0, 2] * pz + f[i, 0, 3]
    y = f[i, 1, 0] * px + f[i, 1, 1] * py + f[i, 1, 2] * pz + f[i, 1, 3]
    z = f[i, 2, 0] * px + f[i, 2, 1] * py + f[i, 2, 2] * pz + f[i, 2, 3]
    return _mesh_shadow(lights, i, x, y, z, soft) * _hair_shadow(lights, i, x, y, z)


@njit(cache=True, fastmath=True, _nrt=False)
def _ggx(nh, nl, nv, a):
    """GGX distribution times visibility (height-correlated Smith, Hammon's fit); a: alpha."""
    d = nh * nh * (a * a - 1.0) + 1.0
    smith = 2.0 * nl * nv * (1.0 - a) + a * (nl + nv) + 1e-5
    return a * a / (math.pi * d * d) * 0.5 / smith


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
def _unit(x, y, z):
    length = 1.0 / math.sqrt(x * x + y * y + z * z + 1e-20)
    return x * length, y * length, z * length


@njit(cache=True, fastmath=True, _nrt=False)
def _bumped(surface, t, nx, ny, nz, slope_u, slope_v):
    """Tilt a unit normal by the bump's slopes along u and v (cm per unit of uv)."""
    g = surface.gradients
    gx = slope_u * g[t, 0, 0] + slope_v * g[t, 1, 0]
    gy = slope_u * g[t, 0, 1] + slope_v * g[t, 1, 1]
    gz = slope_u * g[t, 0, 2] + slope_v * g[t, 1, 2]
    limit = min(1.0, 1.0 / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9))
    return _unit(nx - gx * limit, ny - gy * limit, nz - gz * limit)


@njit(cache=True, fastmath=True, _nrt=False)
def _interpolate(surface, t, x, y):
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
    return px, py, pz, *_unit(nx, ny, nz), u, v, open_sky, abs(patch) / max(area, 1e-6)


@njit(cache=True, fastmath=True, _nrt=False)
def _ambient(lights, y, c):
    up = clamp(0.5 + 0.5 * y, 0.0, 1.0)
    return lights.ambient[1, c] + up * (lights.ambient[0, c] - lights.ambient[1, c])


@njit(cache=True, fastmath=True, _nrt=False)
def _add_light(lights, i, place, n, b, view, rough2, specular, skin, open_sky, out):
    """Add what light i gives to out (6,): diffuse red, green, blue, then specular.

    n: the smooth normal, b: the bumped one; rough2: roughness squared.
    """
    direction, colour = lights.direction, lights.colour
    lx, ly, lz = direction[i, 0], direction[i, 1], direction[i, 2]
    smooth = n[0] * lx + n[1] * ly + n[2] * lz
    rough = b[0] * lx + b[1] * ly + b[2] * lz
    if max(smooth, rough) < -0.4 * skin:
        return
    lift = 0.10 + 0.14 * (1.0 - clamp(smooth, 0.0, 1.0))  # off the surface, against acne
    px, py, pz = place[0] + lift * n[0], place[1] + lift * n[1], place[2] + lift * n[2]
    shade = _shadow(lights, i, px, py, pz, 3.0 * skin)
    cave = clamp(open_sky * 2.0, 0.0, 1.0)  # deep folds see little of any one light
    red = green = shade
    if skin > 0.0 and 0.0 < shade < 1.0:
        root = math.sqrt(shade)
        red = shade + 0.8 * skin * (root - shade)
        green = shade + 0.2 * skin * (root - shade)
    bend = skin * (smooth - rough)
    out[0] += _wrapped(rough + 0.65 * bend, 0.42 * skin) * red * colour[i, 0] * cave
    out[1] += _wrapped(rough + 0.35 * bend, 0.16 * skin) * green * colour[i, 1] * cave
    out[2] += _wrapped(rough + 0.25 * bend, 0.09 * skin) * shade * colour[i, 2] * cave
    if rough <= 0.0 or shade <= 0.0:
        return
    hx, hy, hz = _unit(lx + view[0], ly + view[1], lz + view[2])
    nh = clamp(b[0] * hx + b[1] * hy + b[2] * hz, 0.0, 1.0)
    nv = clamp(b[0] * view[0] + b[1] * view[1] + b[2] * view[2], 0.02, 1.0)
    hv = 1.0 - clamp(hx * view[0] + hy * view[1] + hz * view[2], 0.0, 1.0)
    fresnel = specular + (1.0 - specular) * hv * hv * hv * hv * hv
    wide = 0.13 * lights.size[i]
    lobes = (1.0 - 0.3 * skin) * _ggx(nh, rough, nv, clamp(rough2 + wide, 0.001, 1.0))
    if skin > 0.0:
        lobes += 0.3 * skin * _ggx(nh, rough, nv, clamp(0.4 * rough2 + wide, 0.001, 1.0))
    shine = lobes * fresnel * rough * math.pi * shade * cave
    for c in range(3):
        out[3 + c] += shine * colour[i, c]


@njit(cache=True, fastmath=True, _nrt=False)
def _wrapped(cosine, reach):
    """A cosine that reaches round the terminator, of equal energy."""
    return max(0.0, (cosine + reach) / ((1.0 + reach) * (1.0 + reach)))


@njit(cache=True, fastmath=True, _nrt=False)
def shade_mesh(surface, atlas, lights, t, x, y, texel, light, out):
    """Light that leaves triangle t at sample (x, y): out (6,) diffuse and specular, linear.

    texel (CHANNELS,) and light (6,) are scratch space. Returns the opacity.
    """
    px, py, pz, nx, ny, nz, u, v, open_sky, footprint = _interpolate(surface, t, x, y)
    m = surface.mesh_of[t]
    matter = surface.material
    specular, skin = matter[m, 1], matter[m, 2]
    _sample(atlas, m, u, v, footprint, texel)
    view = _unit(-px, -py, -pz)
    if nx * view[0] + ny * view[1] + nz * view[2] < -0.15:  # the back of a two-sided surface
        nx, ny, nz = -nx, -ny, -nz
    n = (nx, ny, nz)
    b = n
    if texel[4] != 0.0 or texel[5] != 0.0:
        b = _bumped(surface, t, nx, ny, nz, texel[4], texel[5])
    for c in range(6):
        light[c] = 0.0
    rough2 = texel[3] * texel[3]
    for i in range(lights.direction.shape[0]):
        _add_light(lights, i, (px, py, pz), n, b, view, rough2, specular, skin, open_sky, light)
    nv = clamp(b[0] * view[0] + b[1] * view[1] + b[2] * view[2], 0.0, 1.0)
    mirror = 2.0 * nv * b[1] - view[1]
    gloss = (1.0 - texel[3]) ** 2
    fresnel = specular + max(0.0, gloss - specular) * (1.0 - nv) ** 5
    for c in range(3):
        albedo = texel[c]  # light goes to and fro in a bright fold, which is less dark
        bounce = open_sky + 0.55 * albedo * (math.sqrt(open_sky) - open_sky)
        soft = light[c] + bounce * _ambient(lights, 0.5 * (b[1] + n[1]), c)
        out[c] = albedo * (soft + matter[m, 3])
        out[3 + c] = light[3 + c] + fresnel * open_sky * _ambient(lights, mirror, c)
    return matter[m, 4]


@njit(cache=True, fastmath=True, _nrt=False)
def _along(screen, s, k, x, y):
    """How far along segment k of strand s the sample (x, y) lies, in [0, 1]."""
    dx, dy = screen[s, k + 1, 0] - screen[s, k, 0], screen[s, k + 1, 1] - screen[s, k, 1]
    f = (x - screen[s, k, 0]) * dx + (y - screen[s, k, 1]) * dy
    return clamp(f / (dx * dx + dy * dy + 1e-9), 0.0, 1.0)


@njit(cache=True, fastmath=True, _nrt=False)
def _between(points, s, k, f):
    x = points[s, k, 0] + f * (points[s, k + 1, 0] - points[s, k, 0])
    y = points[s, k, 1] + f * (points[s, k + 1, 1] - points[s, k, 1])
    return x, y, points[s, k, 2] + f * (points[s, k + 1, 2] - points[s, k, 2])


@njit(cache=True, fastmath=True, _nrt=False)
def shade_hair(hair, lights, segment, x, y, out):
    """Light that leaves a hair at sample (x, y): out (6,), linear, all in the first three."""
    last = hair.points.shape[1] - 1
    s, k = segment // last, segment % last
    f = _along(hair.screen, s, k, x, y)
    px, py, pz = _between(hair.points, s, k, f)
    tx, ty, tz = _between(hair.tangents, s, k, f)
    tx, ty, tz = _unit(tx, ty, tz)
    open_sky = hair.occlusion[s, k] + f * (hair.occlusion[s, k + 1] - hair.occlusion[s, k])
    view = _unit(-px, -py, -pz)
    for c in range(3):
        out[3 + c] = 0.0
        out[c] = 0.75 * hair.colours[s, c] * open_sky * _ambient(lights, 0.3, c)
    tv = tx * view[0] + ty * view[1] + tz * view[2]
    sin_v = math.sqrt(max(0.0, 1.0 - tv * tv))
    d = lights.direction
    for i in range(d.shape[0]):
        lx, ly, lz = d[i, 0], d[i, 1], d[i, 2]
        tl = tx * lx + ty * ly + tz * lz
        sin_l = math.sqrt(max(0.0, 1.0 - tl * tl))
        through = _shadow(lights, i, px, py, pz, 2.0) * clamp(open_sky * 1.5, 0.0, 1.0)
        first = _highlight(tl, tv, sin_l, sin_v, 0.12, 90.0) * 0.045 * hair.gloss[s]
        second = _highlight(tl, tv, sin_l, sin_v, -0.16, 22.0) * 0.55 * hair.gloss[s]
        behind = -(lx * view[0] + ly * view[1] + lz * view[2])
        glow = 1.0 + 0.8 * clamp(behind, 0.0, 1.0)  # light that comes through the hair
        for c in range(3):
            own = hair.colours[s, c]
            body = own * (0.55 * sin_l * glow + second)
            out[c] += through * lights.colour[i, c] * (body + first)


@njit(cache=True, fastmath=True, _nrt=False)
def _highlight(tl, tv, sin_l, sin_v, shift, power):
    """A Kajiya-Kay highlight whose cone is tilted by shift towards the root or the tip."""
    cosine = sin_l * sin_v - tl * tv
    tilt = shift * (tl + tv)
    return clamp(cosine - abs(tilt) - 0.5 * (tl + tv) ** 2 * abs(shift), 0.0, 1.0) ** power


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
