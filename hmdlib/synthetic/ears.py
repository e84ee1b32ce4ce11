"""A simple ear: one outline, and a relief of helix, antihelix, bowl and lobe over it."""

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

AROUND, ACROSS = 48, 14

#          angle from the top over the front; forwards and up, in cm
OUTLINE = (
    (0.00, -0.35, 3.15),
    (0.45, 0.75, 2.85),
    (0.95, 1.35, 1.75),
    (1.57, 1.30, 0.35),
    (2.20, 1.20, -0.95),
    (2.65, 0.95, -1.95),
    (3.05, 0.35, -2.95),
    (3.45, -0.45, -2.75),
    (3.95, -1.10, -1.55),
    (4.60, -1.75, 0.10),
    (5.20, -2.00, 1.45),
    (5.80, -1.45, 2.70),
)


@lru_cache(maxsize=1)
def ear_shape():
    """Points (V, 3) as forwards, up, outwards in cm; triangles (T, 3); occlusion (V,).

    Wound for the ear on the side of positive x.
    """
    knots = np.array([*OUTLINE, (2 * np.pi + OUTLINE[0][0], *OUTLINE[0][1:])])
    spline = CubicSpline(knots[:, 0], knots[:, 1:], bc_type="periodic")
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    rim = spline(angle)
    middle = np.array([0.15, -0.1])
    t = np.linspace(0, 1, ACROSS)[:, None]
    front = middle + t[..., None] * (rim - middle)
    height, shade = _relief(front, t, angle)
    back = middle + np.array([0.97, 0.75, 0.5])[:, None, None] * (rim - middle)
    rear = np.stack([height[-1] - 0.28, height[-1] - 0.55, np.full(AROUND, -0.75)])
    flat = np.concatenate([front, back]).reshape(-1, 2)
    out = np.concatenate([height, rear]).reshape(-1, 1)
    dark = np.concatenate([shade, np.tile([[0.7], [0.5], [0.25]], (1, AROUND))]).ravel()
    rows = np.arange(len(flat)).reshape(-1, AROUND)
    a, b = rows[:-1], rows[1:]
    a2, b2 = np.roll(a, -1, 1), np.roll(b, -1, 1)
    quads = [np.stack([a, b, a2], -1), np.stack([a2, b, b2], -1)]
    triangles = np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)
    return np.concatenate([flat, out], 1), triangles, dark


def _relief(front, t, angle):
    """Outward height and occlusion of the ear's front, (ACROSS, AROUND) each."""
    forwards, up = front[..., 0], front[..., 1]
    behind = np.clip(0.6 - 1.2 * np.sin(angle), 0, 1) * np.ones_like(t)  # 0 along the cheek
    lobe = np.clip((-1.6 - up) / 0.8, 0, 1)
    top = np.clip((up - 0.3) / 1.5, 0, 1)
    helix = 0.42 * np.exp(-(((t - 0.93) / 0.09) ** 2)) * np.maximum(behind, top) * (1 - lobe)
    groove = -0.2 * np.exp(-(((t - 0.76) / 0.08) ** 2)) * behind * (1 - lobe)
    anti = 0.34 * np.exp(-(((t - 0.56) / 0.12) ** 2)) * behind * (1 - 0.8 * lobe)
    bowl = np.exp(-(((forwards - 0.25) / 0.75) ** 2 + ((up + 0.45) / 0.95) ** 2))
    upper_bowl = 0.3 * np.exp(-(((forwards - 0.3) / 0.6) ** 2 + ((up - 1.3) / 0.55) ** 2))
    tragus = 0.5 * np.exp(-(((forwards - 0.98) / 0.3) ** 2 + ((up + 0.35) / 0.5) ** 2))
    seat = -0.35 * np.clip(np.sin(angle), 0, 1) * t**2  # the cheek side sinks into the head
    height = helix + groove + anti - 0.85 * bowl - upper_bowl + tragus + seat + 0.1 * lobe
    shade = 1 - 0.72 * bowl - 0.4 * upper_bowl / 0.3 + groove * 1.4
    return height, np.clip(shade + 0.2 * np.maximum(helix, anti), 0.12, 1)


def ears(root, size=1.0, flare=0.5, lobe=1.0):
    """Both ears in the head's rest frame: vertices (V, 3), triangles, occlusion, uv (V, 2).

    root: (x, y, z) cm of the ear's middle on the side of positive x; flare: how far the ear's
    back stands off, in radians; lobe: length of the lobe, 1 = usual.
    """
    points, triangles, shade = ear_shape()
    points = points.copy()
    points[:, 1] += (lobe - 1) * np.minimum(points[:, 1] + 1.2, 0)
    forwards, up, out = (points * size).T
    forwards, up = forwards + 0.22 * up, up - 0.1 * forwards  # ears lean back
    forwards = forwards * 1.0 - 0.44 * up
    c, s = np.cos(flare), np.sin(flare)
    hinge = 1.3 * size
    x = out * c - (forwards - hinge) * s
    z = (forwards - hinge) * c + out * s + hinge
    left = np.stack([x, up, z], 1) + root
    right = left * [-1, 1, 1]
    both = np.concatenate([triangles, triangles[:, ::-1] + len(points)])
    uv = np.tile(np.stack([points[:, 0] / 8 + 0.5, 0.5 - points[:, 1] / 8], 1), (2, 1))
    return np.concatenate([left, right]), both, np.tile(shade, 2), uv
