"""Eyes, gaze, place and steadiness: closed-form cases, and the shipped video with its truth."""

import numpy as np
import pytest
import torch

from hmdlib import ROOT, InputError, detectors, face_measures, faces, video
from hmdlib.face_measures import CORNERS, IRISES


def mesh(*, iris=(0.0, 0.0), roll=0.0, width=20.0):
    """A mesh (1, 478, 2) of nothing but eyes `width` wide, the irises off their middles."""
    points = np.zeros((1, 478, 2), np.float32)
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    for place, (left, right), middle in zip((30, 70), CORNERS, IRISES, strict=True):
        points[0, left], points[0, right] = (place, 50), (place + width, 50)
        points[0, middle] = (place + width / 2 + iris[0] * width, 50 + iris[1] * width)
    return points @ turn


def test_gaze_is_the_iris_between_the_corners_in_eye_widths_whatever_the_roll():
    np.testing.assert_allclose(face_measures.gaze(mesh()), [[0, 0]], atol=1e-6)
    for roll in (0.0, 0.4):
        looking = mesh(iris=(0.2, -0.1), roll=roll)
        np.testing.assert_allclose(face_measures.gaze(looking), [[0.2, -0.1]], atol=1e-6)
    np.testing.assert_allclose(face_measures.gaze(3 * mesh(iris=(0.2, 0))), [[0.2, 0]], atol=1e-6)


def test_landmark_error_counts_what_is_under_the_headset_in_inter_ocular_distances():
    truth = np.zeros((2, 68, 2))
    truth[:, :, 0], truth[:, :, 1] = np.arange(68) + 10, 50  # the outer eye corners are 9 apart
    hidden = torch.zeros(2, 1, 100, 100)
    hidden[:, :, :, 46:56] = 1  # landmarks 36 to 45
    found = truth.copy()
    found[0, :46] += (0, 3)
    found[:, 46:] += 40  # visible: not asked for
    errors = face_measures.landmark_error(found, truth, hidden)
    np.testing.assert_allclose(errors, [3 / 9, 0])
    found[1] = np.nan
    assert np.isnan(face_measures.landmark_error(found, truth, hidden)[1])
    assert np.isnan(face_measures.landmark_error(found, truth, hidden * 0)).all()


def test_blink_agreement_gives_one_half_to_whoever_never_blinks():
    openness = np.array([0.3] * 16 + [0.05] * 4)
    truth = face_measures.blinks(openness)
    assert truth.tolist() == [False] * 16 + [True] * 4
    always_open = np.zeros(20, bool)
    assert face_measures.blink_agreement(truth, truth) == 1
    assert face_measures.blink_agreement(always_open, truth) == 0.5
    assert face_measures.blink_agreement(~always_open, truth) == 0.5
    assert np.isnan(face_measures.blink_agreement(truth, always_open))


@pytest.fixture
def sliding():
    """A smooth texture that moves by two pixels a frame: (6, 3, 64, 64), and all of it hidden."""
    coarse = torch.rand(1, 3, 14, 20, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(coarse, size=(64, 90), mode="bicubic").clamp(0, 1)[0]
    frames = torch.stack([wide[:, :, 2 * t : 2 * t + 64] for t in range(6)])
    hidden = torch.zeros(6, 1, 64, 64)
    hidden[..., 12:52, 12:52] = 1
    return frames, hidden


def test_a_still_picture_does_not_flicker_and_a_moving_one_does(sliding):
    frames, hidden = sliding
    still = frames[:1].expand(6, -1, -1, -1)
    assert (face_measures.flicker(still, hidden) == 0).all()
    brighter = still + torch.linspace(0, 0.1, 6)[:, None, None, None]
    np.testing.assert_allclose(face_measures.flicker(brighter, hidden), 255 * 0.02, rtol=1e-4)
    assert face_measures.flicker(frames, hidden).min() > 1


def test_warping_error_forgives_movement_and_nothing_else(sliding):
    frames, hidden = sliding
    flow, believed = movement = face_measures.movement(frames)
    assert flow.shape == (5, 2, 64, 64) and believed.shape == (5, 1, 64, 64)
    np.testing.assert_allclose(np.median(flow, axis=(0, 2, 3)), [0, -2], atol=0.1)
    assert believed[..., 12:52, 12:52].mean() > 0.95
    moved = face_measures.warping_error(frames, movement, hidden)
    assert moved.shape == (5,)
    assert moved.max() < 0.35 * face_measures.flicker(frames, hidden).min()
    blinking = frames + 0.1 * (torch.arange(6) % 2)[:, None, None, None]
    assert face_measures.warping_error(blinking, movement, hidden).min() > 20


def test_what_goes_out_of_sight_is_not_held_against_a_method(sliding):
    """A patch slides over a texture that stands still: at its front and back no flow is right."""
    frames, _ = sliding
    still, patch = frames[:1].repeat(2, 1, 1, 1), frames[3, :, :16, :16].flip(1)
    still[0, :, 24:40, 20:36] = patch
    still[1, :, 24:40, 26:42] = patch
    _, believed = face_measures.movement(still)
    covered = believed[0, 0, 26:38, 36:42].mean()  # seen before, behind the patch after
    assert covered < 0.5 < believed[0, 0, :, 52:].mean()


def test_without_the_landmarker_all_is_not_available(monkeypatch):
    def nowhere(name):
        raise face_measures.InputError(f"{name}: not found; put it somewhere")

    monkeypatch.setattr(face_measures.detectors.weights, "find", nowhere)
    reading = face_measures.read(torch.rand(2, 3, 64, 64))
    assert reading.landmarks.shape == (2, 68, 2) and reading.gaze.shape == (2, 2)
    assert all(np.isnan(part).all() for part in reading)
    assert "not available: face_landmarker.task: not found" in face_measures.note()


def test_where_mediapipe_does_not_load_all_is_not_available(shared, monkeypatch):
    """As on a server without graphics libraries: notebook 10 goes on and says what is missing."""
    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))

    def load(name):
        raise InputError(f"{name} does not load here (libGL.so.1)")

    monkeypatch.setattr(detectors, "load_library", load)
    assert "mediapipe does not load here" in face_measures.note()
    assert np.isnan(face_measures.read(torch.zeros(2, 3, 32, 32)).openness).all()


def test_the_shipped_person_s_eyes_are_read_as_they_were_rendered(shared, monkeypatch):
    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))
    path = ROOT / "data/videos/synthetic_7/session_5.mp4"
    with np.load(path.with_suffix(".truth.npz")) as truth:
        landmarks, looks, lids = (truth[k] for k in ("landmarks", "gaze", "eye_openness"))
    boxes = faces.crop_box(landmarks, 1280, 720)
    frames = enumerate(part[0] for part in video.read(path))
    crops = [faces.cut(frame, boxes[i], 128) for i, frame in frames if i % 4 == 0]
    reading = face_measures.read(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255)
    assert np.isfinite(reading.openness).all()
    assert np.corrcoef(reading.gaze[:, 0], looks[::4, 0])[0, 1] > 0.85
    shut = lids[::4].mean(axis=1) < 0.3
    assert shut.any() and reading.openness[shut].max() < reading.openness[~shut].min()
