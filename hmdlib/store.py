"""Crops on disk: uint8 pictures, memory-mapped, and where each came from; whole or not at all."""

import contextlib
import errno
import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hmdlib import ROOT, InputError, leftovers

VERSION = 1
"""Of the store's layout; another number on disk means: run notebook 01 again."""


@dataclass(frozen=True)
class Session:
    """The crops of one video, or of one face collection.

    frames: (N, S, S, 3) uint8 RGB, memory-mapped. landmarks: (N, 68, 2) float32 in crop pixels, NaN
    where unknown. times: (N,) seconds in the video. boxes: (N, 3) float32, x, y, side of each crop
    in source pixels, for faces.paste. frame_index: (N,) int64, the frame's number in the video, or
    the picture's in the collection. meta: what meta.json says.
    """

    name: str
    frames: np.ndarray = field(repr=False)
    landmarks: np.ndarray = field(repr=False)
    times: np.ndarray = field(repr=False)
    boxes: np.ndarray = field(repr=False)
    frame_index: np.ndarray = field(repr=False)
    meta: dict = field(repr=False)

    def __len__(self):
        return len(self.frames)

    @property
    def image_size(self):
        return self.frames.shape[1]

    @property
    def source(self):
        """The video (which also holds the sound) or the folder of pictures."""
        return ROOT / self.meta["source"]


def open_session(folder):
    """Open a store without reading its pictures.

    Raises InputError when it is missing, damaged, or of another version of this package.
    """
    folder = Path(folder)
    meta = _meta(folder)
    if meta is None:
        raise InputError(f"{folder}: no crops here; run notebook 01_capture_and_crop first")
    if meta.get("version") != VERSION:
        raise InputError(
            f"{folder}: crops of version {meta.get('version')}, this is {VERSION}; "
            "delete the folder and run notebook 01_capture_and_crop again"
        )
    try:
        frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
        landmarks = np.load(folder / "landmarks.npy", allow_pickle=False)
        count = len(frames)
        times = _optional(folder / "times.npy", np.full(count, np.nan))
        boxes = _optional(folder / "boxes.npy", np.full((count, 3), np.nan, np.float32))
        index = _optional(folder / "frame_index.npy", np.arange(count))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{folder}: damaged crops ({error}); delete the folder and run 01"
        ) from None
    if not len(landmarks) == len(times) == len(boxes) == len(index) == count:
        raise InputError(f"{folder}: its files disagree in length; delete the folder and run 01")
    return Session(meta.get("name", folder.name), frames, landmarks, times, boxes, index, meta)


def open_subject(folder):
    """All sessions of one person, by name: a list of Session. Raises InputError if there is
    none."""
    folder = Path(folder)
    found = [
        path.parent for path in folder.glob("*/meta.json") if not path.parent.name.startswith(".")
    ]
    if not found:
        raise InputError(f"{folder}: no crops here; run notebook 01_capture_and_crop first")
    return [open_session(path) for path in sorted(found, key=in_order)]


def in_order(path):
    """Sort key: session_2 comes before session_10."""
    parts = re.split(r"(\d+)", Path(path).name)
    return [int(part) if part.isdecimal() else part for part in parts]


def matches(folder, key):
    """Is there a finished store made from this very source with these very parameters?"""
    meta = _meta(Path(folder)) or {}
    return all(meta.get(name) == value for name, value in key.items())


def refuse_full_disk(folder, count, size):
    """Raise InputError now rather than late where `count` crops of `size` have no room."""
    folder = next(path for path in Path(folder).absolute().parents if path.exists())
    free, needed = shutil.disk_usage(folder).free, count * size * size * 3
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free and the crops need {needed / 1e6:.0f} MB; "
            "free some space"
        )


class Writer:
    """Fill a store picture by picture; it appears under its name only when it is complete.

        with Writer(folder, image_size=128, meta={...}) as store:
            store.add(crop, landmarks, time=0.04, box=(10, 20, 300), index=1)

    meta may be added to until the end; the version is added to it. Raises InputError in one line
    when the disk is full, and then leaves nothing behind.
    """

    def __init__(self, folder, image_size, meta=None):
        self.folder, self.size, self.meta = Path(folder), image_size, dict(meta or {})
        self.landmarks, self.times, self.boxes, self.index = [], [], [], []

    def __len__(self):
        return len(self.index)

    def __enter__(self):
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{self.folder.name}."
        leftovers.clear(self.folder.parent, prefix)
        self.partial = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder.parent))
        self.file = open(self.partial / "frames.npy", "wb")
        self._write(self._header())
        return self

    def add(self, crop, landmarks, time=np.nan, box=(np.nan,) * 3, index=None):
        """crop: (S, S, 3) uint8; landmarks: (68, 2) in crop pixels."""
        assert crop.shape == (self.size, self.size, 3) and crop.dtype == np.uint8, crop.shape
        self._write(np.ascontiguousarray(crop).data)
        self.index.append(len(self.index) if index is None else index)
        self.landmarks.append(np.asarray(landmarks, np.float32))
        self.times.append(time)
        self.boxes.append(np.asarray(box, np.float32))

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._finish()
        finally:
            with contextlib.suppress(OSError):  # a full disk fails again, at what was still waiting
                self.file.close()
            shutil.rmtree(self.partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            self._refuse(error)

    def _header(self):
        """An .npy header of 128 bytes, written first for no picture and at the end for all."""
        shape = (len(self.index), self.size, self.size, 3)
        words = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        return (
            b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + words.ljust(117).encode() + b"\n"
        )

    def _write(self, data):
        # Plain writes, not a memory map: on a full disk a map kills the process, a write only
        # fails.
        try:
            self.file.write(data)
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error):
        raise InputError(
            f"{self.folder}: cannot write the crops ({error.strerror or error}) after "
            f"{len(self.index)} pictures; free some space and run again"
        ) from None

    def _finish(self):
        count = len(self.index)
        try:
            self.file.seek(0)
            self.file.write(self._header())
            self.file.close()
            landmarks = np.array(self.landmarks, np.float32).reshape(count, 68, 2)
            np.save(self.partial / "landmarks.npy", landmarks)
            np.save(self.partial / "times.npy", np.array(self.times, np.float64))
            np.save(self.partial / "boxes.npy", np.array(self.boxes, np.float32).reshape(count, 3))
            np.save(self.partial / "frame_index.npy", np.array(self.index, np.int64))
            meta = {"version": VERSION, "image_size": self.size, "kept": count, **self.meta}
            (self.partial / "meta.json").write_text(json.dumps(meta, indent=1))
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.partial.chmod(0o755)  # temporary folders are private
            self.partial.rename(self.folder)
        except OSError as error:
            self._refuse(error)


def from_root(path):
    """A path as meta.json keeps it: from the repository's root where it lies inside."""
    path = Path(path).absolute()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _meta(folder):
    try:
        return json.loads((folder / "meta.json").read_text())
    except (OSError, ValueError):
        return None


def _optional(path, default):
    return np.load(path, allow_pickle=False) if path.is_file() else default
