"""The face recogniser: one person's pictures lie nearer together than those of two."""

import numpy as np
import pytest
import torch

from hmdlib import dataset, recogniser
from hmdlib.synthetic import people


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Six rendered people, four pictures of each in a row: (24, 128), images, landmarks."""
    folder = tmp_path_factory.mktemp("crowd") / "faces_six"
    people.render_collection(folder, 24, 128, seed=3)
    images, landmarks = dataset.Samples([dataset.open_session(folder)]).batch(range(24))
    return recogniser.describe(images, landmarks), images, landmarks


def test_pictures_of_one_person_lie_nearer_than_those_of_two(crowd):
    described, _, _ = crowd
    person = np.arange(24) // 4
    apart = np.linalg.norm(described[:, None] - described, axis=2)
    same = (person[:, None] == person) & ~np.eye(24, dtype=bool)
    assert apart[same].mean() < 0.8 * apart[person[:, None] != person].mean()
    assert apart[same].mean() < recogniser.SAME


def test_where_the_face_is_in_the_picture_says_nothing_of_who_it_is(crowd):
    described, images, landmarks = crowd
    moved = torch.nn.functional.pad(images[:4], (8, 0, 4, 0), mode="replicate")[..., :128, :128]
    again = recogniser.describe(moved, landmarks[:4] + torch.tensor([8.0, 4.0]))
    near = recogniser.distance(described[:4], again)
    assert near.max() < 0.5 * recogniser.distance(described[:4], described[4:8]).min()


def test_a_picture_without_landmarks_is_not_described(crowd):
    _, images, landmarks = crowd
    unknown = landmarks[:2].clone()
    unknown[1] = float("nan")
    described = recogniser.describe(images[:2], unknown)
    apart = recogniser.distance(described, described)
    assert apart[0] == 0 and np.isnan(apart[1])
