"""Synthetic people: the truth agrees with the picture, motion is human, files are ordinary."""

import json

import numpy as np
import pytest

from hmdlib import ROOT, InputError, video
from hmdlib.synthetic import crowd, hair, haircuts, head, looks, motion, people, wardrobe
from hmdlib.synthetic.skull import Skull

SMALL = (320, 180)
SECONDS = np.arange(0, 60, 1 / 30)


@pytest.fixture(scope="module")
def identity():
    return head.Identity.from_seed(7, texture_size=256)


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    """Two short, small sessions of one person, with their folder."""
    folder = tmp_path_factory.mktemp("person")
    return folder, people.write_person(folder, 3, sessions=2, seconds=0.2, size=SMALL)


def picture(identity, session, moment=1.0, size=SMALL):
    look = looks.look(identity, session)
    stage = people.scene(identity, session, look, size, detail=0.2)
    performance = motion.perform(identity.seed, session, np.array([moment]), look.shake)
    return people.shoot(stage, performance, 0)


def test_head_stays_within_its_limits_and_visits_them():
    rotation = np.abs(motion.perform(7, 1, SECONDS).rotation)
    limits = (motion.YAW_LIMIT, motion.PITCH_LIMIT, motion.ROLL_LIMIT)
    assert (rotation.max(0) <= limits).all()
    assert (rotation.max(0) > np.multiply(limits, 0.75)).all()
    assert np.median(rotation[:, 0]) < 12  # conversation, mostly


def test_movement_is_smooth():
    rotation = motion.perform(7, 2, SECONDS).rotation
    assert np.abs(np.diff(rotation, axis=0)).max() < 8  # degrees a frame: 240 a second
    assert np.abs(np.diff(rotation, n=2, axis=0)).max() < 3


@pytest.mark.parametrize("seed", [1, 7, 23])
def test_blinks_are_as_frequent_and_as_short_as_people_s(seed):
    openness = motion.perform(seed, 1, SECONDS).openness
    shut = openness[:, 0] < 0.5
    blinks = np.flatnonzero(np.diff(shut.astype(int)) == 1)
    assert 12 <= len(blinks) <= 20  # a minute
    assert openness.min() >= 0 and openness.max() <= 1
    begin = np.flatnonzero(np.diff((openness[:, 0] < 0.99).astype(int)) == 1)
    end = np.flatnonzero(np.diff((openness[:, 0] < 0.99).astype(int)) == -1)
    length = (end - begin[: len(end)]) / 30
    assert 0.08 <= length.min() and length.max() <= 0.34


def test_more_seconds_do_not_change_the_earlier_ones():
    short, long = (motion.perform(5, 3, SECONDS[:n]) for n in (90, 900))
    np.testing.assert_allclose(short.rotation, long.rotation[:90])
    np.testing.assert_allclose(short.gaze, long.gaze[:90])
    np.testing.assert_allclose(short.expression["jaw"], long.expression["jaw"][:90])


def test_voice_is_heard_when_the_jaw_moves_and_not_in_pauses():
    times = np.arange(0, 8, 0.05)
    loud = motion.visemes(7, 1, times)[1]
    sound = np.abs(motion.voice(7, 1, 8)).reshape(len(times), -1).mean(1)
    assert sound[loud > 0.5].mean() > 8 * sound[loud < 0.01].mean()
    assert np.abs(motion.voice(7, 1, 8)).max() < 0.3  # quiet


def test_same_seed_gives_the_same_frame(identity):
    first, second = picture(identity, 1), picture(identity, 1)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sessions_differ_while_the_face_stays(identity):
    first, second = looks.look(identity, 1), looks.look(identity, 2)
    assert (first.outfit, first.background) != (second.outfit, second.background)
    worn = [people.scene(identity, n, looks.look(identity, n), SMALL, 0.1) for n in (1, 2)]
    np.testing.assert_array_equal(worn[0].rest, worn[1].rest)
    images = [picture(identity, n)[0].astype(float) for n in (1, 2)]
    assert np.abs(images[0] - images[1]).mean() > 10


def test_no_outfit_and_no_place_comes_twice(identity):
    seen = [looks.look(identity, n) for n in range(1, 6)]
    assert len({look.outfit for look in seen}) == 5
    assert len({(look.background, look.light) for look in seen}) == 5
    assert sum(look.glasses is not None for look in seen) == 1 and seen[-1].glasses is None


def test_landmarks_lie_on_the_face_of_the_label_map(identity):
    _, depth, label, points = picture(identity, 1, size=(640, 360))
    inner = points[27:].round().astype(int)  # nose, eyes, mouth: never at the outline
    assert (label[inner[:, 1], inner[:, 0]] != 0).mean() > 0.98
    assert (label[inner[:, 1], inner[:, 0]] == 1).mean() > 0.85
    assert (depth[label == 0] == 0).all() and (depth[label > 0] > 40).all()


def test_hair_grows_on_the_skull_and_leaves_the_face_free(identity):
    surface, _ = head.rest_surface(identity)
    skull = Skull(surface)
    for name in ("crop", "long", "bun"):
        grown = hair.grow(np.random.default_rng(0), skull, haircuts.STYLES[name], count=800)
        root = grown.points[:, 0]
        gap = np.linalg.norm(root - skull.centre, axis=1) - skull.radius(root - skull.centre)
        scalp = root[:, 2] > -9 if name == "bun" else np.ones(len(root), bool)
        assert np.abs(gap[scalp]).max() < 1.0
        x, y, z = np.moveaxis(grown.points, -1, 0)
        assert not ((np.abs(x) < 4.5) & (z > 0) & (np.abs(y) < 5.5)).any()


@pytest.mark.parametrize("outfit", wardrobe.OUTFITS)
def test_every_outfit_is_made_of_sound_meshes(outfit):
    for mesh in wardrobe.dress(np.random.default_rng(0), outfit, "navy", "stripes", texels=64):
        assert np.isfinite(mesh.vertices).all()
        assert mesh.triangles.min() >= 0 and mesh.triangles.max() < len(mesh.vertices)


def test_videos_are_ordinary_and_have_sound(person):
    for path in person[1]:
        info = video.probe(path)
        assert (info.codec, info.width, info.height, info.has_sound) == ("h264", *SMALL, True)
        times = [time for _, time in video.read(path)]
        assert len(times) == 6 and (np.diff(times) > 0).all()


def test_truth_has_one_row_for_every_frame(person):
    with np.load(people.sidecar_path(person[1][0])) as truth:
        assert truth["times"].shape == (6,) and (np.diff(truth["times"]) > 0).all()
        assert truth["landmarks"].shape == (6, 68, 2) and np.isfinite(truth["landmarks"]).all()
        assert truth["head_pose"].shape == (6, 3) and truth["gaze"].shape == (6, 2)
        assert truth["eye_openness"].shape == (6, 2)
        assert truth["depth"].shape == truth["label"].shape == (6, 30, 54)
        assert truth["depth"].dtype == np.float16 and truth["label"].dtype == np.uint8
        assert set(np.unique(truth["label"])) == {0, 1, 2, 3}


def test_a_finished_session_is_left_alone_and_a_broken_one_made_again(person):
    folder, paths = person
    before, said = [path.stat().st_mtime_ns for path in paths], []
    truth = people.sidecar_path(paths[1]).read_bytes()
    paths[1].unlink()  # as a run leaves it that was stopped between the truth and the video
    people.write_person(folder, 3, sessions=2, seconds=0.2, size=SMALL, report=said.append)
    assert paths[0].stat().st_mtime_ns == before[0] and paths[1].stat().st_mtime_ns > before[1]
    assert len(said) == 1 and said[0].startswith("session 2 of 2")
    with np.load(people.sidecar_path(paths[1])) as new:
        assert people.sidecar_path(paths[1]).stat().st_size == len(truth)
        assert len(new["times"]) == 6
    assert not list(folder.glob("*.partial"))


def test_somebody_s_own_video_is_refused_and_kept(tmp_path):
    own = tmp_path / "session_2.mp4"
    own.write_bytes(b"a birthday")
    with pytest.raises(InputError, match="session_2.mp4: is there without its truth"):
        people.write_person(tmp_path, 3, sessions=2, seconds=0.2, size=SMALL)
    assert list(tmp_path.iterdir()) == [own] and own.read_bytes() == b"a birthday"


@pytest.mark.parametrize("other", [{"seconds": 0.5}, {"size": (160, 90)}, {"seed": 4}])
def test_sessions_rendered_otherwise_are_refused_and_kept(person, other):
    folder, paths = person
    before = [path.read_bytes() for path in paths]
    asked = {"seed": 3, "sessions": 3, "seconds": 0.2, "size": SMALL} | other
    with pytest.raises(InputError, match="session_1.mp4: is there, but not as"):
        people.write_person(folder, **asked)
    assert [path.read_bytes() for path in paths] == before


def test_collection_is_the_same_store_each_time_and_left_alone_when_done(tmp_path):
    folder = people.render_collection(tmp_path / "faces", 5, image_size=64, seed=1, workers=1)
    frames, points = np.load(folder / "frames.npy"), np.load(folder / "landmarks.npy")
    assert frames.shape == (5, 64, 64, 3) and points.shape == (5, 68, 2)
    assert (points > 0).all() and (points < 64).all()
    tall = points[:, 8, 1] - points[:, 19, 1]  # brow to chin
    assert (tall > 0.25 * 64).all() and (tall < 0.55 * 64).all()
    assert json.loads((folder / "meta.json").read_text())["count"] == 5
    before = (folder / "frames.npy").stat().st_mtime_ns
    people.render_collection(folder, 5, image_size=64, seed=1, workers=1)
    assert (folder / "frames.npy").stat().st_mtime_ns == before
    again = crowd.portraits(crowd.FIRST + 1_000_003, 4, 64)
    np.testing.assert_array_equal(again[0], frames[:4])


def test_an_empty_collection_is_refused(tmp_path):
    with pytest.raises(InputError, match="count=0"):
        people.render_collection(tmp_path / "faces", 0)


def test_the_shipped_person_is_what_the_command_renders():
    folder = ROOT / "data/videos/synthetic_7"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25e6
    for n in range(1, 8):
        people.refuse_another(folder / f"session_{n}.mp4", 7, (1280, 720), 6, 30)
    shipped, _ = next(video.read(folder / "session_1.mp4"))
    image, _, _, landmarks = people.draw(((7, 1, 7, (1280, 720), 6, 30), 0))
    error = (shipped.astype(float) - image).ravel()
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 32  # H.264 keeps no more of sensor noise
    with np.load(people.sidecar_path(folder / "session_1.mp4")) as truth:
        np.testing.assert_allclose(truth["landmarks"][0], landmarks, atol=0.1)
        assert truth["depth"].shape == (180, 120, 214)


def test_mediapipe_takes_them_for_faces(shared, identity, monkeypatch):
    """Found in 98 % of frames; corners of eyes and mouth, nose tip, chin where the truth is."""
    from hmdlib import detectors

    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))
    find = detectors.detector("mediapipe")
    shots = []
    for session in range(1, 6):
        stage = people.scene(identity, session, looks.look(identity, session), (960, 540), 0.2)
        performance = motion.perform(7, session, np.arange(0.3, 8, 1.3), 0)
        shots += [people.shoot(stage, performance, i) for i in range(6)]
    found = find(np.array([shot[0] for shot in shots]), 0)
    assert np.mean([len(faces) > 0 for faces in found]) >= 0.98
    truth = np.array([shot[3] for shot in shots])
    seen = np.array([faces[0] for faces in found])
    apart = np.linalg.norm(truth[:, 36:42].mean(1) - truth[:, 42:48].mean(1), axis=1)
    away = np.linalg.norm(seen - truth, axis=2) / apart[:, None]
    for place in (36, 39, 42, 45, 30, 48, 54, 8):
        assert np.median(away[:, place]) < 0.06, place
