"""The control cage of a head, and the smooth surface that it spans.

The cage is MediaPipe's canonical face mesh (Apache-2.0, see NOTICE; 468 vertices, vertex i is
landmark i) with the eyes and the mouth opened, lid margins and lips turned inwards, and rings that
run from the face's oval over skull and jaw down the neck to the collar. Two Loop subdivisions
(Loop, 1987) are one sparse matrix, so posing the cage poses the surface by a product.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .torso import body

EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LIPS_INNER = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
LIPS_OUTER = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288),
    *(397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136),
    *(172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The face's outline, from the top of the forehead over the person's left side round."""

SKULL_RINGS = 11
NECK_DOWN = (-0.4, -0.15, 0.0, 0.1, 0.22, 0.34, 0.46)
"""Where the last rings lie on the torso (see torso.body)."""


class Cage(NamedTuple):
    """The head's control mesh at rest.

    vertices (V, 3) cm; uv (V, 2), one map for the whole head with the face in its middle;
    triangles (T, 3); lids: rows of the two inner lid rings, (2, 16) right then left; lips: rows of
    the rings behind the lips (2, 20); rings (R, 36) rows of skull and neck, ring by ring;
    surface: sparse (N, V), the smooth surface's vertices from the cage's; the first 468 rows are
    still the landmarks; faces (F, 3) its triangles.
    """

    vertices: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    lids: np.ndarray
    lips: np.ndarray
    rings: np.ndarray
    surface: sparse.csr_matrix
    faces: np.ndarray


@lru_cache(maxsize=1)
def canonical():
    """MediaPipe's mesh: vertices (468, 3) cm, uv (468, 2) with v down, triangles (898, 3)."""
    with np.load(Path(__file__).parent / "canonical_face.npz") as file:
        triangles = file["triangles"].astype(np.int32)
        return file["vertices"].astype(float), file["uv"].astype(float), triangles


def _hole(triangles, contour):
    """Triangles without those that lie wholly inside a closed contour."""
    return triangles[~np.isin(triangles, contour).all(1)]


def _strip(outer, inner):
    """Triangles between two closed rings of equal length."""
    a, b = np.asarray(outer), np.asarray(inner)
    a2, b2 = np.roll(a, -1), np.roll(b, -1)
    return np.concatenate([np.stack([a, b, a2], 1), np.stack([a2, b, b2], 1)]).astype(np.int32)


def _ellipsoid(p, centre, radii, power=2.0):
    """Signed distance to an ellipsoid, roughly; a power above 2 makes it boxier."""
    q = (p - centre) / radii
    k0 = (np.abs(q) ** power).sum(-1) ** (1 / power)
    return k0 * (k0 - 1) / (np.linalg.norm(q / radii, axis=-1) + 1e-9)


def _head_distance(p):
    """Signed distance to skull, jaw and neck blended together, roughly (cm)."""
    parts = [
        _ellipsoid(p, np.array([0, 4.3, -3.9]), np.array([7.6, 8.7, 9.5]), 2.35),
        _ellipsoid(p, np.array([0, -2.6, -1.5]), np.array([6.9, 7.4, 6.0])),
        _ellipsoid(p, np.array([0, -14.0, -6.0]), np.array([5.6, 22.0, 5.0])),
    ]
    return -np.log(sum(np.exp(-1.1 * d) for d in parts)) / 1.1


def _onto_head(p):
    """Move points to the nearest place on the head's surface."""
    for _ in range(6):
        step = 1e-3 * np.eye(3)
        distance = _head_distance(p)
        slope = np.stack([(_head_distance(p + s) - distance) / 1e-3 for s in step], -1)
        p = p - 0.8 * distance[..., None] * slope / (slope**2).sum(-1, keepdims=True)
    return p


def _ring_points(oval):
    """Skull and neck rings (R, 36, 3): paths from the face's oval to the collar.

    The top of the oval travels over the crown and down the nape, the chin under the jaw to the
    throat, the sides behind the ears: there is no pole anywhere.
    """
    turn = np.linspace(0, 2 * np.pi, len(oval), endpoint=False)
    neck = np.stack([body(np.pi - turn, down) for down in NECK_DOWN])
    up = ((1 + np.cos(turn)) / 2)[:, None]
    high, low = up**1.5 * np.array([0, 7.0, -6.0]), (1 - up) * np.array([0, -0.8, -2.0])
    nape, throat = up * np.array([0, 12.0, -9.0]), (1 - up) * np.array([0, 2.5, 0.8])
    first, second = oval + high + low, neck[0] + nape + throat
    s = (np.arange(1, SKULL_RINGS + 1) / (SKULL_RINGS + 1))[:, None, None]
    path = (1 - s) ** 3 * oval + 3 * s * (1 - s) ** 2 * first
    path = path + 3 * s**2 * (1 - s) * second + s**3 * neck[0]
    skull = _onto_head(path)
    offset = oval - _onto_head(oval)
    skull = skull + np.clip(1 - s / 0.3, 0, 1) ** 2 * offset
    tail = np.clip((s - 0.7) / 0.3, 0, 1) ** 2 * (neck[0] - _onto_head(neck[0]))
    return np.concatenate([skull + tail, neck])


def _ring_uv(oval_uv, rings):
    """Texture coordinates of the rings: outwards from the face's oval to the square's border."""
    away = oval_uv - 0.5
    border = 0.5 + away * (0.499 / np.abs(away).max(1, keepdims=True))
    t = (np.arange(1, rings + 1) / rings)[:, None, None]
    return oval_uv + t * (border - oval_uv)


@lru_cache(maxsize=1)
def cage():
    """The head's control mesh and its surface. Returns a Cage."""
    vertices, uv, triangles = canonical()
    uv = 0.5 + (uv - np.array([0.5, 0.53])) * np.array([0.62, 0.62])
    for contour in (EYE_RIGHT, EYE_LEFT, LIPS_INNER):
        triangles = _hole(triangles, contour)
    points, coordinates, parts, count = [vertices], [uv], [triangles], len(vertices)
    lids, lips = [], []
    for contour, shrink, back in (
        (EYE_RIGHT, 0.92, 0.22),
        (EYE_LEFT, 0.92, 0.22),
        (LIPS_INNER, 0.97, 0.45),
        (LIPS_INNER, 0.97, 1.3),
    ):
        ring = vertices[list(contour)]
        inner = ring.mean(0) + (ring - ring.mean(0)) * [shrink, shrink, 1] - [0, 0, back]
        rows = np.arange(count, count + len(contour))
        outer = lips[-1] if contour is LIPS_INNER and lips else contour
        flat = coordinates[0][list(contour)]
        points.append(inner)
        coordinates.append(flat.mean(0) + (flat - flat.mean(0)) * (0.85 if len(lips) < 1 else 0.6))
        parts.append(_oriented(_strip(outer, rows), np.concatenate(points)))
        (lips if contour is LIPS_INNER else lids).append(rows)
        count += len(contour)
    ring_points = _ring_points(vertices[list(OVAL)])
    rings = np.arange(count, count + ring_points[..., 0].size).reshape(ring_points.shape[:2])
    points.append(ring_points.reshape(-1, 3))
    coordinates.append(_ring_uv(uv[list(OVAL)], len(rings)).reshape(-1, 2))
    for outer, inner in zip([np.array(OVAL), *rings[:-1]], rings, strict=True):
        parts.append(_strip(outer, inner)[:, ::-1])
    points, triangles = np.concatenate(points), np.concatenate(parts)
    surface, faces = subdivision(triangles, len(points), levels=2)
    return Cage(
        points,
        np.concatenate(coordinates),
        triangles,
        np.array(lids),
        np.array(lips),
        rings,
        surface,
        faces,
    )


def _oriented(strip, points):
    """A strip that leads inwards from a hole's rim, wound so that it faces the hole's middle."""
    corners = points[strip]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean((0, 1))
    wrong = (normal[:, :2] * (middle - corners.mean(1))[:, :2]).sum(1).sum() < 0
    return strip[:, ::-1].copy() if wrong else strip


def subdivision(triangles, count, levels):
    """Loop subdivision as a matrix: returns sparse (N, count) and the fine triangles (F, 3)."""
    total = sparse.identity(count, format="csr")
    for _ in range(levels):
        step, triangles = _subdivide_once(triangles, total.shape[0])
        total = step @ total
    return total.tocsr().astype(np.float32), triangles.astype(np.int32)


def _subdivide_once(triangles, count):
    """One Loop step: matrix (count + edges, count) and triangles (4 T, 3)."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, index, uses = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    border = uses == 1
    opposite = triangles[:, [2, 0, 1]].reshape(-1)
    rows = np.arange(len(edges))
    weight = np.where(border, 0.5, 0.375)
    inner = ~border[index]
    odd = sparse.coo_matrix(
        (
            np.concatenate([weight, weight, np.full(inner.sum(), 0.125)]),
            (
                np.concatenate([rows, rows, index[inner]]),
                np.concatenate([edges[:, 0], edges[:, 1], opposite[inner]]),
            ),
        ),
        shape=(len(edges), count),
    )
    matrix = sparse.vstack([_even_rows(edges, border, count), odd]).tocsr()
    e = index.reshape(-1, 3) + count
    a, b, c = triangles.T
    ab, bc, ca = e.T
    fine = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return matrix, np.concatenate([np.stack(f, 1) for f in fine])


def _even_rows(edges, border, count):
    """How the old vertices move: a border smooths along itself, the rest among its neighbours."""
    both = np.concatenate([edges, edges[:, ::-1]])
    rim = np.concatenate([border, border])
    on_rim = np.zeros(count, bool)
    on_rim[edges[border].ravel()] = True
    valence = np.bincount(both[:, 0], minlength=count)
    beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / np.maximum(valence, 3))) ** 2) / np.maximum(
        valence, 1
    )
    keep = np.where(on_rim[both[:, 0]], rim, True)
    both, rim = both[keep], rim[keep]
    weight = np.where(on_rim[both[:, 0]], 0.125, beta[both[:, 0]])
    centre = np.where(on_rim, 0.75, 1 - valence * beta)
    rows = np.concatenate([both[:, 0], np.arange(count)])
    columns = np.concatenate([both[:, 1], np.arange(count)])
    values = np.concatenate([weight, centre])
    return sparse.coo_matrix((values, (rows, columns)), shape=(count, count))
