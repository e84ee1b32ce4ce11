"""A synthetic person's head: an identity from a seed, posed with an expression.

Rest frame: cm, origin as in the canonical mesh (between the ears, at the height of the nose root's
lower end), x to the picture's right (the person's left), y up, z towards the camera.
"""

from dataclasses import dataclass

import numpy as np

from .raster import Material, Mesh
from .topology import NECK_DOWN, OVAL, SKULL_RINGS, cage
from .visibility import vertex_normals

MEDIAPIPE_TO_68 = (
    *(127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""Which of MediaPipe's landmarks is which of the 68 of iBUG (jaw, brows, nose, eyes, mouth)."""

PIVOT = np.array([0.0, -6.0, -5.0])
"""The joint in the neck about which the head turns, in the rest frame."""


def rotation(yaw, pitch, roll):
    """(3, 3) from degrees. yaw > 0 turns the face to the picture's right, pitch > 0 looks up,
    roll > 0 tilts the head to the picture's right (clockwise)."""
    y, p, r = np.radians([yaw, -pitch, -roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ turn @ nod


def head_transform(head_rotation, translation):
    """(R, t): a point p fixed to the skull in the rest frame goes to R @ p + t in camera space."""
    turn = rotation(*head_rotation)
    return turn, PIVOT - turn @ PIVOT + np.asarray(translation, float)


@dataclass(eq=False)
class Identity:
    """Who somebody is: the same seed gives the same person."""

    seed: int
    cage: np.ndarray
    skin: Material

    @staticmethod
    def from_seed(seed, texture_size=512):
        return Identity(seed, cage().vertices, Material(np.array([0.5, 0.3, 0.22]), 0.45, 0.028, 1.0))


def rest_surface(identity):
    """Vertices (N, 3) and normals of the head's skin at rest."""
    vertices = np.asarray(cage().surface @ identity.cage.astype(np.float32))
    return vertices, vertex_normals(vertices, cage().faces)


def hairline(points):
    """How far inside the hair-bearing skin points (..., 3) of the rest frame are, in cm, signed."""
    x, y, z = np.moveaxis(points, -1, 0)
    around = np.arctan2(np.abs(x), z + 3.0)  # 0 in front, pi at the back
    knots = (0.0, 0.35, 0.62, 0.85, 1.15, 1.3, 1.5, 1.62, 1.8, 2.0, 2.2, np.pi)
    heights = (8.9, 9.1, 9.3, 8.2, 5.6, 4.2, 0.3, 4.4, 5.0, 3.6, -2.5, -6.5)
    return y - np.interp(around, knots, heights)


def scalp(identity, count=30000, seed=0):
    """Hair roots: points (count, 3), outward normals (count, 3), uv (count, 2), in the rest frame.

    Evenly spread over the skin inside the hairline; the same seed gives the same roots in the
    same order, and a prefix of them is also evenly spread. Move them with head_transform.
    """
    generator = np.random.default_rng(seed)
    vertices, normals = rest_surface(identity)
    uv = np.asarray(cage().surface @ cage().uv)
    faces = cage().faces[hairline(vertices[cage().faces].mean(1)) > -0.3]
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    pick = generator.choice(len(faces), 2 * count, p=area / area.sum())
    w = generator.dirichlet(np.ones(3), 2 * count)[..., None]
    points = (w * corners[pick]).sum(1)
    keep = np.flatnonzero(hairline(points) > generator.normal(0.0, 0.15, len(points)))[:count]
    at = [(w[keep] * field[faces[pick[keep]]]).sum(1) for field in (vertices, normals, uv)]
    at[1] = at[1] / np.linalg.norm(at[1], axis=1, keepdims=True)
    return tuple(at)


def skin_weights():
    """How much each cage vertex follows the head's turn: 1 on the head, 0 at the collar (V,)."""
    net = cage()
    weight = np.ones(len(net.vertices))
    turn = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    up = (1 + np.cos(turn)) / 2
    for j, row in enumerate(net.rings):
        if j < SKULL_RINGS:
            s = (j + 1) / (SKULL_RINGS + 1)
            start = 0.2 + 0.4 * up
            t = np.clip((s - start) / (1 - start), 0, 1)
            weight[row] = 1 - 0.4 * t * t * (3 - 2 * t)
        else:
            t = np.clip((0.16 - NECK_DOWN[j - SKULL_RINGS]) / 0.56, 0, 1)
            weight[row] = 0.6 * t * t * (3 - 2 * t)
    return weight


def turn_head(points, weight, head_rotation, translation):
    """Turn cage points about the neck's joint, each by its share of the rotation."""
    turn = rotation(*head_rotation)
    angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    axis = axis / (np.linalg.norm(axis) + 1e-12)
    part = (weight * angle)[:, None]
    arm = points - PIVOT
    across = np.cross(axis, arm)
    turned = (
        arm * np.cos(part) + across * np.sin(part) + axis * (arm @ axis)[:, None] * (1 - np.cos(part))
    )
    return turned + PIVOT + np.asarray(translation, float)


def pose(identity, expression=None, head_rotation=(0.0, 0.0, 0.0), translation=(0.0, 0.0, -70.0)):
    """The head in camera space. Returns (meshes, strands, truth).

    expression: dict of floats (see expression.py); head_rotation: yaw, pitch, roll in degrees;
    translation: where the rest frame's origin goes, cm; the neck's lower end only translates.
    truth: dict with landmarks (68, 3) cm in camera space, and rotation, translation of the skull.
    """
    net = cage()
    points = turn_head(identity.cage, skin_weights(), head_rotation, translation)
    vertices = np.asarray(net.surface @ points.astype(np.float32))
    uv = np.asarray(net.surface @ net.uv)
    meshes = [Mesh(vertices, net.faces, identity.skin, uv)]
    skull = head_transform(head_rotation, translation)
    truth = dict(landmarks=vertices[list(MEDIAPIPE_TO_68)], rotation=skull[0], translation=skull[1])
    return meshes, [], truth
