"""A synthetic person's head: an identity from a seed, posed with an expression.

Rest frame: cm, origin as in the canonical mesh (between the ears, at the height of the nose root's
lower end), x to the picture's right (the person's left), y up, z towards the camera.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hmdlib.detectors import MEDIAPIPE_TO_68

from . import eyes, mouth
from .ears import ears
from .expression import deform, open_jaw
from .raster import SKIN, Material, Mesh
from .shade_bake import ambient_occlusion
from .shape import draw_traits, shaped_face
from .skin import Complexion, paint, tone
from .topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, NECK_DOWN, OVAL, SKULL_RINGS, cage
from .visibility import vertex_normals

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
    """Who somebody is: the same seed gives the same person.

    face (468, 3): resting landmarks, cm; cage (V, 3): the whole control mesh at rest; male in
    [0, 1] and age in years lean shape, skin and hair; hair_colour and brows are linear colours.
    """

    seed: int
    male: float
    age: float
    traits: dict
    face: np.ndarray
    cage: np.ndarray
    look: Complexion
    eye_colour: str
    ear: dict
    skin: Material
    ear_skin: Material
    eye: Material
    cornea: Material
    flesh: Material

    @property
    def hair_colour(self):
        """Linear colour (3,) of the person's hair."""
        return self.look.hair

    @staticmethod
    def from_seed(seed, texture_size=512):
        """A person. texture_size: 512 or 1024 for videos, 256 for crowds of small faces."""
        generator = np.random.default_rng([seed, 1])
        male = float(np.clip(generator.beta(0.5, 0.5), 0.05, 0.95))
        age = float(19 + 50 * generator.beta(1.3, 1.9))
        strengths = draw_traits(generator, male, age)
        face = shaped_face(strengths, generator)
        look, eye_colour = draw_look(generator, seed, male, age)
        ear = dict(
            size=generator.normal(1.04 + 0.05 * male, 0.05),
            flare=float(np.clip(generator.normal(0.42, 0.12), 0.2, 0.75)),
            lobe=generator.uniform(0.75, 1.25),
        )
        red = tone(look.melanin) * np.exp(-(look.blood + 0.4) * np.array([0.06, 0.62, 0.50]))
        return Identity(
            seed,
            male,
            age,
            strengths,
            face,
            whole_cage(face),
            look,
            eye_colour,
            ear,
            paint(look, texture_size),
            Material(red, 0.5, 0.028, subsurface=1.0 - 0.45 * look.melanin, label=SKIN),
            eyes.eye_material(generator, eye_colour, age, 256 if texture_size > 256 else 128),
            eyes.cornea_material(),
            Material(red * [1.0, 0.78, 0.76], 0.3, 0.04, subsurface=0.8, label=SKIN),
        )


HAIR_COLOURS = {
    "black": (0.012, 0.010, 0.009),
    "dark brown": (0.030, 0.018, 0.011),
    "brown": (0.065, 0.036, 0.019),
    "light brown": (0.13, 0.078, 0.042),
    "blond": (0.30, 0.20, 0.105),
    "red": (0.19, 0.066, 0.022),
}


def draw_look(generator, seed, male, age):
    """A complexion and an eye colour that go together: (Complexion, key of IRIS_COLOURS)."""
    melanin = float(np.clip(generator.beta(1.0, 1.5), 0.03, 0.93))
    fair = np.clip(1 - melanin / 0.38, 0, 1)
    names = list(HAIR_COLOURS)
    odds = np.array(
        [0.9 - 0.75 * fair, 0.7, 0.75 * fair + 0.05, 0.6 * fair, 0.6 * fair, 0.18 * fair]
    )
    hair = np.array(HAIR_COLOURS[names[generator.choice(len(names), p=odds / odds.sum())]])
    grey = np.clip((age - 48) / 28, 0, 0.85) * generator.uniform(0.3, 1)
    hair = (1 - grey) * hair + grey * np.array([0.30, 0.30, 0.30])
    iris = ("dark", "brown", "hazel", "green", "blue", "grey")
    odds = np.array(
        [0.9 - 0.88 * fair, 0.6, 0.25 * fair + 0.02, 0.25 * fair, 0.5 * fair, 0.2 * fair]
    )
    man = male > 0.5
    look = Complexion(
        seed=seed,
        melanin=melanin,
        blood=float(generator.uniform(0.12, 0.42)),
        freckles=float(fair * generator.uniform(0, 1) ** 2),
        age=age,
        male=male,
        stubble=float(generator.uniform(0.0, 0.55) if man else 0.0),
        hair=hair,
        brow_density=float(generator.uniform(0.8, 1.35) if man else generator.uniform(0.65, 1.1)),
        brow_thickness=float(generator.uniform(0.9, 1.3) if man else generator.uniform(0.6, 0.95)),
        brow_arch=float(generator.normal(-0.2, 0.35) if man else generator.normal(0.35, 0.35)),
        lip_colour=float(generator.uniform(0.1, 0.45) if man else generator.uniform(0.35, 1.0)),
        makeup=float(0 if man else generator.uniform(0, 0.5)),
    )
    return look, iris[generator.choice(len(iris), p=odds / odds.sum())]


def whole_cage(face):
    """The control mesh (V, 3) of a head with this face: skull, jaw and neck follow its outline."""
    net = cage()
    points = net.vertices.copy()
    before = points[list(OVAL)]
    points[:468] = face
    shift = face[list(OVAL)] - before
    scale = (face[454, 0] - face[234, 0]) / (before[8, 0] - before[26, 0])
    for j, row in enumerate(net.rings):
        fade = np.clip(1 - (j + 1) / (SKULL_RINGS - 2), 0, 1)
        skull = points[row] * np.array([1 + 0.75 * (scale - 1) * (fade > 0), 1, 1])
        blend = fade**0.7
        points[row] = skull + blend**2 * (shift - (before * [0.75 * (scale - 1), 0, 0]))
    return follow_face(points)


def follow_face(points):
    """Place the lid margins and the inner lips, in place, behind the rims that they belong to."""
    net = cage()
    for rows, contour in zip(net.lids, (EYE_RIGHT, EYE_LEFT), strict=True):
        ring = points[list(contour)]
        middle = ring.mean(0)
        points[rows] = ring + 0.05 * (middle - ring) * [1, 1, 0] - [0, 0, 0.24]
    rim = points[list(LIPS_INNER)]
    lip = points[[13] * 11 + [14] * 9]  # roll the lips in and away from each other
    part = np.sign(np.arange(20) - 10.0)
    part[[0, 10]] = 0
    inward = np.abs(part) * (1 - np.abs((rim[:, 0] - lip[:, 0]) / 2.4) ** 4).clip(0, 1)
    points[net.lips[0]] = rim - [0, 0, 0.3] + 0.07 * (part * inward)[:, None] * [0, 1, 0]
    points[net.lips[1]] = (
        rim * [0.97, 1, 1] - [0, 0, 1.1] - 0.15 * (part * inward)[:, None] * [0, 1, 0]
    )
    return points


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
    uv = surface_uv()
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


@lru_cache(maxsize=1)
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
        arm * np.cos(part)
        + across * np.sin(part)
        + axis * (arm @ axis)[:, None] * (1 - np.cos(part))
    )
    return turned + PIVOT + np.asarray(translation, float)


def express(identity, expression):
    """Landmarks (468, 3) and cage (V, 3) of an identity with an expression, in the rest frame."""
    face = deform(identity.face, expression)
    points = identity.cage.copy()
    points[:468] = face
    moved = face[list(OVAL)] - identity.face[list(OVAL)]
    for j, row in enumerate(cage().rings[: SKULL_RINGS - 1]):
        points[row] += moved * np.clip(1 - (j + 1) / (SKULL_RINGS - 3), 0, 1) ** 1.5
    return face, follow_face(points)


def pose(identity, expression=None, head_rotation=(0.0, 0.0, 0.0), translation=(0.0, 0.0, -70.0)):
    """The head in camera space. Returns (meshes, strands, truth).

    expression: dict of floats (see expression.py); head_rotation: yaw, pitch, roll in degrees;
    translation: where the rest frame's origin goes, cm; the neck's lower end only translates.
    truth: dict with landmarks (68, 3) cm in camera space, and rotation, translation of the skull.
    """
    expression = expression or {}
    net = cage()
    face, points = express(identity, expression)
    points = turn_head(points, skin_weights(), head_rotation, translation)
    vertices = np.asarray(net.surface @ points.astype(np.float32))
    meshes = [Mesh(vertices, net.faces, identity.skin, surface_uv(), ambient_occlusion())]
    turn, shift = skull = head_transform(head_rotation, translation)
    parts, strands = _parts(identity, face, expression)
    for mesh in parts:
        mesh.vertices = (mesh.vertices @ turn.T + shift).astype(np.float32)
        meshes.append(mesh)
    for strand in strands:
        strand.points = (strand.points @ turn.T + shift).astype(np.float32)
    truth = dict(landmarks=landmarks(vertices), rotation=skull[0], translation=skull[1])
    return meshes, strands, truth


def landmarks(vertices):
    """The 68 landmarks (68, 3) of a surface whose first 468 vertices are MediaPipe's.

    The chin's vertex lies under the chin's edge; detectors mark the edge a little higher (by 0.09
    inter-ocular distances on our heads), on the way to the next vertex above, 175.
    """
    points = vertices[MEDIAPIPE_TO_68].mean(1)  # as a detector's pairs become 68 points
    points[8] = 0.35 * vertices[152] + 0.65 * vertices[175]
    return points


@lru_cache(maxsize=1)
def surface_uv():
    return np.asarray(cage().surface @ cage().uv.astype(np.float32))


def _parts(identity, face, expression):
    """Eyes, ears, mouth as meshes and lashes as strands, in the rest frame of the skull."""
    gaze = expression.get("gaze_yaw", 0.0), expression.get("gaze_pitch", 0.0)
    rest = identity.face
    meshes, strands = [], []
    for side in ("right", "left"):
        meshes += eyes.eye_meshes(rest, face, side, gaze, identity.eye, identity.cornea)
        closed = float(np.clip(expression.get(f"blink_{side}", 0.0), 0, 1))
        points, triangles = eyes.caruncle(face, side)
        meshes.append(Mesh(points, triangles, identity.flesh, None, np.full(len(points), 0.42)))
        strands.append(eyes.lashes(face, side, identity.seed, lash_colour(identity), closed))
    root = identity.cage[cage().rings[2, 8]] * [1, 0, 1] + [-0.35, 1.1, -0.9]
    points, triangles, shade, uv = ears(root, **identity.ear)
    meshes.append(Mesh(points, triangles, identity.ear_skin, uv, shade))

    def jaw(points):
        return open_jaw(points, 1.0, expression.get("jaw_open", 0.0))

    if expression.get("jaw_open", 0) > 0.01 or face[13, 1] - face[14, 1] > 0.03:
        meshes += mouth.mouth_meshes(rest, jaw, mouth.mouth_materials())
    return meshes, strands


def lash_colour(identity):
    """Lashes are darker than the hair, and darker still with make-up."""
    return np.minimum(identity.look.hair, 0.05) * (0.5 - 0.4 * identity.look.makeup)
