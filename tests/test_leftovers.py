"""A killed run's half-written files go at the next run; those of a run at work stay."""

import os
import time

import numpy as np
import pytest
import torch

from hmdlib import checkpoint, leftovers, store


def age(path, hours):
    """Set the clock of a file or folder back."""
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


@pytest.mark.parametrize(("hours", "stays"), [(2.0, False), (0.5, True)])
def test_the_next_store_of_that_name_removes_what_a_killed_one_left(tmp_path, hours, stays):
    left = tmp_path / ".faces_more.abc123"
    left.mkdir()
    (left / "frames.npy").write_bytes(b"half")
    other = tmp_path / ".faces_other.abc123"
    other.mkdir()
    for path in (left / "frames.npy", left, other):
        age(path, hours)
    with store.Writer(tmp_path / "faces_more", 8) as crops:
        crops.add(np.zeros((8, 8, 3), np.uint8), np.zeros((68, 2)))
    assert left.exists() == stays and other.exists()
    assert len(store.open_session(tmp_path / "faces_more")) == 1


def test_a_long_render_is_at_work_as_long_as_its_pictures_grow(tmp_path):
    at_work = tmp_path / ".faces_more.abc123"
    at_work.mkdir()
    (at_work / "frames.npy").write_bytes(b"half")
    age(at_work, 2.0)  # the folder itself is as old as the render
    with store.Writer(tmp_path / "faces_more", 8) as crops:
        crops.add(np.zeros((8, 8, 3), np.uint8), np.zeros((68, 2)))
    assert at_work.exists()


@pytest.mark.parametrize(("hours", "stays"), [(2.0, False), (0.5, True)])
def test_the_next_checkpoint_removes_what_a_killed_run_left_of_it(tmp_path, hours, stays):
    left, other = tmp_path / "checkpoint.safetensors.77.tmp", tmp_path / "model.safetensors.77.tmp"
    for path in (left, other):
        path.write_bytes(b"half")
        age(path, hours)
    checkpoint.write_tensors(tmp_path / "checkpoint.safetensors", {"a": torch.ones(1)}, {})
    assert left.exists() == stays and other.exists()


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path):
    leftovers.clear(tmp_path / "nowhere", ".faces")
    file = tmp_path / "file"
    file.write_bytes(b"no folder")
    leftovers.clear(file, ".faces")
    assert file.exists()
