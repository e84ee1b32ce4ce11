"""Ambient occlusion of the resting head, baked once per process."""

from functools import lru_cache

import numpy as np

from .raster import shadow_frame
from .shape import resting_face
from .topology import cage
from .visibility import fill_triangles, vertex_normals


@lru_cache(maxsize=1)
def ambient_occlusion(directions=96, resolution=320):
    """Share of the sky that each vertex of the head's surface sees (N,), cosine-weighted.

    All heads share it: where the folds lie hardly depends on who somebody is.
    """
    net = cage()
    points = net.vertices.copy()
    points[:468] = resting_face()
    vertices = np.asarray(net.surface @ points.astype(np.float32))
    normals = vertex_normals(vertices, net.faces)
    k = np.arange(directions) + 0.5
    z, turn = 1 - 2 * k / directions, np.pi * (1 + 5**0.5) * k
    sphere = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], 1)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    radius = np.linalg.norm(vertices - centre, axis=1).max() + 0.1
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    both = np.ones(len(net.faces), bool)
    for direction in sphere:
        frame = shadow_frame(direction, centre, radius, resolution).astype(np.float32)
        screen = vertices @ frame[:, :3].T + frame[:, 3]
        depth = np.zeros((resolution, resolution), np.float32)
        fill_triangles(depth, np.empty(depth.shape, np.int32), screen, net.faces, both)
        column, row = screen[:, :2].astype(int).clip(0, resolution - 1).T
        cosine = np.maximum(normals @ direction, 0)
        seen += cosine * (depth[row, column] < screen[:, 2] + 0.35)
        total += cosine
    return (0.06 + 0.94 * seen / total).astype(np.float32)
