"""Where the model files of other libraries are found: on disk first, then on the network."""

import functools
import hashlib
import importlib.util
import os
import re
import urllib.request
from pathlib import Path

from hmdlib import ROOT, InputError

FAN = "https://www.adrianbulat.com/downloads/python-fan/"
TORCHVISION = "https://download.pytorch.org/models/"
MEDIAPIPE = "https://storage.googleapis.com/mediapipe-models/"

ADDRESSES = {
    "face_landmarker.task": MEDIAPIPE
    + "face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "2DFAN4-11f355bf06.pth.tar": FAN + "2DFAN4-11f355bf06.pth.tar",
    "s3fd-619a316812.pth": FAN + "s3fd-619a316812.pth",
    "alexnet-owt-7be5be79.pth": TORCHVISION + "alexnet-owt-7be5be79.pth",
    "vgg19-dcbb9e9d.pth": TORCHVISION + "vgg19-dcbb9e9d.pth",
}
SHA256 = {
    "face_landmarker.task": "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "alexnet.ckpt": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
}
SECONDS_TO_WAIT = 10


def places():
    """The folders that are searched, in order: $HMDLIB_WEIGHTS, data/weights, torch's own cache."""
    import torch

    named = os.environ.get("HMDLIB_WEIGHTS")
    folders = [Path(named).expanduser()] if named else []
    return [*folders, ROOT / "data" / "weights", Path(torch.hub.get_dir()) / "checkpoints"]


def candidates(name):
    """Where `find` looks for a file, in order, whether it is there or not.

    For a notebook's record of what it read: once the file appears, the notebook is to run again.
    """
    return [folder / name for folder in places()]


def at_hand(name):
    """Is there a local copy of a model file?"""
    return any(path.is_file() for path in candidates(name))


def find(name):
    """The path of a model file: a local copy if there is one, else downloaded into data/weights.

    name: the file's name, as in ADDRESSES. The bytes are checked against the published sha256
    (PyTorch's file names carry its beginning). Without a network it fails at once, and only once a
    process. Raises InputError that names the file, its address and where to put it.
    """
    for path in candidates(name):
        if path.is_file():
            return _checked(path, _stamp(path))
    if name not in ADDRESSES:
        raise InputError(f"{name}: not found in {_told(places())}, and no address is known for it")
    problem = _download(name)
    if problem:
        raise InputError(
            f"{name}: not found, and the download failed ({problem}); fetch {ADDRESSES[name]} "
            "and put it into data/weights"
        )
    return ROOT / "data" / "weights" / name


def in_package(package, file):
    """The path of a file that an installed package carries, or None where it is not installed.

    The package itself is not imported. Its bytes are checked as in `find`.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / file
        if path.is_file():
            return _checked(path, _stamp(path))
    return None


def expected_sha256(name):
    """The sha256 that a file must begin with, or "" where none is published."""
    in_name = re.search(r"-([0-9a-f]{8,})\.", name)
    return SHA256.get(name, in_name.group(1) if in_name else "")


def sha256(path):
    """The sha256 of a file's bytes, read in pieces so that long videos need no memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of(data):
    """The sha256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def _stamp(path):
    """What changes when a file is replaced: the check below is repeated only then."""
    return path.stat().st_mtime_ns, path.stat().st_size


@functools.lru_cache
def _checked(path, stamp):
    if not sha256(path).startswith(expected_sha256(path.name)):
        raise InputError(f"{path}: not the published file (its sha256 differs); delete it")
    return path


@functools.lru_cache
def _download(name):
    """Fetch one file into data/weights; returns "" or, remembered, what went wrong."""
    target = ROOT / "data" / "weights" / name
    partial = target.with_name(name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(ADDRESSES[name], timeout=SECONDS_TO_WAIT) as answer:
            print(f"fetching {name}, once", flush=True)  # some have hundreds of megabytes
            with open(partial, "wb") as file:
                while piece := answer.read(1 << 20):
                    file.write(piece)
        if not sha256(partial).startswith(expected_sha256(name)):
            return "what came is not the published file: its sha256 differs"
        partial.replace(target)
    except OSError as error:
        return str(getattr(error, "reason", error))
    finally:
        partial.unlink(missing_ok=True)
    return ""


def _told(folders):
    return ", ".join(str(folder) for folder in folders)
