"""Widgets: move a control and the picture changes, as it should and at once; no server needed."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hmdlib import head_pose, masks, networks, widgets
from hmdlib.ours import Ours

SIZE = 64


def a_face(size=SIZE, yaw=0.0):
    """68 landmarks of the average face in the middle of a picture: (68, 2)."""
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    place = np.array([[size / 2, 0.4 * size]])
    pose = head_pose.Pose(np.array([size / 4]), turn[None], place)
    return torch.from_numpy(pose.project(head_pose.AVERAGE_FACE)[0, :, :2].astype(np.float32))


def decoded(widget):
    """What the browser would show: (H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(widget.picture.value)).convert("RGB"))


@pytest.fixture
def sessions():
    """Two sessions of 6 and 3 frames of noise, the second one brighter."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 128, (9, SIZE, SIZE, 3), dtype=np.uint8)
    frames[6:] += 100
    landmarks = np.stack([a_face().numpy()] * 9)
    return [
        SimpleNamespace(name=name, frames=frames[part], landmarks=landmarks[part],
                        times=np.arange(9)[part] / 10)
        for name, part in [("dark", slice(0, 6)), ("bright", slice(6, 9))]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return networks.Deoccluder(image_size=SIZE, width=8).eval()


def test_live_redraws_when_a_control_moves():
    import ipywidgets

    def draw(level):
        return np.full((8, 8, 3), level, np.uint8), f"level {level}"

    toy = widgets.live(draw, {"level": ipywidgets.IntSlider(value=3, max=255)})
    assert (decoded(toy) == 3).all() and toy.caption.value == "level 3"
    toy.controls["level"].value = 200
    assert (decoded(toy) == 200).all() and toy.caption.value == "level 200"


def test_live_says_what_is_wrong_instead_of_falling_silent():
    import ipywidgets

    def draw(family):
        return np.zeros((8, 8, 3), np.uint8), str(masks.Headset(family).width)

    toy = widgets.live(draw, {"family": ipywidgets.Text(value="visor")})
    toy.controls["family"].value = "sombrero"
    assert "sombrero" in toy.caption.value


def test_a_small_picture_is_enlarged_and_a_large_one_kept():
    assert widgets.enlarge(np.zeros((64, 32, 3), np.uint8), 384).shape == (768, 384, 3)
    assert widgets.enlarge(np.zeros((10, 500, 3), np.uint8), 384).shape == (10, 500, 3)


def test_wipe_shows_left_then_right():
    black, white = np.zeros((4, 10, 3), np.uint8), np.full((4, 10, 3), 200, np.uint8)
    assert (widgets.wipe(black, white, 0) == 200).all() and not widgets.wipe(black, white, 1).any()
    half = widgets.wipe(black, white, 0.5)[0, :, 0].tolist()
    assert half == [0, 0, 0, 0, 255, 255, 200, 200, 200, 200]


def test_a_resized_headset_hides_more_and_a_dropped_one_hides_lower():
    def hidden(**change):
        return masks.headset(a_face()[None], SIZE, widgets.resized("visor", **change))[0, 0]

    assert hidden(width=1.3).sum() > hidden().sum() > hidden(height=0.7).sum()
    rows = torch.arange(SIZE).float()
    usual, lower = hidden().sum(1) @ rows / hidden().sum(), hidden(drop=0.5).sum(1) @ rows
    assert lower / hidden(drop=0.5).sum() > usual + 3


def test_headset_explorer_changes_only_what_the_headset_covers():
    images, landmarks = torch.rand(2, 3, SIZE, SIZE), torch.stack([a_face(), a_face(yaw=0.5)])
    toy = widgets.headset_explorer(images, landmarks)
    first = decoded(toy)
    for name, value in [("family", "glasses"), ("width", 0.6), ("picture", 1), ("textured", False)]:
        before, words = decoded(toy), toy.caption.value
        toy.controls[name].value = value
        assert (decoded(toy) != before).any() or toy.caption.value != words, name
    assert (first[-20:] == widgets.enlarge(widgets.figures.as_uint8(images[0])[0])[-20:]).all()


def test_session_explorer_follows_session_and_frame(sessions):
    toy = widgets.session_explorer(sessions)
    toy.controls["points"].value = False
    toy.controls["frame"].value = 5
    assert (decoded(toy) == widgets.enlarge(sessions[0].frames[5])).all()
    toy.controls["session"].value = 1  # only three frames there
    assert toy.controls["frame"].max == 2 and toy.controls["frame"].value == 2
    assert (decoded(toy) == widgets.enlarge(sessions[1].frames[2])).all()


def test_views_keep_truth_and_visible_pixels(model, sessions):
    image = torch.from_numpy(sessions[0].frames[0].copy()).permute(2, 0, 1) / 255
    seen = widgets.views(model, image, a_face())
    visible = masks.headset(a_face()[None], SIZE)[0, 0].numpy() == 0
    truth = sessions[0].frames[0]
    assert (seen["truth"] == truth).all()
    assert (seen["input"][visible] == truth[visible]).all()
    assert (seen["composite"][visible] == truth[visible]).all()
    assert (seen["composite"][~visible] == seen["output"][~visible]).all()
    assert {"attention_enc", "attention_dec"} <= set(seen)


def test_a_model_without_attention_has_no_maps(sessions):
    for model in (networks.Deoccluder(image_size=SIZE, width=8, attention=False), Ours(SIZE, 8)):
        toy = widgets.playground(model.eval(), sessions)
        assert not {"attention_enc", "attention_dec"} & set(toy.controls["left"].options)


def test_every_control_of_the_playground_changes_the_picture(model, sessions):
    toy = widgets.playground(model, sessions)
    changes = {"frame": 2, "left": "truth", "right": "attention_enc", "position": 0.8, "drop": 0.4,
               "width": 0.7, "height": 1.4, "family": "goggles", "session": 1}  # fmt: skip
    assert set(changes) == set(toy.controls)
    toy.controls["right"].value = "input"
    for name, value in changes.items():
        before = toy.picture.value
        if name in ("drop", "width", "height", "family"):
            toy.controls["left"].value = "input"
            before = toy.picture.value
        toy.controls[name].value = value
        assert toy.picture.value != before, name


def test_moving_the_wipe_does_not_run_the_network_again(sessions):
    calls = []

    class Counting(networks.Deoccluder):
        def forward(self, *arguments, **options):
            calls.append(1)
            return super().forward(*arguments, **options)

    toy = widgets.playground(Counting(image_size=SIZE, width=8).eval(), sessions)
    before = len(calls)
    for position in (0.1, 0.6, 0.9):
        toy.controls["position"].value = position
    assert len(calls) == before
    toy.controls["frame"].value = 1
    assert len(calls) == before + 1
