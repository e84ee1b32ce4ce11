"""Where is the head? A weak-perspective camera for 68 landmarks, and landmarks calmed in time.

The head's own frame: the origin lies between the outer eye corners, x to the picture's right (the
person's left), y down, z out of the face towards the camera; the unit is the distance between the
outer eye corners, about 9 cm.
"""

from typing import NamedTuple

import numpy as np

import hmdlib

# One half of an average face, in the head's frame: the median over some hundred portraits of their
# landmarks, turned to the front and mirrored. The other half follows in `_mirrored`.
_JAW = [
    (-0.82, 0.08, -0.57), (-0.82, 0.26, -0.63), (-0.81, 0.44, -0.64), (-0.79, 0.62, -0.61),
    (-0.74, 0.82, -0.54), (-0.67, 0.97, -0.43), (-0.47, 1.18, -0.20), (-0.27, 1.31, -0.02),
]  # fmt: skip
_BROW = [(-0.66, -0.15, 0.00), (-0.59, -0.21, 0.10), (-0.47, -0.25, 0.18), (-0.33, -0.24, 0.25),
         (-0.16, -0.22, 0.28)]  # fmt: skip
_BRIDGE = [(0, -0.04, 0.27), (0, 0.12, 0.38), (0, 0.27, 0.51), (0, 0.37, 0.54)]
_NOSTRILS = [(-0.20, 0.48, 0.27), (-0.10, 0.51, 0.31)]
_EYE_ABOVE = [(-0.50, 0.00, 0.00), (-0.43, -0.05, 0.08), (-0.32, -0.05, 0.10), (-0.20, 0.02, 0.06)]
_EYE_BELOW = [(-0.30, 0.02, 0.08), (-0.41, 0.03, 0.06)]
_LIP_ABOVE = [(-0.37, 0.72, 0.02), (-0.28, 0.69, 0.17), (-0.11, 0.67, 0.29)]
_LIP_BELOW = [(-0.11, 0.91, 0.22), (-0.27, 0.83, 0.12)]


def _mirrored(points):
    """The same points on the other side of the face, in reverse order."""
    return [(-x, y, z) for x, y, z in reversed(points)]


def _average_face():
    """The 68 points of an average face in the head's frame, (68, 3), iBUG-68 order."""
    eye_right = _mirrored(_EYE_ABOVE) + _mirrored(_EYE_BELOW)
    lips = _LIP_ABOVE + [(0, 0.68, 0.30)] + _mirrored(_LIP_ABOVE) + _mirrored(_LIP_BELOW)
    inner = [(-0.34, 0.73, 0.04), (-0.18, 0.72, 0.19)]
    inner_below = [(0.17, 0.81, 0.16), (0, 0.83, 0.21), (-0.17, 0.81, 0.16)]
    return np.array(
        _JAW + [(0, 1.36, 0.06)] + _mirrored(_JAW) + _BROW + _mirrored(_BROW)
        + _BRIDGE + _NOSTRILS + [(0, 0.52, 0.33)] + _mirrored(_NOSTRILS)
        + _EYE_ABOVE + _EYE_BELOW + eye_right
        + lips + [(0, 0.92, 0.24)] + _LIP_BELOW
        + inner + [(0, 0.74, 0.24)] + _mirrored(inner) + inner_below
    )  # fmt: skip


AVERAGE_FACE = _average_face()

# How far each landmark can be trusted to sit still on the skull: brows, lips and chin move, and
# detectors slide the jaw line along the cheek as the head turns. The ends of the jaw, by the ears,
# lie far behind the eyes and so tell a nod best.
RIGIDITY = np.array([0.5] * 2 + [0.3] * 13 + [0.5] * 2 + [0.5] * 10 + [1.0] * 21 + [0.4] * 20)


class Pose(NamedTuple):
    """Weak-perspective cameras of N heads: pixel = scale * (rotation @ point)[:2] + origin."""

    scale: np.ndarray  # (N,) pixels for one unit
    rotation: np.ndarray  # (N, 3, 3), head's frame -> camera's frame
    origin: np.ndarray  # (N, 2) pixels: where the head's origin is seen

    def project(self, points):
        """points (..., P, 3) in the head's frame -> (N, P, 3): x, y in pixels, and depth to the
        camera in the same scale, larger = nearer."""
        seen = self.scale[:, None, None] * (points @ np.swapaxes(self.rotation, 1, 2))
        seen[..., :2] += self.origin[:, None]
        return seen


def fit(landmarks, rounds=3):
    """The pose of each head: least squares of the average face against 68 landmarks.

    landmarks: (N, 68, 2) pixels, tensor or array. Starts from the best affine camera (linear),
    keeps its nearest rotation, and refines turn, scale and place by Gauss-Newton steps; own
    derivation.
    Raises InputError when a frame has no face (NaN) or the shape is another one.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise hmdlib.InputError(f"landmarks: shape {landmarks.shape}, but (N, 68, 2) is needed")
    missing = np.flatnonzero(~np.isfinite(landmarks).all(axis=(1, 2)))
    if len(missing):
        raise hmdlib.InputError(
            f"landmarks: no face in frame {missing[0]} ({len(missing)} of {len(landmarks)} "
            "frames); leave these frames out first"
        )
    pose = _affine_start(landmarks)
    for _ in range(rounds):
        pose = _gauss_newton(pose, landmarks)
    return pose


def yaw(landmarks):
    """How far each head is turned aside, in degrees: (N, 68, 2) pixels -> (N,).

    0 looks into the camera, positive towards the picture's right. Of a turn taken as nod, then yaw,
    then tilt in the picture: how far the line from eye to eye leaves the picture's plane.
    """
    return np.degrees(np.arcsin(np.clip(-fit(landmarks).rotation[:, 2, 0], -1, 1)))


def _affine_start(landmarks):
    """The affine camera by linear least squares, and the rotation and scale nearest to it."""
    points = np.concatenate([AVERAGE_FACE, np.ones((68, 1))], axis=1) * RIGIDITY[:, None]
    camera = np.linalg.pinv(points) @ (landmarks * RIGIDITY[:, None])  # (N, 4, 2)
    axes = np.swapaxes(camera[:, :3], 1, 2)  # (N, 2, 3)
    left, sizes, right = np.linalg.svd(axes, full_matrices=False)
    two = left @ right  # the two rows of a rotation
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], axis=1)
    return Pose(sizes.mean(axis=1), rotation, camera[:, 3])


def _gauss_newton(pose, landmarks):
    """One step of weighted least squares in turn (3), log scale (1) and place (2)."""
    seen = pose.project(AVERAGE_FACE)
    x, y = np.moveaxis(seen[..., :2] - pose.origin[:, None], -1, 0)
    z, zero, one = seen[..., 2], np.zeros_like(x), np.ones_like(x)
    # A small turn w moves a point p by w x p; what is seen of it are two coordinates.
    slope_x = np.stack([zero, z, -y, x, one, zero], axis=-1)
    slope_y = np.stack([-z, zero, x, y, zero, one], axis=-1)
    slope = np.concatenate([slope_x, slope_y], axis=1)  # (N, 136, 6)
    weighted = slope * np.tile(RIGIDITY**2, 2)[:, None]
    error = np.swapaxes(landmarks - seen[..., :2], 1, 2).reshape(-1, 136, 1)
    normal = np.swapaxes(weighted, 1, 2) @ slope
    step = np.linalg.solve(normal + 1e-9 * np.eye(6), np.swapaxes(weighted, 1, 2) @ error)[..., 0]
    rotation = _turn(step[:, :3]) @ pose.rotation
    return Pose(pose.scale * np.exp(step[:, 3].clip(-1, 1)), rotation, pose.origin + step[:, 4:])


def _turn(vectors):
    """Rotation matrices (N, 3, 3) about each vector by its length in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = (vectors / np.maximum(angle[:, 0], 1e-12)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def smooth(landmarks, times=None, width=0.12):
    """Landmarks without the detector's jitter: at each moment, a parabola through its neighbours.

    landmarks: (T, 68, 2) pixels in temporal order, tensor or array; the same kind comes back.
    times: (T,) seconds; without them, 30 frames a second. width: the Gaussian's sigma in seconds.
    A local parabola, unlike a local mean, follows a nod at full swing. Frames without a face (NaN)
    are skipped by their neighbours and stay NaN.
    """
    import torch

    values = np.asarray(landmarks, np.float64).reshape(len(landmarks), -1)
    times = np.arange(len(values)) / 30 if times is None else np.asarray(times, np.float64)
    there, result = np.isfinite(values).all(axis=1), np.full_like(values, np.nan)
    for now in np.flatnonzero(there):
        first, last = np.searchsorted(times, [times[now] - 3 * width, times[now] + 3 * width])
        near = np.arange(first, last)[there[first:last]]
        result[now] = _local_parabola((times[near] - times[now]) / width, values[near])
    result = result.reshape(np.shape(landmarks)).astype(np.float32)
    return torch.from_numpy(result) if isinstance(landmarks, torch.Tensor) else result


def _local_parabola(offsets, values):
    """The value at 0 of the Gaussian-weighted least-squares parabola through (offsets, values)."""
    powers = offsets[:, None] ** np.arange(min(3, len(offsets)))
    root = np.exp(-(offsets**2) / 4)[:, None]  # the square root of the weights
    return np.linalg.lstsq(powers * root, values * root, rcond=None)[0][0]
