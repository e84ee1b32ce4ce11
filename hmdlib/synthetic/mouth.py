"""Inside the mouth: two rows of teeth on their gums, a tongue, and the dark behind."""

from functools import lru_cache

import numpy as np

from .raster import SKIN, Material, Mesh

#        widths in cm from the midline outwards: central, lateral, canine, premolars, molars
UPPER = (0.85, 0.66, 0.76, 0.70, 0.68, 1.0, 0.95)
LOWER = (0.53, 0.59, 0.68, 0.70, 0.72, 1.05, 1.0)


@lru_cache(maxsize=2)
def _row(widths, lower):
    """One arch, gum upwards: points (V, 3), uv, triangles; the middle of its edge at the origin."""
    columns, rows = 161, 12
    reach = sum(widths) * 0.86
    s = np.linspace(-reach, reach, columns)  # along the arch
    bend = s / reach * 1.25
    x, z = 2.55 * np.sin(bend) * 0.93, -2.6 * (1 - np.cos(bend)) * 1.25
    borders = np.concatenate([[0], np.cumsum(widths)])
    tooth = np.clip(np.searchsorted(borders, np.abs(s), side="right") - 1, 0, len(widths) - 1)
    inside = (np.abs(s) - borders[tooth]) / np.array(widths)[tooth] * 2 - 1  # -1..1 over a tooth
    crown = (0.95 if lower else 1.05) * np.where(tooth == 1, 0.93, np.where(tooth > 2, 0.86, 1.0))
    t = np.linspace(0, 1, rows)[:, None]
    edge = 0.05 * np.abs(inside) ** 4 + 0.05 * (tooth == 1) + 0.015 * tooth
    y = edge + t * (1.75 - edge)
    on_crown = np.clip((crown - 0.16 * inside**2 - y) / 0.06, 0, 1)
    bulge = 0.16 * np.sqrt(np.clip(1 - 0.9 * inside**4, 0, 1)) * on_crown + 0.12 * (1 - on_crown)
    bulge = bulge - 0.10 * np.clip(0.16 - y + edge, 0, 1) - 0.25 * t**2
    nx, nz = np.sin(bend), np.cos(bend)
    points = np.stack([x + bulge * nx, y, z + bulge * nz], -1)
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, columns), 1 - y / 1.75), -1)
    index = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    quads = [np.stack([a, b, c], -1), np.stack([b, d, c], -1)]
    triangles = np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)
    return points.reshape(-1, 3), uv.reshape(-1, 2), triangles, (tooth, inside, crown)


def _tooth_texture(widths, lower, shade):
    """Enamel, gaps and gums (64, 512, 3), linear."""
    _, _, _, (tooth, inside, crown) = _row(widths, lower)
    u = np.linspace(0, 1, 512)
    columns = np.linspace(0, 1, len(tooth))
    inside = np.interp(u, columns, inside)
    crown = np.interp(u, columns, crown)
    y = np.linspace(1.75, 0, 64)[:, None]
    enamel = shade * (0.9 + 0.1 * np.clip(y / 0.9, 0, 1))[..., None] * np.ones((64, 512, 3))
    enamel = enamel * (1 - 0.25 * np.clip((y - 0.5) / 0.6, 0, 1)[..., None] * [0, 0.25, 0.8])
    gap = np.clip((np.abs(inside) - 0.93) / 0.07, 0, 1) * np.clip((y - 0.02) / 0.2, 0, 1)
    enamel = enamel * (1 - 0.62 * gap[..., None])
    gum = np.array([0.38, 0.105, 0.10]) * np.ones((64, 512, 3))
    share = np.clip((crown - 0.2 * inside**2 - y) / 0.07, 0, 1)[..., None]
    return (share * enamel + (1 - share) * gum).astype(np.float32)


@lru_cache(maxsize=8)
def mouth_materials(whiteness=0.62):
    """Materials of upper teeth, lower teeth, tongue and cavity."""
    shade = whiteness * np.array([1.0, 0.94, 0.82])
    looks = [
        Material(_tooth_texture(UPPER, False, shade), 0.22, 0.04, 0.35, label=SKIN, two_sided=True),
        Material(_tooth_texture(LOWER, True, shade), 0.25, 0.04, 0.35, label=SKIN, two_sided=True),
        Material(np.array([0.34, 0.105, 0.10]), 0.35, 0.035, 0.8, label=SKIN),
        Material(np.array([0.10, 0.02, 0.018]), 0.6, 0.0, 0.0, label=SKIN, shadow=False),
    ]
    return tuple(looks)


def mouth_meshes(resting, jaw, materials):
    """Teeth, tongue and cavity in the head's rest frame.

    resting: landmarks (468, 3) without expression; jaw: function that turns points with the jaw
    (the lower row and the tongue follow it). Occlusion grows with depth behind the lips.
    """
    upper_lip, lower_lip = resting[13], resting[14]
    corner = (resting[308, 0] - resting[78, 0]) / 4.3
    scale = np.array([0.92 * max(corner, 0.9), 1, 1])
    front = min(upper_lip[2], lower_lip[2]) - 0.45
    meshes = []
    for k, (widths, y) in enumerate(((UPPER, upper_lip[1] - 0.30), (LOWER, lower_lip[1] + 0.02))):
        points, uv, triangles, _ = _row(widths, bool(k))
        flip = np.array([1, -1, 1]) if k else np.ones(3)
        placed = points * scale * flip + [
            0.5 * (resting[13, 0] + resting[14, 0]),
            y,
            front - 0.22 * k,
        ]
        faces = triangles[:, ::-1] if k else triangles
        shade = np.clip(1 - 0.42 * (front + 0.15 - placed[:, 2]), 0.12, 0.85)
        shade = shade * np.clip(1.1 - 0.55 * np.abs(placed[:, 1] - y), 0.3, 1)
        meshes.append(Mesh(jaw(placed) if k else placed, faces, materials[k], uv, shade))
    meshes.append(_tongue(lower_lip, front, jaw, materials[2]))
    meshes.append(_cavity(resting, front, materials[3]))
    return meshes


def _blob(rows=14, columns=20):
    """A closed unit ball: points (V, 3), triangles wound outwards."""
    p, t = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij"
    )
    points = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], -1)
    index = np.arange(p.size).reshape(p.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    quads = [np.stack([a, b, c], -1), np.stack([c, b, d], -1)]
    return points.reshape(-1, 3), np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)


def _tongue(lower_lip, front, jaw, material):
    unit, triangles = _blob()
    centre = np.array([lower_lip[0], lower_lip[1] - 0.75, front - 2.4])
    points = centre + unit * np.array([1.75, 0.72, 1.9])
    points[:, 1] -= 0.18 * np.exp(-((unit[:, 0] / 0.25) ** 2)) * (unit[:, 1] > 0)
    shade = np.clip(0.5 - 0.30 * (front - 0.6 - points[:, 2]), 0.05, 0.5)
    return Mesh(jaw(points), triangles, material, None, shade)


def _cavity(resting, front, material):
    """The dark throat: a bag behind the teeth, seen from inside."""
    unit, triangles = _blob()
    middle = 0.5 * (resting[13] + resting[14])
    centre = np.array([middle[0], middle[1] - 1.0, front - 3.1])
    shade = np.full(len(unit), 0.05)
    return Mesh(
        centre + unit * np.array([2.9, 2.6, 2.5]), triangles[:, ::-1], material, None, shade
    )
