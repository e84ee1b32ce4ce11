"""From videos to training pictures: crops of each session, splits by session, batches."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hmdlib import InputError, faces, store, video, weights
from hmdlib.augmentation import augment
from hmdlib.store import Session, open_session, open_subject

__all__ = [
    "Batch", "Samples", "Session", "Split", "augment", "batches", "make_crops", "open_session",
    "open_subject", "prepare_subject", "split", "videos_of",
]  # fmt: skip

CONTAINERS = set(
    ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf".split()
)
FEWEST_FRAMES = 10
SMALLEST_FACE = 32
"""Brow-to-chin height in source pixels below which a face holds too little to learn from."""


def videos_of(folder):
    """The videos of one person, one a session: a sorted list of paths (the stems are the names).

    Raises InputError when the folder is missing, holds no video, or two of one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; put one video a session there (see data/README.md)"
        )
    found = [p for p in folder.iterdir() if p.suffix.lower() in CONTAINERS and p.name[0] != "."]
    if not found:
        raise InputError(f"{folder}: holds no video; put one a session there (see data/README.md)")
    names = [path.stem for path in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(
            f"{folder}: two videos are named {min(twice)}; rename one, names are sessions"
        )
    return sorted(found, key=store.in_order)


def prepare_subject(videos_folder, crops_folder, image_size=128, detector="auto", tracking="fixed",
                    max_frames=None):  # fmt: skip
    """Crops of all of a person's videos: a list of Session, in the order of their names.

    videos_folder: one video a session. crops_folder: the person's folder of crops
    (data/crops/<image_size>/<subject>); each session gets a folder there. The rest as in
    make_crops. Every file is opened before the first one is worked on, so that a bad one is refused
    at once.
    """
    paths = videos_of(videos_folder)
    for path in paths:
        video.probe(path)
        faces.detector(detector, path)
    make = (image_size, detector, tracking, max_frames)
    return [make_crops(path, Path(crops_folder) / path.stem, *make) for path in paths]


def make_crops(path, folder, image_size=128, detector="auto", tracking="fixed", max_frames=None):
    """One video's head-and-shoulders crops, as a store in `folder`; returns the Session.

    detector, tracking: as in faces.detector and faces.crop_box. max_frames: take at most so many,
    evenly spread over the video. The video is read twice, frame by frame: once to find the face,
    once to cut; memory does not grow with its length. Frames without a usable face are left out and
    counted in meta["dropped"]. A finished store of the same file and parameters is kept as it is.
    Raises InputError for a file that is no video, that is cut off for the most part, or that shows
    no face, two equal ones, one too small, or one in too few frames.
    """
    path, folder = Path(path), Path(folder)
    info = video.probe(path)
    finder = faces.detector(detector, path)
    key = _key(path, finder, image_size, tracking, max_frames)
    if store.matches(folder, key):
        return open_session(folder)
    every = max(1, math.ceil(info.frames_estimate / max_frames)) if max_frames else 1
    found, read = _find_faces(path, finder, every, info)
    landmarks = faces.follow(found, path)
    _refuse_small(path, landmarks)
    boxes = faces.crop_box(landmarks, info.width, info.height, tracking, info.fps / every)
    cropped = faces.to_crop(landmarks, boxes, image_size)
    usable = faces.inside(cropped, image_size)
    missing = int(np.isnan(landmarks[:, 0, 0]).sum())
    if usable.sum() < FEWEST_FRAMES:
        raise InputError(
            f"{path}: only {usable.sum()} of {read} frames show the face; "
            f"at least {FEWEST_FRAMES} are needed, some hundreds are good"
        )
    meta = {
        **key, "name": path.stem, "source": store.from_root(path), "width": info.width,
        "height": info.height, "fps": info.fps, "has_sound": info.has_sound, "frames_read": read,
        "every": every, "detector_note": finder.note,
        "dropped": {"no face": missing, "face leaves the crop": int((~usable).sum()) - missing},
        "notes": _notes(landmarks, boxes, image_size, tracking, info, read * every),
    }  # fmt: skip
    with store.Writer(folder, image_size, meta) as crops:
        for index, (image, time) in enumerate(video.read(path, every)):
            if index < len(usable) and usable[index]:
                crop = faces.cut(image, boxes[index], image_size)
                crops.add(crop, cropped[index], time, boxes[index], index * every)
    return open_session(folder)


def _key(path, finder, image_size, tracking, max_frames):
    """What a store depends on: when all of it is unchanged, the work is not done again."""
    truth = weights.sha256(faces.sidecar_path(path)) if finder.name == "sidecar" else None
    return {
        "version": store.VERSION, "sha256": weights.sha256(path), "sidecar_sha256": truth,
        "detector": finder.name, "image_size": image_size, "tracking": tracking,
        "max_frames": max_frames,
    }  # fmt: skip


def _find_faces(path, finder, every, info, together=8):
    """All faces of each every-th frame, as a list of (K, 68, 2), and how many frames there were."""
    found, waiting = [], []
    total = math.ceil(info.frames_estimate / every) or None
    for image, _ in tqdm(video.read(path, every), path.name, total, disable=None, leave=False):
        waiting.append(image)
        if len(waiting) == together or every > 1:  # a sidecar counts frames one by one
            found += finder(np.stack(waiting), len(found) * every)
            waiting = []
    if waiting:
        found += finder(np.stack(waiting), len(found) * every)
    if len(found) * every < info.frames_estimate / 2:
        raise InputError(
            f"{path}: only {len(found) * every} of {info.frames_estimate} frames can be decoded; "
            "the file is truncated: copy it again"
        )
    if len(found) < FEWEST_FRAMES:
        raise InputError(
            f"{path}: only {len(found)} frames; at least {FEWEST_FRAMES} are needed, "
            "some hundreds are good"
        )
    return found, len(found)


def _refuse_small(path, landmarks):
    height = np.nanmedian(faces.face_height(landmarks))
    if height < SMALLEST_FACE:
        raise InputError(
            f"{path}: the face is {height:.0f} pixels high from brows to chin, at least "
            f"{SMALLEST_FACE} are needed; move closer to the camera or record larger pictures"
        )


def _notes(landmarks, boxes, image_size, tracking, info, frames):
    """What a person should know about these crops though they could be made: a list of lines."""
    notes = []
    side, face = np.median(boxes[:, 2]), np.nanmedian(faces.face_height(landmarks))
    share = faces.HEAD * face / side
    if tracking == "fixed" and share < 0.7 * faces.SHARE:
        notes.append(f"the person moves about: the head takes only {share:.0%} of the fixed crop; "
                     "try tracking='smooth'")  # fmt: skip
    if side < image_size:
        notes.append(
            f"the crop is {side:.0f} pixels wide in the video and is enlarged to {image_size}"
        )
    if frames < 0.98 * info.frames_estimate - 1:
        notes.append(
            f"{frames} of {info.frames_estimate} frames could be decoded; the rest is damaged"
        )
    return notes


class Samples:
    """A choice of pictures from some stores, in a fixed order; the pictures stay on disk.

    sessions: list of Session of one image size. indices: (M, 2) int, session number and picture
    number of each; None takes all. samples[i] is (image (S, S, 3) uint8, landmarks (68, 2)).
    """

    def __init__(self, sessions, indices=None):
        self.sessions = list(sessions)
        sizes = {session.image_size for session in self.sessions}
        if len(sizes) > 1:
            raise InputError(
                f"crops of sizes {sorted(sizes)} cannot be mixed; make them of one size"
            )
        if indices is None:
            indices = [
                (s, i) for s, session in enumerate(self.sessions) for i in range(len(session))
            ]
        self.indices = np.asarray(indices, np.int64).reshape(-1, 2)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        session, frame = self.indices[index]
        session = self.sessions[session]
        return session.frames[frame], session.landmarks[frame]

    def batch(self, indices, device="cpu"):
        """Images (N, 3, S, S) float32 in [0, 1] and landmarks (N, 68, 2) of some of the samples."""
        pairs = [self[int(index)] for index in indices]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])).to(device)
        landmarks = torch.from_numpy(np.stack([points for _, points in pairs]))
        images = images.permute(0, 3, 1, 2).float().div_(255)  # (N, 3, S, S)
        return images.contiguous(), landmarks.to(device)


@dataclass(frozen=True)
class Split:
    """Training pictures, the end of each training session, and the unseen sessions, as Samples."""

    train: Samples
    held_back: Samples
    unseen: Samples


def split(sessions, unseen, held_back=0.1):
    """Divide by session, never by frame: neighbouring frames are almost copies (decision 22).

    unseen: the name, or list of names, of the sessions kept for the test: another appearance of the
    person. held_back: the last part of each training session, to stop training by. Returns a Split.
    Raises InputError when there is one session only, or none of a given name.
    """
    names = [session.name for session in sessions]
    unseen = [unseen] if isinstance(unseen, str) else list(unseen)
    if len(sessions) < 2:
        raise InputError(
            f"{', '.join(names) or 'no session'}: one session only, so nothing unseen is left to "
            "test on; add a video of the person in other clothes at another place"
        )
    for name in unseen:
        if name not in names:
            raise InputError(f"unseen={name!r}: no such session; there are {', '.join(names)}")
    if not unseen or set(unseen) == set(names):
        raise InputError(
            f"unseen={unseen}: leave at least one session to train on and one to test on"
        )
    parts = {"train": [], "held_back": [], "unseen": []}
    for s, session in enumerate(sessions):
        first_held = len(session) - round(len(session) * held_back)
        for i in range(len(session)):
            part = (
                "unseen" if session.name in unseen else "train" if i < first_held else "held_back"
            )
            parts[part].append((s, i))
    return Split(**{part: Samples(sessions, indices) for part, indices in parts.items()})


@dataclass(frozen=True)
class Batch:
    """occluded, target: (N, 3, S, S) in [0, 1]; hidden: (N, 1, S, S), 1 = hidden."""

    occluded: torch.Tensor
    target: torch.Tensor
    hidden: torch.Tensor


def batches(samples, batch_size, generator, augment=0.0, occluder=None, steps=None, flip=False,
            device="cpu"):  # fmt: skip
    """Random training batches.

    generator: torch.Generator on the CPU, the only source of chance. augment: strength, 0 = none.
    flip: mirror half of the pictures, for collections of many people. occluder: callable (images,
    landmarks, generator) -> (occluded, hidden); None leaves the pictures whole. steps: how many
    batches; None makes as many as one pass over the samples. Yields Batch, always of batch_size.

    Each batch draws its pictures anew (no one twice in a batch, where there are enough), so that
    the generator's state before a batch determines it and all after it: training resumes exactly.
    """
    strength = augment
    steps = math.ceil(len(samples) / batch_size) if steps is None else steps
    for _ in range(steps):
        chosen = torch.randperm(len(samples), generator=generator)[:batch_size]
        if len(samples) < batch_size:
            chosen = torch.randint(len(samples), (batch_size,), generator=generator)
        images, landmarks = samples.batch(chosen, device)
        if strength or flip:
            images, landmarks = _augment(images, landmarks, generator, strength, flip)
        if occluder is None:
            yield Batch(images, images, torch.zeros_like(images[:, :1]))
        else:
            occluded, hidden = occluder(images, landmarks, generator)
            yield Batch(occluded, images, hidden)


_augment = augment  # `batches` has a parameter of that name
