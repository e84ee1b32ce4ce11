"""The networks: their sizes, their switches, and the numbers of [3]."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hmdlib import ROOT, InputError, losses, model_files, networks, video
from hmdlib.discriminators import Discriminator, LatentDiscriminator
from hmdlib.networks import Deoccluder, parameters_of
from hmdlib.published import load_3fabrec, our_name

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 5e-5  # shared/parity/README.md: 3FabRec outputs


def small(**switches):
    torch.manual_seed(0)
    return Deoccluder(image_size=64, width=8, latent=9, **switches).eval()


def filled_layout(shared, network, seed):
    """The fixtures' stand-in weights of a published network, described as in keys.json."""
    spec = importlib.util.spec_from_file_location("fill", shared / "parity" / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    same = network.get("aliases", {})
    shapes = {key: tuple(shape) for key, shape, _ in network["keys"] if key not in same}
    state = fill.fill_state_dict(shapes, seed, network["fill"]["gains"])
    state |= {alias: state[original] for alias, original in same.items()}
    return {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}


def published_state(shared, name):
    """A published state dict with the fixture's stand-in weights, and the fixture's numbers."""
    folder = shared / "parity" / "3fabrec"
    network = json.loads((folder / "keys.json").read_text())["networks"][name]
    npz = np.load(folder / "io.npz")
    return filled_layout(shared, network, str(npz["meta.seed"])), npz


def close(ours, npz, name, tolerance=TOLERANCE):
    expected = npz[name]
    np.testing.assert_allclose(ours.detach().numpy(), expected, atol=tolerance, rtol=0)


# ---- sizes ------------------------------------------------------------------------------------


def test_what_a_picture_costs_at_256_is_what_the_decisions_say():
    """2.6 + 3.6 GFLOP for encoder and decoder, 21.7 for the attention: 78 % of the generator."""
    model = Deoccluder().train()
    whole = networks.gflop(model)
    assert model.training
    model.bypass_attention = True
    assert networks.gflop(model) == pytest.approx(2.6 + 3.6, abs=0.1)
    assert whole - networks.gflop(model) == pytest.approx(21.7, abs=0.1)


def test_parameter_counts_at_256_are_those_of_the_paper():
    model = Deoccluder()
    parts = [parameters_of(part) for part in (model.encoder, model.decoder, model.attention)]
    assert parts == [11_379_491, 10_868_096, 2_655_360]
    assert parameters_of(Discriminator()) == 1_743_744
    assert parameters_of(LatentDiscriminator()) == 1_102_001


def test_parameter_counts_at_128_are_the_published_ones():
    model = Deoccluder(image_size=128)
    assert parameters_of(model.encoder) == 11_227_299
    assert parameters_of(model.decoder) == 10_699_776


def test_the_laptop_model_has_six_million_parameters():
    assert parameters_of(Deoccluder(128, 32)) == 6_177_987


@pytest.mark.parametrize("size, fused", [(64, 32), (128, 32), (256, 64)])
def test_shapes_at_every_size(size, fused):
    model = Deoccluder(size, width=8)
    reconstruction, attention_enc, attention_dec = model(
        torch.rand(2, 3, size, size), return_maps=True
    )
    assert reconstruction.shape == (2, 3, size, size)
    assert attention_enc.shape == attention_dec.shape == (2, 8, fused, fused)
    assert Discriminator(8, size)(reconstruction).shape == (2,)


def test_the_output_is_rgb_around_its_mean_colour():
    model = small()
    torch.nn.init.zeros_(model.decoder.head.weight)
    colour = model(torch.rand(1, 3, 64, 64))[0, :, 5, 5]
    torch.testing.assert_close(colour, torch.tensor(networks.MEAN_COLOUR))


# ---- attention --------------------------------------------------------------------------------


def test_the_bypassed_model_is_the_baseline():
    model, baseline = small(), small(attention=False)
    baseline.load_state_dict(model.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 64)
    assert not torch.equal(model(images), baseline(images))
    model.bypass_attention = True
    assert torch.equal(model(images), baseline(images))
    assert model(images, return_maps=True)[1:] == (None, None)


def test_m_is_the_width_inside_the_attention_alone():
    """4m, 4m, 8m channels between what it looks at and the two maps (decision 3)."""
    width, m = 8, 4
    fusion = networks.AttentionFusion(width, m=m)
    taps = 9 * (2 * width * 4 * m + 4 * m * 4 * m + 4 * m * 8 * m + 8 * m * 2 * width)
    assert parameters_of(fusion) == taps + 4 * m + 4 * m + 8 * m + 2 * width
    assert small().architecture["m"] is None
    assert parameters_of(small(m=4)) < parameters_of(small()) == parameters_of(small(m=8))
    fused, *maps = fusion(*torch.rand(2, 1, width, 5, 5))
    assert {tuple(each.shape) for each in (fused, *maps)} == {(1, width, 5, 5)}


def test_no_gradient_reaches_a_bypassed_attention():
    model = small()
    model.bypass_attention = True
    model(torch.rand(1, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is None for parameter in model.attention.parameters())


def test_eq_1_by_hand():
    model = small()
    seen, imagined = torch.rand(2, 2, 8, 6, 6)
    maps = torch.sigmoid(model.attention.maps(torch.cat([seen, imagined], dim=1)))
    by_hand = seen * maps[:, :8] + imagined * maps[:, 8:]
    fused, *both = model.attention(seen, imagined)
    torch.testing.assert_close(fused, by_hand)
    torch.testing.assert_close(torch.cat(both, dim=1), maps)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
def test_activations_of_the_maps(activation):
    model = small(activation=activation)
    with torch.no_grad():
        model.attention.maps[-1].weight.mul_(100)
    _, enc, dec = model.attention(*torch.rand(2, 2, 8, 6, 6))
    inside = min(enc.min(), dec.min()) >= 0 and max(enc.max(), dec.max()) <= 1
    assert inside == (activation != "none")
    assert torch.allclose(enc + dec, torch.ones_like(enc)) == (activation == "softmax")


@pytest.mark.parametrize("activation, trust", [("sigmoid", 0.98), ("softmax", 0.999), ("none", 1)])
def test_the_decoder_start_begins_where_step_1_ended(activation, trust):
    model = small(activation=activation, attention_start="decoder")
    _, enc, dec = model.attention(*torch.rand(2, 2, 8, 6, 6))
    assert dec.min() >= trust and enc.max() <= 1 - trust + 1e-3


def test_the_usual_start_trusts_both_alike():
    _, enc, dec = small().attention(*torch.rand(2, 2, 8, 6, 6))
    assert 0.4 < enc.mean() < 0.6 and 0.4 < dec.mean() < 0.6


def test_the_mask_as_an_input_matters_and_is_asked_for():
    model, images, hidden = (
        small(mask_input=True),
        torch.rand(1, 3, 64, 64),
        torch.zeros(1, 1, 64, 64),
    )
    assert not torch.equal(model(images, hidden), model(images, hidden + 1))
    with pytest.raises(InputError, match="hidden"):
        model(images)
    assert torch.equal(small()(images, hidden), small()(images, hidden + 1))


@pytest.mark.parametrize(
    "switch", [{"image_size": 100}, {"activation": "tanh"}, {"attention_start": "encoder"}]
)
def test_an_unknown_switch_is_refused(switch):
    with pytest.raises(InputError, match=str(list(switch.values())[0])):
        Deoccluder(**switch)


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(InputError, match="64, 64"):
        small()(torch.rand(1, 3, 128, 128))


# ---- parity with [3] --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [128, 256])
def test_encoder_decoder_and_discriminators_are_the_published_ones(shared, size):
    state, npz = published_state(shared, f"AAE_{size}")
    model, judge, latent_judge = load_3fabrec(state)
    images = torch.from_numpy(npz[f"in{size}.image_u8.full"]).float() / 255
    step, name = size // 32, f"AAE{size}"
    with torch.no_grad():
        code, seen = model.encode(images)
        close(code, npz, f"{name}.z.full")
        stage, half = ("layer1" if size == 128 else "layer0"), step // 2
        close(seen[:, ::8, ::half, ::half], npz, f"{name}.Q.{stage}.c8s{half}")
        reconstruction = model(images)
        painted = networks.mean_free(reconstruction)
        close(painted[..., ::step, ::step], npz, f"{name}.recon.c1s{step}")
        close(painted[..., -16:, -16:], npz, f"{name}.recon.br16")
        given = torch.from_numpy(npz[f"in{size}.z.full"])
        imagined = model.decoder.imagine(code)
        layer = model.decoder.fused_after
        every = imagined.shape[-1] // 16
        close(imagined[:, ::8, ::every, ::every], npz, f"{name}.P.layer{layer}.c8s{every}")
        drawn = model.decoder(given)
        close(drawn[..., :16, :16], npz, f"{name}.P_of_z.tl16")
        close(judge(images).sigmoid(), npz, f"{name}.D_real.full")
        close(judge(reconstruction).sigmoid(), npz, f"{name}.D_recon.full")
        close(judge(networks.with_mean(drawn)).sigmoid(), npz, f"{name}.D_P_of_z.full")
        close(latent_judge(code).sigmoid()[:, None], npz, f"{name}.Dz_enc.full")
        close(latent_judge(given).sigmoid()[:, None], npz, f"{name}.Dz_z.full")


def test_adversarial_losses_are_the_published_ones(shared):
    state, npz = published_state(shared, "AAE_256")
    model, judge, latent_judge = load_3fabrec(state)
    z = torch.from_numpy(npz["in256.z.full"])
    real = judge(torch.from_numpy(npz["loss.x_u8.full"]).float() / 255)
    fake = judge(networks.with_mean(model.decoder(z)))
    noise, codes = latent_judge(torch.from_numpy(npz["gan.z_real.full"])), latent_judge(z)
    close(losses.adversarial_loss_discriminator(real, fake), npz, "gan.loss_D.full")
    close(losses.adversarial_loss_generator(fake), npz, "gan.loss_G.full")
    close(losses.adversarial_loss_discriminator(noise, codes), npz, "gan.loss_D_z.full")
    close(losses.adversarial_loss_generator(codes), npz, "gan.loss_E.full")


def test_a_published_file_loads_without_its_landmark_head(shared, tmp_path):
    state, _ = published_state(shared, "Fabrec_256_98")
    path = tmp_path / "saae.mdl"
    torch.save({"arch": "Fabrec", "z_dim": 99, "input_size": 256, "state_dict": state}, path)
    model, _, _ = load_3fabrec(path)
    assert torch.equal(model.decoder.head.weight, state["P.lin.weight"])
    assert model.architecture["image_size"] == 256 and model.bypass_attention


def test_a_foreign_state_dict_is_refused():
    assert our_name("LMH.t1.weight") is None
    with pytest.raises(InputError, match="3FabRec"):
        load_3fabrec({"features.0.weight": torch.zeros(1)})


def test_published_weights_with_a_wrong_or_missing_tensor_say_which(shared, tmp_path):
    state, _ = published_state(shared, "Fabrec_256_98")
    for name in ("Q.fc.bias", "P.lin.weight"):
        lacking = {key: value for key, value in state.items() if key != name}
        with pytest.raises(InputError, match=f"missing: {our_name(name).partition('.')[2]}"):
            load_3fabrec(lacking)
    other = {**state, "P.lin.weight": torch.zeros(1, 3, 4, 4)}
    with pytest.raises(InputError, match="decoder; of another shape: head.weight; give its saae"):
        load_3fabrec(other)
    (tmp_path / "saae.mdl").write_bytes(b"half a file")
    with pytest.raises(InputError, match="saae.mdl: not a readable weights file"):
        load_3fabrec(tmp_path / "saae.mdl")


# ---- parity with ourselves: a small fixture for those without the published numbers -----------


def test_a_small_model_draws_what_it_always_drew():
    """The numbers were written when the tests above agreed with [3]'s code."""
    kept = json.loads((FIXTURES / "networks.json").read_text())
    model, judge, image = filled_model(), filled(Discriminator(4, 64)), wave()
    with torch.no_grad():
        drawn, enc, _ = model(image, return_maps=True)
        code, logit = model.encode(image)[0], judge(image)
    said = {"code": code[0], "drawn": drawn[0, :, ::16, ::16].flatten(), "logit": logit,
            "attention_enc": enc[0, :, ::16, ::16].flatten()}  # fmt: skip
    for name, values in said.items():
        np.testing.assert_allclose(values.numpy(), kept[name], atol=TOLERANCE, err_msg=name)


def filled_model():
    return filled(Deoccluder(64, width=4, latent=9))


def filled(module):
    """Weights from closed form, so that no random generator's version matters."""
    for number, tensor in enumerate(module.state_dict().values()):
        if tensor.is_floating_point():
            at = torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)
            values = torch.sin(at * 0.7391 + number)
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            plain = tensor.ndim == 1  # norms and biases
            tensor.copy_(1 + 0.1 * values if plain else values * 1.8 / fan_in**0.5)
    return module.eval()


def wave():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(x / (4 + c) + y / 9) for c in range(3)])[None]


@pytest.mark.parametrize("light", [(1, 1, 1), (0.5, 0.5, 0.5), (1, 0.5, 0.3), (0.6, 0.3, 0.2)])
def test_shipped_weights_keep_their_range_in_dark_and_red_rooms(light):
    """Weights trained without fixed norms reached 300 to 1,100 in the three darker lights."""
    model = model_files.load(ROOT / "results/reference/generic/model.safetensors")
    videos = sorted((ROOT / "data/videos/synthetic_7").glob("*.mp4"))
    frames = [next(iter(video.read(path)))[0][:, 280:1000] for path in videos]  # a square each
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255
    pictures = torch.nn.functional.interpolate(pictures, size=(128, 128), mode="area")
    with torch.no_grad():
        code, _ = model.encode(pictures * torch.tensor(light)[:, None, None])
        features = model.decoder.imagine(code)
    assert len(videos) == 7 and 2 < features.max() < 15
