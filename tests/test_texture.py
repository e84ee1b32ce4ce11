"""The eyes as a texture: the plate that carries it, where it is laid, what it may touch."""

import pytest
import torch

from hmdlib import InputError, losses, networks, plans, training
from hmdlib.head_pose import AVERAGE_FACE
from hmdlib.iteration import Players, train_step
from hmdlib.ours import Ours
from hmdlib.texture import HOLDS, Texture, thin_plate

FACE = torch.tensor(AVERAGE_FACE[:, :2], dtype=torch.float32)


def face_at(x, y, unit=24.0):
    """The average face's landmarks (1, 68, 2) in pixels, its origin at (x, y)."""
    return (FACE * unit + torch.tensor([x, y]))[None]


@pytest.fixture
def card():
    """A texture of chance colours, the same for every code."""
    one = Texture(4, 64)
    with torch.no_grad():
        one.pictures.copy_(torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    return one


class TestThinPlate:
    def test_an_affine_move_is_found_everywhere_however_stiff_the_plate(self):
        """sources = A places + b: the map back is A^-1 (x - b), also far from the points."""
        places = torch.rand(12, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
        turn, shift = torch.tensor([[0.5, -0.2], [0.1, 0.7]]), torch.tensor([0.3, -0.1])
        sources, asked = places @ turn.T + shift, torch.tensor([[0.0, 0.0], [0.9, -0.9]])
        expected = (asked - shift) @ torch.linalg.inv(turn).T
        for stiffness in (0.0, 0.02, 1.0):
            found = thin_plate(sources[None], places, asked, stiffness)
            torch.testing.assert_close(found[0], expected, atol=2e-4, rtol=0)

    def test_without_stiffness_every_source_meets_its_place(self):
        generator = torch.Generator().manual_seed(1)
        places, sources = torch.rand(2, 10, 2, generator=generator) * 2 - 1
        found = thin_plate(sources[None], places, sources, stiffness=0.0)
        torch.testing.assert_close(found[0], places, atol=1e-3, rtol=0)

    def test_between_two_sources_that_move_apart_the_middle_stays(self):
        """Symmetry: what is mirrored in the sources and places is mirrored in the map."""
        sources = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
        places = torch.tensor([[-0.8, 0.0], [0.8, 0.0], [0.0, 0.5], [0.0, -0.5]])
        asked = torch.tensor([[0.0, 0.0], [-0.3, 0.1], [0.3, 0.1]])
        middle, left, right = thin_plate(sources[None], places, asked)[0]
        torch.testing.assert_close(middle, torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(left * torch.tensor([-1.0, 1.0]), right, atol=1e-5, rtol=0)


class TestTexture:
    def test_a_landmark_s_pixel_looks_at_the_landmark_s_place(self, card):
        landmarks = face_at(32.0, 30.0)
        grid = card.grid(landmarks).permute(0, 3, 1, 2)  # (1, 2, 64, 64)
        at = landmarks[:, None, HOLDS] / 32 - 1
        looks = torch.nn.functional.grid_sample(grid, at, align_corners=False)[0, :, 0].T
        torch.testing.assert_close(looks, card.places, atol=0.05, rtol=0)

    def test_it_moves_with_the_landmarks(self, card):
        code = torch.zeros(1, 4)
        here, there = card(code, face_at(28.0, 30.0)), card(code, face_at(36.0, 22.0))
        moved = torch.roll(here, (-8, 8), (2, 3))
        inner = (..., slice(8, 48), slice(16, 56))
        assert here.abs().amax() > 0.5
        torch.testing.assert_close(there[inner], moved[inner], atol=0.02, rtol=0)

    def test_outside_its_box_nothing_is_added_and_its_border_fades(self, card):
        with torch.no_grad():
            card.pictures.fill_(1.0 / card.SCALE)
            laid = card(torch.zeros(1, 4), face_at(32.0, 30.0, unit=20.0))[0, 0]
        assert laid[50:].abs().max() == 0 and laid[30, 32] == pytest.approx(1, abs=1e-3)
        assert (laid[:, 1:] - laid[:, :-1]).abs().max() < 0.4  # no edge of 1

    def test_there_is_none_at_first(self):
        assert Texture(4, 64)(torch.rand(1, 4), face_at(32.0, 30.0)).abs().max() == 0


class TestInOurs:
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        model = Ours(64, 8).eval()
        with torch.no_grad():
            model.texture.pictures.normal_(std=0.05)
        return model

    @pytest.fixture
    def batch(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(2, 3, 64, 64, generator=generator)
        hidden = torch.zeros(2, 1, 64, 64)
        hidden[..., 20:36, 10:50] = 1
        landmarks = torch.cat([face_at(30.0, 30.0), face_at(36.0, 26.0)])
        return training.dataset.Batch(images * (1 - hidden), images, hidden, landmarks)

    def test_it_is_laid_by_the_landmarks_found_or_by_those_that_are_given(self, model, batch):
        with torch.no_grad():
            alone, _, (*_, found) = model(batch.occluded, batch.hidden, return_maps=True)
            told = model(batch.occluded, batch.hidden, landmarks=found)
            other = model(batch.occluded, batch.hidden, landmarks=batch.landmarks)
        assert found.shape == (2, 68, 2)
        torch.testing.assert_close(told, alone)
        assert (other - alone).abs().max() > 0.01

    def test_beside_the_headset_it_touches_nothing(self, model, batch):
        with torch.no_grad():
            model.head.bias[12:16] = -100  # the edge, closed
            drawn = model(batch.occluded, batch.hidden, landmarks=batch.landmarks)
        seen = 1 - batch.hidden
        assert torch.equal(drawn * seen, batch.occluded * seen)

    def test_without_it_no_landmarks_are_looked_for(self, batch):
        plain = Ours(64, 8, texture=False)
        assert plain(batch.occluded, batch.hidden, return_maps=True)[-1] is None
        assert not plain.wants_landmarks and not networks.Deoccluder(64, 8, 9).wants_landmarks

    def test_landmarks_and_texture_are_learnt_by_the_loop_of_the_study(self, batch):
        torch.manual_seed(0)
        players = Players(Ours(64, 8))
        stage = plans.Stage("all", 80, {"rec": 1, "mask": 1, "landmarks": 2.5}, lr=5e-3)
        players.enter(stage)
        players.set_lr(5e-3)
        off = [float(train_step(players, batch, stage, n)["landmarks"]) for n in range(40)]
        assert off[-1] < 0.5 * off[0]
        assert players.model.texture.pictures.abs().max() > 0.01

    def test_to_teach_landmarks_to_a_model_without_is_refused_before_work(self, batch, tmp_path):
        stage = plans.Stage("all", 80, {"rec": 1, "landmarks": 1})
        with pytest.raises(InputError, match="landmarks: this model finds none"):
            training.train(networks.Deoccluder(64, 8, 9), [stage], [0], tmp_path)
        untaught = plans.Stage("all", 80, {"rec": 1})
        with pytest.raises(InputError, match="nothing teaches it to find them"):
            training.train(Ours(64, 8), [untaught], [0], tmp_path)

    @pytest.mark.parametrize("switch", [{"frozen": ("common",)}, {"code_adversary": True}])
    def test_what_only_the_paper_s_model_has_is_refused_before_work(self, switch, tmp_path):
        stage = plans.Stage("all", 80, {"rec": 1, "landmarks": 1}, **switch)
        with pytest.raises(InputError, match=f"{next(iter(switch))}: is of the paper's model"):
            training.train(Ours(64, 8), [stage], [0], tmp_path)

    def test_a_step_in_bfloat16_changes_the_texture(self, batch):
        players = Players(Ours(64, 8), precision="bfloat16")
        stage = plans.Stage("all", 80, {"rec": 1, "landmarks": 2.5})
        players.enter(stage)
        players.set_lr(1e-3)
        assert all(torch.isfinite(v) for v in train_step(players, batch, stage, 0).values())
        assert players.model.texture.pictures.abs().max() > 0


def test_landmarks_off_by_one_in_a_hundred_in_x_alone_cost_a_half():
    landmarks = torch.rand(3, 68, 2) * 128
    off = landmarks + torch.tensor([1.28, 0.0])
    assert float(losses.landmark_loss(off, landmarks, 128)) == pytest.approx(0.5, rel=1e-4)
    looks = torch.stack([off, landmarks])  # one as far off, one right
    assert float(losses.landmark_loss(looks, landmarks, 128)) == pytest.approx(0.25, rel=1e-4)
