"""Finding a face, keeping to one person, cutting a square out and putting it back."""

import urllib.request

import numpy as np
import pytest
import torch
from clips import face, still, with_truth

from hmdlib import ROOT, InputError, detectors, faces, fan, libraries, video, weights

NOBODY = np.zeros((0, 68, 2), np.float32)


@pytest.fixture
def mediapipe(shared, monkeypatch):
    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))
    return faces.detector("mediapipe")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No model file anywhere, and no network."""

    def refuse(*_, **__):
        raise urllib.request.URLError("no network")

    monkeypatch.setattr(weights, "places", lambda: [tmp_path / "weights"])
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    weights._download.cache_clear()
    yield
    weights._download.cache_clear()


def walk(count, start=(100, 100), step=(1, 0), height=60):
    """A face that moves on evenly: a list of (68, 2)."""
    return [face(start[0] + i * step[0], start[1] + i * step[1], height) for i in range(count)]


# Landmarks


def test_eye_openness_is_height_over_width():
    points = np.zeros((2, 68, 2), np.float32)
    for first in (36, 42):  # corner, two above, corner, two below: 30 wide
        points[:, first : first + 6, 0] = [0, 10, 20, 30, 20, 10]
        points[0, first + 1 : first + 3, 1], points[0, first + 4 : first + 6, 1] = -4, 5
    np.testing.assert_allclose(faces.eye_openness(points), [9 / 30, 0])
    np.testing.assert_allclose(faces.eye_openness(points[:1] * 7), [9 / 30], rtol=1e-6)


def test_the_mesh_points_are_as_symmetric_as_the_face():
    mesh = np.load(ROOT / "hmdlib/synthetic/canonical_face.npz")
    points = mesh["vertices"][faces.MEDIAPIPE_TO_68].mean(axis=1)  # (68, 3), x to its left
    np.testing.assert_allclose(points[faces.MIRROR_68] * [-1, 1, 1], points, atol=0.02)
    jaw = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
    assert jaw.max() / jaw.min() < 1.7  # evenly along the jaw, as in the 68-point scheme
    assert points[8, 1] == points[:, 1].min() and points[36, 0] < points[39, 0] < 0 < points[42, 0]


def test_mirroring_twice_changes_nothing():
    assert (faces.MIRROR_68[faces.MIRROR_68] == np.arange(68)).all()
    points = face()
    np.testing.assert_allclose(points[faces.MIRROR_68] * [-1, 1], points, atol=1e-4)


# Who finds them


def test_a_sidecar_is_the_best_there_is(tmp_path):
    truth = still(12)
    truth[3] = np.nan
    path = with_truth(tmp_path / "session_1.mp4", truth)
    finder = faces.detector("auto", path)
    assert finder.name == "sidecar"
    found = finder(np.zeros((8, 4, 4, 3), np.uint8), 2)
    assert [len(one) for one in found] == [1, 0, 1, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(found[0][0], truth[2])
    assert [len(one) for one in finder(np.zeros((3, 4, 4, 3), np.uint8), 11)] == [1, 0, 0]


def test_a_half_copied_sidecar_is_named(tmp_path):
    path = with_truth(tmp_path / "session_1.mp4", still(12))
    sidecar = faces.sidecar_path(path)
    sidecar.write_bytes(sidecar.read_bytes()[:-40])
    with pytest.raises(InputError, match="session_1.truth.npz: not a readable sidecar"):
        faces.detector("sidecar", path)


def test_offline_each_way_says_what_it_needs(offline, tmp_path):
    with pytest.raises(InputError) as error:
        faces.detector("auto", tmp_path / "a.mp4")
    told = str(error.value)
    assert "a.truth.npz" in told and "2DFAN4-11f355bf06.pth.tar" in told and "\n" not in told
    assert "face_landmarker.task" in told and "https://storage.googleapis.com" in told
    with pytest.raises(InputError, match="choose one of auto, sidecar, face-alignment, mediapipe"):
        faces.detector("haar")


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as the choice of a detector asks."""
    monkeypatch.setattr(detectors, "device", lambda: torch.device("cuda"))


def test_auto_takes_mediapipe_where_face_alignment_has_no_weights(
    shared, monkeypatch, offline, gpu
):
    monkeypatch.setattr(weights, "places", lambda: [shared / "weights"])
    finder = faces.detector("auto")
    assert finder.name == "mediapipe" and "2DFAN4-11f355bf06.pth.tar" in finder.note


def test_without_a_gpu_face_alignment_is_taken_only_where_its_weights_were_put(
    tmp_path, monkeypatch, offline
):
    """It takes seconds a frame there; nobody is to fetch 186 MB and wait for hours unasked."""
    monkeypatch.setattr(detectors, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(weights, "places", lambda: [tmp_path])
    for name in (fan.FAN, fan.S3FD):
        (tmp_path / name).write_bytes(b"weights")
    asked = []
    monkeypatch.setattr(weights, "find", lambda name: asked.append(name) or tmp_path / name)
    assert faces.detector("auto").name == "face-alignment"
    (tmp_path / fan.S3FD).unlink()
    monkeypatch.setattr(detectors, "_landmarker", lambda path: None)
    asked.clear()
    assert faces.detector("auto").name == "mediapipe" and asked == [detectors.LANDMARKER]


@pytest.mark.parametrize("problem", [ImportError, OSError])
def test_auto_goes_on_to_mediapipe_where_face_alignment_does_not_load(
    shared, monkeypatch, problem, gpu
):
    real, asked = libraries.importlib.import_module, []

    def load(name):
        if name.startswith("face_alignment"):
            raise problem("libGL.so.1: cannot open shared object file")
        return real(name)

    def find(name):
        asked.append(name)
        return shared / "weights" / name

    monkeypatch.setattr(libraries.importlib, "import_module", load)
    monkeypatch.setattr(weights, "find", find)
    finder = faces.detector("auto")
    assert finder.name == "mediapipe" and "face_alignment does not load here (libGL" in finder.note
    assert asked == [detectors.LANDMARKER]  # no 186 MB for a library that cannot use them


def test_where_no_library_loads_the_reasons_are_told_and_nothing_is_fetched(monkeypatch, gpu):
    def load(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr(libraries.importlib, "import_module", load)
    monkeypatch.setattr(weights, "find", lambda name: pytest.fail(f"looked for {name}"))
    with pytest.raises(InputError, match=r"face-alignment: .*no face_al.*mediapipe: .*no mediap"):
        faces.detector("auto")


def test_a_wrong_model_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "places", lambda: [tmp_path])
    (tmp_path / "face_landmarker.task").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="face_landmarker.task: not the published file"):
        weights.find("face_landmarker.task")


def test_a_download_is_checked_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "places", lambda: [])
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    (tmp_path / "served").write_bytes(b"model")
    address = (tmp_path / "served").as_uri()
    for name, works in [("a-9372c470ee.pth", True), ("b-00000000ee.pth", False)]:
        monkeypatch.setitem(weights.ADDRESSES, name, address)
        if works:
            assert weights.find(name).read_bytes() == b"model"
        else:
            with pytest.raises(InputError, match="sha256 differs"):
                weights.find(name)
    assert [path.name for path in (tmp_path / "data/weights").iterdir()] == ["a-9372c470ee.pth"]


def test_mediapipe_finds_the_person_and_the_bystanders(mediapipe, shared, capfd):
    folder = shared / "data/videos/subject_a"
    for session, bystanders in [("session_3.mp4", 0), ("session_5.mp4", 1)]:
        images = np.stack([image for image, _ in video.read(folder / session, every=60)])
        found = mediapipe(images)
        assert all(len(one) >= 1 + bystanders for one in found)
        person = faces.follow(found, session)
        assert np.isfinite(person).all() and (faces.face_height(person) > 140).all()
    assert capfd.readouterr().err == ""


def test_a_face_of_40_pixels_is_found_in_a_large_picture(mediapipe, shared):
    from PIL import Image

    portrait = Image.open(shared / "data/faces/portraits/A000055.jpg").convert("RGB")
    scene = Image.new("RGB", (1280, 720), (90, 100, 110))
    scene.paste(portrait.resize((82, 100)), (900, 300))
    found = mediapipe(np.asarray(scene)[None])[0]
    assert len(found) == 1 and 35 < faces.face_height(found[0]) < 50
    assert (found[0] > (900, 300)).all() and (found[0] < (982, 400)).all()


def test_pictures_of_a_collection_do_not_depend_on_their_neighbours(mediapipe, shared):
    from PIL import Image

    portrait = Image.open(shared / "data/faces/portraits/A000055.jpg").convert("RGB")
    corner = Image.new("RGB", (2000, 1500), (90, 100, 110))
    corner.paste(portrait.resize((410, 500)), (1500, 900))
    wall = np.full((1, 720, 1280, 3), 100, np.uint8)
    for image in (np.asarray(corner)[None], wall, wall, np.asarray(portrait)[None]):
        found = mediapipe(image)  # a small one after a large one; a face after walls
        assert len(found[0]) == (image is not wall)


def test_heat_map_peaks_land_where_the_crop_came_from():
    from face_alignment import utils

    image = np.zeros((300, 400, 3), np.uint8)
    image[140:148, 220:228] = 255  # its middle: (224, 144)
    center, scale = np.array([200.0, 150.0]), 0.8
    framed = utils.crop(image, center, scale)[..., 0].astype(np.float32)  # (256, 256)
    heat = framed.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    point = fan.peaks(np.repeat(heat[None], 68, 0), center, scale)[0, 0]
    assert np.linalg.norm(point - (224, 144)) < 3  # a heat map's pixel is 2.5 pixels here


# The same person through time


def test_the_larger_face_is_followed_among_bystanders():
    person, other = walk(30), walk(30, start=(300, 150), step=(-0.5, 0), height=45)
    found = [np.stack([a, b]) for a, b in zip(person, other, strict=True)]
    found[::2] = [both[::-1] for both in found[::2]]
    np.testing.assert_array_equal(faces.follow(found), person)


def test_who_is_seen_beside_the_person_never_takes_their_place():
    person, other = walk(30), walk(30, start=(400, 150), height=50)
    found = [np.stack([a, b]) for a, b in zip(person, other, strict=True)]
    found[12] = other[12][None]  # the person turns away
    landmarks = faces.follow(found)
    assert np.isnan(landmarks[12]).all() and np.isnan(landmarks).any(axis=(1, 2)).sum() == 1


def test_someone_who_passes_in_front_is_not_followed():
    person, other = walk(40), walk(8, start=(300, 100), step=(8, 0), height=110)
    found = [one[None] for one in person]
    for i, face_there in enumerate(other):
        found[10 + i] = np.stack([face_there, person[10 + i]])
    np.testing.assert_array_equal(faces.follow(found), person)


def test_after_a_gap_and_after_a_cut_the_person_is_taken_up_again():
    person = walk(20) + walk(20, start=(400, 250), height=80)  # a cut: elsewhere, and nearer
    found = [one[None] for one in person]
    found[5:8] = [NOBODY] * 3
    landmarks = faces.follow(found)
    assert np.isnan(landmarks[5:8]).all()
    np.testing.assert_array_equal(landmarks[8:], person[8:])


def test_two_equal_faces_and_no_face_are_refused():
    beside = walk(20, start=(400, 100), height=58)
    twins = [np.stack([a, b]) for a, b in zip(walk(20), beside, strict=True)]
    with pytest.raises(InputError, match="film.mp4: two equal faces in 20 of 20 frames"):
        faces.follow(twins, "film.mp4")
    with pytest.raises(InputError, match="film.mp4: no face found"):
        faces.follow([NOBODY] * 9, "film.mp4")


# The crop


def test_the_head_stands_on_the_chin_and_turns_with_it():
    left, top, right, bottom = faces.heads(face(100, 100, 60)[None])[0]
    assert bottom == pytest.approx(130) and bottom - top == pytest.approx(60 * faces.HEAD)
    assert (left + right) / 2 == pytest.approx(100, abs=0.1)
    lying = faces.heads(face(100, 100, 60, roll=90)[None])[0]
    assert lying[2] - lying[0] == pytest.approx(bottom - top, rel=1e-3)
    assert lying[3] - lying[1] == pytest.approx(right - left, rel=1e-3)


def test_a_still_head_takes_its_share_below_a_little_air():
    boxes = faces.crop_box(still(9, x=300, y=200, height=60), 1280, 720)
    x, y, side = boxes[0]
    assert (boxes == boxes[0]).all() and (boxes == np.round(boxes)).all()
    assert 60 * faces.HEAD / side == pytest.approx(faces.SHARE, abs=0.01)
    left, top, right, bottom = faces.heads(still(1, x=300, y=200, height=60))[0]
    assert (left + right) / 2 - x == pytest.approx(side / 2, abs=1)
    assert (top - y) / side == pytest.approx(faces.ABOVE, abs=0.01)


def test_a_fixed_crop_holds_the_whole_walk():
    landmarks = np.stack(walk(200, start=(200, 300), step=(2, 0)))
    boxes = faces.crop_box(landmarks, 1280, 720)
    assert faces.inside(faces.to_crop(landmarks, boxes, 128), 128).all()
    assert 102 / boxes[0, 2] < 0.3  # at the price of a small head


def test_one_wild_frame_does_not_blow_up_a_fixed_crop():
    landmarks = still(200, x=300, y=200)
    calm = faces.crop_box(landmarks, 1280, 720)[0]
    landmarks[50] += 400
    boxes = faces.crop_box(landmarks, 1280, 720)
    np.testing.assert_allclose(boxes[0], calm)
    assert (~faces.inside(faces.to_crop(landmarks, boxes, 128), 128)).sum() == 1


def test_a_tight_picture_is_used_up_before_its_edge_is_repeated():
    x, y, side = faces.crop_box(still(9, x=160, y=150, height=120), 320, 300)[0]
    assert side == 300 and (x, y) == (10, 0)


def test_a_smooth_crop_follows_without_the_landmarks_jitter():
    rng = np.random.default_rng(0)
    path = np.stack(walk(120, start=(200, 300), step=(4, 0)))
    shaky = path + rng.normal(0, 2, (120, 1, 2)).astype(np.float32)
    shaky[40:45] = np.nan
    boxes = faces.crop_box(shaky, 1280, 720, tracking="smooth", fps=30)
    there = np.isfinite(shaky[:, 0, 0])
    cropped = faces.to_crop(shaky, boxes, 128)
    assert faces.inside(cropped[there], 128).all() and np.isfinite(boxes).all()
    jerk = np.abs(np.diff(boxes[:, 0], 2))
    assert jerk.max() < 0.5  # source pixels; the landmarks' own is some 5
    assert 102 / np.median(boxes[:, 2]) == pytest.approx(faces.SHARE, abs=0.02)


def test_a_smooth_crop_jumps_at_a_cut():
    landmarks = np.stack(walk(60, (200, 300), (0, 0)) + walk(60, (900, 300), (0, 0)))
    boxes = faces.crop_box(landmarks, 1280, 720, tracking="smooth", fps=30)
    np.testing.assert_allclose(boxes[59], boxes[0], atol=0.01)
    np.testing.assert_allclose(boxes[60], boxes[-1], atol=0.01)
    with pytest.raises(InputError, match="choose 'fixed' or 'smooth'"):
        faces.crop_box(landmarks, 1280, 720, tracking="wobbly")


# Out and back


def smooth_picture(height=90, width=120):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 2, 128 + 60 * np.sin(x / 9)], axis=2).astype(np.uint8)


def test_a_crop_of_its_own_size_is_the_very_pixels():
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    crop = faces.cut(image, (30, 20, 48), 48)
    np.testing.assert_array_equal(crop, image[20:68, 30:78])
    np.testing.assert_array_equal(faces.paste(image, crop, (30, 20, 48)), image)


def test_outside_the_picture_its_edge_is_repeated():
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    crop = faces.cut(image, (-10, -10, 60), 60)
    np.testing.assert_array_equal(crop, np.pad(image, ((10, 10), (10, 10), (0, 0)), mode="edge"))
    np.testing.assert_array_equal(faces.paste(image, crop, (-10, -10, 60)), image)


@pytest.mark.parametrize(
    "box", [(30, 20, 50), (30.4, 20.7, 50.3), (-8.5, 40.2, 77.7), (100, 70, 60)]
)
def test_paste_gives_back_what_cut_took(box):
    image = smooth_picture()
    pasted = faces.paste(image, faces.cut(image, box, 64), box)
    assert np.abs(pasted.astype(int) - image).max() <= 4
    other = faces.paste(image, np.full((64, 64, 3), 7, np.uint8), box)
    y, x = np.mgrid[:90, :120]
    within = (x >= box[0]) & (x + 1 <= box[0] + box[2]) & (y >= box[1]) & (y + 1 <= box[1] + box[2])
    assert (other[within] == 7).all()
    np.testing.assert_array_equal(other[~within], image[~within])


def test_a_box_beside_the_picture_changes_nothing():
    image = smooth_picture()
    blank = np.zeros((8, 8, 3), np.uint8)
    np.testing.assert_array_equal(faces.paste(image, blank, (500, 500, 40)), image)


def test_landmarks_go_to_the_crop_and_back_with_the_pixels():
    image = np.zeros((90, 120, 3), np.uint8)
    image[40:44, 60:64] = 255  # its middle: (62, 42)
    box = np.float32([[50.3, 30.6, 25.5]])
    crop = faces.cut(image, box[0], 128)[..., 0].astype(float)
    seen = (np.mgrid[:128, :128][::-1] + 0.5) * crop / crop.sum()
    point = np.full((1, 68, 2), (62, 42), np.float32)
    moved = faces.to_crop(point, box, 128)
    np.testing.assert_allclose(moved[0, 0], seen.sum(axis=(1, 2)), atol=0.1)
    np.testing.assert_allclose(faces.to_frame(moved, box, 128), point, atol=1e-4)
