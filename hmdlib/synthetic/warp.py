"""Bend a face smoothly by a few handles: the one tool behind shapes and expressions.

Handles are landmarks with a displacement each; between them the displacement is the smoothest
field that fits (a biharmonic spline, kernel r, in three dimensions), so no crease appears that
nobody asked for.
"""

from functools import lru_cache

import numpy as np

from .topology import canonical


@lru_cache(maxsize=1)
def mirror():
    """(468,): the landmark on the other side of the face."""
    points = canonical()[0]
    flipped = points * [-1, 1, 1]
    return np.linalg.norm(points[None] - flipped[:, None], axis=-1).argmin(1)


def both_sides(handles):
    """Handles given for the person's left side (x > 0), with their mirror images added."""
    out = dict(handles)
    for row, (x, y, z) in handles.items():
        other = int(mirror()[row])
        if other != row:
            out[other] = (-x, y, z)
    return out


def field(handles, still=(), reach=None):
    """The smoothest displacement (468, 3) of the face that moves handles so and still not at all.

    handles: {landmark: (x, y, z) cm}; still: landmarks that stay; reach: distance in cm from the
    handles beyond which the field has faded away (None: no limit).
    """
    face = canonical()[0]
    still = [row for row in dict.fromkeys(still) if row not in handles]
    rows = np.array([*handles, *still])
    targets = np.array([*handles.values(), *[(0, 0, 0)] * len(still)], float)
    count = len(rows)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = np.linalg.norm(face[rows][:, None] - face[rows][None], axis=-1)
    system[count, count] = 0
    solved = np.linalg.solve(system, np.concatenate([targets, np.zeros((1, 3))]))
    distance = np.linalg.norm(face[:, None] - face[rows][None], axis=-1)
    moved = distance @ solved[:count] + solved[count]
    if reach is not None:
        near = np.linalg.norm(face[:, None] - face[list(handles)][None], axis=-1).min(1)
        moved *= np.clip(1.5 - near / reach, 0, 1)[:, None]
    return moved


def weight(values, still=(), reach=None):
    """The smoothest scalar field (468,) through {landmark: value}, zero at still."""
    return field({row: (v, 0, 0) for row, v in values.items()}, still, reach)[:, 0]
