"""Our de-occluder: it sees nothing of the headset, keeps what is seen, costs a fifth."""

import pytest
import torch
import torch.nn.functional as F

from hmdlib import InputError, model_files, networks, plans, training
from hmdlib.iteration import Players, train_step
from hmdlib.model_files import start_ours_from
from hmdlib.ours import Block, Ours, Place, finer


@pytest.fixture
def pictures():
    """Pictures (2, 3, 64, 64) and a headset over them."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    hidden = torch.zeros(2, 1, 64, 64)
    hidden[..., 20:36, 10:50] = 1
    return images, hidden


@pytest.mark.parametrize(("size", "scales"), [(64, 3), (128, 4), (256, 5)])
def test_the_decoder_meets_the_encoder_at_every_scale(size, scales):
    model = Ours(size, 4).eval()
    images, hidden = torch.rand(1, 3, size, size), torch.zeros(1, 1, size, size)
    with torch.no_grad():
        code, (seen, *_) = model.encode(images, hidden)
        drawn, share, _ = model(images, hidden, return_maps=True)
    assert [len(one[0, 0]) for one in seen] == [size // 2 >> n for n in range(scales)]
    assert len(seen[-1][0, 0]) == 8 and code.shape == (1, len(seen[-1][0]))
    assert drawn.shape == images.shape and share.shape == hidden.shape


def test_without_the_finer_scales_the_decoder_knows_the_coarsest_alone(pictures):
    model = Ours(64, 8, every_scale=False, keeps=False).eval()
    assert not model.architecture["looks_again"]
    torch.nn.init.normal_(model.texture.pictures, std=0.05)
    with torch.no_grad():
        code, (scales, *rest) = model.encode(*pictures)
        drawn, *_ = model.decode(code, (scales, *rest))
        emptied = [torch.zeros_like(maps) for maps in scales[:-1]] + scales[-1:]
        again, *_ = model.decode(code, (emptied, *rest))
    assert torch.equal(drawn, again)


def test_the_four_quarters_of_a_coarser_place_may_differ_where_nothing_finer_is_seen(pictures):
    """With all hidden alike no finer map tells them apart: the way up itself must."""
    images, hidden = pictures
    torch.manual_seed(0)
    model, finest = Ours(64, 8).eval(), []
    model.draw[0].register_forward_hook(lambda block, given, drawn: finest.append(drawn))
    with torch.no_grad():
        model(images, torch.ones_like(hidden))
    quarters = torch.nn.functional.pixel_unshuffle(finest[0], 2).unflatten(1, (-1, 4))
    lit = quarters.amax(dim=2) > 0  # relu makes the others equal, to zero
    assert lit.any() and (quarters.std(dim=2) > 0)[lit].float().mean() > 0.9


def test_no_pixel_under_the_headset_has_any_influence(pictures):
    images, hidden = pictures
    other = torch.where(hidden > 0, torch.rand_like(images), images)
    model = Ours(64, 8).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images, hidden), model(other, hidden))


def test_what_is_not_drawn_is_kept_and_all_under_the_headset_is_drawn(pictures):
    images, hidden = pictures
    model = Ours(64, 8).eval()
    with torch.no_grad():
        drawn, share, _ = model(images, hidden, return_maps=True)
        assert (share[hidden > 0] == 1).all() and share[hidden == 0].max() < 0.2
        change = (drawn - images).abs().amax(dim=1, keepdim=True)
        assert (change <= 2 * share + 1e-6).all()
        model.head.bias[12:16] = -100
        kept = model(images, hidden)
    assert torch.equal(kept * (1 - hidden), images * (1 - hidden))


def test_a_block_adds_nothing_at_first():
    features = torch.rand(1, 6, 5, 5)
    assert torch.equal(Block(6)(features), features)


def test_it_costs_a_fifth_of_the_paper_s_model():
    paper, ours = networks.Deoccluder(128, 32), Ours(128, 32)
    assert networks.gflop(ours) < networks.gflop(paper) / 5
    assert networks.parameters_of(ours) < networks.parameters_of(paper) / 4


def test_weights_come_back_as_they_were_and_serve_as_a_start(pictures, tmp_path):
    torch.manual_seed(1)
    model, file = Ours(64, 8, keeps=False).eval(), tmp_path / "ours.safetensors"
    torch.nn.init.normal_(model.texture.pictures, std=0.05)
    model_files.save(file, model)
    again, later = model_files.load(file), Ours(64, 8).eval()
    assert isinstance(again, Ours) and again.architecture == model.architecture
    start_ours_from(later, file)
    with torch.no_grad():
        assert torch.equal(again(*pictures), model(*pictures))
        later.head.bias[12:16] = 100  # all drawn: what remains is the network that it started from
        torch.testing.assert_close(later(*pictures), model(*pictures))


def test_one_without_texture_may_begin_with_the_rest_of_one_with_it(pictures, tmp_path):
    """Before a texture is learnt the two draw the same; the other way round is refused."""
    torch.manual_seed(1)
    model, file = Ours(64, 8).eval(), tmp_path / "ours.safetensors"
    model_files.save(file, model)
    plain = Ours(64, 8, texture=False).eval()
    start_ours_from(plain, file)
    with torch.no_grad():
        torch.testing.assert_close(plain(*pictures), model(*pictures))
    model_files.save(file, plain)
    with pytest.raises(InputError, match=r"texture=False \(wanted True\)"):
        start_ours_from(Ours(64, 8), file)


def test_a_start_of_another_kind_or_width_and_a_missing_mask_are_refused(pictures, tmp_path):
    model_files.save(tmp_path / "ours.safetensors", Ours(64, 8))
    model_files.save(tmp_path / "paper.safetensors", networks.Deoccluder(64, 8, 9))
    with pytest.raises(InputError, match=r"width=8 \(wanted 16\)"):
        start_ours_from(Ours(64, 16), tmp_path / "ours.safetensors")
    with pytest.raises(InputError, match=r"every_scale=None \(wanted True\)"):
        start_ours_from(Ours(64, 8), tmp_path / "paper.safetensors")
    older = Ours(64, 8)
    older.draw = older.draw[1:]
    model_files.save(tmp_path / "older.safetensors", older)
    with pytest.raises(InputError, match="do not fit the Ours of this version; train again"):
        model_files.load(tmp_path / "older.safetensors")
    with pytest.raises(InputError, match="pass hidden="):
        Ours(64, 8)(pictures[0])
    with pytest.raises(InputError, match="choose one of"):
        Ours(100)


def test_it_learns_by_the_loop_of_the_study(pictures):
    """Forty steps on two pictures more than halve the error under the headset."""
    images, hidden = pictures
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(images, 9, 1, 4)
    batch = training.dataset.Batch(smooth * (1 - hidden), smooth, hidden)
    players = Players(Ours(64, 8))
    stage = plans.Stage("mask", 80, {"rec": 1, "mask": 1}, mask_by_area=True, lr=5e-3)
    players.enter(stage)
    players.set_lr(5e-3)
    errors = [float(train_step(players, batch, stage, number)["mask"]) for number in range(40)]
    assert errors[-1] < 0.5 * errors[0]


def test_the_faster_forms_draw_what_torch_s_own_draw():
    features = torch.rand(3, 12, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(finer(features), F.pixel_shuffle(features, 2))
    place = Place(12, 8)
    torch.testing.assert_close(place(features), F.conv2d(features, place.weight, place.bias))
