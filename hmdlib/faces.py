"""Find faces, follow one person, choose the crop, cut it out and paste it back."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from hmdlib import InputError
from hmdlib.detectors import MEDIAPIPE_TO_68, Detector, detector, sidecar_path

__all__ = [
    "MEDIAPIPE_TO_68", "MIRROR_68", "Detector", "detector", "sidecar_path", "follow", "face_height",
    "heads", "crop_box", "to_crop", "to_frame", "inside", "cut", "paste",
]  # fmt: skip

MIRROR_68 = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
])  # fmt: skip
"""(68,): which landmark takes each one's place when a picture is mirrored."""

HEAD = 1.70  # head with hair over brow-to-chin, measured on real and rendered heads
HEAD_WIDTH = 0.80  # of the head's height, with ears and hair
SHARE = 0.60  # of the crop's side that the head's height takes: head and shoulders
TIGHTEST_SHARE = 0.80  # ... where the picture itself is no larger
ABOVE = 0.07  # of the side, free above the hair
SMALLEST = 32
"""Brow-to-chin height in source pixels below which a face holds too little to learn from."""


def face_height(landmarks):
    """Brow-to-chin distance in pixels: (..., 68, 2) -> (...)."""
    brows = landmarks[..., 17:27, :].mean(axis=-2)
    return np.linalg.norm(landmarks[..., 8, :] - brows, axis=-1)


def eye_openness(landmarks):
    """Height of the eyes over their width, the mean of both: (..., 68, 2) -> (...).

    Some 0.25 to 0.35 for open eyes, below 0.15 for closed ones, after the person and the detector
    (the eye aspect ratio of Soukupova and Cech 2016).
    """

    def far(a, b):
        return np.linalg.norm(landmarks[..., a, :] - landmarks[..., b, :], axis=-1)

    ratios = [(far(e + 1, e + 5) + far(e + 2, e + 4)) / (2 * far(e, e + 3)) for e in (36, 42)]
    return (ratios[0] + ratios[1]) / 2


def heads(landmarks):
    """The head with its hair around each face: (T, 68, 2) -> (T, 4) left, top, right, bottom.

    It stands on the chin, along the line through the brows, so that it follows the head's roll; its
    middle lies between the temples, so that it reaches behind a face that looks aside.
    """
    chin = landmarks[:, 8]
    face = landmarks[:, 17:27].mean(axis=1) - chin
    length = np.linalg.norm(face, axis=1, keepdims=True)
    up = face / np.maximum(length, 1e-6)
    behind = (landmarks[:, 0] + landmarks[:, 16]) / 2 - chin
    sideways = behind - up * (behind * up).sum(axis=1, keepdims=True)
    center = chin + sideways + face * (HEAD / 2)
    half = HEAD * length / 2 * (np.abs(up) + HEAD_WIDTH * np.abs(up[:, ::-1]))
    return np.concatenate([center - half, center + half], axis=1)


def follow(found, name="video"):
    """Keep the same person through time: the face that is large and there most of the time.

    found: a list of N arrays (K, 68, 2), the faces of each frame. Faces are linked from frame to
    frame by place and size; after a cut or a gap the largest face of similar size is taken up
    again. Returns (N, 68, 2) float32, NaN where the person is not seen. Raises InputError when no
    face is found, or when two equally large ones are there all the time.
    """
    tracks = _tracks(found)
    if not tracks:
        raise InputError(
            f"{name}: no face found in any frame; show the face, lit and from the front"
        )
    tracks.sort(key=lambda track: -sum(track["sizes"].values()))
    usual = np.median(list(tracks[0]["sizes"].values()))
    person = {}
    for track in tracks:
        alike = 0.5 < np.median(list(track["sizes"].values())) / usual < 2
        if not person or (alike and _continues(track, person, len(found))):
            person.update(track["faces"])
    _refuse_twins(found, person, name)
    landmarks = np.full((len(found), 68, 2), np.nan, np.float32)
    for index, face in person.items():
        landmarks[index] = face
    return landmarks


def _tracks(found, longest_gap=12):
    """Link faces of neighbouring frames, nearest first, into tracks of one face each."""
    tracks = []
    for index, faces in enumerate(found):
        live = [track for track in tracks if index - track["last"] <= longest_gap]
        sizes = [_size(face) for face in faces]
        pairs = sorted(
            (distance, t, f)
            for t, track in enumerate(live)
            for f, face in enumerate(faces)
            if (distance := _apart(track, face, sizes[f])) < 0.6
        )
        taken_tracks, taken_faces = set(), set()
        for _, t, f in pairs:
            if t not in taken_tracks and f not in taken_faces:
                taken_tracks.add(t)
                taken_faces.add(f)
                _append(live[t], index, faces[f], sizes[f])
        for f in set(range(len(faces))) - taken_faces:
            tracks.append({"faces": {}, "sizes": {}})
            _append(tracks[-1], index, faces[f], sizes[f])
    return tracks


def _continues(track, person, frames):
    """Is a track the same person again: never in the picture beside them, and near where they were
    last seen, or, as after a cut, there for long?"""
    if track["faces"].keys() & person.keys():
        return False
    first = min(track["faces"])
    nearest = person[min(person, key=lambda index: abs(index - first))]
    away = np.linalg.norm(track["faces"][first].mean(axis=0) - nearest.mean(axis=0))
    return away < _size(nearest) or len(track["faces"]) > 0.05 * frames


def _append(track, index, face, size):
    track["faces"][index], track["sizes"][index], track["last"] = face, size, index


def _size(face):
    """How large a face is in the picture: the diagonal of its landmarks, steady under yaw."""
    return float(np.linalg.norm(np.ptp(face, axis=0)))


def _apart(track, face, size):
    """How far a face lies from where a track was last seen, in face sizes; inf if it cannot be
    it."""
    last, last_size = track["faces"][track["last"]], track["sizes"][track["last"]]
    if not 1 / 1.6 < size / last_size < 1.6:
        return np.inf
    return float(np.linalg.norm(face.mean(axis=0) - last.mean(axis=0)) / last_size)


def _refuse_twins(found, person, name, alike=0.88):
    """Two faces of one size in most frames: which of them is meant, nobody can tell."""
    twins = 0
    for index, face in person.items():
        others = [other for other in found[index] if other is not face and (other != face).any()]
        twins += any(alike < _size(other) / _size(face) for other in others)
    if twins > len(person) / 2:
        raise InputError(
            f"{name}: two equal faces in {twins} of {len(person)} frames; record one person, "
            "or crop the other one away first"
        )


def check_tracking(tracking):
    """InputError unless crop_box knows this way to place the square."""
    if tracking not in ("fixed", "smooth"):
        raise InputError(f"tracking={tracking!r}: choose 'fixed' or 'smooth'")


def crop_box(landmarks, width, height, tracking="fixed", fps=30.0, share=SHARE):
    """The head-and-shoulders square of each frame (decision 18).

    landmarks: (T, 68, 2), NaN where there is no face. width, height: the picture's size in pixels.
    tracking: "fixed", one square for the session, which holds the head wherever it moves (1st to
    99th percentile); or "smooth", a square that follows the head, calmed over about a second.
    share: of the side that the head's height takes; up to TIGHTEST_SHARE where the picture has no
    more to give, and less where a fixed crop must hold a head that moves about.
    Returns (T, 3) float32: x, y of the corner and side, in source pixels; parts outside the picture
    are filled by repeating its edge.
    """
    check_tracking(tracking)
    if tracking == "smooth":
        return _smooth_boxes(heads(landmarks), face_height(landmarks), width, height, fps, share)
    seen = landmarks[np.isfinite(landmarks).all(axis=(1, 2))]
    edges = heads(seen)
    left, top = np.percentile(edges[:, :2], 1, axis=0)
    right, bottom = np.percentile(edges[:, 2:], 99, axis=0)
    side = _side(HEAD * np.median(face_height(seen)), width, height, share)
    side = np.ceil(max(side, 1.04 * max(right - left, bottom - top)))
    x = (left + right - side) / 2
    y = top - min(ABOVE * side, side - (bottom - top))
    corner = np.round([_within(x, side, width), _within(y, side, height)])
    return np.tile(np.float32([*corner, side]), (len(landmarks), 1))


def _side(head, width, height, share):
    """The square's side: the wished share, tightened towards what the picture really holds."""
    return np.clip(min(width, height), head / max(TIGHTEST_SHARE, share), head / share)


def _within(start, side, length):
    """Move a span into the picture where it fits, or over all of the picture where it does not."""
    room = length - side
    return np.clip(start, np.minimum(0, room), np.maximum(0, room))


def _smooth_boxes(edges, face, width, height, fps, share):
    boxes = np.empty((len(edges), 3))
    times = np.arange(len(edges))
    known = np.isfinite(edges[:, 0])
    track = np.stack([np.interp(times, times[known], column[known]) for column in edges.T], axis=1)
    size = HEAD * np.interp(times, times[known], face[known])
    jumps = np.linalg.norm(np.diff(track[:, :2], axis=0), axis=1) > 0.6 * size[1:]
    for part in np.split(times, np.flatnonzero(jumps) + 1):  # a cut in the video is no movement
        centre = gaussian_filter1d((track[part, 0] + track[part, 2]) / 2, 0.5 * fps, mode="nearest")
        top = gaussian_filter1d(track[part, 1], 0.5 * fps, mode="nearest")
        head = gaussian_filter1d(size[part], 1.0 * fps, mode="nearest")
        side = _side(head, width, height, share)
        x = _within(centre - side / 2, side, width)
        boxes[part] = np.stack([x, _within(top - ABOVE * side, side, height), side], axis=1)
    return boxes.astype(np.float32)


def to_crop(landmarks, boxes, size):
    """Landmarks from source pixels (T, 68, 2) into pixels of the crops of boxes (T, 3)."""
    return (landmarks - boxes[:, None, :2]) * (size / boxes[:, None, 2:])


def to_frame(landmarks, boxes, size):
    """Landmarks of crops back into source pixels: the inverse of to_crop."""
    return landmarks * (boxes[:, None, 2:] / size) + boxes[:, None, :2]


def inside(landmarks, size):
    """Which faces (T, 68, 2) lie wholly in their crop: (T,) bool; a missing face does not."""
    return ((landmarks >= 0) & (landmarks <= size)).all(axis=(1, 2))


def cut(image, box, size):
    """The square `box` of a picture, resampled: (H, W, 3) uint8 -> (size, size, 3) uint8.

    box: x, y, side in pixels, fractions allowed. Outside the picture its edge is repeated.
    """
    x, y, side = (float(value) for value in box)
    x0, y0 = int(np.floor(x)) - 2, int(np.floor(y)) - 2  # two more pixels for the bicubic filter
    x1, y1 = int(np.ceil(x + side)) + 2, int(np.ceil(y + side)) + 2
    rows = np.clip(np.arange(y0, y1), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(x0, x1), 0, image.shape[1] - 1)
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if part.shape[:2] != (len(rows), len(columns)):
        part = part[rows - rows[0]][:, columns - columns[0]]
    region = (x - x0, y - y0, x - x0 + side, y - y0 + side)
    picture = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=region))


def paste(frame, crop, box):
    """Put a crop back where it was cut; every pixel outside the box stays as it was.

    frame: (H, W, 3) uint8. crop: (S, S, 3) uint8. box: x, y, side as given to `cut`. Only pixels
    wholly inside the box are replaced. Returns a new (H, W, 3) uint8.
    """
    x, y, side = (float(value) for value in box)
    height, width = frame.shape[:2]
    x0, x1 = max(0, int(np.ceil(x))), min(width, int(np.floor(x + side)))
    y0, y1 = max(0, int(np.ceil(y))), min(height, int(np.floor(y + side)))
    pasted = frame.copy()
    if x0 >= x1 or y0 >= y1:
        return pasted
    scale = crop.shape[0] / side
    region = ((x0 - x) * scale, (y0 - y) * scale, (x1 - x) * scale, (y1 - y) * scale)
    picture = Image.fromarray(np.ascontiguousarray(crop))
    resized = picture.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box=region)
    pasted[y0:y1, x0:x1] = np.asarray(resized)
    return pasted
