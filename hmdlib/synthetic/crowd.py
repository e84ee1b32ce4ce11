"""A collection of faces: thousands of synthetic people, each in a few small pictures."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from hmdlib import InputError, store
from hmdlib.progress import watched

from . import head, looks, motion, people

EACH = 4
"""Pictures of one identity: another moment each, the same day."""

VERSION = 2
"""Of these pictures: raised when the same seed begins to give others."""

FIRST = 100_000
"""Identities of the crowd are counted from here, apart from the persons that the study ships."""


def portraits(seed, count, image_size):
    """A few head-and-shoulders pictures of one identity.

    Returns images (count, S, S, 3) uint8 and landmarks (count, 68, 2) in their pixels. The head
    takes some 48 to 62 % of the height: the lower part as in the crops of a video, whose square
    holds the head wherever it moves, the upper as in those of single pictures. Small pictures are
    drawn twice as large and averaged, since crops of a video are made smaller, too: their eyes and
    hair are smooth.
    """
    finer = 2 if image_size <= 128 else 1
    drawn_size = finer * image_size
    generator = motion.stream(seed, 0, "portrait")
    identity = head.Identity.from_seed(seed, texture_size=256)
    look = looks.passer_by(identity)
    look = replace(look, shake=0.0, blur=look.blur * 1.5, noise=look.noise * 0.8)
    times = np.sort(generator.uniform(0, 90, count))
    performance = motion.perform(seed, 1, times, 0.0)
    detail = 0.3 * drawn_size / 128
    stage = people.scene(identity, 1, look, (drawn_size, drawn_size), detail)
    images, points = [], []
    for i in range(count):
        stage.look = replace(
            look,
            scale=generator.uniform(0.52, 0.67) / 23.5,
            place=(generator.normal(0.5, 0.02), generator.normal(0.48, 0.015)),
        )
        performance.translation[i] *= 0.3
        image, _, _, landmarks = people.shoot(stage, performance, i)
        blocks = image.reshape(image_size, finer, image_size, finer, 3)
        images.append(blocks.mean((1, 3)).round().astype(np.uint8))
        points.append(landmarks / finer)
    return np.array(images), np.array(points)


def _job(task):
    return task[0], *portraits(*task[1:])


def _about(count, image_size, seed):
    return {
        "version": store.VERSION,
        "renderer": [people.VERSION, VERSION],
        "kind": "synthetic faces",
        "count": count,
        "image_size": image_size,
        "seed": seed,
        "identities": -(-count // EACH),
        "pictures_each": EACH,
    }


def render_collection(folder, count, image_size=128, seed=0, workers=None):
    """Thousands of identities as a face store: frames.npy, landmarks.npy, meta.json.

    frames (count, S, S, 3) uint8, landmarks (count, 68, 2) in pixels; EACH pictures a person, side
    by side. The same count, size and seed give the same pictures, whatever the number of workers
    (default: one a core). A finished store is left alone, an unfinished one starts anew. Returns
    the folder.
    """
    if count < 1:
        raise InputError(f"count={count}: ask for at least one picture")
    folder, about = Path(folder), _about(count, image_size, seed)
    if store.matches(folder, about):
        return folder
    first = FIRST + 1_000_003 * seed
    tasks = [
        (start, first + n, min(EACH, count - start), image_size)
        for n, start in enumerate(range(0, count, EACH))
    ]
    few = len(tasks) < 12  # starting processes would take longer
    workers = 1 if few else workers or os.cpu_count()
    with (
        people.helpers(workers, chunk=4) as spread,
        store.Writer(folder, image_size, about) as crops,
    ):
        drawn = watched(spread(_job, tasks), folder.name, len(tasks), "people")
        for _, images, points in drawn:  # in their order
            for image, landmarks in zip(images, points, strict=True):
                crops.add(image, landmarks)
    return folder
