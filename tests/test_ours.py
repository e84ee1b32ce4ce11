"""Our de-occluder: step 1 is the paper's, what is seen is kept, the fusions cost what they say."""

import pytest
import torch

from hmdlib import InputError, networks, training
from hmdlib.iteration import Players, train_step
from hmdlib.ours import Ours, ScaleFusion, start_from


@pytest.fixture
def pictures():
    """Pictures (2, 3, 64, 64) and a headset over them."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    hidden = torch.zeros(2, 1, 64, 64)
    hidden[..., 20:36, 10:50] = 1
    return images, hidden


@pytest.fixture
def generic(tmp_path):
    """A paper's model with some weights, and their file."""
    torch.manual_seed(0)
    model = networks.Deoccluder(64, 8, 9).eval()
    networks.save_weights(tmp_path / "generic.safetensors", model)
    return model, tmp_path / "generic.safetensors"


def test_step_1_is_the_paper_s(pictures, generic):
    model, path = generic
    ours = Ours(64, 8, 9).eval()
    start_from(ours, path)
    ours.bypass_attention = model.bypass_attention = True
    with torch.no_grad():
        torch.testing.assert_close(ours(*pictures), model(*pictures))


@pytest.mark.parametrize(("size", "scales"), [(64, 4), (128, 4), (256, 5)])
def test_the_decoder_meets_the_encoder_at_every_scale_up_to_the_paper_s(size, scales):
    model = Ours(size, 4, 9).eval()
    hidden = torch.zeros(1, 1, size, size)
    with torch.no_grad():
        _, (seen, *_) = model.encode(torch.rand(1, 3, size, size), hidden)
        assert [len(one[0, 0]) for one in seen] == [4 * 2**n for n in range(scales)]
        drawn, share, _ = model(torch.rand(1, 3, size, size), hidden, return_maps=True)
    assert drawn.shape == (1, 3, size, size) and share.shape == hidden.shape
    assert list(model.attention) == [str(number) for number in range(scales)]
    where_the_paper_fuses = Ours(size, 4, 9, every_scale=False).attention
    assert list(where_the_paper_fuses) == ["4" if size == 256 else "3"]


def test_what_is_not_drawn_is_kept_and_all_under_the_headset_is_drawn(pictures):
    images, hidden = pictures
    model = Ours(64, 8, 9).eval()
    with torch.no_grad():
        drawn, share, _ = model(images, hidden, return_maps=True)
        assert (share[hidden > 0] == 1).all() and share[hidden == 0].max() < 0.2
        change = (drawn - images).abs().amax(dim=1, keepdim=True)
        assert (change <= share + 1e-6).all()
        model.edge.bias.fill_(-100)
        kept = model(images, hidden)
    assert torch.equal(kept * (1 - hidden), images * (1 - hidden))


def test_a_fusion_costs_6_c_c_and_18_c_multiplications_a_place_and_adds_nothing_at_first():
    fusion = ScaleFusion(8)
    weights = sum(p.numel() for n, p in fusion.named_parameters() if n.endswith("weight"))
    assert weights == 6 * 8 * 8 + 18 * 8
    seen, imagined = torch.rand(2, 1, 8, 4, 4)
    with torch.no_grad():
        fusion.maps.weight.zero_()
        little, much = torch.sigmoid(torch.tensor([-2.0, 2.0]))
        by_hand = little * seen + much * imagined
        torch.testing.assert_close(fusion(seen, imagined), by_hand)


def test_it_costs_less_than_half_of_the_paper_s_model():
    paper, ours = networks.Deoccluder(128, 32), Ours(128, 32)
    assert networks.gflop(ours) < 0.4 * networks.gflop(paper)
    assert networks.parameters_of(ours) < networks.parameters_of(paper)


def test_weights_come_back_as_they_were_and_serve_as_a_start(pictures, tmp_path):
    torch.manual_seed(1)
    model = Ours(64, 8, 9, keeps=False).eval()
    model.attention_has_learnt = True
    networks.save_weights(tmp_path / "ours.safetensors", model)
    again, later = networks.load_weights(tmp_path / "ours.safetensors"), Ours(64, 8, 9).eval()
    assert isinstance(again, Ours) and again.architecture == model.architecture
    start_from(later, tmp_path / "ours.safetensors")
    assert later.attention_has_learnt
    with torch.no_grad():
        assert torch.equal(again(*pictures), model(*pictures))
        later.edge.bias.fill_(100)  # all drawn: what remains is the network that it started from
        torch.testing.assert_close(later(*pictures), model(*pictures))


def test_a_start_of_another_width_and_a_missing_mask_are_refused(pictures, generic):
    with pytest.raises(InputError, match=r"width=8 \(wanted 16\)"):
        start_from(Ours(64, 16, 9), generic[1])
    with pytest.raises(InputError, match="pass hidden="):
        Ours(64, 8, 9)(pictures[0])


def test_it_learns_by_the_loop_of_the_study(pictures):
    """Forty steps on two pictures more than halve the error under the headset."""
    images, hidden = pictures
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(images, 9, 1, 4)
    batch = training.dataset.Batch(smooth * (1 - hidden), smooth, hidden)
    players = Players(Ours(64, 8, 9))
    stage = training.Stage("mask", 80, {"rec": 1, "mask": 1}, mask_by_area=True, lr=5e-3)
    players.enter(stage)
    players.set_lr(5e-3)
    errors = [float(train_step(players, batch, stage, number)["mask"]) for number in range(40)]
    assert errors[-1] < 0.5 * errors[0]
