"""Three ways to find faces and their 68 landmarks, behind one call."""

import ctypes
import functools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hmdlib import InputError, device, weights
from hmdlib.fan import FAN, S3FD, FaceAlignment
from hmdlib.libraries import load_library, loading, quiet

# The mesh vertices whose mean stands for each iBUG point, one group a line; on the mesh of a
# neutral face the jaw's nine points a side divide the line from the temple (127) to the chin (152)
# evenly.
MEDIAPIPE_TO_68 = np.array([
    (127, 127), (234, 93), (93, 132), (132, 58), (172, 172), (136, 136), (150, 149), (176, 176),
    (152, 152),
    (400, 400), (379, 378), (365, 365), (397, 397), (361, 288), (323, 361), (454, 323), (356, 356),
    (70, 70), (63, 63), (105, 105), (66, 66), (107, 107),          # its right brow, outer end first
    (336, 336), (296, 296), (334, 334), (293, 293), (300, 300),    # its left brow, inner end first
    (168, 6), (197, 197), (5, 5), (1, 4),                          # bridge of the nose to its tip
    (98, 98), (97, 97), (2, 2), (326, 326), (327, 327),            # under the nostrils
    (33, 33), (160, 160), (158, 158), (133, 133), (153, 153), (144, 144),
    (362, 362), (385, 385), (387, 387), (263, 263), (373, 373), (380, 380),
    (61, 61), (39, 39), (37, 37), (0, 0), (267, 267), (269, 269), (291, 291),
    (321, 405), (314, 314), (17, 17), (84, 84), (91, 181),         # lower outer lip, left to right
    (78, 78), (81, 81), (13, 13), (311, 311), (308, 308), (402, 402), (14, 14), (178, 178),
])  # fmt: skip
"""(68, 2): pairs of MediaPipe's 478 points (468 of the face mesh, 10 of the irises)."""

LANDMARKER = "face_landmarker.task"
NO_FACES = np.zeros((0, 68, 2), np.float32)


@dataclass(frozen=True)
class Detector:
    """Finds every face in each of some frames.

    name: "sidecar", "face-alignment" or "mediapipe". note: why this one was taken. Called with
    images (N, H, W, 3) uint8 and the first one's index in the video, it returns a list of N arrays
    (K, 68, 2) float32, K faces each (K may be 0): (x, y) in pixels, where the picture's corner is
    (0, 0) and the first pixel's middle (0.5, 0.5), in iBUG-68 order.
    """

    name: str
    note: str
    find: Callable

    def __call__(self, images, first_index=0):
        return self.find(images, first_index)


def detector(name="auto", video=None):
    """Choose who finds the faces.

    name: "sidecar" (the truth that a synthetic person's video brings along), "face-alignment",
    "mediapipe", or "auto": the first of these that works here. Without a GPU, where face-alignment
    takes seconds a frame, it comes last, unless its weights were put there: nobody is to download
    them and then wait for hours without having asked. video: the video's path, for its sidecar. A
    library that does not load here is passed over, and the note says why; large models load at the
    first call. Raises InputError when none works, saying what each needs.
    """
    makers = {"sidecar": _Sidecar, "face-alignment": FaceAlignment, "mediapipe": _MediaPipe}
    if name != "auto" and name not in makers:
        raise InputError(f"detector={name!r}: choose one of auto, {', '.join(makers)}")
    missing, kinds = [], [*makers] if name == "auto" else [name]
    if device().type == "cpu" and not (weights.at_hand(FAN) and weights.at_hand(S3FD)):
        kinds.sort(key="face-alignment".__eq__)
    for kind in kinds:
        try:
            found = makers[kind](video)
        except InputError as error:
            missing.append(f"{kind}: {error}")
        else:
            note = "asked for" if name != "auto" else "the first that works here"
            return Detector(kind, "; ".join([note, *(f"not {why}" for why in missing)]), found)
    raise InputError(f"detector={name!r} does not work here. " + " | ".join(missing))


def sidecar_path(video):
    """Where a synthetic person's truth lies: session_1.mp4 -> session_1.truth.npz."""
    return Path(video).with_suffix(".truth.npz")


class _Sidecar:
    """The landmarks that the renderer wrote beside its video."""

    def __init__(self, video):
        path = None if video is None else sidecar_path(video)
        if path is None or not path.is_file():
            raise InputError(f"{path or 'no video given'}: no sidecar with the truth")
        try:
            with np.load(path, allow_pickle=False) as truth:
                self.landmarks = truth["landmarks"].astype(np.float32)  # (N, 68, 2)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not a readable sidecar ({error}); render it again") from None

    def __call__(self, images, first_index):
        points = self.landmarks[first_index : first_index + len(images)]
        found = [one[None] if np.isfinite(one).all() else NO_FACES for one in points]
        return found + [NO_FACES] * (len(images) - len(found))


class _MediaPipe:
    """MediaPipe's landmarker: 478 points, some 10 ms a frame; up to five faces, so that a bystander
    in front does not hide the person.

    It sees no face below some eighth of the picture's width, and misses some that turn aside. So
    where the largest face was before and is no more, that place is searched; where no face is at
    all, now and then overlapping squares of the picture are. first_index 0 begins a new video: what
    was seen before it is forgotten.
    """

    def __init__(self, video=None):
        self.path = usable_landmarker()
        self.place, self.misses = None, 0

    def __call__(self, images, first_index):
        if first_index == 0:
            self.place, self.misses = None, 0
        return [self._search(image) for image in images]

    def _search(self, image):
        height, width = image.shape[:2]
        faces = self._find(image, (0, 0, width, height))
        if self.place is not None and not _any_within(faces, self.place):
            faces = np.concatenate([self._find(image, self.place), faces])
        if not len(faces) and max(height, width) > 400 and self.misses % 10 < 2:
            faces = self._search_squares(image)
        self.misses = 0 if len(faces) else self.misses + 1
        if len(faces):
            self.place = _around(faces, width, height)
        return faces

    def _search_squares(self, image):
        for divide in (1, 2):
            found = [self._find(image, square) for square in _squares(image.shape, divide)]
            found = np.concatenate([NO_FACES, *found])
            if len(found):
                return _without_doubles(found)
        return NO_FACES

    def _find(self, image, part):
        """Faces in the part left, top, right, bottom of a picture."""
        left, top, right, bottom = part
        points = _meshes(self.path, image[top:bottom, left:right])
        return mesh_to_68(points + np.float32([left, top])) if len(points) else NO_FACES


def usable_landmarker():
    """The path of MediaPipe's model file, once it is sure that both work here; else InputError."""
    load_library("mediapipe")  # first, so that nothing is downloaded in vain
    path = weights.find(LANDMARKER)
    _landmarker(path)  # it finds graphics libraries only now
    return path


def mesh_to_68(mesh):
    """iBUG's 68 points from MediaPipe's 478: (N, 478, 2) -> (N, 68, 2)."""
    return mesh[:, MEDIAPIPE_TO_68].mean(axis=2)


def largest_mesh(images):
    """MediaPipe's 478 points of the largest face of each picture, NaN where it finds none.

    images: (N, H, W, 3) uint8. Returns (N, 478, 2) float32, pixels. Raises InputError where the
    model file is not at hand, or MediaPipe does not load here.
    """
    path = usable_landmarker()
    largest = np.full((len(images), 478, 2), np.nan, np.float32)
    for one, image in zip(largest, images, strict=True):
        found = _meshes(path, image)
        if len(found):
            one[:] = found[np.ptp(found[..., 0], axis=1).argmax()]
    return largest


def _meshes(path, image):
    """Every face that the landmarker at `path` sees: (K, 478, 2) pixels of the picture."""
    import mediapipe

    picture = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image))
    found = _landmarker(path).detect(picture).face_landmarks
    points = np.array([[(p.x, p.y) for p in face] for face in found], np.float32)
    return points.reshape(-1, 478, 2) * np.float32([image.shape[1], image.shape[0]])


def _squares(shape, divide):
    """Squares as high as the picture's short side over `divide`, each half over its neighbour."""
    height, width = shape[:2]
    side = min(height, width) // divide
    tops = np.linspace(0, height - side, max(1, round(2 * height / side) - 1)).astype(int)
    lefts = np.linspace(0, width - side, max(1, round(2 * width / side) - 1)).astype(int)
    return [(left, top, left + side, top + side) for top in tops for left in lefts]


def _around(faces, width, height):
    """The part of the picture around the largest of some faces, four times as large as it."""
    sizes = np.ptp(faces, axis=1).max(axis=1)  # (K,)
    x, y = faces[sizes.argmax()].mean(axis=0)
    reach = 2 * sizes.max()
    corners = np.clip([x - reach, y - reach, x + reach, y + reach], 0, [width, height] * 2)
    return tuple(int(corner) for corner in corners)


def _any_within(faces, part):
    """Does the middle of any face lie in the part left, top, right, bottom of the picture?"""
    middles = faces.mean(axis=1)  # (K, 2)
    return bool(((middles > part[:2]) & (middles < part[2:])).all(axis=1).any())


def _without_doubles(faces):
    """Of faces whose middles lie in one another, keep the first."""
    kept = []
    for face in faces:
        near = [np.linalg.norm(face.mean(0) - other.mean(0)) for other in kept]
        if not near or min(near) > np.ptp(face, axis=0).max() / 2:
            kept.append(face)
    return np.stack(kept)


@functools.cache
def _landmarker(path, faces=5):
    """Load MediaPipe's landmarker once a process, quietly."""
    with loading("mediapipe"), quiet():
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()), num_faces=faces
        )
        landmarker = vision.FaceLandmarker.create_from_options(options)
        blank = np.zeros((64, 64, 3), np.uint8)  # it also talks at its first picture
        landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, blank))
    # Its clean-up fails, loudly, when it comes at interpreter exit: keep it from ever being called.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))
    return landmarker
