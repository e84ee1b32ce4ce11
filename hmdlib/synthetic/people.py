"""Synthetic persons, whole: sessions as videos with sound and truth, and a collection of faces."""

import io
import multiprocessing
import os
import wave
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numba
import numpy as np

from hmdlib import InputError, video
from hmdlib.detectors import sidecar_path

from . import hair, head, looks, motion, raster, scenery, studio, wardrobe
from .skull import Skull

SHRINK = 6
"""Depth and label maps of the sidecar have one value for every SHRINK x SHRINK pixels."""

VERSION = 1
"""Of the renderer: raised when the same seed begins to give other pictures."""

SCENE_PARTS = ("strands", "cloth", "room", "lamps", "sensor")
FOREHEAD = 10
"""A landmark of the mesh at the top of the forehead."""


@dataclass(eq=False)
class Scene:
    """A dressed person before a background, ready to be photographed at any moment."""

    identity: head.Identity
    look: looks.Look
    hair: raster.Strands
    hanging: np.ndarray | None
    cap: list
    clothes: list
    glasses: list
    lighting: studio.Lighting
    background: np.ndarray
    border: int
    noise: np.ndarray
    size: tuple
    rest: np.ndarray


def scene(identity, session, look, size, detail=1.0):
    """Build a Scene of one session of a person; size: (width, height); detail < 1 saves time."""
    draws = {part: motion.stream(identity.seed, session, part) for part in SCENE_PARTS}
    _, _, truth = head.pose(identity, {}, (0, 0, 0), (0, 0, 0))
    surface, normals = head.rest_surface(identity)
    count = int(18000 * detail)
    steps = 22 if look.style.top > 12 else 14
    grown = hair.grow(
        draws["strands"],
        Skull(surface),
        look.style,
        identity.hair_colour,
        look.grey,
        count,
        steps,
    )
    strands = raster.Strands(grown.points, grown.colours, grown.radius, occlusion=grown.occlusion)
    skin = colour_at(identity.skin.albedo, head.surface_uv()[FOREHEAD])
    cap = hair.cap(surface, normals, head.cage().faces, look.style, grown.colours, skin)
    texels = 1024 if detail >= 1 else 128
    clothes = wardrobe.dress(
        draws["cloth"], look.outfit, look.dye, look.pattern, look.second, texels
    )
    worn = wardrobe.glasses(truth["landmarks"], *look.glasses) if look.glasses else []
    margin = 0.04
    background = scenery.background(draws["room"], look.background, size, look.blur, margin)
    return Scene(
        identity=identity,
        look=look,
        hair=strands,
        hanging=hair.hanging(grown.points, look.style),
        cap=[] if cap is None else [cap],
        clothes=clothes,
        glasses=worn,
        lighting=studio.lighting(draws["lamps"], look.light),
        background=background,
        border=round(margin * size[0]),
        noise=studio.grain(draws["sensor"], look.noise),
        size=size,
        rest=truth["landmarks"],
    )


def colour_at(texture, uv):
    """Colour (3,) of a texture (h, w, 3) at (u, v); row 0 is v = 1."""
    height, width = texture.shape[:2]
    row, column = int((1 - uv[1]) * (height - 1)), int(uv[0] * (width - 1))
    return texture[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].mean((0, 1))


def face_values(performance, i):
    """One moment of a Performance in the words of head.pose's expression."""
    shown = {name: float(values[i]) for name, values in performance.expression.items()}
    return {
        "jaw_open": 0.5 * shown["jaw"],
        "smile": float(np.clip(0.85 * shown["smile"] + 0.30 * shown["wide"], 0, 1)),
        "pucker": 0.75 * shown["pucker"],
        "press": max(shown["press"], 0.5 * shown["bite"]),
        "brow_raise": shown["brow_up"],
        "brow_frown": shown["brow_down"],
        "squint": shown["squint"],
        "blink_right": 1 - float(performance.openness[i, 0]),
        "blink_left": 1 - float(performance.openness[i, 1]),
        "gaze_yaw": float(performance.gaze[i, 0]),
        "gaze_pitch": float(performance.gaze[i, 1]),
    }


def same_points(strands, points):
    """Strand sets with equally many points each, as the renderer wants them."""
    alike = []
    for s in strands:
        count = s.points.shape[1]
        if count != points:
            at = np.linspace(0, count - 1, points)
            low = np.minimum(at.astype(int), count - 2)
            share = (at - low)[:, None].astype(np.float32)
            grown = s.points[:, low] * (1 - share) + s.points[:, low + 1] * share
            sky = None if s.occlusion is None else s.occlusion[:, low]
            s = replace(s, points=grown.astype(np.float32), occlusion=sky)
        alike.append(s)
    return alike


def shoot(stage, performance, i):
    """Photograph moment i of a performance. Returns (image, depth, label, landmarks).

    image: (H, W, 3) uint8; depth (H, W) cm, 0 = background; label (H, W) uint8; landmarks (68, 2)
    in pixels.
    """
    (width, height), look = stage.size, stage.look
    scale = look.scale * height  # pixels a cm at the head
    sway = performance.camera[i] * width
    centre = (look.place[0] * width + sway[0], look.place[1] * height + sway[1])
    camera = raster.Camera(width, height, scale * look.distance, centre)
    base = performance.translation[i] + (0.0, 0.0, -look.distance)
    pose = tuple(float(v) for v in performance.rotation[i])
    meshes, strands, truth = head.pose(stage.identity, face_values(performance, i), pose, base)
    turn, shift = truth["rotation"], truth["translation"]
    worn = wardrobe.move(stage.clothes, None, base)
    worn += wardrobe.move(stage.cap + stage.glasses, turn, shift)
    grown = stage.hair.points @ turn.T.astype(np.float32) + shift.astype(np.float32)
    if stage.hanging is not None:
        grown += stage.hanging * (stage.hair.points + base.astype(np.float32) - grown)
    strands = same_points([*strands, replace(stage.hair, points=grown)], grown.shape[1])
    corner = stage.border - sway * 0.6
    behind = studio.backdrop(stage.background, *corner, height, width, stage.lighting.backdrop)
    image, depth, label = raster.render(
        [*meshes, *worn],
        strands,
        stage.lighting.lights,
        stage.lighting.ambient,
        camera,
        behind,
        stage.lighting.exposure,
    )
    studio.develop(image, stage.noise, 149 * i % 256, 83 * i % 256, look.vignette)
    return image, depth, label, camera.project(truth["landmarks"]).astype(np.float32)


def write_sound(path, samples, rate=24000):
    """A mono 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


@lru_cache(maxsize=1)
def prepared(seed, session, sessions, size, seconds, fps):
    """A session's Scene and Performance, kept while its frames are drawn."""
    identity = person(seed, size[1])
    look = looks.look(identity, session, sessions)
    times = np.arange(round(seconds * fps)) / fps
    return scene(identity, session, look, size), motion.perform(seed, session, times, look.shake)


@lru_cache(maxsize=1)
def person(seed, height):
    """A person whose skin is painted as finely as a video of this height can show."""
    return head.Identity.from_seed(seed, texture_size=1024 if height > 480 else 512)


def draw(task):
    """One frame of a session in full, and its depth and label maps made small."""
    recipe, i = task
    image, depth, label, landmarks = shoot(*prepared(*recipe), i)
    small = slice(None, None, SHRINK)
    near = np.round(8 * depth[small, small]) / 8  # to a millimetre or so: packs three times better
    return image, near.astype(np.float16), label[small, small].copy(), landmarks


def write_session(path, recipe, spread=map):
    """One session as a video with sound, and its truth beside it; both whole or not at all.

    The truth comes first and the video last: a video without truth is somebody's own.
    recipe: (seed, session, sessions, size, seconds, fps). spread: map, or a pool's imap.
    """
    seed, session, _, size, seconds, fps = recipe
    times = np.arange(round(seconds * fps)) / fps
    depths, labels, points = [], [], []

    def frames():
        for image, depth, label, landmarks in spread(
            draw, [(recipe, i) for i in range(len(times))]
        ):
            depths.append(depth)
            labels.append(label)
            points.append(landmarks)
            yield image

    path.parent.mkdir(parents=True, exist_ok=True)
    sound, film = path.with_suffix(".wav.partial"), path.with_suffix(".film.partial")
    try:
        write_sound(sound, motion.voice(seed, session, seconds))
        video.write(film, frames(), fps, sound_from=sound)
        performance = motion.perform(seed, session, times)
        save_truth(
            sidecar_path(path),
            recipe=np.array([seed, *size, seconds, fps], np.float64),
            times=times,
            landmarks=np.array(points),
            head_pose=performance.rotation.astype(np.float32),
            gaze=performance.gaze.astype(np.float32),
            eye_openness=performance.openness.astype(np.float32),
            depth=np.array(depths),
            label=np.array(labels),
        )
        film.replace(path)
    finally:
        sound.unlink(missing_ok=True)
        film.unlink(missing_ok=True)


def refuse_another(path, seed, size, seconds, fps):
    """InputError when a video that is there was rendered with other settings, or not by us."""
    if not sidecar_path(path).is_file():
        raise InputError(
            f"{path}: is there without its truth, so it was not rendered here; name another "
            "folder, or move it"
        )
    with np.load(sidecar_path(path)) as truth:
        found = truth["recipe"].tolist() if "recipe" in truth else None
    if found != [seed, *size, seconds, fps]:
        raise InputError(
            f"{path}: is there, but not as synthetic_{seed} with {seconds:g} s at {size[0]} x "
            f"{size[1]}, {fps} frames a second; name another folder with -p videos, or delete it"
        )


def save_truth(path, **arrays):
    """Save arrays whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, version=VERSION, **arrays)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)


def write_person(
    folder, seed, sessions=7, seconds=6, size=(1280, 720), fps=30, report=None, workers=None
):
    """All sessions of one synthetic person: session_1.mp4 ... with session_1.truth.npz beside.

    A session that is there is left alone, so a broken run goes on where it stopped; one that was
    rendered otherwise, or is somebody's own video, is an InputError, before any work.
    report: called with one line per session. workers: processes that draw, one a core by default;
    the pictures do not depend on it. Returns the videos' paths. The truth holds times (N,)
    seconds, landmarks (N, 68, 2) px, head_pose (N, 3) and gaze (N, 2, in the head) degrees,
    eye_openness (N, 2) right, left in [0, 1], depth (N, H/6, W/6) cm with 0 = background, label
    likewise: 0 background, 1 face and skin, 2 hair, 3 clothes and other things.
    """
    paths = [Path(folder) / f"session_{n}.mp4" for n in range(1, sessions + 1)]
    missing = [(n, path) for n, path in enumerate(paths, 1) if not path.is_file()]
    for path in paths:
        if path.is_file():
            refuse_another(path, seed, size, seconds, fps)
    few = len(missing) * seconds * fps < 120  # starting processes would take longer
    with helpers(1 if few else workers or os.cpu_count()) as spread:
        for n, path in missing:
            if report is not None:
                chosen = looks.look(person(seed, size[1]), n, sessions)
                place = f"{chosen.outfit}, {chosen.background}, {chosen.light} light"
                report(f"session {n} of {sessions}: {place}")
            write_session(path, (seed, n, sessions, tuple(size), seconds, fps), spread)
    return paths


@contextmanager
def helpers(workers, chunk=1):
    """A map over processes with one thread each, in order; the plain map for one worker."""
    if workers == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(workers, _one_thread) as pool:
        yield partial(pool.imap, chunksize=chunk)


def _one_thread():
    numba.set_num_threads(1)


def render_collection(folder, count, image_size=128, seed=0, workers=None):
    """Thousands of identities as a face store; see crowd.render_collection."""
    from . import crowd  # it builds on this module

    return crowd.render_collection(folder, count, image_size, seed, workers)
