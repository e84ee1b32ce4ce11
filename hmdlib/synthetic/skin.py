"""The skin of a face: colour from melanin and blood, lips, brows, stubble, freckles, wrinkles.

Everything is painted once per identity into one square texture for the whole head. Features sit
at places of the resting face in cm, so they do not depend on the texture's size.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon

from .paint import draw_hairs, line_distance, noise, spot, texel_places
from .raster import SKIN, Material
from .shape import resting_face
from .topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, cage
from .warp import mirror

#        linear colour of skin without much blood, from the palest to the darkest
TONES = np.array(
    [
        [0.61, 0.425, 0.33],
        [0.545, 0.345, 0.24],
        [0.42, 0.23, 0.140],
        [0.225, 0.104, 0.056],
        [0.082, 0.041, 0.027],
    ]
)
BLOOD = np.array([0.06, 0.62, 0.50])
"""How strongly one unit of blood absorbs red, green and blue."""


@dataclass
class Complexion:
    """What the skin looks like. melanin in [0, 1]; the rest 0 = none .. 1 = a lot.

    hair: linear colour of brows and stubble; brow_*: relative to usual = 1; seed: of the detail.
    """

    seed: int
    melanin: float
    blood: float
    freckles: float
    age: float
    male: float
    stubble: float
    hair: np.ndarray
    brow_density: float = 1.0
    brow_thickness: float = 1.0
    brow_arch: float = 0.0
    lip_colour: float = 0.5
    makeup: float = 0.0


def tone(melanin):
    """Linear colour (..., 3) of skin with this melanin, before blood."""
    place = np.asarray(melanin) * (len(TONES) - 1)
    logs = np.log(TONES)
    return np.exp(
        np.stack([np.interp(place, np.arange(len(TONES)), logs[:, c]) for c in range(3)], -1)
    )


@lru_cache(maxsize=4)
def places(size):
    """Where each texel lies on the resting head (size, size, 3) cm; off the map: far away."""
    net = cage()
    points = net.vertices.copy()
    points[:468] = resting_face()
    surface = np.asarray(net.surface @ points.astype(np.float32))
    uv = np.asarray(net.surface @ net.uv.astype(np.float32))
    return np.nan_to_num(texel_places(surface, uv, net.faces, size), nan=99.0)


def _line(rows, lift=0.0):
    face = resting_face()
    return face[list(rows)] + [0, lift, 0]


def _mirrored(rows):
    return mirror()[list(rows)]


@lru_cache(maxsize=4)
def lip_mask(size):
    """1 on the lips, soft at their border (size, size)."""
    mask = np.zeros((size, size), np.float32)
    uv = cage().uv * size
    outer = uv[list(LIPS_OUTER)]
    inner = uv[list(LIPS_INNER)]
    outer = outer + 0.10 * (inner - outer)
    rows, columns = polygon(_smooth(outer[:, 1]), _smooth(outer[:, 0]), mask.shape)
    mask[rows, columns] = 1
    return gaussian_filter(mask, size / 512 * 1.6)


def _smooth(ring, times=12):
    """A closed ring resampled with round corners."""
    place = np.arange(len(ring) * times) / times
    fine = np.interp(place, np.arange(len(ring) + 1), np.append(ring, ring[0]))
    return np.convolve(np.concatenate([fine[-times:], fine, fine[:times]]), np.ones(times) / times)[
        times + times // 2 : times + times // 2 + len(fine)
    ]


def paint(look, size=512):
    """The skin's Material from a Complexion; size: texels a side, a multiple of 16."""
    where = places(size)
    generator = np.random.default_rng([look.seed, 11])
    lips = lip_mask(size)
    melanin, blood = _pigments(look, where, generator)
    albedo = tone(np.clip(melanin, 0, 1)) * np.exp(-np.clip(blood, 0, 3)[..., None] * BLOOD)
    albedo = _lips(look, albedo, lips, where)
    rough = _roughness(look, where, lips)
    bump = _bump(look, where, lips)
    shadow = _stubble(look, where, lips, generator)
    albedo = albedo * (
        1 - shadow[..., None] * (1 - 0.35 * np.array([0.85, 0.95, 1.1]) * _dark(look))
    )
    cover = brow_cover(look, size)
    strands = np.asarray(look.hair) * 0.5 + 0.02 * albedo
    albedo = albedo * (1 - cover[..., None]) + strands * cover[..., None]
    albedo = _shade_pits(albedo, where) * (1 - _lash_line(look, where))[..., None]
    rough = rough * (1 - 0.3 * cover) + 0.65 * 0.3 * cover + 0.1 * shadow
    bump = bump * (1 - 0.7 * cover)
    return Material(
        np.clip(albedo, 0.003, 0.9).astype(np.float32),
        np.clip(rough, 0.2, 0.9).astype(np.float32),
        specular=0.028,
        subsurface=1.0 - 0.45 * look.melanin,
        bump=bump.astype(np.float32),
        label=SKIN,
    )


def _dark(look):
    """Stubble of fair hair darkens less."""
    return np.clip(np.asarray(look.hair).mean() * 2.5, 0.2, 1.0)


def _both(where, face, row, radius):
    """Spots on both sides of the face."""
    return spot(where, face[row], radius) + spot(where, face[int(mirror()[row])], radius)


def _pigments(look, where, generator):
    """Maps of melanin and of blood."""
    face, seed = resting_face(), int(generator.integers(1 << 20))
    melanin = (
        look.melanin + 0.035 * noise(where, 3.0, 3, seed) + 0.02 * noise(where, 0.5, 3, seed + 9)
    )
    blood = (
        look.blood
        + 0.09 * noise(where, 2.2, 4, seed + 20)
        + 0.16 * noise(where, 0.35, 4, seed + 30)
    )
    blood = blood + 0.20 * _both(where, face, 280, 2.1) + 0.24 * spot(where, face[4], 1.25)
    blood = blood + 0.10 * _both(where, face, 425, 2.2) + 0.22 * spot(where, face[199], 1.6)
    blood = blood + 0.30 * _both(where, face, 327, 0.7) - 0.12 * spot(where, face[151], 3.0)
    under = _both(where, face, 253, np.array([1.3, 0.42, 1.5]))
    blood = blood + (0.06 + 0.005 * look.age) * under
    melanin = melanin + (0.015 + 0.045 * look.melanin) * under
    lid = _both(where, face, 257, np.array([1.4, 0.5, 1.5]))
    blood = blood + 0.22 * lid
    melanin = melanin + (0.02 + 0.10 * look.makeup) * lid
    freckle = np.clip(noise(where, 0.28, 2, seed + 40) - 0.42, 0, 1) * 2.2
    zone = np.clip(_both(where, face, 280, 2.6) + spot(where, face[5], 2.0) + 0.25, 0, 1)
    melanin = melanin + look.freckles * 0.30 * freckle * zone * (where[..., 1] < 20)
    for _ in range(generator.poisson(5)):  # moles
        row = generator.integers(468)
        at = face[row] + generator.normal(0, 0.4, 3)
        melanin = melanin + generator.uniform(0.15, 0.45) * spot(
            where, at, generator.uniform(0.06, 0.12)
        )
    return melanin, blood


def _lips(look, albedo, lips, where):
    """Lips: thin skin, so more blood shows; a darker line where they meet."""
    strength = lips[..., None] * (0.82 + 0.15 * look.lip_colour)
    streaks = 1 + 0.10 * noise(where * np.array([1, 0.25, 1], np.float32), 0.12, 2, look.seed % 977)
    red = tone(np.minimum(look.melanin * 0.92 + 0.06, 1)) * np.array([0.80, 0.47, 0.47])
    red = red * np.exp(-look.lip_colour * np.array([0.05, 0.42, 0.30]))
    return albedo * (1 - strength) + strength * red * streaks[..., None]


def _roughness(look, where, lips):
    """Oilier forehead, nose and chin; matt cheeks; wet lips."""
    face = resting_face()
    oily = spot(where, face[151], 2.6) + spot(where, face[4], 1.3) + spot(where, face[197], 1.0)
    oily = oily + 0.6 * spot(where, face[199], 1.3) + 0.35 * _both(where, face, 280, 1.5)
    rough = 0.56 - 0.12 * np.clip(oily, 0, 1) + 0.05 * noise(where, 0.4, 3, look.seed % 991)
    return rough * (1 - lips) + 0.40 * lips


def _bump(look, where, lips):
    """Heights in cm: pores, fine lines, lip lines and the folds that age deepens."""
    seed = look.seed % 1009
    pores = noise(where, 0.16, 3, seed)
    bump = (
        0.0045 * pores
        + 0.006 * noise(where, 0.5, 3, seed + 11)
        - 0.005 * np.clip(noise(where, 0.11, 1, seed + 5) - 0.3, 0, 1)
    )
    bump = bump * (1 - 0.6 * lips)
    lines = np.abs(noise(where * np.array([1, 0.12, 1], np.float32), 0.16, 2, seed + 7))
    bump = bump - 0.012 * lips * (1 - np.clip(lines * 2.5, 0, 1))
    old = np.clip((look.age - 25) / 45, 0, 1)
    wander = 0.05 * noise(where, 0.6, 2, seed + 3)
    for line, depth, width in _folds(old):
        near = line_distance(where, np.ascontiguousarray(line, np.float64), 1.0)
        taper = np.sin(np.pi * np.clip(near[..., 1], 0.02, 0.98)) ** 0.6
        bump = bump - depth * taper * np.exp(-(((near[..., 0] + wander) / width) ** 2))
    return bump


def _folds(old):
    """Lines (K, 3), depth and width in cm, of the folds of a face; old in [0, 1]."""
    nasolabial, marionette = (358, 423, 426, 436), (432, 434, 430)
    under, lid = (464, 453, 452, 451, 450, 449), (463, 414, 286, 258, 257, 259, 260)
    alar, philtrum = (279, 358, 327), (97, 167, 37)
    folds = [(_line((18, 200)) - [0, 0.05, 0], 0.02, 0.5)]
    for side in (list, _mirrored):
        folds.append((_line(side(alar)) + [0, -0.05, 0], 0.05, 0.14))
        folds.append((_line(side(philtrum)), -0.022, 0.13))
        folds.append((_line(side(nasolabial)), 0.025 + 0.07 * old, 0.16))
        folds.append((_line(side(marionette)), 0.045 * old, 0.14))
        folds.append((_line(side(under)), 0.012 + 0.035 * old, 0.12))
        folds.append((_line(side(lid), 0.06), 0.035, 0.07))
        corner = resting_face()[side([263])[0]]
        out = np.sign(corner[0])
        for rise in (-0.55, -0.1, 0.35):
            start = corner + [0.45 * out, 0.3 * rise, -0.1]
            folds.append((np.stack([start, start + [1.3 * out, rise, -1.0]]), 0.022 * old, 0.07))
    for height in (0.25, 0.5, 0.75):
        rows = np.array([(104, 69, 108, 151, 337, 299, 333), (103, 67, 109, 10, 338, 297, 332)])
        face = resting_face()
        line = (1 - height) * face[rows[0]] + height * face[rows[1]]
        folds.append((line, 0.028 * old, 0.10))
    return folds


def beard_zone(where, lips):
    """Where a beard grows (size, size) in [0, 1]."""
    face = resting_face()
    x, y, z = np.moveaxis(where, -1, 0)
    side = np.abs(x)
    edge = np.interp(side, [0, 2.2, 3.5, 5.2, 6.8, 7.6], [-2.5, -3.1, -3.9, -3.0, 0.5, 2.5])
    zone = np.clip((edge - y) / 0.9, 0, 1) * np.clip((y + 12.5) / 2.0, 0, 1) * (z > -3.5)
    lip_line = 1 - np.clip(spot(where, face[164], np.array([0.3, 0.7, 1.0])) * 0.4, 0, 1)
    bare = _both(where, face, 425, np.array([1.2, 1.1, 2.0]))
    return zone * lip_line * np.clip(1 - bare, 0, 1) * (1 - np.clip(lips * 1.5, 0, 1))


def _stubble(look, where, lips, generator):
    """How much the beard's shadow darkens the skin."""
    if look.stubble <= 0:
        return np.zeros(where.shape[:2], np.float32)
    seed = int(generator.integers(1 << 20))
    dots = np.clip(noise(where, 0.07, 1, seed) * 1.6, 0, 1)
    patch = 0.85 + 0.3 * noise(where, 1.2, 2, seed + 1)
    zone = gaussian_filter(beard_zone(where, lips), where.shape[0] / 512 * 3)
    return np.clip(look.stubble * zone * patch * (0.45 + 0.55 * dots), 0, 0.9)


def _shade_pits(albedo, where):
    """Nostrils, which the canonical mesh has no holes for, and the corners of the mouth."""
    face = resting_face()
    for side in (1, -1):
        pit = nostril(face, side)
        depth = spot(where, pit, np.array([0.30, 0.24, 0.42]))[..., None]
        albedo = albedo * (1 - depth * [0.88, 0.95, 0.96])
    return albedo


def _lash_line(look, where):
    """The dark line of the lash roots along the lids; make-up strengthens it."""
    dark = np.zeros(where.shape[:2], np.float32)
    for contour in (EYE_RIGHT, EYE_LEFT):
        face = resting_face()
        for rows, depth in ((contour[:9], 0.55 + 0.4 * look.makeup), (contour[8:], 0.22)):
            line = face[list(rows)]
            near = line_distance(where, np.ascontiguousarray(line), 0.5)
            taper = np.clip(np.minimum(near[..., 1] * 8, (1 - near[..., 1]) * 3.5), 0, 1)
            dark = np.maximum(dark, depth * taper * np.exp(-((near[..., 0] / 0.075) ** 2)))
    return dark


def nostril(face, side):
    """The middle of a nostril (3,): side 1 is the person's left."""
    rows = np.array([250, 290, 328, 305])
    return face[rows if side > 0 else mirror()[rows]].mean(0)


def brow_cover(look, size):
    """How much hair of the brows covers each texel: many strokes along the brows (size, size)."""
    generator = np.random.default_rng([look.seed, 23])
    cover = np.zeros((size, size), np.float32)
    uv = cage().uv * size
    texel = size * 0.62 / 15.5  # texels per cm on the face
    upper, lower = (336, 296, 334, 293, 300), (285, 295, 282, 283, 276)
    for side in (1, -1):
        top, bottom = (uv[np.array(r) if side > 0 else mirror()[list(r)]] for r in (upper, lower))
        roots, steps, widths = _brow_hairs(generator, top, bottom, texel, look, side)
        draw_hairs(cover, roots, steps, widths)
    return 1 - np.exp(-1.1 * gaussian_filter(cover, 0.35))


def _brow_hairs(generator, top, bottom, texel, look, side):
    """Strokes of one brow: roots (N, 2), steps (N, K, 2) texels, widths (N,)."""
    count = int(620 * look.brow_density)
    along = generator.beta(1.05, 1.25, count)
    across = np.clip(generator.normal(0.5, 0.24, count), 0, 1)
    middle, half = (top + bottom) / 2, (top - bottom) / 2
    knots = np.linspace(0, 1, 5)
    lift = look.brow_arch * 0.16 * texel * np.sin(np.pi * np.clip(along * 1.15 - 0.1, 0, 1))

    def at(points):
        return np.stack([np.interp(along, knots, points[:, k]) for k in range(2)], 1)

    thick = look.brow_thickness * np.interp(along, [0, 0.15, 0.55, 1], [0.72, 0.98, 0.80, 0.22])
    roots = at(middle) + (2 * across - 1)[:, None] * thick[:, None] * at(half) * 0.95
    roots[:, 1] -= lift
    run = at(np.gradient(middle, axis=0))
    run /= np.linalg.norm(run, axis=1, keepdims=True)
    upwards = np.array([0, -1.0])
    rise = np.interp(along, [0, 0.12, 0.5, 1], [1.5, 0.85, 0.30, 0.0]) * (1.25 - across * 1.1)
    rise = rise + generator.normal(0, 0.16, count)
    aim = run + rise[:, None] * upwards
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    length = (
        texel * generator.uniform(0.35, 0.8, count) * np.interp(along, [0, 0.2, 1], [0.7, 1, 0.75])
    )
    bend = (run - aim) * np.linspace(0, 0.9, 5)[:, None, None]
    steps = np.moveaxis((aim + bend) * (length / 5)[None, :, None], 0, 1)
    widths = 0.0135 * texel * generator.uniform(0.8, 1.8, count)
    return roots, np.ascontiguousarray(steps), widths
