"""Training pictures: a choice from the stores, the split by session, batches."""

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
import torch

from hmdlib import InputError
from hmdlib.augmentation import augment
from hmdlib.capture import make_crops, prepare_subject, videos_of
from hmdlib.face_collections import make_collection, open_collection
from hmdlib.store import Session, open_session, open_subject

__all__ = [
    "Batch", "Samples", "Session", "Split", "augment", "batches", "make_collection", "make_crops",
    "open_collection", "open_session", "open_subject", "prepare_subject", "split", "videos_of",
    "with_landmarks",
]  # fmt: skip


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

    @property
    def fingerprint(self):
        """Which pictures these are, in 16 letters: another choice, or other sources, have others.

        A training that goes on must go on with the same.
        """
        sources = [[s.name, s.meta, len(s.frames)] for s in self.sessions]
        told = json.dumps(sources, sort_keys=True).encode() + self.indices.tobytes()
        return hashlib.sha256(told).hexdigest()[:16]

    def batch(self, indices, device="cpu"):
        """Images (N, 3, S, S) float32 in [0, 1] and landmarks (N, 68, 2) of some of the samples."""
        pairs = [self[int(index)] for index in indices]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])).to(device)
        landmarks = torch.from_numpy(np.stack([points for _, points in pairs]))
        images = images.permute(0, 3, 1, 2).float().div_(255)  # (N, 3, S, S)
        return images.contiguous(), landmarks.to(device)


def with_landmarks(samples, name):
    """The samples in which a face was found: only they can wear a headset and teach landmarks.

    name: of these samples, for the InputError that is raised when none is left.
    """
    there = [np.isfinite(samples.sessions[s].landmarks[i]).all() for s, i in samples.indices]
    if not any(there):
        raise InputError(f"{name}: no picture with landmarks among them; look at the crops")
    return samples if all(there) else Samples(samples.sessions, samples.indices[np.array(there)])


@dataclass(frozen=True)
class Split:
    """Training pictures, the end of each training session, and the unseen sessions, as Samples."""

    train: Samples
    held_back: Samples
    unseen: Samples


def check_split(names, unseen):
    """InputError unless these sessions can be divided so; returns the unseen ones as a list."""
    unseen = [unseen] if isinstance(unseen, str) else list(unseen)
    if len(names) < 2:
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
    return unseen


def split(sessions, unseen, held_back=0.1):
    """Divide by session, never by frame: neighbouring frames are almost copies (decision 22).

    unseen: the name, or list of names, of the sessions kept for the test: another appearance of the
    person. held_back: the last part of each training session, to watch the training. Returns a
    Split. Raises InputError when there is one session only, none of a given name, or when one of
    the parts would be empty.
    """
    unseen = check_split([session.name for session in sessions], unseen)
    parts = {"train": [], "held_back": [], "unseen": []}
    for s, session in enumerate(sessions):
        first_held = len(session) - round(len(session) * held_back)
        for i in range(len(session)):
            part = (
                "unseen" if session.name in unseen else "train" if i < first_held else "held_back"
            )
            parts[part].append((s, i))
    for part, indices in parts.items():
        if not indices:
            raise InputError(
                f"held_back={held_back}: leaves no picture in the part {part!r}; choose a share "
                "between 0 and 1 that gives each session a few frames to learn from and to hold "
                "back"
            )
    return Split(**{part: Samples(sessions, indices) for part, indices in parts.items()})


@dataclass(frozen=True)
class Batch:
    """occluded, target: (N, 3, S, S) in [0, 1]; hidden: (N, 1, S, S), 1 = hidden.

    landmarks: (N, 68, 2) in pixels of these pictures, NaN without a face; for those who learn them.
    """

    occluded: torch.Tensor
    target: torch.Tensor
    hidden: torch.Tensor
    landmarks: torch.Tensor | None = None


def batches(samples, batch_size, generator, augment=0.0, occluder=None, steps=None, flip=False,
            device="cpu", strangers=None, share=0.0, uncovered=0):  # fmt: skip
    """Random training batches.

    generator: torch.Generator on the CPU, the only source of chance. augment: strength, 0 = none.
    flip: mirror half of the pictures, for collections of many people. occluder: callable (images,
    landmarks, generator) -> (occluded, hidden); None leaves the pictures whole. steps: how many
    batches; None makes as many as one pass over the samples. strangers: Samples of other people,
    from whom the share of every batch comes, its last pictures. uncovered: the first so many get no
    occluder. Yields Batch, always of batch_size.

    Each batch draws its pictures anew (no one twice in a batch, where there are enough), so that
    the generator's state before a batch determines it and all after it: training resumes exactly.
    """
    strength = augment
    steps = math.ceil(len(samples) / batch_size) if steps is None else steps
    guests = round(share * batch_size) if strangers is not None else 0
    for _ in range(steps):
        images, landmarks = _draw(samples, batch_size - guests, generator, device)
        if guests:
            more = _draw(strangers, guests, generator, device)
            images, landmarks = torch.cat([images, more[0]]), torch.cat([landmarks, more[1]])
        if strength or flip:
            images, landmarks = _augment(images, landmarks, generator, strength, flip)
        if occluder is None:
            yield Batch(images, images, torch.zeros_like(images[:, :1]), landmarks)
        else:
            whole = images[:uncovered]
            covered, hidden = occluder(images[uncovered:], landmarks[uncovered:], generator)
            hidden = torch.cat([torch.zeros_like(whole[:, :1]), hidden])
            yield Batch(torch.cat([whole, covered]), images, hidden, landmarks)


def _draw(samples, count, generator, device):
    """Some of the samples at random, none twice where there are enough."""
    chosen = torch.randperm(len(samples), generator=generator)[:count]
    if len(samples) < count:
        chosen = torch.randint(len(samples), (count,), generator=generator)
    return samples.batch(chosen, device)


_augment = augment  # `batches` has a parameter of that name
