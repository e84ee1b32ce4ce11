"""The peers that learn: gated convolutions, what they are taught, the loop, their files."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from hmdlib import InputError, checkpoint, dataset
from hmdlib.head_pose import AVERAGE_FACE
from hmdlib.peers import gated, lafin, lafin_losses, lessons, painters
from hmdlib.peers.hole_training import COLUMNS, Plan, train

SIZE = 32
PLAN = Plan(images=24, lr=1e-3, lr_end=1e-4, augment=0.5, flip=True, log_every=2)  # 6 steps
LESSONS = {"landmarks": lessons.landmark_lesson, "lafin": lessons.lafin_lesson,
           "gated": lessons.gated_lesson}  # fmt: skip


class Crowd:
    """In the place of a store: smooth coloured pictures, a face's landmarks in the middle."""

    image_size, name = SIZE, "crowd"

    def __init__(self, count=12):
        self.meta = {"sha256": f"of {count}"}
        generator = torch.Generator().manual_seed(5)
        coarse = torch.rand(count, 3, 5, 5, generator=generator)
        images = F.interpolate(coarse, size=SIZE, mode="bilinear")
        self.frames = (255 * images).byte().permute(0, 2, 3, 1).numpy()
        shift = torch.rand(count, 1, 2, generator=generator).numpy() * 4
        face = AVERAGE_FACE[:, :2] - AVERAGE_FACE[:, :2].mean(axis=0)
        self.landmarks = (8 * face + SIZE / 2 + shift - 2).astype(np.float32)

    def __len__(self):
        return len(self.frames)


def hide_a_bar(images, landmarks, generator):
    """A grey bar at a random height."""
    hidden = torch.zeros_like(images[:, :1])
    for mask in hidden:
        top = int(torch.randint(4, 20, (), generator=generator))
        mask[:, top : top + 8, 4:-4] = 1
    return images * (1 - hidden) + 0.5 * hidden, hidden


def tiny(name, seed=0):
    torch.manual_seed(seed)
    return painters.Gated.new(4) if name == "gated" else painters.Lafin.new(4)


def run(folder, name, plan=PLAN, peer=None, samples=None, **options):
    peer = peer or tiny(name)
    samples = samples or dataset.Samples([Crowd()])
    settings = {"precision": "float32", "checkpoint_every": 2, "progress": "none"} | options
    occluder = settings.pop("occluder", hide_a_bar)
    return peer, train(LESSONS[name](peer), plan, samples, folder, occluder, **settings)


def weights_of(peer):
    return {f"{k}.{n}": t for k, m in peer.modules.items() for n, t in m.state_dict().items()}


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# ---- the gated network --------------------------------------------------------------------------


def test_an_open_gate_passes_elu_and_a_closed_one_nothing():
    layer = gated.GatedConv(2, 3)
    features = torch.randn(1, 2, 6, 6)
    with torch.no_grad():
        layer.conv.weight[3:] = 0  # the gate's half
        layer.conv.bias[3:] = 100
    said = F.conv2d(features, layer.conv.weight[:3], layer.conv.bias[:3], padding=1)
    torch.testing.assert_close(layer(features), F.elu(said))
    with torch.no_grad():
        layer.conv.bias[3:] = -100
    assert layer(features).abs().max() < 1e-30


def test_what_lies_under_the_mask_is_never_seen():
    network = gated.Generator(4).eval()
    images, hidden = torch.rand(2, 3, SIZE, SIZE), torch.zeros(2, 1, SIZE, SIZE)
    hidden[..., 8:16, :] = 1
    other = images * (1 - hidden) + torch.rand_like(images) * hidden
    drawn = network(images, hidden)
    assert torch.equal(drawn, network(other, hidden))
    assert drawn.shape == images.shape and drawn.min() >= 0 and drawn.max() <= 1


def test_the_middle_of_the_hole_sees_its_border():
    """At 128 pixels, a hole of half the side: the gradient of its middle reaches what is seen."""
    torch.manual_seed(0)
    network = gated.Generator(2)
    images, hidden = torch.rand(1, 3, 128, 128, requires_grad=True), torch.zeros(1, 1, 128, 128)
    hidden[..., 32:96, 32:96] = 1
    network(images, hidden)[..., 64, 64].sum().backward()
    assert images.grad[..., :32, :].abs().max() > 0 and images.grad[..., 96:, :].abs().max() > 0


def test_it_costs_at_most_three_gflop():
    assert painters.cost(painters.Gated.new(24), 128)["GFLOP"] <= 3


def test_hinge_losses_in_closed_form():
    sure = torch.tensor([1.5, 3.0])
    assert gated.hinge_loss_discriminator(sure, -sure) == 0
    none = torch.zeros(2)
    assert gated.hinge_loss_discriminator(none, none) == 1
    assert gated.hinge_loss_generator(sure) == -2.25


def test_hidden_and_visible_are_means_over_their_own_pixels():
    target, hidden = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    hidden[..., :2] = 1
    output = 0.25 * hidden.expand(-1, 3, -1, -1) + 0.1 * (1 - hidden)
    terms = gated.generator_terms(output, target, hidden, torch.zeros(1))
    assert float(terms["hidden"]) == pytest.approx(0.5)  # twice: on the scale of [-1, 1]
    assert float(terms["visible"]) == pytest.approx(0.2)


# ---- what is taught -----------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [0.0, 1.0])
def test_landmarks_move_with_their_pictures(augment):
    """A lit picture of the landmarks, augmented, is lit at the augmented landmarks."""
    crowd, (x, y) = Crowd(4), (20, 12)
    crowd.frames = np.zeros_like(crowd.frames)
    crowd.frames[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    crowd.landmarks[:] = (x + 0.5, y + 0.5)
    chance = torch.Generator().manual_seed(1)
    (batch,) = dataset.batches(dataset.Samples([crowd]), 4, chance, augment, hide_a_bar, steps=1)
    for image, (x, y) in zip(batch.target, batch.landmarks[:, 0].long().tolist(), strict=True):
        assert image[:, y, x].mean() > 0.4
    assert batch.landmarks.shape == (4, 68, 2)


def test_without_vgg_two_terms_are_left_out_and_the_others_stay():
    output, target, hidden = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    fake = torch.rand(2, 1, 2, 2)

    def see(images, names):
        return [images for _ in names]

    without = lafin_losses.generator_terms(output, target, hidden, fake)
    full = lafin_losses.generator_terms(output, target, hidden, fake, see)
    assert set(full) - set(without) == {"perceptual", "style"}
    assert all(torch.equal(full[name], value) for name, value in without.items())
    assert set(lessons.lafin_lesson(tiny("lafin")).losses) == {"rec", "adv", "tv"}
    assert set(lessons.lafin_lesson(tiny("lafin"), see).losses) == set(lafin_losses.WEIGHTS)


def test_pictures_without_a_face_are_skipped():
    crowd = Crowd(6)
    crowd.landmarks[[1, 4]] = np.nan
    kept = dataset.with_landmarks(dataset.Samples([crowd]), "crowd")
    assert kept.indices[:, 1].tolist() == [0, 2, 3, 5]
    crowd.landmarks[:] = np.nan
    with pytest.raises(InputError, match="crowd: no picture with landmarks"):
        dataset.with_landmarks(dataset.Samples([crowd]), "crowd")


def test_each_lesson_teaches_its_own_networks_only(tmp_path):
    before = weights_of(tiny("lafin"))
    predictor, _ = run(tmp_path / "a", "landmarks")
    generator, _ = run(tmp_path / "b", "lafin")
    for peer, learns in ((predictor, {"predictor"}), (generator, {"generator", "discriminator"})):
        changed = {n.split(".")[0] for n, t in weights_of(peer).items() if not same({n: t}, before)}
        assert changed == learns


def test_the_rate_falls_linearly_and_lafin_s_judge_learns_at_a_tenth(tmp_path):
    assert PLAN.lr_at(0) == 1e-3 and PLAN.lr_at(PLAN.steps) == pytest.approx(1e-4)
    lesson = lessons.lafin_lesson(tiny("lafin"))
    train(lesson, PLAN, dataset.Samples([Crowd()]), tmp_path, hide_a_bar, progress="none")
    rates = {name: one.param_groups[0]["lr"] for name, one in lesson.optimisers.items()}
    assert rates["generator"] == pytest.approx(PLAN.lr_at(PLAN.steps - 1))
    assert rates["discriminator"] == pytest.approx(rates["generator"] / 10)
    assert lesson.optimisers["generator"].param_groups[0]["betas"] == (0.0, 0.9)


@pytest.mark.parametrize("name", ["lafin", "gated"])
def test_one_batch_is_learnt_by_heart(tmp_path, name):
    """Four pictures under one bar: some sixty steps halve the error of the hole, or nearly so."""

    def bar(images, landmarks, generator):
        hidden = torch.zeros_like(images[:, :1])
        hidden[..., 12:20, 4:-4] = 1
        return images * (1 - hidden) + 0.5 * hidden, hidden

    torch.manual_seed(0)
    peer = painters.KINDS[name].new(8)
    samples = dataset.Samples([Crowd(4)])
    truth, landmarks = samples.batch(range(4))
    occluded, hidden = bar(truth, landmarks, None)

    def error():
        drawn = peer.paint_around(occluded, hidden, landmarks) if name == "lafin" else peer.paint(
            occluded, hidden)  # fmt: skip
        return float(((drawn - truth).abs() * hidden).sum() / hidden.sum() / 3)

    before = error()
    run(tmp_path, name, Plan(240, lr=2e-3), peer, samples, occluder=bar, checkpoint_every=60)
    assert error() < 0.6 * before


def test_landmarks_are_learnt(tmp_path):
    plan = Plan(160, batch_size=4, lr=1e-3, log_every=1)
    _, history = run(tmp_path, "landmarks", plan, checkpoint_every=100)
    said = history.table()["landmarks"]
    assert said.iloc[-5:].mean() < 0.5 * said.iloc[0]  # 0.41 without AVX-512, less with it


# ---- the loop: killed, resumed, refused ---------------------------------------------------------


@pytest.mark.parametrize("name", LESSONS)
def test_a_killed_run_ends_with_the_same_bits(tmp_path, name):
    whole, _ = run(tmp_path / "whole", name)
    calls = 0

    def dies(*arguments):
        nonlocal calls
        calls += 1
        if calls == 4:  # after the checkpoint of step 2
            raise KeyboardInterrupt
        return hide_a_bar(*arguments)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", name, occluder=dies)
    resumed, _ = run(tmp_path / "killed", name)
    assert same(weights_of(whole), weights_of(resumed))
    columns = [c for c in COLUMNS if not c.startswith(("seconds", "images_per"))]
    rows = [pd.read_csv(tmp_path / place / "history.csv")[columns] for place in ("whole", "killed")]
    pd.testing.assert_frame_equal(*rows)
    assert rows[0]["step"].tolist() == [2, 4, 6]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, _ = run(tmp_path, "gated")

    def never(*_):
        raise AssertionError("a finished run wants no batch")

    second, history = run(tmp_path, "gated", occluder=never)
    assert same(weights_of(first), weights_of(second)) and len(history.rows) == 3


@pytest.mark.parametrize(
    "change, word",
    [
        (
            {"plan": Plan(images=24, lr=2e-3, lr_end=1e-4, augment=0.5, flip=True)},
            r"lr=0\.001 there, 0\.002",
        ),
        ({"seed": 3}, "seed=0 there, 3"),
        ({"peer": tiny("gated", seed=1)}, "start of generator"),
        ({"samples": dataset.Samples([Crowd(8)])}, "samples: other pictures"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, word):
    run(tmp_path, "gated")
    with pytest.raises(InputError, match=word) as refused:
        run(tmp_path, "gated", **change)
    assert "\n" not in str(refused.value) and "checkpoint.safetensors" in str(refused.value)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    peer = tiny("gated")
    with torch.no_grad():
        peer.generator.head.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite by step 2"):
        run(tmp_path, "gated", peer=peer)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_mixed_precision_keeps_weights_and_losses_in_float32(tmp_path):
    for name in LESSONS:
        peer, history = run(tmp_path / name, name, precision="bfloat16")
        kinds = {t.dtype for t in weights_of(peer).values() if t.is_floating_point()}
        assert kinds == {torch.float32} and np.isfinite(history.last("total"))


def test_a_share_of_every_batch_is_strangers(tmp_path):
    """The person's pictures are black here, the strangers' white."""
    black, white, seen = Crowd(), Crowd(8), []
    black.frames, white.frames = np.zeros_like(black.frames), np.full_like(white.frames, 255)
    person, strangers = dataset.Samples([black]), dataset.Samples([white])

    def looks(images, landmarks, generator):
        seen.append(images.mean(dim=(1, 2, 3)).round().tolist())
        return hide_a_bar(images, landmarks, generator)

    plan = Plan(images=8, strangers=0.25)
    with pytest.raises(InputError, match="strangers=None"):
        run(tmp_path, "gated", plan, samples=person)
    run(tmp_path, "gated", plan, samples=person, strangers=strangers, occluder=looks)
    assert seen == [[0, 0, 0, 1]] * 2
    with pytest.raises(InputError, match="belongs to another training"):
        run(tmp_path, "gated", plan, samples=person, strangers=person)
    with pytest.raises(InputError, match="some of it the person's"):
        Plan(images=8, strangers=0.9)


@pytest.mark.parametrize("wrong", [{"images": 0}, {"batch_size": 1}, {"lr": 0}])
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="wants images >= 1"):
        Plan(**{"images": 8, **wrong})


# ---- painting, and files ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lafin", "gated"])
def test_painting_is_batched_and_leaves_the_mode_alone(name):
    peer, (images, _) = tiny(name), dataset.Samples([Crowd(18)]).batch(range(18))
    hidden = torch.zeros_like(images[:, :1])
    hidden[..., 12:20, 4:-4] = 1
    peer.generator.train()
    drawn = peer.paint(images, hidden)
    assert peer.generator.training and not drawn.requires_grad
    assert drawn.shape == images.shape and drawn.min() >= 0 and drawn.max() <= 1
    torch.testing.assert_close(drawn[17:], peer.paint(images[17:], hidden[17:]))


def test_lafin_paints_around_its_own_landmarks():
    peer, (images, _) = tiny("lafin"), dataset.Samples([Crowd(3)]).batch(range(3))
    hidden = torch.zeros_like(images[:, :1])
    hidden[..., 12:20, :] = 1
    guess = peer.landmarks(images, hidden)
    torch.testing.assert_close(
        peer.paint(images, hidden), peer.paint_around(images, hidden, guess), rtol=1e-4, atol=1e-5
    )
    for module in peer.modules.values():
        module.eval()
    _, output, _ = lafin.inpaint(peer.predictor, peer.generator, images, hidden)
    torch.testing.assert_close(peer.paint(images, hidden), output)


@pytest.mark.parametrize("name", ["lafin", "gated"])
def test_a_saved_peer_comes_back(tmp_path, name):
    peer = tiny(name)
    path = tmp_path / "model.safetensors"
    painters.save(path, peer, image_size=SIZE, images=7)
    assert same(weights_of(peer), weights_of(painters.load(path, name)))
    facts = checkpoint.read_facts(path)
    assert facts == {"kind": name, "width": 4, "half": False, "image_size": SIZE, "images": 7}


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path):
    peer = tiny("gated")
    painters.save(tmp_path / "full", peer)
    painters.save(tmp_path / "half", peer, half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    back = weights_of(painters.load(tmp_path / "half"))
    assert {t.dtype for t in back.values()} == {torch.float32}
    for name, tensor in weights_of(peer).items():
        torch.testing.assert_close(back[name], tensor, rtol=1e-3, atol=1e-6)


def test_what_does_not_fit_into_16_bits_is_not_saved_in_them(tmp_path):
    peer = tiny("gated")
    with torch.no_grad():
        peer.generator.head.bias.fill_(1e6)
    with pytest.raises(InputError, match=r"generator/head\.bias does not fit"):
        painters.save(tmp_path / "half", peer, half=True)


def test_wrong_files_are_refused_by_name(tmp_path):
    path, peer = tmp_path / "model.safetensors", tiny("gated")
    painters.save(path, peer)
    with pytest.raises(InputError, match="holds 'gated', wanted lafin"):
        painters.load(path, "lafin")
    tensors, facts = checkpoint.read_tensors(path)
    tensors["generator/extra"] = tensors.pop("generator/head.bias")
    checkpoint.write_tensors(path, tensors, facts)
    with pytest.raises(InputError, match="missing: generator.head.bias; unknown: generator.extra"):
        painters.load(path)
    with pytest.raises(InputError, match="no such weights file"):
        painters.load(tmp_path / "nothing")


def test_a_personal_peer_goes_on_from_the_generic_one(tmp_path):
    """A copy learns; the one that it came from stays as it was."""
    generic, _ = run(tmp_path / "generic", "gated")
    before = {name: tensor.clone() for name, tensor in weights_of(generic).items()}
    personal = painters.copy_of(generic)
    assert same(before, weights_of(personal))
    run(tmp_path / "personal", "gated", peer=personal)
    assert same(before, weights_of(generic)) and not same(before, weights_of(personal))
