"""Small videos for the tests: a face of known landmarks that moves over a coloured ground."""

import numpy as np

from hmdlib import faces, video


def face(x=0.0, y=0.0, height=100.0, roll=0.0):
    """68 plausible landmarks: chin below the middle of the brows, `height` pixels apart.

    x, y: the point halfway between. roll: degrees, clockwise in the picture. Returns (68, 2).
    """
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.62 * np.cos(turn), -0.3 + 0.8 * np.sin(turn)], axis=1)
    brow = np.array([[-0.5, -0.47], [-0.4, -0.53], [-0.3, -0.54], [-0.2, -0.52], [-0.1, -0.46]])
    brow[:, 1] += -0.5 - brow[:, 1].mean()
    nose = [[0, t] for t in (-0.35, -0.23, -0.11, 0.0)] + [
        [t, 0.07] for t in np.linspace(-0.12, 0.12, 5)
    ]
    eye = np.array(
        [[-0.4, -0.3], [-0.33, -0.34], [-0.26, -0.34], [-0.2, -0.3], [-0.26, -0.27], [-0.33, -0.27]]
    )
    corner = np.linspace(np.pi, -np.pi, 13)[:12]
    lips = np.stack([0.24 * np.cos(corner), 0.25 - 0.08 * np.sin(corner)], axis=1)
    inner = np.linspace(np.pi, -np.pi, 9)[:8]
    mouth = np.stack([0.18 * np.cos(inner), 0.25 - 0.02 * np.sin(inner)], axis=1)
    mirror = [-1, 1]
    left_eye = (eye * mirror)[[3, 2, 1, 0, 5, 4]]
    points = np.concatenate([jaw, brow, (brow * mirror)[::-1], nose, eye, left_eye, lips, mouth])
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return (height * points @ np.array([[cos, sin], [-sin, cos]]) + [x, y]).astype(np.float32)


def picture(landmarks, width, height, ground=(90, 120, 150)):
    """A plain ground with a light square where the face is: (height, width, 3) uint8."""
    image = np.full((height, width, 3), ground, np.uint8)
    if np.isfinite(landmarks).all():
        (x0, y0), (x1, y1) = landmarks.min(axis=0), landmarks.max(axis=0)
        image[max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)] = (220, 180, 160)
    return image


def with_truth(path, landmarks, width=320, height=240, fps=25):
    """Write a clip and, beside it, the sidecar with its landmarks (N, 68, 2); returns the path."""
    video.write(path, (picture(one, width, height) for one in landmarks), fps)
    np.savez(faces.sidecar_path(path), landmarks=np.asarray(landmarks, np.float32))
    return path


def still(count=20, **place):
    """The same face, `count` times: (count, 68, 2)."""
    return np.tile(face(**{"x": 160, "y": 120, "height": 60, **place}), (count, 1, 1))
