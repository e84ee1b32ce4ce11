"""From a person's videos to the store of crops that everything else reads."""

import math
from pathlib import Path

import numpy as np

from hmdlib import InputError, faces, store, video, weights
from hmdlib.progress import watched
from hmdlib.store import open_session

CONTAINERS = set(
    ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mxf".split()
)
FEWEST_FRAMES = 10


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
    return sorted(found, key=lambda path: store.in_order(path.stem))


def prepare_subject(videos_folder, crops_folder, image_size=128, detector="auto", tracking="fixed",
                    max_frames=None):  # fmt: skip
    """Crops of all of a person's videos: a list of Session, in the order of their names.

    videos_folder: one video a session. crops_folder: the person's folder of crops
    (data/crops/<image_size>/<subject>); each session gets a folder there. The rest as in
    make_crops. Some frames of every file are looked at before the first one is worked on, so that a
    bad one is refused at once; so are crops of a session whose video is there no more, for whoever
    opens the person's crops would go on learning from them.
    """
    paths = videos_of(videos_folder)
    _refuse_left_over(crops_folder, paths)
    for info in [video.probe(path) for path in paths]:
        if not (Path(crops_folder) / info.path.stem).exists():
            _glance(info, faces.detector(detector, info.path))
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
    faces.check_tracking(tracking)  # now, and not when all faces are found
    path, folder = Path(path), Path(folder)
    info = video.probe(path)
    finder = faces.detector(detector, path)
    key = _key(path, finder, image_size, tracking, max_frames)
    if store.matches(folder, key):
        return open_session(folder)
    every = max(1, math.ceil(info.frames_estimate / max_frames)) if max_frames else 1
    store.refuse_full_disk(folder, info.frames_estimate // every, image_size)
    found, share = _find_faces(path, finder, every, info)
    landmarks = faces.follow(found, path)
    _refuse_small(path, landmarks)
    boxes = faces.crop_box(landmarks, info.width, info.height, tracking, info.fps / every)
    cropped = faces.to_crop(landmarks, boxes, image_size)
    usable = faces.inside(cropped, image_size)
    _refuse_few(path, usable.sum(), len(found))
    lost = int(np.isnan(landmarks[:, 0, 0]).sum())
    meta = {
        **key,
        "name": path.stem,
        "source": store.from_root(path),
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "has_sound": info.has_sound,
        "frames_read": len(found),
        "every": every,
        "detector_note": finder.note,
        "dropped": {"no face": lost, "face leaves the crop": int((~usable).sum()) - lost},
        "notes": _notes(info, landmarks, boxes, image_size, tracking, share),
    }
    with store.Writer(folder, image_size, meta) as crops:
        for index, (image, time) in enumerate(video.read(path, every)):
            if usable[index]:
                crop = faces.cut(image, boxes[index], image_size)
                crops.add(crop, cropped[index], time, boxes[index], index * every)
    return open_session(folder)


def _refuse_left_over(crops_folder, paths):
    """InputError for a finished store whose session none of the videos is."""
    names = {path.stem for path in paths}
    for folder in sorted(meta.parent for meta in Path(crops_folder).glob("[!.]*/meta.json")):
        if folder.name not in names:
            raise InputError(
                f"{folder}: crops of a video that is not in {paths[0].parent} (renamed, or taken "
                "away?); put it back, or delete this folder of crops"
            )


def _glance(info, finder, looks=40, enough=4):
    """Refuse a video that make_crops would refuse too, by at least `looks` frames all over it.

    Each frame is judged as if it were a whole video, and `enough` good ones, mostly the first, let
    it pass. To be refused, it must show no face at all, or be good in less than a tenth of the
    frames with a face; as make_crops asks for half, a video that it would take is not refused here.
    """
    path, found, good = info.path, [], 0
    if info.frames_estimate < FEWEST_FRAMES:  # the file may have counted wrong
        _refuse_short(path, sum(1 for _ in video.read(path)))
    every = max(1, info.frames_estimate // looks)
    for index, (image, _) in enumerate(video.read(path, every)):
        # only a sidecar looks frames up; to the others each is the first, which is searched well
        found += finder(image[None], index * every if finder.name == "sidecar" else 0)
        good += _good(found[-1])
        if good == enough:
            return
    seen = sum(len(each) > 0 for each in found)
    if not seen:
        raise InputError(
            f"{path}: no face found in {len(found)} frames from all over it; show the face, lit "
            "and from the front, or cut the video to where it is seen"
        )
    if seen >= FEWEST_FRAMES and good < seen / 10:
        _refuse_small(path, faces.follow(found, path))


def _good(found):
    """Would a video of nothing but this frame's faces (K, 68, 2) have a person in it to learn?"""
    try:
        _refuse_small("frame", faces.follow([found]))
    except InputError:
        return False
    return True


def _key(path, finder, image_size, tracking, max_frames):
    """What a store depends on: when all of it is unchanged, the work is not done again."""
    truth = weights.sha256(faces.sidecar_path(path)) if finder.name == "sidecar" else None
    return {
        "version": store.VERSION, "sha256": weights.sha256(path), "sidecar_sha256": truth,
        "detector": finder.name, "image_size": image_size, "tracking": tracking,
        "max_frames": max_frames,
    }  # fmt: skip


def _find_faces(path, finder, every, info, together=8):
    """All faces of each every-th frame, as a list of (K, 68, 2), and the share that was read."""
    found, waiting = [], []
    total = math.ceil(info.frames_estimate / every) or None
    last = gap = 0.0  # a frame lasts, with those left out after it, as long as the one before did
    for image, time in watched(video.read(path, every), path.name, total):
        last, gap = time, time - last
        waiting.append(image)
        if len(waiting) == together or every > 1:  # a sidecar counts frames one by one
            found += finder(np.stack(waiting), len(found) * every)
            waiting = []
    if waiting:
        found += finder(np.stack(waiting), len(found) * every)
    share = info.share_read(len(found) * every, last + gap)
    if share < 0.5:
        raise InputError(
            f"{path}: only {share:.0%} of it can be decoded; the file is truncated: copy it again"
        )
    _refuse_short(path, len(found))
    return found, share


def _refuse_short(path, read):
    if read < FEWEST_FRAMES:
        raise InputError(
            f"{path}: only {read} frames can be taken from it; at least {FEWEST_FRAMES} are "
            "needed, some hundreds are good"
        )


def _refuse_few(path, usable, read):
    if usable < FEWEST_FRAMES:
        raise InputError(
            f"{path}: {usable} of {read} frames show the face; at least {FEWEST_FRAMES} are "
            "needed, some hundreds are good"
        )


def _refuse_small(path, landmarks):
    height = np.nanmedian(faces.face_height(landmarks))
    if height < faces.SMALLEST:
        raise InputError(
            f"{path}: the face is {height:.0f} pixels high from brows to chin, at least "
            f"{faces.SMALLEST} are needed; move closer to the camera or record larger pictures"
        )


def _notes(info, landmarks, boxes, image_size, tracking, read):
    """What a person should know about these crops though they could be made: a list of lines."""
    notes = []
    if info.hdr:
        notes.append(
            "recorded in HDR, so its colours come out flat; switch HDR video off next time"
        )
    side, face = np.median(boxes[:, 2]), np.nanmedian(faces.face_height(landmarks))
    share = faces.HEAD * face / side
    if tracking == "fixed" and share < 0.7 * faces.SHARE:
        notes.append(f"the person moves about: the head takes only {share:.0%} of the fixed crop; "
                     "try tracking='smooth'")  # fmt: skip
    if side < image_size:
        notes.append(
            f"the crop is {side:.0f} pixels wide in the video and is enlarged to {image_size}"
        )
    if read < 0.97:
        notes.append(f"{read:.0%} of the video could be decoded; the rest is damaged")
    return notes
