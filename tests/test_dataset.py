"""From videos to batches: nothing half-written, nothing leaked between train and test."""

import builtins
import errno
import io
import json
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import face, picture, still, with_truth
from PIL import Image
from test_video import encoded

from hmdlib import (
    InputError,
    augmentation,
    capture,
    dataset,
    face_collections,
    faces,
    store,
    video,
)


def clip(folder, name="session_1", landmarks=None, **size):
    folder.mkdir(exist_ok=True)
    return with_truth(folder / f"{name}.mp4", still() if landmarks is None else landmarks, **size)


@pytest.fixture
def three(tmp_path):
    """Three sessions of 20 frames each, as crops of 32 pixels."""
    for name in ("session_1", "session_2", "session_10"):
        clip(tmp_path / "videos", name)
    return dataset.prepare_subject(tmp_path / "videos", tmp_path / "crops", 32)


# One video


def test_a_video_becomes_crops_that_know_where_they_came_from(tmp_path):
    landmarks = still(20) + np.linspace(0, 10, 20, dtype=np.float32)[:, None, None]
    path = clip(tmp_path, landmarks=landmarks)
    session = dataset.make_crops(path, tmp_path / "crops" / "session_1", 64)
    assert session.frames.shape == (20, 64, 64, 3) and session.frames.dtype == np.uint8
    assert isinstance(session.frames, np.memmap)
    assert (session.name, session.image_size, len(session)) == ("session_1", 64, 20)
    assert session.source == path and session.meta["detector"] == "sidecar"
    np.testing.assert_allclose(session.times, np.arange(20) / 25)
    np.testing.assert_allclose(
        faces.to_frame(session.landmarks, session.boxes, 64), landmarks, atol=1e-3
    )
    frame, _ = next(video.read(path))
    pasted = faces.paste(frame, session.frames[0], session.boxes[0])
    assert np.abs(pasted.astype(int) - frame).mean() < 2


def test_frames_without_a_usable_face_are_dropped_and_counted(tmp_path):
    landmarks = still(400)
    landmarks[5:8] = np.nan
    landmarks[50:53] += np.float32([[55], [110], [55]])[:, None]  # bends aside, out of the crop
    session = dataset.make_crops(clip(tmp_path, landmarks=landmarks), tmp_path / "crops", 32)
    assert session.meta["dropped"] == {"no face": 3, "face leaves the crop": 3}
    assert len(session) == session.meta["kept"] == 394
    assert not np.isin([5, 6, 7, 50, 51, 52], session.frame_index).any()
    np.testing.assert_allclose(session.times, session.frame_index / 25)


def test_at_most_so_many_frames_from_all_over_the_video(tmp_path):
    landmarks = still(60) + np.arange(60, dtype=np.float32)[:, None, None] / 10
    path = clip(tmp_path, landmarks=landmarks)
    session = dataset.make_crops(path, tmp_path / "crops", 32, max_frames=20)
    np.testing.assert_array_equal(session.frame_index, np.arange(0, 60, 3))
    np.testing.assert_allclose(session.times, session.frame_index / 25)
    back = faces.to_frame(session.landmarks, session.boxes, 32)
    np.testing.assert_allclose(back, landmarks[::3], atol=1e-3)


def test_finished_crops_are_kept_until_video_or_parameters_change(tmp_path, monkeypatch):
    path, folder = clip(tmp_path), tmp_path / "crops"
    dataset.make_crops(path, folder, 32)
    with monkeypatch.context() as patch:
        patch.setattr(capture, "_find_faces", lambda *_: pytest.fail("done again"))
        assert dataset.make_crops(path, folder, 32).image_size == 32
    assert dataset.make_crops(path, folder, 48).image_size == 48
    assert dataset.make_crops(path, folder, 48, tracking="smooth").meta["tracking"] == "smooth"
    clip(tmp_path, landmarks=still(30))
    assert len(dataset.make_crops(path, folder, 48)) == 30
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "version": 0}))
    assert dataset.make_crops(path, folder, 48).meta["version"] == store.VERSION


def test_memory_does_not_grow_with_the_video(tmp_path):
    path = clip(tmp_path, landmarks=still(500))
    dataset.make_crops(path, tmp_path / "warm", 16, max_frames=20)
    tracemalloc.start()
    dataset.make_crops(path, tmp_path / "crops", 128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all frames are 115 MB, all crops 25


def test_who_filmed_in_hdr_is_told(tmp_path, monkeypatch):
    path, real = with_truth(tmp_path / "a.mp4", still()), video.probe
    assert not any(
        "HDR" in one for one in dataset.make_crops(path, tmp_path / "b", 32).meta["notes"]
    )
    monkeypatch.setattr(video, "probe", lambda file: replace(real(file), hdr=True))
    notes = dataset.make_crops(path, tmp_path / "c", 32).meta["notes"]
    assert any("HDR" in one and "flat" in one for one in notes)


def test_a_misspelt_tracking_is_refused_before_the_video_is_looked_at(tmp_path):
    with pytest.raises(InputError, match="tracking='smoth': choose 'fixed' or 'smooth'"):
        dataset.make_crops(tmp_path / "not_there.mp4", tmp_path / "a", 32, tracking="smoth")


def test_a_person_who_walks_about_is_told_to_use_tracking(tmp_path):
    walk = still(40) + np.linspace(-100, 100, 40)[:, None, None] * [1, 0]
    path = clip(tmp_path, landmarks=walk)
    assert "tracking='smooth'" in dataset.make_crops(path, tmp_path / "a", 32).meta["notes"][0]
    smooth = dataset.make_crops(path, tmp_path / "b", 32, tracking="smooth")
    assert smooth.meta["notes"] == [] and len(np.unique(smooth.boxes[:, 0])) > 20


# Bad input


@pytest.mark.parametrize(
    ("landmarks", "words"),
    [
        (still(5), "only 5 frames can be taken from it; at least 10"),
        (still(20, height=20), "the face is 20 pixels high .* at least 32"),
        (np.full((20, 68, 2), np.nan), "no face found in any frame"),
        (np.concatenate([still(6), np.full((20, 68, 2), np.nan)]), "6 of 26 frames show the face"),
    ],
)
def test_a_video_without_enough_of_a_face_is_refused(tmp_path, landmarks, words):
    path = clip(tmp_path, landmarks=landmarks)
    with pytest.raises(InputError, match=words) as error:
        dataset.make_crops(path, tmp_path / "crops" / "a", 32)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "crops").exists()


def test_bad_files_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="nobody: no such folder"):
        dataset.prepare_subject(tmp_path / "nobody", tmp_path / "crops")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="videos: holds no video"):
        dataset.prepare_subject(tmp_path / "videos", tmp_path / "crops")
    clip(tmp_path / "videos")
    bad = tmp_path / "videos" / "session_2.mp4"
    for content, words in [(b"", "empty"), (b"words " * 99, "not a video")]:
        bad.write_bytes(content)
        with pytest.raises(InputError, match=f"session_2.mp4.*{words}"):
            dataset.prepare_subject(tmp_path / "videos", tmp_path / "crops")
    bad.rename(tmp_path / "videos" / "session_1.mov")
    with pytest.raises(InputError, match="two videos are named session_1"):
        dataset.prepare_subject(tmp_path / "videos", tmp_path / "crops")
    assert not (tmp_path / "crops").exists()


NOBODY, ONE = np.zeros((0, 68, 2), np.float32), face(160, 120, 60)
TWINS = np.stack([face(100, 120, 60), face(220, 120, 58)])


def two_sessions(folder, monkeypatch, frames):
    """A good session and a last one of numbered greys, with a detector that sees `frames` there."""
    clip(folder)
    greys = (np.full((240, 320, 3), number, np.uint8) for number in range(len(frames)))
    video.write(folder / "session_2.mp4", greys, 25)

    def seen(image):
        return frames[min(round(image.mean()), len(frames) - 1)]

    def detector(_, path):
        look = seen if path.stem == "session_2" else lambda image: ONE[None]
        return faces.Detector("made up", "", lambda images, first: [look(one) for one in images])

    monkeypatch.setattr(faces, "detector", detector)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([NOBODY] * 100, "no face found in 50 frames from all over it; .* cut the video"),
        ([TWINS] * 57 + [ONE[None]] * 3, "two equal faces in .* frames; record one person"),
        ([face(160, 120, 20)[None]] * 60, "the face is 20 pixels high"),
        ([ONE[None]] * 5, "only 5 frames can be taken from it"),
    ],
)
def test_a_bad_last_session_is_refused_before_the_first_is_cropped(
    tmp_path, monkeypatch, frames, words
):
    two_sessions(tmp_path / "videos", monkeypatch, frames)
    with pytest.raises(InputError, match=f"session_2.mp4: {words}"):
        dataset.prepare_subject(tmp_path / "videos", tmp_path / "crops", 32)
    assert not (tmp_path / "crops").exists()


@pytest.mark.parametrize(
    "frames",
    [
        [NOBODY] * 188 + [ONE[None]] * 12,  # some half a second of a face, at the end
        [NOBODY] * 60 + [TWINS] * 40 + [ONE[None]] * 60 + [NOBODY] * 40,  # a two-shot first
        [face(160, 120, 20)[None]] * 80 + [ONE[None]] * 100,  # comes near
    ],
)
def test_a_session_that_can_be_cropped_is_not_refused_at_a_glance(tmp_path, monkeypatch, frames):
    two_sessions(tmp_path / "videos", monkeypatch, frames)
    sessions = dataset.prepare_subject(
        tmp_path / "videos", tmp_path / "crops", 32, tracking="smooth"
    )
    assert len(sessions) == 2 and len(sessions[1]) >= 10


def test_a_good_session_is_left_after_a_few_frames(tmp_path, monkeypatch):
    path, looked = clip(tmp_path, landmarks=still(200)), []

    def find(images, first):
        looked.append(first)
        return [ONE[None]] * len(images)

    capture._glance(video.probe(path), faces.Detector("made up", "", find))
    assert len(looked) == 4


def test_a_video_cut_off_in_its_first_half_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 240, 320, 3), dtype=np.uint8)
    path = video.write(tmp_path / "a.mp4", noise, 25)
    np.savez(faces.sidecar_path(path), landmarks=still(40))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 8 // 10])
    session = dataset.make_crops(path, tmp_path / "crops", 32)
    assert 25 < len(session) < 35 and "could be decoded" in session.meta["notes"][0]
    path.write_bytes(whole[: len(whole) * 3 // 10])
    with pytest.raises(InputError, match="only .*% of it can be decoded; the file is truncated"):
        dataset.make_crops(path, tmp_path / "crops2", 32)


@pytest.mark.parametrize("max_frames", [None, 40])
def test_a_whole_video_whose_frames_nobody_counted_is_taken(tmp_path, max_frames):
    times = [*range(0, 2000, 33), *range(2000, 10000, 200)]  # looks like three times as many
    places = still(len(times))
    images = [picture(one, 320, 240) for one in places]
    path = encoded(tmp_path / "a.mkv", images, "libx264", "yuv420p", 30, times)
    np.savez(faces.sidecar_path(path), landmarks=places)
    session = dataset.make_crops(path, tmp_path / "crops", 32, max_frames=max_frames)
    assert not [note for note in session.meta["notes"] if "decoded" in note]


def test_a_full_disk_gives_one_line_and_leaves_no_half_store(tmp_path, monkeypatch):
    path, real = clip(tmp_path), builtins.open

    class Full(io.FileIO):
        """A file on a disk with room for a few crops only; what waits in its buffer stays there."""

        def write(self, data):
            if self.tell() + len(bytes(data)) > 10000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def opened(name, *rest, **more):
        if str(name).endswith("frames.npy") and rest == ("wb",):
            return io.BufferedWriter(Full(name, "wb"))
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "open", opened)
    with pytest.raises(InputError, match="No space left on device.* free some space") as error:
        dataset.make_crops(path, tmp_path / "crops" / "session_1", 32)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "crops").iterdir()) == []


def test_a_disk_without_room_is_told_before_any_work(tmp_path, monkeypatch):
    path = clip(tmp_path)
    usage = store.shutil.disk_usage(tmp_path)._replace(free=4_000_000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(capture, "_find_faces", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(InputError, match="4 MB are free and the crops need 16 MB"):
        dataset.make_crops(path, tmp_path / "crops", 512)


def test_unfinished_foreign_and_old_stores_are_refused(tmp_path, three):
    folder = tmp_path / "crops" / "session_1"
    with pytest.raises(InputError, match="no crops here; run notebook 01"):
        dataset.open_subject(tmp_path / "elsewhere")
    (folder / "landmarks.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="damaged"):
        dataset.open_session(folder)
    np.save(folder / "landmarks.npy", still(3))
    with pytest.raises(InputError, match="disagree in length"):
        dataset.open_session(folder)
    (folder / "meta.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(InputError, match="crops of version 0, this is 1; delete the folder"):
        dataset.open_session(folder)


def test_crops_of_a_renamed_video_are_not_learnt_from(tmp_path):
    videos, crops = tmp_path / "videos", tmp_path / "crops"
    for name in ("monday", "tuesday"):
        clip(videos, name)
    dataset.prepare_subject(videos, crops, 32)
    for file in list(videos.glob("tuesday*")):
        file.rename(videos / file.name.replace("tuesday", "last"))
    with pytest.raises(InputError, match="tuesday: crops of a video that is not in .*videos"):
        dataset.prepare_subject(videos, crops, 32)
    shutil.rmtree(crops / "tuesday")
    dataset.prepare_subject(videos, crops, 32)
    assert [session.name for session in dataset.open_subject(crops)] == ["last", "monday"]


# Sessions, split, samples


def test_sessions_come_in_the_order_of_their_numbers(tmp_path, three):
    names = ["session_1", "session_2", "session_10"]
    assert [session.name for session in three] == names
    assert [session.name for session in dataset.open_subject(tmp_path / "crops")] == names


def test_the_split_is_by_session_and_holds_back_the_end(three):
    parts = dataset.split(three, "session_2")
    assert parts.unseen.indices.tolist() == [[1, i] for i in range(20)]
    train = [[s, i] for s in (0, 2) for i in range(18)]
    assert parts.train.indices.tolist() == train
    assert parts.held_back.indices.tolist() == [[s, i] for s in (0, 2) for i in (18, 19)]


def test_a_split_that_tests_nothing_is_refused(three):
    with pytest.raises(InputError, match="session_1: one session only, so nothing unseen is left"):
        dataset.split(three[:1], "session_1")
    with pytest.raises(InputError, match="unseen='sesion_2': no such session; there are session_1"):
        dataset.split(three, "sesion_2")
    for wrong in ([], ["session_1", "session_2", "session_10"]):
        with pytest.raises(InputError, match="at least one session to train on"):
            dataset.split(three, wrong)


@pytest.mark.parametrize("share, part", [(0.0, "held_back"), (1.0, "train"), (0.02, "held_back")])
def test_a_split_with_an_empty_part_is_refused(three, share, part):
    with pytest.raises(InputError, match=f"held_back={share}: leaves no picture in .*{part}"):
        dataset.split(three, "session_2", share)


def test_samples_give_the_stored_pictures(three):
    samples = dataset.Samples(three)
    assert len(samples) == 60
    images, landmarks = samples.batch([0, 25])
    assert images.shape == (2, 3, 32, 32) and images.dtype == torch.float32
    stored = torch.from_numpy(three[1].frames[5].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(images[1], stored)
    np.testing.assert_array_equal(landmarks[1], three[1].landmarks[5])
    other = store.Session("b", np.zeros((2, 8, 8, 3), np.uint8), *[None] * 5)
    with pytest.raises(InputError, match=r"sizes \[8, 32\] cannot be mixed"):
        dataset.Samples([*three, other])


# Batches


def cover(images, landmarks, generator):
    """The simplest occluder: the upper half turns grey."""
    hidden = torch.zeros_like(images[:, :1])
    hidden[:, :, : images.shape[2] // 2] = 1
    return images * (1 - hidden) + 0.5 * hidden, hidden


def test_batches_go_on_exactly_from_a_stored_generator(three):
    samples = dataset.Samples(three)
    generator = torch.Generator().manual_seed(3)
    whole = list(dataset.batches(samples, 8, generator, augment=1.0, occluder=cover, steps=6))
    generator.manual_seed(3)
    for _ in dataset.batches(samples, 8, generator, augment=1.0, occluder=cover, steps=2):
        state = generator.get_state()
    rest = dataset.batches(samples, 8, torch.Generator().set_state(state), 1.0, cover, steps=4)
    for one, again in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.target, again.target) and torch.equal(one.occluded, again.occluded)


def test_a_batch_is_target_occluded_and_hidden(three):
    samples = dataset.Samples(three)
    generator = torch.Generator().manual_seed(0)
    plain = list(dataset.batches(samples, 16, generator))
    assert len(plain) == 4 and plain[0].target.shape == (16, 3, 32, 32)
    assert torch.equal(plain[0].occluded, plain[0].target) and not plain[0].hidden.any()
    batch = next(dataset.batches(samples, 100, generator, occluder=cover))
    assert len(batch.target) == 100 and batch.hidden.mean() == 0.5
    assert torch.equal(batch.occluded * (1 - batch.hidden), batch.target * (1 - batch.hidden))


def test_strangers_take_their_share_of_every_batch(three):
    ours, theirs = dataset.Samples(three[:1]), dataset.Samples(three[1:2])
    theirs.sessions = [replace(three[1], frames=np.full_like(three[1].frames, 255))]
    generator = torch.Generator().manual_seed(0)
    for batch in dataset.batches(ours, 8, generator, steps=3, strangers=theirs, share=0.25):
        assert (batch.target.flatten(1).amin(1) == 1).tolist() == [False] * 6 + [True] * 2


def test_light_from_a_side_is_a_slope_of_the_logarithm():
    images = torch.full((64, 3, 16, 16), 0.5)
    lit = augmentation._light_from_a_side(images, torch.Generator().manual_seed(0), 1.0)
    gain = torch.log(lit / images)
    torch.testing.assert_close(gain.mean((2, 3)), torch.zeros(64, 3), atol=1e-5, rtol=0)
    step = gain.diff(dim=3)  # the same everywhere in a picture
    torch.testing.assert_close(step, step[:, :, :1, :1].expand_as(step), atol=1e-5, rtol=0)
    across = gain[:, :, 0, -1] - gain[:, :, 0, 0]
    assert 1.2 < (across.abs().max() / np.log(1.35)) < 2 * 15 / 16  # between the pixels' middles


def test_colours_change_by_factors_within_their_bounds():
    grey = torch.full((500, 3, 2, 2), 0.4)
    grey[..., 1] = 0.3
    changed = augmentation._recolour(grey, torch.Generator().manual_seed(0), 1.0)
    light = changed[..., 0].mean((1, 2)) / 0.4  # the middle moves by light and tint alone
    assert 1.4 < light.max() < np.exp(0.62) and np.exp(-0.62) < light.min() < 1 / 1.4
    contrast = (changed[..., 0] - changed[..., 1])[:, 0, 0] / 0.1 / (changed[:, 0, 0, 0] / 0.4)
    assert 1.3 < contrast.max() < np.exp(0.35) * 1.2
    tint = changed[:, 0, 0, 0] / changed[:, 2, 0, 0]
    assert 1.15 < tint.max() < np.exp(0.24 * np.exp(0.35))  # contrast spreads the channels too


def spot(points, size):
    """One bright spot a picture, at points (N, 2)."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    away = (x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2
    return torch.exp(-away / 8)[:, None].repeat(1, 3, 1, 1)


def middle(images):
    """Where the bright spot of each picture lies: (N, 2); a slope of light moves it little."""
    light = images.mean(dim=1)
    around = torch.nn.functional.avg_pool2d(light, 21, 1, 10, count_include_pad=False)
    light = (light - around).clamp(min=0) ** 4
    along = torch.arange(light.shape[-1]) + 0.5
    x, y = (light.sum(1) * along).sum(1), (light.sum(2) * along).sum(1)
    return torch.stack([x, y], dim=1) / light.sum(dim=(1, 2))[:, None]


@pytest.mark.parametrize("point", [8, 36, 54])
@pytest.mark.parametrize(("strength", "flip"), [(1.0, False), (0.0, True), (2.0, True)])
def test_landmarks_move_with_the_picture(strength, flip, point):
    landmarks = torch.from_numpy(still(24, x=64, y=64, height=50))
    generator = torch.Generator().manual_seed(1)
    images = spot(landmarks[:, point], 128)
    images, moved = dataset.augment(images, landmarks, generator, strength, flip)
    mirrored = (middle(images) - moved[:, point]).norm(dim=1) > 3
    expected = torch.where(mirrored[:, None], moved[:, faces.MIRROR_68[point]], moved[:, point])
    torch.testing.assert_close(middle(images), expected, atol=0.2, rtol=0)
    assert mirrored.any() == (flip and point != 8) and not mirrored.all()
    assert images.min() >= 0 and images.max() <= 1
    assert (moved[:, 45, 0] > moved[:, 36, 0]).all()  # names follow the sides, mirrored or not
    assert (moved - landmarks).norm(dim=2).max() < 24 * max(strength, 0.1)


def test_no_strength_changes_nothing_and_one_changes_each_picture_apart():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))[:1].repeat(
        4, 1, 1, 1
    )
    landmarks = torch.from_numpy(still(4, x=16, y=16, height=10))
    generator = torch.Generator().manual_seed(0)
    same, points = dataset.augment(images, landmarks, generator, strength=0.0)
    assert torch.equal(same, images) and torch.equal(points, landmarks)
    changed, _ = dataset.augment(images, landmarks, generator, strength=1.0)
    assert (changed[0] - changed[1]).abs().mean() > 0.01
    assert (changed - images).abs().mean() < 0.3


# Collections of faces


@pytest.fixture
def painted(monkeypatch):
    """A detector that finds the light square that clips.picture paints, and nothing else."""

    def find(images, first_index):
        found = []
        for image in images:
            y, x = np.nonzero(image[..., 0] > 200)
            middle = (x.mean(), np.percentile(y, 42)) if len(y) else None
            there = [face(*middle, np.ptp(y) / 1.06)] if middle else []
            found.append(np.array(there, np.float32).reshape(-1, 68, 2))
        return found

    finder = faces.Detector("painted", "for tests", find)
    monkeypatch.setattr(faces, "detector", lambda *_: finder)


def save(path, landmarks, width=200, height=260, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(landmarks, width, height)).save(path, **more)


def test_a_folder_of_pictures_upright_counted_and_cropped(tmp_path, painted):
    source = tmp_path / "people"
    save(source / "a.png", face(100, 120, 70))
    save(source / "deep" / "er" / "b.jpg", face(100, 120, 70))
    turned = Image.fromarray(picture(face(100, 120, 70), 200, 260)).rotate(90, expand=True)
    turned.save(source / "c.jpg", exif=_turned_exif())
    save(source / "empty.png", np.full((68, 2), np.nan))
    save(source / "small.png", face(100, 120, 20))
    (source / "broken.jpg").write_bytes(b"no picture")
    (source / "readme.txt").write_text("words")
    crops = dataset.make_collection("folder", source, tmp_path / "faces_people", 64)
    assert len(crops) == 3
    assert crops.meta["dropped"] == {"unreadable": 1, "no face": 1, "face below 32 pixels": 1}
    difference = np.abs(crops.frames[1].astype(int) - crops.frames[2])
    assert difference.mean() < 6  # the one with the EXIF turn stands upright like the other
    heads = faces.HEAD * faces.face_height(crops.landmarks) / 64
    assert ((0.55 < heads) & (heads < 0.85)).all()


def _turned_exif():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me clockwise to see me upright"
    return exif


def test_vggface2_takes_the_face_in_its_box_or_the_box_alone(tmp_path, painted, monkeypatch):
    source = tmp_path / "vgg"
    save(source / "train/imgs/n000001/0001_01.jpg", face(100, 120, 70))
    save(source / "train/imgs/n000002/0001_01.jpg", face(100, 120, 70))
    (source / "bb_landmark").mkdir()
    table = source / "bb_landmark" / "loose_bb_train.csv"
    rows = ['"n000001/0001_01",40,60,120,120', '"n000002/0001_01",0,0,30,30']
    table.write_text("NAME_ID,X,Y,W,H\n" + "\n".join(rows) + "\n")
    crops = dataset.make_collection("vggface2", source, tmp_path / "a", 32)
    assert len(crops) == 1 and crops.meta["dropped"] == {"no face": 1}

    def none(*_):
        raise InputError("no detector works here")

    monkeypatch.setattr(faces, "detector", none)
    crops = dataset.make_collection("vggface2", source, tmp_path / "b", 32)
    assert len(crops) == 1 and crops.meta["dropped"] == {"face below 32 pixels": 1}
    assert np.isnan(crops.landmarks).all() and crops.meta["detector"] == "none"
    x, y, side = crops.boxes[0]
    assert x < 40 and y < 60 and x + side > 160 and y + side > 180
    with pytest.raises(InputError, match="no detector works here"):
        dataset.make_collection("folder", source, tmp_path / "c", 32)


def test_affectnet_brings_its_own_landmarks(tmp_path, painted):
    source, points = tmp_path / "affect", face(100, 120, 70)
    save(source / "Manually_Annotated_Images" / "689" / "x.jpg", points)
    save(source / "12" / "y.jpg", points)
    words = ";".join(f"{value:.2f}" for value in points.ravel())
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression"
    for part, name in [("training", "689/x.jpg"), ("validation", "12/y.jpg")]:
        (source / f"{part}.csv").write_text(f"{head}\n{name},40,60,120,120,{words},1\n")
    crops = dataset.make_collection("affectnet", source, tmp_path / "faces_affect", 64)
    back = faces.to_frame(crops.landmarks, crops.boxes, 64)
    np.testing.assert_allclose(back, [points, points], atol=0.02)


def test_collections_that_hold_nothing_are_refused(tmp_path, painted):
    with pytest.raises(InputError, match="choose one of folder, vggface2, affectnet"):
        dataset.make_collection("celeba", tmp_path, tmp_path / "a")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        dataset.make_collection("folder", tmp_path / "nowhere", tmp_path / "a")
    with pytest.raises(InputError, match="no pictures in the layout 'affectnet'"):
        dataset.make_collection("affectnet", tmp_path, tmp_path / "a")
    save(tmp_path / "x" / "empty.png", np.full((68, 2), np.nan))
    with pytest.raises(InputError, match="no usable face in 1 pictures"):
        dataset.make_collection("folder", tmp_path / "x", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"path": "x"}, "kind: choose synthetic, folder"),
        ({"kind": "folder"}, "folder wants path"),
        ({"kind": "synthetic"}, "synthetic wants count"),
        ({"kind": "folder", "path": "x", "most": 500}, "most is unknown; there are kind, name, pa"),
    ],
)
def test_a_wrong_entry_of_a_profile_is_named(tmp_path, entry, words):
    with pytest.raises(InputError, match=words):
        dataset.open_collection(entry, tmp_path)


def test_two_collections_of_one_name_do_not_delete_each_other(tmp_path, painted):
    for name in "ab":
        save(tmp_path / name / "x.png", face(100, 120, 70))
    first, second = ({"kind": "folder", "path": str(tmp_path / name)} for name in "ab")
    for _ in range(2):
        assert dataset.open_collection(first, tmp_path / "crops", 32).source == tmp_path / "a"
        with pytest.raises(InputError, match="faces_folder: holds .* another .*/b; give .* name:"):
            dataset.open_collection(second, tmp_path / "crops", 32)
    named = dataset.open_collection({**second, "name": "b"}, tmp_path / "crops", 32)
    assert named.source == tmp_path / "b"


def test_a_picture_of_affectnet_without_landmarks_keeps_its_box(tmp_path):
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks"
    (tmp_path / "training.csv").write_text(f"{head}\n689/x.jpg,40,60,120,120,\n")
    (picture,) = face_collections.affectnet(tmp_path)
    assert picture.landmarks is None and picture.box == (40, 60, 120, 120)


def test_a_finished_collection_is_kept_until_a_picture_comes_or_goes(
    tmp_path, painted, monkeypatch
):
    source, folder = tmp_path / "people", tmp_path / "faces_people"
    for name in "abcd":
        save(source / f"{name}.png", face(100, 120, 70))
    assert len(dataset.make_collection("folder", source, folder, 32, most=2)) == 2
    assert len(dataset.make_collection("folder", source, folder, 32)) == 4
    with monkeypatch.context() as patch:
        patch.setattr(face_collections, "_crop", lambda *_: pytest.fail("done again"))
        dataset.make_collection("folder", source, folder, 32)
    (source / "d.png").unlink()
    assert len(dataset.make_collection("folder", source, folder, 32)) == 3


# Real people


@pytest.fixture
def real(shared, monkeypatch):
    monkeypatch.setenv("HMDLIB_WEIGHTS", str(shared / "weights"))
    return shared / "data"


def test_real_sessions_give_crops(real, tmp_path):
    names = ["session_2", "session_3", "session_5"]
    (tmp_path / "videos").mkdir()
    for name in names:
        (tmp_path / "videos" / f"{name}.mp4").symlink_to(real / f"videos/subject_a/{name}.mp4")
    sessions = dataset.prepare_subject(
        tmp_path / "videos", tmp_path / "subject_a", 64, "mediapipe", max_frames=12
    )
    assert [session.name for session in sessions] == names
    for session in sessions:
        assert len(session) >= 10 and session.meta["has_sound"]
        share = faces.HEAD * np.median(faces.face_height(session.landmarks)) / 64
        assert 0.5 < share < 0.85
    assert len(dataset.split(sessions, "session_2").unseen) == len(sessions[0])


def test_real_portraits_all_give_crops(real, tmp_path):
    source = real / "faces/portraits"
    crops = dataset.make_collection("folder", source, tmp_path / "p", 64, "mediapipe", most=30)
    assert len(crops) == crops.meta["pictures"] == 30 and crops.meta["dropped"] == {}
    assert faces.inside(crops.landmarks, 64).all()


def test_real_twins_small_faces_and_empty_rooms_are_refused(real, tmp_path):
    portrait = Image.open(real / "faces/portraits/A000055.jpg").convert("RGB")
    scenes = {"twins": [(170, 10), (30, 10)], "small": [(30, 40)], "empty": []}
    words = {
        "twins": "two equal faces",
        "small": "the face is (18|2.) pixels high",
        "empty": "no face",
    }
    for name, places in scenes.items():
        scene = Image.new("RGB", (400, 240) if name != "small" else (120, 96), (90, 100, 110))
        for place in places:
            scene.paste(portrait.resize((180, 220) if name == "twins" else (36, 44)), place)
        path = video.write(tmp_path / f"{name}.mp4", [np.asarray(scene)] * 12, 25)
        with pytest.raises(InputError, match=f"{name}.mp4: {words[name]}"):
            dataset.make_crops(path, tmp_path / name, 64, "mediapipe")


def test_the_fingerprint_tells_other_pictures_even_where_they_are_as_many():
    def store_of(source):
        meta, rest = {"sha256": source}, [None] * 4
        return store.Session("a", np.zeros((4, 8, 8, 3), np.uint8), *rest, meta)

    one = dataset.Samples([store_of("x")], [(0, 1), (0, 2)])
    again = dataset.Samples([store_of("x")], [(0, 1), (0, 2)])
    others = [dataset.Samples([store_of("y")], [(0, 1), (0, 2)]),
              dataset.Samples([store_of("x")], [(0, 1), (0, 3)])]  # fmt: skip
    assert one.fingerprint == again.fingerprint
    assert all(one.fingerprint != other.fingerprint for other in others)
