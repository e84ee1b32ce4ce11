"""The body below a synthetic head: shoulders, and the clothes laid over them.

One surface carries everything: body(angle, down) gives the skin of neck base, shoulders and chest;
a garment is a part of it moved outwards. Coordinates are the head's at rest (cm, x to the person's
left, y up, z forwards), angle 0 is the front, 90 degrees the person's left; down runs from -1 (up
the neck) over 0 (neck base) to 1 (below the picture).
"""

from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator

#           down  y side  front   back  half x  z front  z back  squareness
SECTIONS = (
    (-1.00, -7.0, -9.0, -5.0, 5.4, -0.8, -10.6, 2.0),
    (-0.40, -11.5, -14.2, -9.5, 5.7, -0.9, -11.3, 2.0),
    (0.00, -14.3, -17.2, -13.0, 6.8, -0.4, -12.2, 2.0),
    (0.10, -15.6, -18.4, -14.6, 8.8, 0.5, -13.0, 2.0),
    (0.22, -17.2, -20.2, -16.8, 12.2, 1.6, -14.0, 2.0),
    (0.34, -18.6, -22.4, -19.0, 15.6, 2.7, -14.8, 2.1),
    (0.46, -20.4, -25.0, -22.2, 18.6, 3.7, -15.4, 2.2),
    (0.58, -23.6, -28.2, -26.5, 20.6, 4.6, -15.8, 2.3),
    (0.70, -29.0, -33.0, -32.0, 21.9, 5.4, -16.0, 2.4),
    (0.84, -38.0, -41.0, -41.0, 22.8, 6.0, -16.0, 2.5),
    (1.00, -45.0, -45.0, -45.0, 23.2, 6.1, -16.0, 2.5),
)


@lru_cache(maxsize=1)
def section_curves():
    table = np.array(SECTIONS)
    return PchipInterpolator(table[:, 0], table[:, 1:])


def body(angle, down, swell=0.0):
    """Points on the body, broadcast over angle (radians) and down, moved out by swell cm."""
    angle, down, swell = np.broadcast_arrays(angle, down, swell)
    side, front, back, half, z_front, z_back, square = np.moveaxis(section_curves()(down), -1, 0)
    c, s = np.cos(angle), np.sin(angle)
    y = side * s**2 + np.where(c > 0, front, back) * c**2
    middle, deep = (z_front + z_back) / 2, (z_front - z_back) / 2
    x = (half + swell) * np.sign(s) * np.abs(s) ** (2 / square)
    z = middle + (deep + swell) * np.sign(c) * np.abs(c) ** (2 / square)
    z = z + np.where(c > 0, sculpture(x, y), 0)
    slope = np.clip((down + 0.1) / 0.25, 0, 1) * np.clip((0.75 - down) / 0.3, 0, 1)
    return np.stack([x, y + 0.9 * swell * slope, z], -1)


def sculpture(x, y):
    """Collar bones, the pit between them, the crease between arm and chest: cm forwards."""
    side = np.abs(x)
    bone = (
        0.55 * np.exp(-(((y + 18.2 - 0.10 * side) / 0.9) ** 2)) * np.exp(-(((side - 7) / 5) ** 2))
    )
    pit = -0.5 * np.exp(-((side / 1.3) ** 2) - ((y + 18.3) / 1.5) ** 2)
    below = np.clip((-25.5 - y) / 4, 0, 1)
    crease = -1.9 * below * np.exp(-(((side - 16.3 + 0.05 * (y + 26)) / 1.2) ** 2))
    arm = 1.0 * below * np.exp(-(((side - 19.3) / 2.4) ** 2))
    return bone + pit + crease + arm


def grid_triangles(rows, columns, closed=False):
    """Two triangles a cell of a (rows, columns) grid; closed: the last column meets the first."""
    last = columns if closed else columns - 1
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    first, second = np.stack([a, c, b], -1), np.stack([b, c, d], -1)
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)]).astype(np.int32)


def flat_uv(points):
    """Cloth coordinates: the front seen straight on, 64 cm wide, 64 cm high."""
    return np.stack([points[..., 0] / 64 + 0.5, (points[..., 1] + 64) / 64], -1)


def folds(points, seed, strength):
    """Soft creases that run from the armpits and the shoulders: cm outwards."""
    generator = np.random.default_rng([seed, 77])
    x, y = np.abs(points[..., 0]), points[..., 1]
    angle = np.arctan2(y + 27, x - 16) + 0.02 * points[..., 0]
    away = np.hypot(y + 27, x - 16)
    ripple = 0
    for k in (5, 8, 13):
        warp = generator.uniform(0.02, 0.1) * away + generator.uniform(0, 6)
        ripple = ripple + np.sin(k * angle + warp) / np.sqrt(k) * generator.uniform(0.5, 1)
    drape = np.sin(0.5 * points[..., 0] + 1.3 * np.sin(0.25 * y + generator.uniform(0, 6)))
    below = np.clip((-19 - y) / 8, 0, 1)
    return strength * below * (ripple * np.clip(away / 6, 0, 1) + 0.5 * drape)


def garment(neckline, swell, seed=0, creases=0.25, columns=144, rows=56, rim=0.35):
    """Cloth over the body from its neckline down: points (rows, columns, 3), triangles, uv.

    neckline(angle) -> down, where the cloth begins; its edge turns inwards over rim cm.
    """
    angle = np.linspace(-np.pi, np.pi, columns, endpoint=False)
    top = neckline(angle)
    along = np.concatenate([[0, 0, 0.004], np.linspace(0.012, 1, rows - 3) ** 1.3])[:, None]
    down = top + (1 - top) * along
    out = np.full((rows, columns), float(swell))
    out[0] -= rim
    out[1] -= 0.25 * rim
    points = body(angle, down, out)
    points[0] -= (0, 0.4 * rim, 0)
    wave = folds(points, seed, creases)
    outwards = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    points = points + wave[..., None] * outwards
    return points.reshape(-1, 3), grid_triangles(rows, columns, closed=True)


def crew(height=0.0, dip=0.05):
    """A round neck opening: a little lower in front."""
    return lambda angle: height + dip * np.exp(-((angle / 0.9) ** 2))


def vee(height=0.02, depth=0.5, half_angle=0.75):
    """An opening that comes to a point at the front."""
    return lambda angle: height + depth * np.clip(1 - np.abs(angle) / half_angle, 0, 1)


def tube(curve, wide, thick, closed=False, sides=10):
    """A tube of elliptic section along a curve (M, 3); wide lies in the curve's own surface.

    Returns points (M * sides, 3) and triangles. wide, thick: cm, numbers or (M,).
    """
    curve = np.asarray(curve, float)
    ahead = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    centre = curve.mean(0) - (0, 3, 0)
    outwards = curve - centre
    outwards -= (outwards * ahead).sum(1, keepdims=True) * ahead
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True) + 1e-9
    across = np.cross(ahead, outwards)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    wide, thick = np.broadcast_to(wide, len(curve)), np.broadcast_to(thick, len(curve))
    ring = (
        curve[:, None]
        + (wide[:, None] * np.cos(turn))[..., None] * across[:, None]
        + (thick[:, None] * np.sin(turn))[..., None] * outwards[:, None]
    )  # (M, sides, 3)
    if closed:
        ring = np.concatenate([ring, ring[:1]])
    return ring.reshape(-1, 3), grid_triangles(len(ring), sides, closed=True)


@lru_cache(maxsize=1)
def front():
    """The body's front as a table: depth z over x in [-22, 22] and y in [-45, -6]."""
    from scipy.interpolate import griddata

    angle = np.radians(np.linspace(-85, 85, 161))
    points = body(angle, np.linspace(-1, 1, 220)[:, None]).reshape(-1, 3)
    x, y = np.linspace(-22, 22, 133), np.linspace(-45, -6, 118)
    z = griddata(points[:, :2], points[:, 2], (x[None], y[:, None]), "linear")
    return x, y, np.where(np.isnan(z), np.nanmin(z), z)


def on_front(flat, swell):
    """Lay points given as (x, y) on the body's front, swell cm before it: (..., 3)."""
    from scipy.ndimage import map_coordinates

    x, y, z = front()
    flat = np.asarray(flat, float)
    place = [(flat[..., 1] - y[0]) / (y[1] - y[0]), (flat[..., 0] - x[0]) / (x[1] - x[0])]
    depth = map_coordinates(z, place, order=1, mode="nearest")
    return np.concatenate([flat, (depth + swell)[..., None]], -1)


def patch(left, right, swell, across=8, along=24, edge=0.25):
    """A flat piece of cloth between two polylines in (x, y): tie, lapel, placket.

    Its edges bend back by edge cm. Returns points and triangles.
    """

    def resample(line):
        line = np.asarray(line, float)
        length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
        even = np.linspace(0, length[-1], along)
        return np.stack([np.interp(even, length, line[:, i]) for i in range(2)], -1)

    a, b = resample(left), resample(right)
    t = np.concatenate([[0], np.linspace(0, 1, across - 2), [1]])
    flat = a[:, None] + (b - a)[:, None] * t[:, None]  # (along, across, 2)
    rise = np.full((along, across), float(swell))
    rise += 0.12 * np.sin(np.pi * t)
    rise[:, [0, -1]] -= edge
    points = on_front(flat, rise)
    return points.reshape(-1, 3), grid_triangles(along, across)
