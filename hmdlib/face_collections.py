"""Pictures of many people as a store of crops: a plain folder, VGGFace2's or AffectNet's layout."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hmdlib import ROOT, InputError, faces, store, weights
from hmdlib.progress import watched
from hmdlib.store import open_session

PICTURES = set(".jpg .jpeg .png .webp .bmp .tif .tiff .gif".split())


@dataclass(frozen=True)
class Picture:
    """One picture of a collection, and what the collection itself says of the face in it.

    box: x, y, width, height of the face in pixels, or None. landmarks: (68, 2) in pixels, or None.
    """

    path: Path
    box: tuple | None = None
    landmarks: np.ndarray | None = None


def folder_pictures(folder):
    """Every picture below a folder, by name; nothing is known about the faces."""
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in PICTURES)
    return [Picture(path) for path in paths if path.name[0] != "."]


def vggface2(folder):
    """VGGFace2 [4]: {train,test}/imgs/nXXXXXX/*.jpg and bb_landmark/loose_bb_{train,test}.csv.

    The pictures may also lie in {train,test}/ directly, as the archives unpack.
    """
    folder, found = Path(folder), []
    for part in ("train", "test"):
        table = folder / "bb_landmark" / f"loose_bb_{part}.csv"
        inner = folder / part / "imgs"
        pictures = inner if inner.is_dir() else folder / part
        for row in _rows(table, ["NAME_ID", "X", "Y", "W", "H"]) if table.is_file() else []:
            box = tuple(float(row[key]) for key in "XYWH")
            found.append(Picture(pictures / f"{row['NAME_ID']}.jpg", box))
    return found


def affectnet(folder):
    """AffectNet [12]: {training,validation}.csv beside the pictures, with boxes and 68
    landmarks."""
    folder, found = Path(folder), []
    needed = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"]
    for part in ("training", "validation"):
        table = folder / f"{part}.csv"
        for row in _rows(table, [*needed, "facial_landmarks"]) if table.is_file() else []:
            numbers = row["facial_landmarks"].split(";")
            whole = len(numbers) == 136
            landmarks = np.array(numbers, np.float32).reshape(68, 2) if whole else None
            box = tuple(float(row[key]) for key in needed[1:])
            found.append(Picture(_affectnet_path(folder, row[needed[0]]), box, landmarks))
    return found


LAYOUTS = {"folder": folder_pictures, "vggface2": vggface2, "affectnet": affectnet}


def open_collection(collection, crops, image_size=128, seed=0):
    """The store of a face collection as a profile writes it, made when it is not there yet.

    collection: {"kind": "synthetic", "count": 800} renders a crowd; {"kind": "folder", "path": ...}
    or another layout of LAYOUTS reads one. "name" tells two of a kind apart, "seed" makes other
    people than `seed` does. crops: the folder of all crops of this image size. Returns the Session.
    Raises InputError for an entry that is wrong, and for one whose place another folder's crops
    have.
    """
    check_entry(collection)
    folder = Path(crops) / f"faces_{collection.get('name', collection['kind'])}"
    if collection["kind"] == "synthetic":
        from hmdlib.synthetic import people  # the renderer takes seconds to load

        seed = collection.get("seed", seed)
        people.render_collection(folder, collection["count"], image_size, seed)
        return open_session(folder)
    source = ROOT / collection["path"]
    if (folder / "meta.json").exists() and not store.matches(
        folder, {"source": store.from_root(source)}
    ):
        raise InputError(
            f"{folder}: holds the crops of another collection than {source}; give this one another "
            "name: in the profile, or delete the folder"
        )
    return make_collection(collection["kind"], source, folder, image_size)


def check_entry(collection):
    """InputError for a collection of a profile that lacks something, or has what nobody reads."""
    kind = collection.get("kind")
    if kind not in ("synthetic", *LAYOUTS):
        raise InputError(f"{collection}: kind: choose synthetic, {', '.join(LAYOUTS)}")
    needed = "count" if kind == "synthetic" else "path"
    known = {"kind", "name", needed, *({"seed"} if kind == "synthetic" else ())}
    if needed not in collection:
        raise InputError(f"{collection}: {kind} wants {needed}; give it")
    for key in sorted(set(collection) - known):
        raise InputError(f"{collection}: {key} is unknown; there are {', '.join(sorted(known))}")


def make_collection(kind, source, folder, image_size=128, detector="auto", most=None):
    """A face collection's head-and-shoulders crops, as a store in `folder`; returns it, opened.

    kind: "folder", "vggface2" or "affectnet". source: where the collection lies. detector: as in
    faces.detector. The collection's own landmarks are used where it has them, else the detector's;
    where no detector works, its boxes (the crops then have no landmarks). Of several faces, the one
    in the collection's box counts, else the largest. most: at most so many pictures, evenly spread.
    Left-out pictures are counted by reason in meta["dropped"]. A finished store of the same
    pictures and parameters is kept. Raises InputError when nothing is there, or nothing of use.
    """
    folder, source = Path(folder), Path(source)
    pictures = _listed(kind, source)
    step = max(1, -(-len(pictures) // most)) if most else 1
    finder = _finder(kind, detector)
    name = "none" if finder is None else finder.name
    key = {
        "version": store.VERSION,
        "kind": kind,
        "source": store.from_root(source),
        "sha256": _fingerprint(pictures, source),
        "image_size": image_size,
        "detector": name,
        "most": most,
    }
    if store.matches(folder, key):
        return open_session(folder)
    dropped = Counter()
    with store.Writer(folder, image_size, {**key, "name": source.name}) as crops:
        chosen = list(enumerate(pictures))[::step]
        for index, picture in watched(chosen, source.name, len(chosen), "pictures"):
            crop, landmarks, box, problem = _crop(picture, finder, image_size)
            if problem:
                dropped[problem] += 1
            else:
                crops.add(crop, landmarks, box=box, index=index)
        crops.meta.update(pictures=len(chosen), dropped=dict(dropped))
        if not len(crops):
            raise InputError(f"{source}: no usable face in {len(chosen)} pictures: {dict(dropped)}")
    return open_session(folder)


def _listed(kind, source):
    if kind not in LAYOUTS:
        raise InputError(f"collection kind={kind!r}: choose one of {', '.join(LAYOUTS)}")
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; see data/README.md for each layout")
    pictures = LAYOUTS[kind](source)
    if not pictures:
        raise InputError(f"{source}: no pictures in the layout {kind!r}; see data/README.md")
    return pictures


def _finder(kind, detector):
    """The detector, or None where none works but the collection says where its faces are."""
    try:
        return faces.detector(detector)
    except InputError:
        if kind == "folder" or detector != "auto":
            raise
        return None


def _fingerprint(pictures, source):
    """Changes when a picture is added, removed or replaced; names and sizes, not every byte."""
    lines = []
    for picture in pictures:
        size = picture.path.stat().st_size if picture.path.is_file() else 0
        lines.append(f"{picture.path.relative_to(source)} {size}")
    return weights.sha256_of("\n".join(lines).encode())


def _crop(picture, finder, size):
    """One picture's crop, landmarks in it and box; or why there is none, as the fourth."""
    try:
        with Image.open(picture.path) as opened:
            image = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, None, None, "unreadable"
    landmarks = picture.landmarks
    if landmarks is None and finder is not None:
        landmarks = _chosen(finder(image[None])[0], picture.box)
        if landmarks is None:
            return None, None, None, "no face"
    if landmarks is None:
        box = _square(picture.box)
        height, landmarks = picture.box[3] / 1.5, np.full((68, 2), np.nan, np.float32)
    else:
        box = faces.crop_box(landmarks[None], image.shape[1], image.shape[0])[0]
        height = faces.face_height(landmarks)
    if height < faces.SMALLEST:
        return None, None, None, f"face below {faces.SMALLEST} pixels"
    moved = faces.to_crop(landmarks[None], box[None], size)[0]
    return faces.cut(image, box, size), moved, box, ""


def _chosen(found, box):
    """Of a picture's faces, the one in the collection's box, else the largest; None if none is."""
    if box is not None:
        x, y, width, height = box
        middles = found.mean(axis=1)  # (K, 2)
        inside = (middles >= (x, y)) & (middles <= (x + width, y + height))
        found = found[inside.all(axis=1)]
    if not len(found):
        return None
    return found[faces.face_height(found).argmax()]


def _square(box):
    """The crop around a face box, which reaches from the hairline to the chin."""
    x, y, width, height = box
    head = 1.2 * height
    side = np.round(head / faces.SHARE)
    top = y + height - head - faces.ABOVE * side
    return np.float32([np.round(x + width / 2 - side / 2), np.round(top), side])


def _affectnet_path(folder, name):
    """The table's own name, or below the folder that the archive unpacks to."""
    inner = folder / "Manually_Annotated_Images" / name
    return inner if inner.is_file() else folder / name


def _rows(table, needed):
    """The rows of a csv file as dictionaries, after a look at its columns."""
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = set(needed) - set(reader.fieldnames or [])
        if missing:
            raise InputError(
                f"{table}: has no column {', '.join(sorted(missing))}; unpack it again"
            )
        return list(reader)
