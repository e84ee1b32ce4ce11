"""The light that leaves a point: skin, cloth and wet surfaces, hair, soft shadows, film.

Skin: a wrapped diffuse term whose wrap is widest for red, which travels furthest under the skin
(after Green, GPU Gems 2004, ch. 16), and two GGX lobes. Hair: Kajiya and Kay's (1989) diffuse
term with the two shifted highlights of Marschner et al. (2003) as Scheuermann (2004) draws them.
"""

import math

from numba import njit

from .sampling import bumped, clamp, interpolate, sample, unit
from .shadows import shadow


@njit(cache=True, fastmath=True, _nrt=False)
def _ggx(nh, nl, nv, a):
    """GGX distribution times visibility (height-correlated Smith, Hammon's fit); a: alpha."""
    d = nh * nh * (a * a - 1.0) + 1.0
    smith = 2.0 * nl * nv * (1.0 - a) + a * (nl + nv) + 1e-5
    return a * a / (math.pi * d * d) * 0.5 / smith


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
    shade = shadow(lights, i, px, py, pz, 3.0 * skin)
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
    hx, hy, hz = unit(lx + view[0], ly + view[1], lz + view[2])
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
    px, py, pz, nx, ny, nz, u, v, open_sky, footprint = interpolate(surface, t, x, y)
    m = surface.mesh_of[t]
    matter = surface.material
    specular, skin = matter[m, 1], matter[m, 2]
    sample(atlas, m, u, v, footprint, texel)
    view = unit(-px, -py, -pz)
    if nx * view[0] + ny * view[1] + nz * view[2] < -0.15:  # the back of a two-sided surface
        nx, ny, nz = -nx, -ny, -nz
    n = (nx, ny, nz)
    b = n
    if texel[4] != 0.0 or texel[5] != 0.0:
        b = bumped(surface, t, nx, ny, nz, texel[4], texel[5])
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
    tx, ty, tz = unit(tx, ty, tz)
    open_sky = hair.occlusion[s, k] + f * (hair.occlusion[s, k + 1] - hair.occlusion[s, k])
    view = unit(-px, -py, -pz)
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
        through = shadow(lights, i, px, py, pz, 2.0) * clamp(open_sky * 1.5, 0.0, 1.0)
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
