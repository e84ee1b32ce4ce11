"""Is it still this person? The opinion of a face recogniser that knows nothing of this study.

dlib's network (King 2017, as published in the package face_recognition_models) turns an aligned
face into 128 numbers, so that pictures of one person lie near each other: nearer than `SAME` in
99.4 % of the pairs of Labeled Faces in the Wild, where other people's pictures lie farther apart.
"""

import functools
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np
import torch.nn.functional as F

SAME = 0.6
"""Nearer than this, the recogniser takes two pictures for the same person."""


@functools.cache
def _network():
    # found, not imported: that package asks for one that Python no longer comes with
    models = Path(find_spec("face_recognition_models").origin).parent / "models"
    return dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))


def describe(images, landmarks, enlarge=3):
    """The 128 numbers of each face: (N, 128), NaN where there are no landmarks.

    images: (N, 3, S, S) in [0, 1]. landmarks: (N, 68, 2) in pixels; they say where the face is and
    how it is turned, so give an output those of its truth. enlarge: pictures are made so much
    larger first, since dlib's points are whole pixels.
    """
    size = enlarge * images.shape[-1]
    large = F.interpolate(images.clamp(0, 1), size=(size, size), mode="bicubic").clamp(0, 1)
    frames = (255 * large).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    found = np.full((len(images), 128), np.nan)
    for numbers, frame, points in zip(found, frames, np.asarray(landmarks), strict=True):
        if np.isfinite(points).all():
            at = dlib.points([dlib.point(*(int(v) for v in (enlarge * p).round())) for p in points])
            box = dlib.rectangle(0, 0, size - 1, size - 1)
            face = dlib.full_object_detection(box, at)
            numbers[:] = _network().compute_face_descriptor(frame, face)
    return found


def distance(faces, others):
    """How far apart two lots of described faces lie, pair by pair: (N, 128) twice -> (N,)."""
    return np.linalg.norm(faces - others, axis=1)
