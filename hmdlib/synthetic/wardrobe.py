"""Clothes and glasses of a synthetic person, as meshes in the head's rest coordinates (cm)."""

from dataclasses import replace

import numpy as np

from . import torso
from .raster import OTHER, Material, Mesh

OUTFITS = ("t-shirt", "shirt", "sweater", "hoodie", "blazer", "suit", "knit")
PATTERNS = ("plain", "plain", "stripes", "check", "melange")

#            linear colours that clothes have
DYES = {
    "navy": (0.015, 0.025, 0.07),
    "black": (0.012, 0.012, 0.013),
    "charcoal": (0.045, 0.047, 0.052),
    "grey": (0.20, 0.20, 0.205),
    "white": (0.78, 0.78, 0.77),
    "cream": (0.68, 0.60, 0.46),
    "sky": (0.36, 0.52, 0.75),
    "denim": (0.06, 0.11, 0.22),
    "olive": (0.09, 0.10, 0.045),
    "green": (0.02, 0.11, 0.06),
    "teal": (0.02, 0.14, 0.16),
    "burgundy": (0.13, 0.014, 0.025),
    "red": (0.42, 0.03, 0.03),
    "rust": (0.32, 0.10, 0.03),
    "mustard": (0.50, 0.28, 0.04),
    "camel": (0.36, 0.22, 0.11),
    "pink": (0.62, 0.34, 0.36),
    "lilac": (0.36, 0.28, 0.50),
}


def cloth(generator, dye, pattern="plain", knit=0.0, texels=512):
    """A fabric of 64 by 64 cm: a Material with colour and relief.

    knit: depth of ribs and stitches in cm, 0 for woven cloth. texels: resolution of its maps.
    """
    colour = np.asarray(DYES[dye] if isinstance(dye, str) else dye, float)
    y, x = np.mgrid[:texels, :texels] * (64 / texels)
    tone = np.ones((texels, texels, 1)) * colour
    other = np.clip(colour * generator.uniform(0.25, 0.5) + generator.choice([0, 0.5]), 0, 0.8)
    pitch = generator.uniform(1.4, 3.2)
    across = (y / pitch) % 1 < generator.uniform(0.2, 0.5)
    along = (x / pitch) % 1 < 0.35
    if pattern == "stripes":
        tone[across] = other
    elif pattern == "check":
        tone += 0.35 * (across[..., None] * 1.0 + along[..., None]) * (other - tone)
    elif pattern == "melange":
        tone *= np.exp(generator.normal(0, 0.22, (texels, texels, 1)))
    tone = tone * np.exp(generator.normal(0, 0.05, (texels, texels, 1)))
    relief = None
    if knit:
        stitch = np.sin(2 * np.pi * x / 0.55) + 0.5 * np.sin(
            2 * np.pi * (y / 0.4 + 0.25 * (x % 0.55))
        )
        relief = (knit * stitch).astype(np.float32)
    return Material(
        np.clip(tone, 0.004, 0.85).astype(np.float32),
        roughness=0.85,
        specular=0.015,
        bump=relief,
        two_sided=True,
        label=OTHER,
    )


def piece(shape, material, occlusion=None):
    """A Mesh from (points, triangles) with cloth coordinates."""
    points, triangles = shape
    uv = np.clip(torso.flat_uv(points), 0, 1).astype(np.float32)
    return Mesh(points.astype(np.float32), triangles, material, uv, occlusion)


def plain(colour, roughness=0.6, specular=0.03, **more):
    return Material(np.asarray(colour, float), roughness, specular, label=OTHER, **more)


def band(neckline, swell, material, wide=0.9, thick=0.22):
    """The ribbed band along a neck opening."""
    angle = np.linspace(-np.pi, np.pi, 96, endpoint=False)
    curve = torso.body(angle, neckline(angle) + 0.004, swell)
    return piece(torso.tube(curve, wide / 2, thick, closed=True), material)


def collar(material, gap=0.13, swell=0.45, length=1.0):
    """A shirt's collar: it stands up round the neck and folds over, with two points in front."""
    angle = np.linspace(gap, 2 * np.pi - gap, 97)
    front = np.minimum(angle, 2 * np.pi - angle) - gap
    tip = length * np.exp(-((front / 0.30) ** 2))
    rows = [
        (0.06 + 0 * tip, swell),
        (-0.10 + 0 * tip, swell + 0.05),
        (-0.24 + 0 * tip, swell + 0.10),
        (-0.27 + 0 * tip, swell + 0.28),
        (-0.24 + 0 * tip, swell + 0.50),
        (-0.10 + 0.06 * tip, swell + 0.70),
        (0.02 + 0.10 * tip, swell + 0.80),
        (0.075 + 0.175 * tip, swell + 0.72),
        (0.077 + 0.177 * tip, swell + 0.50),
    ]
    points = np.stack([torso.body(angle, down, out) for down, out in rows])
    return piece((points.reshape(-1, 3), torso.grid_triangles(len(rows), len(angle))), material)


def mirrored(shape):
    points, triangles = shape
    return points * (-1, 1, 1), triangles[:, ::-1]


def buttons(places, swell, colour):
    """Small discs down the front: one mesh."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points, triangles = [], []
    for n, (x, y) in enumerate(places):
        ring = np.stack([x + 0.5 * np.cos(turn), y + 0.5 * np.sin(turn)], -1)
        disc = torso.on_front(np.concatenate([[(x, y)], ring]), swell)
        disc[0, 2] += 0.12
        points.append(disc)
        fan = [(0, 1 + i, 1 + (i + 1) % 12) for i in range(12)]
        triangles.append(np.array(fan, np.int32) + 13 * n)
    return piece((np.concatenate(points), np.concatenate(triangles)), plain(colour, 0.3))


def shirt(generator, material, seed, open_neck=True, tips=1.0):
    """A shirt with collar, placket and buttons; open at the top or closed for a tie. tips: how
    long the collar's points are."""
    depth = 0.16 if open_neck else 0.03
    body = torso.garment(torso.vee(0.03, depth, 0.35), 0.35, seed, creases=0.22)
    placket = torso.patch([(-1.5, -21.5), (-1.5, -43)], [(1.5, -21.5), (1.5, -43)], 0.55, edge=0.3)
    parts = [piece(body, material), piece(placket, material)]
    parts.append(collar(material, gap=0.30 if open_neck else 0.10, length=tips))
    pearl = np.clip(material.albedo.mean((0, 1)) * 0.6 + 0.15, 0, 0.8)
    parts.append(buttons([(0, y) for y in (-24, -32, -40)], 0.75, pearl))
    return parts


def tie(generator, material):
    """A knot under the collar and a blade that widens downwards."""
    left, right = [(-0.9, -22.2), (-2.6, -36), (-4.2, -43)], [(0.9, -22.2), (2.6, -36), (4.2, -43)]
    blade = torso.patch(left, right, 0.95, edge=0.25)
    knot = torso.patch(
        [(-1.75, -18.6), (-1.0, -22.4)], [(1.75, -18.6), (1.0, -22.4)], 1.7, edge=0.7
    )
    return [piece(blade, material), piece(knot, material)]


def blazer(generator, material, seed, under):
    """A jacket with lapels over a shirt or a sweater (its pieces: under)."""
    neck = torso.vee(0.06, 0.66, 0.52)
    body = torso.garment(neck, 1.0, seed, creases=0.18, rim=0.5)
    lapel = torso.patch(
        [(6.3, -16.6), (6.0, -20.0), (4.6, -27.0), (0.6, -43.0)],
        [(8.0, -17.4), (11.4, -24.6), (10.2, -27.2), (1.6, -43.0)],
        1.75,
        across=10,
        along=40,
        edge=0.55,
    )
    notch = torso.patch(
        [(6.4, -16.0), (6.6, -19.2), (8.2, -22.2)],
        [(9.2, -17.2), (11.2, -20.6), (11.6, -23.4)],
        1.95,
    )
    pieces = [*under, piece(body, material)]
    for part in (lapel, notch):
        pieces += [piece(part, material), piece(mirrored(part), material)]
    angle = np.linspace(0.9, 2 * np.pi - 0.9, 60)
    rows = [(0.06, 0.8), (-0.08, 0.95), (-0.14, 1.1), (-0.10, 1.5), (0.06, 1.75), (0.12, 1.5)]
    back = np.stack([torso.body(angle, down, out) for down, out in rows])
    rear = back.reshape(-1, 3), torso.grid_triangles(len(rows), len(angle))
    return [*pieces, piece(rear, material)]


def hoodie(generator, material, seed):
    """A hooded sweatshirt: the hood lies behind the neck, two cords hang in front."""
    neck = torso.vee(0.08, 0.12, 0.5)
    parts = [piece(torso.garment(neck, 0.9, seed, creases=0.4), material)]
    angle = np.linspace(0.16, 2 * np.pi - 0.16, 80)
    rear = np.clip((np.minimum(angle, 2 * np.pi - angle) - 0.5) / 1.6, 0, 1)
    curve = torso.body(angle, 0.10 - 0.10 * rear, 1.6 + 1.8 * rear)
    hood = torso.tube(curve, 1.5 + 1.5 * rear, 1.1 + 1.5 * rear, sides=14)
    parts.append(piece(hood, material))
    cord = plain((0.6, 0.6, 0.58))
    for side in (-1, 1):
        line = [(side * 3.0, -20.5), (side * 3.3, -26), (side * 3.1, -34)]
        y = np.linspace(-21.0, -34, 20)
        x = np.interp(-y, [-p[1] for p in line], [p[0] for p in line])
        curve = torso.on_front(np.stack([x, y], -1), 2.2)
        parts.append(piece(torso.tube(curve, 0.25, 0.25, sides=8), cord))
    return parts


def dress(generator, outfit, dye, pattern="plain", second="white", texels=512):
    """The meshes of an outfit at rest. second: the dye of what is worn below or of the tie."""
    seed = int(generator.integers(1 << 30))
    make = {"texels": texels}
    if outfit == "t-shirt":
        material, neck = cloth(generator, dye, pattern, **make), torso.crew(0.05, 0.04)
        rib = cloth(generator, np.asarray(DYES[dye]) * 0.85, **make)
        return [piece(torso.garment(neck, 0.45, seed), material), band(neck, 0.5, rib, 1.6, 0.2)]
    if outfit in ("sweater", "knit"):
        material = cloth(generator, dye, pattern, knit=0.05, **make)
        neck = torso.vee(0.07, 0.26, 0.5) if outfit == "sweater" else torso.crew(0.0, 0.05)
        main = [piece(torso.garment(neck, 0.9, seed, creases=0.35), material)]
        main.append(band(neck, 0.95, material, 2.0, 0.35))
        if outfit == "sweater":
            main += shirt(generator, cloth(generator, second, **make), seed, tips=0.0)[::2]
        return main
    if outfit == "shirt":
        return shirt(generator, cloth(generator, dye, pattern, **make), seed)
    if outfit == "hoodie":
        return hoodie(generator, cloth(generator, dye, "melange", **make), seed)
    weave = cloth(generator, dye, "melange", **make)
    formal = outfit == "suit"
    below = shirt(
        generator, cloth(generator, "white" if formal else second, **make), seed, not formal
    )
    if formal:
        below = below[:1] + below[2:3]
        below += tie(generator, cloth(generator, second, "stripes", texels=texels))
    return blazer(generator, weave, seed, below)


def glasses(landmarks, rim="thin", colour=(0.02, 0.02, 0.02), tall=1.0):
    """Spectacles for a face at rest. landmarks: (68, 3) cm. Returns meshes, the two lenses last."""
    eyes = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])
    apart = np.linalg.norm(eyes[1] - eyes[0])
    thick = {"thin": 0.10, "thick": 0.26, "rimless": 0.05}[rim]
    frame = plain(colour, 0.25, 0.06 if rim == "thick" else 0.4)
    half_wide, half_tall = 0.395 * apart, 0.31 * apart * tall
    front = max(landmarks[27, 2] - 0.15, eyes[:, 2].max() + 1.25)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    shape = np.stack([np.cos(turn), np.sin(turn)], -1)
    shape = np.sign(shape) * np.abs(shape) ** (2 / 2.7)
    parts, lenses, ears = [], [], (landmarks[0], landmarks[16])
    for eye, ear, side in zip(eyes, ears, (-1, 1), strict=True):
        centre = np.array([eye[0] + side * 0.02 * apart, eye[1] - 0.035 * apart, front])
        ring = np.concatenate([centre[:2] + shape * (half_wide, half_tall), 0 * turn[:, None]], 1)
        out = side * (ring[:, 0] - centre[0])
        ring[:, 2] = front - 0.012 * (ring[:, 0]) ** 2 + 0.10 * (ring[:, 1] - centre[1])
        parts.append(solid(torso.tube(ring, thick, thick * 0.8, closed=True, sides=10), frame))
        hinge = ring[np.argmax(out)] + (side * 0.15, 0.35 * half_tall, 0)
        tip = np.array([ear[0] + side * 0.45, hinge[1] + 0.2, ear[2] - 2.0])
        bend = np.linspace(hinge, tip, 16)
        bend[:, 0] += side * 0.5 * np.sin(np.pi * np.linspace(0, 1, 16)) ** 0.6
        parts.append(solid(torso.tube(bend, 0.12 + thick / 2, 0.10, sides=8), frame))
        lens = np.concatenate([[ring.mean(0) + (0, 0, 0.12)], ring * 1.0])
        fan = np.array([(0, 1 + i, 1 + (i + 1) % 48) for i in range(48)], np.int32)
        lenses.append(solid((lens, fan), glass()))
    inner = eyes[:, 0] + (half_wide, -half_wide)
    x = np.linspace(inner[0], inner[1], 12)
    arch = np.sin(np.pi * np.linspace(0, 1, 12))
    bridge = np.stack([x, eyes[:, 1].mean() + 0.06 * apart + 0.25 * arch, front + 0.3 * arch], -1)
    return [*parts, solid(torso.tube(bridge, thick, thick, sides=8), frame), *lenses]


def glass():
    return Material(
        np.array([0.02, 0.022, 0.025]),
        0.03,
        0.006,
        two_sided=True,
        label=OTHER,
        shadow=False,
        opacity=0.07,
    )


def solid(shape, material):
    points, triangles = shape
    return Mesh(points.astype(np.float32), triangles, material)


def move(meshes, rotation=None, translation=(0, 0, 0)):
    """The same meshes, turned about the origin (3, 3) and shifted (3,) cm."""
    moved = []
    for mesh in meshes:
        vertices = mesh.vertices if rotation is None else mesh.vertices @ rotation.T
        vertices = (vertices + translation).astype(np.float32)
        moved.append(replace(mesh, vertices=vertices))
    return moved
