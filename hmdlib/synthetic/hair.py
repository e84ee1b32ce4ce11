"""Hair strand by strand: where it grows, how it is combed, how it falls.

A style is a row of numbers; grow() takes a skull and gives strands in the head's own coordinates
at rest (cm, x to the person's left, y up, z forwards). Strands are walked from root to tip along a
combing field, kept outside the skull layer by layer, drawn together into locks, then curled.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from . import torso
from .haircuts import hairline
from .raster import HAIR, Material, Mesh
from .skull import Skull

WHITE = np.array([0.55, 0.545, 0.53])
"""Hair without pigment, in linear light."""


def roots(generator, skull, style, count):
    """Places where hairs leave the skin (S, 3), outward directions, and depth inside the hairline.

    Evenly spread over the skull; near the hairline fewer, and fewer where the crown is thin.
    """
    tries = int(count * 4.6)
    away = generator.normal(0, 1, (tries, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    radius = skull.radius(away)
    away, radius = away[away[:, 1] > -0.85], radius[away[:, 1] > -0.85]
    points = skull.centre + away * radius[:, None]
    azimuth = np.degrees(np.arctan2(away[:, 0], away[:, 2]))
    ragged = 0.35 * np.sin(azimuth * 0.31 + 1) + 0.2 * np.sin(azimuth * 0.83)
    inside = points[:, 1] / skull.scale - hairline(azimuth, style) - ragged
    crown = np.exp(-((points[:, 0] / 6.5) ** 2) - ((points[:, 2] + 5) / 7.5) ** 2)
    crown = crown * (points[:, 1] > skull.centre[1])
    seen = np.interp(points[:, 2], (-13, -8, -2), (0.2, 0.45, 1))  # the back is seldom seen
    keep = generator.random(len(points)) < seen * np.clip(inside / 0.5 + 0.3, 0, 1)
    keep &= generator.random(len(points)) > style.thin * np.clip(1.6 * crown, 0, 1)
    ear = (np.abs(azimuth) > 86) & (np.abs(azimuth) < 112) & (points[:, 1] < 2.8 * skull.scale)
    keep &= ~ear
    return points[keep][:count], away[keep][:count], inside[keep][:count]


def lengths(generator, points, inside, style):
    """Each hair's length, cm: by place on the head, a little uneven, short along the hairline."""
    height = np.clip((points[:, 1] - 1) / 8, 0, 1)
    height = height * height * (3 - 2 * height)
    rear = np.clip(-(points[:, 2] + 4) / 6, 0, 1)
    low = style.sides + (style.back - style.sides) * rear
    length = low + (style.top - low) * height
    length *= generator.uniform(0.82, 1.06, len(points))
    return length * np.clip(0.6 + inside / 1.6, 0.4, 1)


def comb(points, style, outward):
    """The direction in which hair lies at each place (S, 3), along the skull's surface."""
    x = points[:, 0]
    flow = np.zeros_like(points)
    if style.gather is not None:
        flow = np.asarray(style.gather) - points
        flow /= np.linalg.norm(flow, axis=1, keepdims=True) + 1e-6
    else:
        part = style.part if style.part is not None else 0.0
        above = np.clip(points[:, 1] / 8, 0, 1)
        flow[:, 0] += style.side * np.tanh((x - part) / 0.6) * (0.3 + 0.7 * above)
        if style.part is None:
            flow[:, 0] += 0.35 * x / 7 * (1 - above)
        flow[:, 2] -= style.backward * (0.35 + 0.65 * above)
        flow[:, 1] -= style.down * (1.2 - 0.6 * above)
    flow -= (flow * outward).sum(1, keepdims=True) * outward
    return flow / (np.linalg.norm(flow, axis=1, keepdims=True) + 0.15)


def beside_face(points, side, spread, scale):
    """Points (S, 3) of hair that would hang before the face, drawn aside like a curtain (in place).

    side (S,): -1 or 1, to which side each hair goes; spread (S,): how far beyond the edge, cm.
    """
    x, y, z = points.T
    before = (z > -1.5) & (y < 9.0 * scale)
    edge = np.interp(y / scale, (-9, -3, 4, 6.4, 8.0, 8.7), (5.8, 6.6, 6.9, 6.2, 4.2, 0))
    edge = edge + spread * np.clip(edge / 4, 0, 1)
    x[before] = np.where(side > 0, np.maximum(x, edge), np.minimum(x, -edge))[before]


def round_body(points, front):
    """Points (S, 3) kept out of neck and shoulders (in place); front (S,): falls over the chest."""
    x, y, z = points.T
    away = np.hypot(x, z + 6.0) + 1e-6
    inside = np.clip(6.9 - away, 0, None) * (y < -6)
    x += x / away * inside
    z += (z + 6.0) / away * inside
    surface = torso.on_front(np.clip(points[:, :2], (-22, -45), (22, -6)), 0)[:, 2]
    exists = (surface > -5.4) & (np.abs(x) < 21.5) & (y < -13)
    z[:] = np.where(exists & front, np.maximum(z, surface + 2.2), z)
    z[:] = np.where(exists & ~front, np.minimum(z, -13.6 - surface), z)


def walk(generator, skull, style, start, outward, length, steps):
    """Strands (S, steps, 3), root to tip: combed, layered over the skull, hanging at the end."""
    count = len(start)
    rank = np.clip((start[:, 1] - skull.centre[1]) / 9, -0.4, 1)
    layer = style.lift * np.clip(0.35 + 0.5 * rank + generator.normal(0, 0.12, count), 0.06, 1.2)
    roof = style.lift * (0.45 + 0.75 * np.clip(rank, 0, 1)) * generator.uniform(0.75, 1.1, count)
    roof = roof + 0.15 + generator.exponential(0.12, count) + 9 * style.rise**3
    part = style.part if style.part is not None else 0.0
    side = np.where(start[:, 0] + generator.normal(0, 0.12, count) > part, 1.0, -1.0)
    front = (start[:, 2] > -4.5) & (generator.random(count) < style.forward)
    heading = comb(start, style, outward) * (1 - style.rise) + outward * style.rise
    heading += generator.normal(0, style.frizz * 0.6, (count, 3))
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    pace = (length / (steps - 1))[:, None]
    points = np.empty((count, steps, 3))
    points[:, 0] = start
    swerve = generator.normal(0, style.frizz, (count, 3))
    spread = generator.exponential(0.45, count)
    stiff = 0.62 if style.gravity < 0.3 else 0.45
    for k in range(1, steps):
        here = points[:, k - 1]
        heading = stiff * heading + (1 - stiff) * pull(here, skull, style, pace * k)
        heading += 0.3 * swerve * k / steps
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        there = here + pace * heading
        if style.gravity > 0.3:
            beside_face(there, side, spread, skull.scale)
        grown = np.minimum(pace[:, 0] * k / 2.5, 1)
        there = skull.between(there, np.minimum(layer, 0.08 + 1.5 * layer * grown), roof)
        if style.gravity > 0.3:
            round_body(there, front)
        points[:, k] = there
        heading = there - here
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
        if style.gather is not None:
            stop_at(points, k, style)
    return points


def pull(here, skull, style, grown):
    """Where hair at each place (S, 3) is drawn: along the comb on the head, down below it."""
    away = here - skull.centre
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    falls = np.clip((6.5 - here[:, 1:2]) / 6, 0, 1) if style.gravity > 0.3 else 0.0
    drawn = comb(here, style, away) * (1 - 0.92 * falls)
    down = np.zeros_like(here)
    down[:, 1:2] = -style.gravity * (0.25 * np.minimum(grown / 8, 1) + 1.2 * falls)
    down[:, 0:1] -= 0.02 * here[:, 0:1] * falls
    return drawn + down


def stop_at(points, k, style):
    """Hair that has reached the tie goes no further: it ends inside the knot."""
    gather = np.asarray(style.gather)
    reached = np.linalg.norm(points[:, k - 1] - gather, axis=1) < 1.6
    points[reached, k] = points[reached, k - 1] + (gather - points[reached, k - 1]) * 0.3


def lock_together(generator, points, style, share=0.03):
    """Neighbouring hairs drawn into locks, the more the nearer to the tip (in place)."""
    count, steps, _ = points.shape
    guides = generator.choice(count, max(4, int(count * share)), replace=False)
    place = points[:, min(2, steps - 1)]
    _, mine = cKDTree(place[guides]).query(place)
    guide = points[guides][mine]
    share = np.linspace(0, 1, steps)[None, :, None]
    pull = style.clump * share**0.8 * generator.uniform(0.55, 1.0, (count, 1, 1))
    pull[generator.random(count) < 0.04] = 0  # flyaways
    points += pull * (guide - points)
    return mine


def curl(generator, points, style, lock, length):
    """Helices round each strand's own course, shared phase within a lock."""
    steps = points.shape[1]
    phase = generator.uniform(0, 2 * np.pi, lock.max() + 1)[lock] + generator.normal(
        0, 0.5, len(lock)
    )
    tempo = style.turns * generator.uniform(0.8, 1.25, lock.max() + 1)[lock]
    along = np.linspace(0, 1, steps)
    turn = 2 * np.pi * tempo[:, None] * length[:, None] * along + phase[:, None]
    ahead = np.gradient(points, axis=1)
    ahead /= np.linalg.norm(ahead, axis=2, keepdims=True) + 1e-9
    first = np.cross(ahead, (0.3, 0.2, 1.0))
    first /= np.linalg.norm(first, axis=2, keepdims=True) + 1e-9
    second = np.cross(ahead, first)
    size = style.curl * np.clip(along * 2.5, 0, 1)
    offset = np.cos(turn)[..., None] * first + np.sin(turn)[..., None] * second
    return points + size[None, :, None] * offset


def clear_of_face(points, style):
    """Which strands (S,) leave forehead, face and throat free."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    brow = (z > 2) & (y < 8.0) & (np.abs(x) < 4.2)
    face = (z > -2) & (y < 7.2) & (np.abs(x) < 5.2) & (y > -8)
    throat = (z > -4.5) & (np.abs(x) < 5.6) & (y <= -8) & (y > -18)
    if style.gravity < 0.3:
        return ~(face & (y < 6.3)).any(1)
    return ~(face | brow | throat).any(1)


def knot(generator, style, count, steps):
    """The bun, or the tail, behind the tie: (S, steps, 3)."""
    gather = np.asarray(style.gather)
    along = np.linspace(0, 1, steps)
    if style.tail == 0:
        axis = generator.normal(0, 1, (count, 3)) * (1, 0.4, 1) + (0, 1.2, 0)
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        first = np.cross(axis, generator.normal(0, 1, (count, 3)))
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(axis, first)
        turn = 2.6 * along[None] + generator.uniform(0, 6.3, (count, 1))
        ring = np.cos(turn)[..., None] * first[:, None] + np.sin(turn)[..., None] * second[:, None]
        size = generator.uniform(0.8, 1.0, (count, 1, 1)) * (3.6, 3.4, 2.8)
        return gather + (0, 0.4, -1.2) + ring * size
    spread = generator.normal(0, 1, (count, 1, 3)) * (0.9, 0.3, 0.9)
    swell = (0.5 + 1.6 * np.sin(np.pi * np.clip(along * 0.8 + 0.1, 0, 1)))[None, :, None]
    length = style.tail * generator.uniform(0.7, 1, (count, 1))
    fall = np.stack(
        [
            0 * along * length,
            -length * along**1.35,
            -4.5 * np.sin(np.pi * np.minimum(along * 0.9, 1)) + 0 * length,
        ],
        -1,
    )
    return gather + fall + spread * swell


@dataclass
class Hair:
    """Strands at rest: points (S, K, 3) cm, colours (S, 3), occlusion (S, K), radius (S,) cm."""

    points: np.ndarray
    colours: np.ndarray
    occlusion: np.ndarray
    radius: np.ndarray


def tint(generator, colour, grey, lock, count):
    """Each strand's colour (S, 3): varied by lock and by hair, some of them grey."""
    colour = np.asarray(colour)
    locks = np.exp(generator.normal(0, 0.10, lock.max() + 1))[lock]
    each = np.exp(generator.normal(0, 0.09, count))
    colours = colour * (locks * each)[:, None] * np.exp(generator.normal(0, 0.03, (count, 3)))
    old = generator.random(count) < grey
    fade = generator.uniform(0.25, 0.9, (old.sum(), 1))
    colours[old] += fade * (WHITE - colours[old])
    return np.clip(colours, 0.004, 0.8).astype(np.float32)


def grow(generator, skull, style, colour=(0.075, 0.043, 0.023), grey=0.0, count=16000, steps=16):
    """A head of hair. skull: a Skull; style: a Style; colour: linear (3,)."""
    start, outward, inside = roots(generator, skull, style, count)
    length = lengths(generator, start, inside, style) * skull.scale
    points = walk(generator, skull, style, start, outward, length, steps)
    lock = lock_together(generator, points, style)
    if style.curl:
        points = curl(generator, points, style, lock, length)
    free = clear_of_face(points, style)
    points, lock = points[free], lock[free]
    fine = np.clip(0.55 + 0.4 * inside[free], 0.55, 1)  # the hairline's hairs are thin
    if style.gather is not None:
        extra = knot(generator, style, max(200, count // 6), steps)
        points = np.concatenate([points, extra])
        lock = np.concatenate([lock, generator.integers(0, lock.max() + 1, len(extra))])
        fine = np.concatenate([fine, np.ones(len(extra))])
    away = points - skull.centre
    above = np.linalg.norm(away, axis=-1) - skull.radius(away)
    occlusion = np.clip(0.30 + 0.75 * above / (0.6 * style.lift + 0.25), 0.25, 1)
    colours = tint(generator, colour, grey, lock, len(points))
    radius = 0.016 * np.sqrt(16000 / max(count, 1)) * fine
    return Hair(points.astype(np.float32), colours, occlusion.astype(np.float32), radius)


def cap(surface, normals, faces, style, colours, skin):
    """A skin of hair's colour below the strands, so that no bare scalp shows between them: a Mesh.

    surface, normals (N, 3) and faces of the head at rest; skin (3,): its colour at the hairline,
    from which the cap fades into the hair's.
    """
    azimuth = np.degrees(np.arctan2(surface[:, 0], surface[:, 2] - Skull.centre[2]))
    inside = surface[:, 1] - hairline(azimuth, style)
    ear = (np.abs(azimuth) > 84) & (np.abs(azimuth) < 114) & (surface[:, 1] < 4.5)
    crown = np.hypot(surface[:, 0], surface[:, 2] + 5) < 9 * (style.thin > 0.2)
    inside[ear | (crown & (surface[:, 1] > 2.5))] = -1
    kept = faces[(inside > 0)[faces].all(1)]
    used, compact = np.unique(kept, return_inverse=True)
    if not len(kept):
        return None
    cover = 0.22 if style.top < 0.3 else 0.6 if style.top < 1 else 0.92
    share = cover * np.linspace(0, 1, 64)[None, :, None] ** 0.7
    fade = (1 - share) * np.asarray(skin) + share * colours.mean(0) * 0.6
    material = Material(fade.astype(np.float32), 0.8, 0.015, label=HAIR, shadow=False)
    uv = np.stack([np.clip(inside[used] / 2.2, 0.01, 0.99), np.full(len(used), 0.5)], 1)
    vertices = (surface + 0.03 * normals)[used].astype(np.float32)
    return Mesh(vertices, compact.reshape(-1, 3).astype(np.int32), material, uv.astype(np.float32))


def hanging(points, style):
    """How much each point (S, K, 1) hangs on the shoulders rather than on the head; or None."""
    if style.gravity < 0.3 and style.tail == 0:
        return None
    share = np.clip((-5 - points[..., 1:2]) / 13, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)
