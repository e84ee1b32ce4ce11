"""The model at work: nothing visible changes, the whole way from video to video holds together."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from test_masks import turned

from hmdlib import (
    InputError,
    __main__,
    discriminators,
    inference,
    masks,
    model_files,
    networks,
    video,
)
from hmdlib.ours import Ours


class Negative(torch.nn.Module):
    """Stands in for a trained model: what it draws is easy to tell from what it saw."""

    def __init__(self, image_size=64, wants_mask=False):
        super().__init__()
        self.architecture, self.wants_mask = {"image_size": image_size}, wants_mask
        self.normalise = torch.nn.BatchNorm2d(3)

    def forward(self, images, hidden=None):
        assert not self.training and images.shape[1:] == (3, *[self.architecture["image_size"]] * 2)
        return 1.5 - 2 * images  # leaves [0, 1] on both sides


def test_deocclude_clips_keeps_order_and_leaves_the_model_as_it_was():
    model = Negative().train()
    images = torch.rand(5, 3, 64, 64)
    output = inference.deocclude(model, images, batch_size=2)
    torch.testing.assert_close(output, (1.5 - 2 * images).clamp(0, 1))
    assert model.training and not output.requires_grad
    assert inference.deocclude(model, images[:0]).shape == (0, 3, 64, 64)


def test_deocclude_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = networks.Deoccluder(image_size=64, width=8)
    images = torch.rand(3, 3, 64, 64)
    together = inference.deocclude(model, images)
    one_by_one = inference.deocclude(model, images, batch_size=1)
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("feather", [0, 3, 8])
def test_composite_leaves_visible_pixels_bit_by_bit(feather):
    output, occluded = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    hidden = torch.zeros(2, 1, 48, 48)
    hidden[..., 10:30, 12:40] = 1
    result = inference.composite(output, occluded, hidden, feather)
    visible = (hidden == 0).expand_as(output)
    assert torch.equal(result[visible], occluded[visible])
    assert result.min() >= 0 and result.max() <= 1
    if feather == 0:
        assert torch.equal(result[~visible], output[~visible])


def test_feather_takes_a_colour_error_off_at_the_join_and_not_far_inside():
    truth = torch.full((1, 3, 80, 80), 0.5)
    hidden = torch.zeros(1, 1, 80, 80)
    hidden[..., 40:] = 1
    occluded = torch.where(hidden > 0, torch.zeros(1), truth)  # a black headset
    result = inference.composite(truth + 0.1, occluded, hidden, feather=8)[0, 0, 40]
    assert (result[:40] == 0.5).all()
    assert abs(result[40] - 0.5) < 0.02  # no step; and nothing of the black
    assert (result[40:].diff() >= -1e-6).all()  # fades out inwards
    assert abs(result[60:] - 0.6).max() < 1e-3


# ---------------------------------------------------------------- video to video


@pytest.fixture
def clip(tmp_path):
    """A grey video of 20 frames with sound, and a sidecar that says where the face would be."""
    path = tmp_path / "session_1.mp4"
    with av.open(str(tmp_path / "sound.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16000, layout="mono")
        wave = (8000 * np.sin(np.arange(16000) / 5)).astype(np.int16)[None]
        sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        sound.rate, sound.pts, sound.time_base = 16000, 0, Fraction(1, 16000)
        output.mux(stream.encode(sound) + stream.encode(None))
    frames = [np.full((144, 192, 3), 170, np.uint8)] * 20
    video.write(path, frames, 25, sound_from=tmp_path / "sound.wav")
    landmarks = turned([(n - 10, 0, 0) for n in range(20)], 100)[0].numpy() + [40, 25]
    landmarks[6] = np.nan
    np.savez(tmp_path / "session_1.truth.npz", landmarks=landmarks.astype(np.float32))
    return path


def test_a_video_goes_through_with_its_sound(clip, tmp_path):
    out = tmp_path / "out.mp4"
    report = inference.deocclude_video(Negative(), clip, out, masks.Headset(), feather=0)
    assert (report.frames, report.deoccluded) == (20, 19)
    assert (
        str(report)
        == f"{out}: 19 of 20 frames de-occluded; 1 without a face or headset left as they were"
    )
    info = video.probe(out)
    assert (info.width, info.height, info.has_sound) == (192, 144, True)
    frames = [image.astype(int) for image, _ in video.read(out)]
    assert len(frames) == 20
    assert abs(frames[6] - 170).max() < 8  # no face: as it was
    face = np.load(clip.with_suffix(".truth.npz"))["landmarks"][10, 27].astype(int)
    middle = frames[10][face[1] - 3 : face[1] + 3, face[0] - 3 : face[0] + 3]
    assert middle.min() > 230  # the negative of the dark visor
    assert abs(frames[10][:, :20] - 170).max() < 8 and abs(frames[10][-20:] - 170).max() < 8


def test_side_by_side_shows_the_headset_beside_the_result(clip, tmp_path):
    out = tmp_path / "out.mp4"
    inference.deocclude_video(Negative(), clip, out, masks.Headset(), side_by_side=True)
    frame = [image for image, _ in video.read(out)][10]
    assert frame.shape == (144, 384, 3)
    assert frame[:, :192].min() < 80 < 150 < frame[:, 192:].min()


def test_the_command_line_offers_the_same(clip, tmp_path, capsys):
    torch.manual_seed(0)
    model, out = tmp_path / "model.safetensors", tmp_path / "out.mp4"
    model_files.save(model, networks.Deoccluder(64, width=4, latent=3))
    words = ["deocclude", str(model), str(clip), str(out)]
    assert __main__.main([*words, "--wear", "glasses", "--side-by-side"]) == 0
    assert "19 of 20 frames de-occluded" in capsys.readouterr().out
    assert video.probe(out).width == 384
    assert __main__.main([*words, "--box", "60", "20", "80"]) == 0
    assert "20 of 20 frames" in capsys.readouterr().out and video.probe(out).width == 192
    model_files.save(tmp_path / "ours.safetensors", Ours(64, 8))
    told = ["deocclude", str(tmp_path / "ours.safetensors"), str(clip), str(out)]
    assert __main__.main([*told, "--box", "60", "20", "80"]) == 2
    assert "must be told where the headset is" in capsys.readouterr().err
    assert __main__.main([*told, "--box", "60", "20", "80", "--finder", str(model)]) == 0
    assert "20 of 20 frames" in capsys.readouterr().out
    assert __main__.main([*words, "--wear", "hat"]) == 2
    assert "family='hat' is not a headset" in capsys.readouterr().err


def test_a_real_headset_needs_only_the_box(clip, tmp_path):
    out = tmp_path / "out.mp4"
    report = inference.deocclude_video(Negative(), clip, out, box=(60, 20, 80), feather=0)
    assert report.deoccluded == 20
    frame = [image.astype(int) for image, _ in video.read(out)][0]
    assert abs(frame[30:90, 70:130] - (1.5 * 255 - 2 * 170)).max() < 8
    assert abs(frame[:, :50] - 170).max() < 8 and abs(frame[110:] - 170).max() < 8


class Flat(Negative):
    """Draws one grey everywhere, whatever it sees."""

    def __init__(self, grey, **how):
        super().__init__(**how)
        self.grey = grey

    def forward(self, images, hidden=None):
        assert (hidden is not None) == self.wants_mask
        return torch.full_like(images, self.grey)


def test_a_headset_is_found_where_a_model_that_knows_the_wall_draws_otherwise():
    generator = torch.Generator().manual_seed(0)
    images = 0.6 + 0.03 * torch.rand(3, 3, 64, 64, generator=generator)  # the camera's noise
    worn = torch.zeros(3, 1, 64, 64)
    worn[0, :, 20:40, 10:54] = worn[1, :, 5:25, 30:] = 1  # the second goes on beyond the picture
    dark = torch.where(worn > 0, 0.1, images)
    dark[0, :, 28:32, 30:34] = 0.6  # what shines like the wall is inside it all the same
    dark[:2, :, 60, 2:4] = 1.0  # a spot far away is not
    found = inference.find_headset(Flat(0.615), dark)
    overlap = (found * worn).sum((1, 2, 3)) / torch.maximum(found, worn).sum((1, 2, 3))
    assert found.shape == worn.shape and set(found.unique().tolist()) == {0.0, 1.0}
    assert (overlap[:2] > 0.7).all() and (found * worn).sum() == worn.sum()
    assert found[2].sum() == 0  # nobody wears one there


def test_with_a_finder_only_the_headset_changes(tmp_path):
    frame = np.full((144, 192, 3), 170, np.uint8)
    frame[50:80, 80:120] = 20
    video.write(tmp_path / "worn.mp4", [frame] * 3, 25)
    out, model = tmp_path / "out.mp4", Flat(1.0, wants_mask=True)
    say = {"box": (40, 20, 112), "feather": 0, "finder": Flat(170 / 255)}
    inference.deocclude_video(model, tmp_path / "worn.mp4", out, **say)
    after = [image.astype(int) for image, _ in video.read(out)][1]
    assert after[54:76, 84:116].min() > 245
    beside = np.ones((144, 192), bool)
    beside[42:88, 72:128] = False
    assert abs(after[beside] - 170).max() < 8
    bare = np.full_like(frame, 170)
    video.write(tmp_path / "half.mp4", [frame, frame, bare, bare, bare], 25)
    report = inference.deocclude_video(model, tmp_path / "half.mp4", out, **say)
    assert (report.frames, report.deoccluded) == (5, 2)
    video.write(tmp_path / "bare.mp4", [bare] * 3, 25)
    with pytest.raises(InputError, match="bare.mp4: no headset found in any of 3 frames; check"):
        inference.deocclude_video(model, tmp_path / "bare.mp4", tmp_path / "new.mp4", **say)
    assert not list(tmp_path.glob("new*"))
    for finder, word in (
        (model, "must be told"),
        (Flat(0.5, image_size=128), "another image size"),
    ):
        with pytest.raises(InputError, match=f"finder: .*{word}"):
            inference.deocclude_video(model, tmp_path / "worn.mp4", out, finder=finder)


def test_what_cannot_work_is_refused(clip, tmp_path):
    clip.with_suffix(".truth.npz").unlink()
    np.savez(clip.with_suffix(".truth.npz"), landmarks=np.full((20, 68, 2), np.nan, np.float32))
    with pytest.raises(InputError, match=r"no face found.*give the box \(--box X Y SIDE\)"):
        inference.deocclude_video(Negative(), clip, tmp_path / "out.mp4")
    for model in (Negative(wants_mask=True), Ours(64, 8)):
        with pytest.raises(InputError, match="must be told where the headset is: give the paper"):
            inference.deocclude_video(model, clip, tmp_path / "out.mp4")
    with pytest.raises(InputError, match="there is no such file"):
        inference.deocclude_video(Negative(), tmp_path / "none.mp4", tmp_path / "out.mp4")
    before = clip.read_bytes()
    with pytest.raises(InputError, match="is the source itself"):
        inference.deocclude_video(Negative(), clip, tmp_path / "." / clip.name)
    assert clip.read_bytes() == before
    with pytest.raises(InputError, match="is a folder"):
        inference.deocclude_video(Negative(), clip, tmp_path)
    for box in ((5000, 5000, 100), (10, 10, -50), (-100, 0, 80), (0, 0, 0)):
        with pytest.raises(InputError, match="a square in the picture of 192 x 144"):
            inference.deocclude_video(Negative(), clip, tmp_path / "out.mp4", box=box)
    judge = tmp_path / "discriminator.safetensors"
    model_files.save(judge, discriminators.Discriminator(4, 64))
    with pytest.raises(InputError, match="is a discriminator; give model.safetensors"):
        inference.deocclude_video(judge, clip, tmp_path / "out.mp4")
    assert not list(tmp_path.glob("out*"))
