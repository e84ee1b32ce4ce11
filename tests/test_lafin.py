"""LaFIn: the numbers of its published code, what its networks may see, its files, its losses."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_networks import filled, filled_layout, wave

from hmdlib import InputError, weights
from hmdlib.losses import total_loss
from hmdlib.networks import parameters_of
from hmdlib.peers import lafin, lafin_losses, vgg19
from hmdlib.peers.lafin import Discriminator, Generator, LandmarkPredictor
from hmdlib.peers.lafin_published import load_lafin, load_published

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 1e-4  # shared/parity/README.md: outputs of LaFIn's generator and discriminator
INNER_TOLERANCE = 1e-3
BLOCKS = (0, 3, 10, 17)  # of the predictor's trunk
STAGES = {"encoder1": "encoder1", "encoder2": "encoder2", "encoder3": "encoder3",
          "middle": "middle", "attention.query": "auto_attn.query_conv",
          "attention": "auto_attn.out", "decoder1": "decoder1", "fusion1": "fushion1",
          "decoder2": "decoder2", "fusion2": "fushion2"}  # fmt: skip
"""Layer of the generator -> its name in the published code."""


def left_half_hidden(size=64):
    hidden = torch.zeros(1, 1, size, size)
    hidden[..., : size // 2] = 1
    return hidden


def small(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


# ---- parity with the published code -------------------------------------------------------------


def published_state(shared, name):
    """A published state dict with the fixture's stand-in weights, aliases included."""
    folder = shared / "parity" / "lafin"
    network = json.loads((folder / "keys.json").read_text())["networks"][name]
    seed = json.loads(str(np.load(folder / "io.npz")["meta.seed"]))[name]
    return filled_layout(shared, network, seed)


@pytest.fixture(scope="module")
def official(shared):
    """The numbers of the published code, by name: entry(name) -> tensor."""
    npz = np.load(shared / "parity" / "lafin" / "io.npz")

    def entry(name):
        return torch.from_numpy(np.asarray(npz[f"{name}.full"])).float()

    entry.npz = npz
    entry.images, entry.hidden = entry("in.image_u8") / 255, entry("in.mask_u8")
    return entry


@pytest.fixture(scope="module")
def painted(shared, official):
    """The published generator's output on the fixture's pictures, and what its layers gave."""
    generator = load_published(Generator(), published_state(shared, "inpaint_generator"))
    inner = watched(generator, STAGES)
    with torch.no_grad():
        output = generator(official.images, official.hidden, official("raster.map"))
    return output, inner, generator


@pytest.fixture(scope="module")
def judged(shared, official, painted):
    """The published discriminator on real and painted pictures, and its layers on the real."""
    judge = load_published(Discriminator(), published_state(shared, "inpaint_discriminator"))
    lit = official("raster.map")
    with torch.no_grad():
        fake = judge(painted[0], lit)
        inner = watched(judge, ("attention", "conv5"))
        return judge(official.images, lit), fake, inner


def watched(network, names):
    """A dict that fills, at each forward, with what the named layers of a network gave."""
    seen = {}
    for name in names:
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    return seen


def assert_published(ours, official, name, tolerance):
    """All stored parts of an array: the whole, every A-th channel and B-th pixel, two corners."""
    parts = {"full": lambda a: a, "tl16": lambda a: a[..., :16, :16],
             "br16": lambda a: a[..., -16:, -16:]}  # fmt: skip
    compared = 0
    for entry in official.npz.files:
        start, _, part = entry.rpartition(".")
        every = re.fullmatch(r"c(\d+)s(\d+)", part)
        if start == name and (part in parts or every):
            c, s = (int(n) for n in every.groups()) if every else (1, 1)
            cut = ours[:, ::c, ::s, ::s] if every else parts[part](ours)
            expected = official.npz[entry]
            np.testing.assert_allclose(cut, expected, atol=tolerance, rtol=0, err_msg=entry)
            compared += 1
    assert compared, f"no entry {name}"


def test_landmarks_are_the_published_ones(shared, official):
    predictor = load_published(LandmarkPredictor(), published_state(shared, "landmark_detector"))
    inner = watched(predictor, [*(f"trunk.{n}" for n in BLOCKS), "last", "prelu"])
    with torch.no_grad():
        no_mask = predictor(official.images, torch.zeros_like(official.hidden))
        landmarks = predictor(official.images, official.hidden)
    assert_published(no_mask.flatten(1), official, "det.landmarks_px_no_mask", 5e-3)
    assert_published(landmarks.flatten(1), official, "det.landmarks_px", 5e-3)
    for block in BLOCKS:
        assert_published(inner[f"trunk.{block}"], official, f"det.features.{block}", 2e-3)
    assert_published(inner["last"], official, "det.last_block", 2e-3)
    assert_published(inner["prelu"].flatten(1), official, "det.prelu", 2e-3)
    loss = lafin_losses.landmark_loss(landmarks, official("det.gt_long"))
    assert math.isclose(loss, official("det.loss_landmark"), rel_tol=1e-4)


def test_landmarks_are_drawn_as_published_but_never_at_the_other_side(official):
    drawn = lafin.landmark_map(official("raster.points_xy"), 256)
    assert torch.equal(drawn, official("raster.map"))
    landmarks = official("det.landmarks_px").view(2, 68, 2)
    negative = (landmarks.long() < 0).any(dim=-1)
    assert negative.sum() == official.npz["raster.negatives_in_predicted.full"]
    inside = landmarks.masked_fill(negative[..., None], math.nan)
    missed = official("raster.map_of_predicted_official") - lafin.landmark_map(inside, 256)
    assert missed.sum() == negative.sum() and missed.min() == 0


def test_the_generator_is_the_published_one(official, painted):
    output, inner, generator = painted
    assert_published(output, official, "gen.output", TOLERANCE)
    composite = output * official.hidden + official.images * (1 - official.hidden)
    assert_published(composite, official, "gen.merged", TOLERANCE)
    for ours, name in STAGES.items():
        assert_published(inner[ours], official, f"gen.{name}", INNER_TOLERANCE)
    with torch.no_grad():
        rows = generator.attention.weights(inner["middle"])[:, ::1024, ::16]
    np.testing.assert_allclose(
        rows, official.npz["gen.auto_attn.attention_rows"], atol=TOLERANCE, rtol=0
    )


@pytest.mark.parametrize("factor", [2, 4])
def test_masks_shrink_as_published(official, factor):
    shrunk = lafin.shrunk(official.hidden[:1], factor)[0]
    assert_published(shrunk, official, f"gen.mask_1_{factor}", TOLERANCE)


def test_the_discriminator_is_the_published_one(official, judged):
    real, fake, inner = judged
    assert_published(real, official, "dis.real", TOLERANCE)
    assert_published(fake, official, "dis.fake", TOLERANCE)
    assert_published(inner["attention"], official, "dis.real_conv2", INNER_TOLERANCE)
    assert_published(inner["conv5"], official, "dis.real_conv5", INNER_TOLERANCE)


def test_losses_are_the_published_ones(shared, official, painted, judged):
    see = vgg19.load_vgg19(published_state(shared, "vgg19_features"))
    output, (real, fake, _), hidden = painted[0], judged, official.hidden
    with torch.no_grad():
        terms = lafin_losses.generator_terms(output, official.images, hidden, fake, see)
    said = {
        "l1": terms["rec"] * hidden.mean(),
        **{name: terms[name] for name in ("perceptual", "style", "tv")},
        "gen_total": total_loss(terms, lafin_losses.WEIGHTS),
        "dis_total": lafin_losses.adversarial_loss_discriminator(real, fake),
    }
    for name, value in said.items():
        assert math.isclose(value, official(f"loss.{name}"), rel_tol=1e-4), name
    assert math.isclose(terms["adv"], official.npz["loss.adv_lsgan"][2], rel_tol=1e-4)


# ---- parity with ourselves: a small fixture for those without the published numbers -------------


def test_small_networks_say_what_they_always_said():
    """The numbers were written when the tests above agreed with the published code."""
    kept = json.loads((FIXTURES / "lafin.json").read_text())
    for name, values in small_answers().items():
        np.testing.assert_allclose(values, kept[name], atol=5e-3, rtol=0, err_msg=name)


def small_answers():
    """Landmarks in pixels, a picture in grey levels, a small judge's logits in thousandths."""
    networks = LandmarkPredictor(), Generator(4), Discriminator(4)
    predictor, generator, judge = (filled(network) for network in networks)
    image, hidden = wave(), left_half_hidden()
    lit = lafin.landmark_map(torch.full((1, 68, 2), 20.0), 64)
    with torch.no_grad():
        generator.train()(image, hidden, lit)  # one round of spectral norm's power iteration
        judge.train()(image, lit)
        landmarks = predictor(image, hidden)[0, ::8]
        grey = 255 * generator.eval()(image, hidden, lit)[0, :, ::16, ::16]
        logits = 1000 * torch.logit(judge.eval()(image, lit))[0, 0, ::2, ::2]
    return {"landmarks": landmarks.flatten(), "grey": grey.flatten(), "logits": logits.flatten()}


# ---- sizes, and what the networks may see -------------------------------------------------------


def test_parameter_counts_are_the_published_ones():
    assert parameters_of(LandmarkPredictor()) == 2_554_569
    assert parameters_of(Generator()) == 11_734_981
    never_used = 475_521  # parts of the attention that the published discriminator never runs
    assert parameters_of(Discriminator()) == 3_244_450 - never_used


def test_shapes_at_a_small_size():
    images, hidden = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    lit = torch.zeros(2, 1, 32, 32)
    assert small(LandmarkPredictor)(images, hidden).shape == (2, 68, 2)
    output = small(Generator, 4)(images, hidden, lit)
    assert output.shape == images.shape and 0 <= output.min() and output.max() <= 1
    assert small(Discriminator, 4)(output, lit).shape == (2, 1, 2, 2)


def test_nothing_under_the_mask_is_seen():
    hidden, one, other = left_half_hidden(), *torch.rand(2, 1, 3, 64, 64)
    other = other * hidden + one * (1 - hidden)
    predictor, generator = small(LandmarkPredictor), small(Generator, 4)
    lit = lafin.landmark_map(torch.full((1, 68, 2), 20.0), 64)
    assert torch.equal(predictor(one, hidden), predictor(other, hidden))
    assert torch.equal(generator(one, hidden, lit), generator(other, hidden, lit))


def test_a_landmark_lights_the_pixel_it_lies_in_or_the_nearest():
    landmarks = torch.tensor([[[2.9, 5.1], [-40.0, 7.0], [99.0, 3.0], [math.nan, math.nan]]])
    lit = lafin.landmark_map(landmarks, 16)
    assert lit.shape == (1, 1, 16, 16)
    assert lit[0, 0].nonzero().tolist() == [[3, 15], [5, 2], [7, 0]]  # (y, x)
    assert lit.max() == 1


def test_attention_starts_by_changing_nothing():
    features = torch.rand(1, 8, 5, 6)
    attention = small(lafin.SelfAttention, 8)
    assert torch.equal(attention(features), features)
    assert torch.allclose(attention.weights(features).sum(dim=-1), torch.ones(1, 30))


def test_places_that_look_alike_share_evenly():
    attention = small(lafin.SelfAttention, 4)
    torch.nn.init.zeros_(attention.query.weight)
    torch.nn.init.ones_(attention.gamma)
    features = torch.rand(1, 4, 3, 3)
    mean = features.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(attention(features), features + mean)


def test_inpainting_keeps_what_was_visible():
    predictor, generator = small(LandmarkPredictor), small(Generator, 4)
    images, hidden = torch.rand(1, 3, 64, 64), left_half_hidden()
    composite, output, landmarks = lafin.inpaint(predictor, generator, images, hidden)
    assert torch.equal(composite[..., 32:], images[..., 32:])
    assert torch.equal(composite[..., :32], output[..., :32])
    assert torch.equal(landmarks, predictor(images, hidden))
    by_hand = generator(images, hidden, lafin.landmark_map(landmarks, 64))
    assert torch.allclose(output, by_hand, atol=1e-6)


@pytest.mark.parametrize("height, width, masks", [(64, 48, 1), (62, 62, 1), (64, 64, 3)])
def test_inpainting_refuses_shapes_that_do_not_fit(height, width, masks):
    images, hidden = torch.rand(1, 3, height, width), torch.ones(1, masks, height, width)
    with pytest.raises(InputError, match="shape"):
        lafin.inpaint(None, None, images, hidden)


# ---- files --------------------------------------------------------------------------------------


@pytest.fixture
def judge_and_state():
    """A small discriminator, and its state dict under the published names."""
    judge = small(Discriminator, 4)
    torch.nn.init.ones_(judge.attention.gamma)
    with torch.no_grad():  # one round of spectral norm's power iteration
        judge.train()(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
    judge.eval()
    names = ((r"^conv(\d)\.", r"conv\1.0."), (r"^attention\.query", "auto_attn.query_conv"),
             (r"^attention\.", "auto_attn."))  # fmt: skip
    state = {}
    for name, tensor in judge.state_dict().items():
        for ours, published in names:
            name = re.sub(ours, published, name)
        state[name] = tensor.clone()
    return judge, state


def test_a_published_file_loads_however_it_was_trained(judge_and_state, tmp_path):
    judge, state = judge_and_state
    path = tmp_path / "InpaintingModel_dis.pth"
    torch.save({"discriminator": {f"module.{k}": v for k, v in state.items()}}, path)
    inputs = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    again = load_published(Discriminator(4), path)
    assert not again.training
    assert torch.equal(again(*inputs), judge(*inputs))


def test_a_file_of_early_torch_means_the_same(judge_and_state):
    judge, state = judge_and_state
    inputs = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    expected = judge(*inputs)  # afterwards conv.weight is the divided weight
    for number in range(1, 6):
        del state[f"conv{number}.0.weight_v"]
        state[f"conv{number}.0.weight"] = getattr(judge, f"conv{number}").weight.detach()
    assert torch.allclose(load_published(Discriminator(4), state)(*inputs), expected, atol=1e-6)


def test_wrong_names_and_shapes_are_told(judge_and_state):
    _, state = judge_and_state
    lacking = {name: tensor for name, tensor in state.items() if name != "auto_attn.gamma"}
    with pytest.raises(InputError, match=r"discriminator; missing: attention\.gamma;"):
        load_published(Discriminator(4), lacking)
    with pytest.raises(InputError, match=r"unknown: conv9\.bias;.*InpaintingModel_dis\.pth"):
        load_published(Discriminator(4), {**state, "conv9.bias": torch.zeros(1)})
    with pytest.raises(InputError, match=r"of another shape: conv1\.weight_orig"):
        load_published(Discriminator(8), state)


def test_missing_foreign_and_broken_files_are_refused(judge_and_state, tmp_path):
    with pytest.raises(InputError, match=r"landmark_detector\.pth: no such file"):
        load_lafin(tmp_path)
    path = tmp_path / "InpaintingModel_gen.pth"
    torch.save({"discriminator": judge_and_state[1]}, path)
    with pytest.raises(InputError, match=r"_gen\.pth: .*missing: .* more; unknown: discriminator"):
        load_published(Generator(4), path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(InputError, match=r"_gen\.pth: not a readable weights file"):
        load_published(Generator(4), path)
    path.write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"_gen\.pth: not a readable weights file"):
        load_published(Generator(4), path)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "it_ran",))

    torch.save({"generator": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="not a readable"):
        load_published(Generator(4), tmp_path / "trap.pth")
    assert not (tmp_path / "it_ran").exists()


def test_without_vgg19_one_line_says_what_to_fetch_and_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "places", lambda: [tmp_path])
    monkeypatch.setattr(weights, "_download", lambda name: "no network")
    with pytest.raises(InputError, match=r"fetch https://.*vgg19-dcbb9e9d\.pth and put it into"):
        vgg19.load_vgg19()


def test_vgg19_names_its_layers():
    names = ("relu1_1", "relu2_2", "relu5_2")
    shapes = [tuple(one.shape) for one in vgg19.VGG19()(torch.rand(1, 3, 32, 32), names)]
    assert shapes == [(1, 64, 32, 32), (1, 128, 16, 16), (1, 512, 2, 2)]


# ---- losses -------------------------------------------------------------------------------------


def test_reconstruction_counts_as_if_all_were_hidden():
    target = torch.full((1, 3, 8, 8), 0.5)
    hidden = left_half_hidden(8)
    loss = lafin_losses.reconstruction_loss(target + 0.1 * hidden, target, hidden)
    assert math.isclose(loss, 0.1, rel_tol=1e-5)


def test_landmark_loss_is_one_distance_over_all_points():
    landmarks = torch.zeros(2, 68, 2)
    moved = landmarks + torch.tensor([3.0, 4.0])  # every point by 5 pixels
    assert math.isclose(lafin_losses.landmark_loss(moved, landmarks), 5 * 68**0.5, rel_tol=1e-5)


def test_perceptual_loss_sums_layers():
    zeros = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 2, 2)]
    ones = [layer + 1 for layer in zeros]
    assert lafin_losses.perceptual_loss(ones, zeros) == 2
    with pytest.raises(ValueError):
        lafin_losses.perceptual_loss(ones, zeros[:1])


def test_gram_of_constant_channels():
    features = torch.ones(1, 2, 4, 4) * torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    expected = torch.tensor([[[1.0, 3.0], [3.0, 9.0]]]) / 2  # summed over 16 of 32 values
    assert torch.allclose(lafin_losses.gram(features), expected)


def test_style_does_not_care_where():
    features = torch.rand(1, 4, 6, 6)
    elsewhere = features.flip(-1)
    assert lafin_losses.style_loss([features], [elsewhere]) < 1e-6
    assert lafin_losses.perceptual_loss([features], [elsewhere]) > 0.1


def test_total_variation_of_a_slope():
    slope = (0.1 * torch.arange(8.0)).expand(1, 3, 8, 8)
    assert math.isclose(lafin_losses.total_variation_loss(slope), 0.1, rel_tol=1e-5)
    assert math.isclose(lafin_losses.total_variation_loss(slope + slope.mT), 0.2, rel_tol=1e-5)


def test_an_undecided_discriminator_costs_a_quarter():
    half = torch.full((2, 1, 3, 3), 0.5)
    assert lafin_losses.adversarial_loss_discriminator(half, half) == 0.25
    assert lafin_losses.adversarial_loss_generator(half) == 0.25


def test_the_objective_teaches_the_generator():
    generator, judge = small(Generator, 4).train(), small(Discriminator, 4).train()
    target, hidden = torch.rand(1, 3, 32, 32), left_half_hidden(32)
    lit = lafin.landmark_map(torch.full((1, 68, 2), 20.0), 32)
    output = generator(target, hidden, lit)

    def see(images, names):
        return [images * (number + 1) for number, _ in enumerate(names)]

    terms = lafin_losses.generator_terms(output, target, hidden, judge(output, lit), see)
    assert set(terms) == set(lafin_losses.WEIGHTS)
    total_loss(terms, lafin_losses.WEIGHTS).backward()
    learns = {
        name for name, parameter in generator.named_parameters() if parameter.grad is not None
    }
    assert learns == {name for name, _ in generator.named_parameters()}
