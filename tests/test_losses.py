"""The terms of Eq. 6: closed-form values, the published numbers, and the published quirks."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from hmdlib import losses


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    target = 0.1 + 0.8 * torch.rand(2, 3, 48, 40, generator=generator)
    return target + 0.1 * torch.randn(target.shape, generator=generator), target


@pytest.fixture(scope="module")
def published(shared):
    """Two pairs of pictures in [0, 1] and what 3FabRec's own code made of them."""
    npz = np.load(shared / "parity" / "3fabrec" / "io.npz")
    target, output = (torch.from_numpy(npz[f"loss.{n}_u8.full"]).float() / 255 for n in "xy")
    return output, target, npz


def test_reconstruction_loss_counts_grey_levels():
    grey = torch.full((2, 3, 8, 8), 0.5)
    assert math.isclose(losses.reconstruction_loss(grey + 3 / 255, grey).item(), 3, rel_tol=1e-5)


def test_mask_loss_counts_hidden_pixels_only_and_averages_over_all():
    target, hidden = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    hidden[..., :2, :] = 1
    output = target + 4 / 255
    assert math.isclose(losses.mask_loss(output, target, hidden).item(), 4 / 4, rel_tol=1e-5)
    assert math.isclose(
        losses.mask_loss(output, target, hidden, by_area=True).item(), 4, rel_tol=1e-5
    )
    output[..., 2:, :] = 1
    assert math.isclose(losses.mask_loss(output, target, hidden).item(), 4 / 4, rel_tol=1e-5)


def test_mask_loss_by_area_survives_a_picture_with_nothing_hidden():
    output = torch.rand(1, 3, 8, 8, requires_grad=True)
    loss = losses.mask_loss(output, torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), by_area=True)
    loss.backward()
    assert loss.item() == 0 and output.grad.abs().max() == 0


def test_adversarial_losses_of_an_undecided_discriminator_are_log_2():
    undecided = torch.zeros(4)
    assert math.isclose(
        losses.adversarial_loss_generator(undecided).item(), math.log(2), rel_tol=1e-6
    )
    both = losses.adversarial_loss_discriminator(undecided, undecided).item()
    assert math.isclose(both, 2 * math.log(2), rel_tol=1e-6)


def test_adversarial_losses_neither_overflow_nor_vanish_for_a_sure_discriminator():
    sure = torch.tensor([-200.0], requires_grad=True)
    loss = losses.adversarial_loss_generator(sure)
    loss.backward()
    assert loss.item() == 200 and sure.grad.item() == -1


def test_structure_loss_of_equal_pictures_is_0_and_ignores_brightness(pair):
    _, target = pair
    assert abs(losses.structure_loss(target, target).item()) < 1e-6
    assert abs(losses.structure_loss(target + 0.05, target).item()) < 1e-4


def test_structure_loss_of_a_flat_output_is_near_1(pair):
    """No contrast, no structure: cs = C2 / (s^2 + C2), and the noise has s^2 = 0.8^2 / 12."""
    _, target = pair
    expected = 1 - 0.0009 / (0.64 / 12 + 0.0009)
    assert abs(losses.structure_loss(torch.full_like(target, 0.5), target).item() - expected) < 0.02


def test_contrast_structure_times_luminance_is_scikit_images_ssim(pair):
    a, b = (images.double() for images in pair)
    mean_a, mean_b = losses.blur(a, 11), losses.blur(b, 11)
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    ours = (luminance * losses.contrast_structure(a, b, 11)).mean(dim=(1, 2, 3))
    for number in range(2):
        theirs = structural_similarity(
            a[number].numpy(), b[number].numpy(), gaussian_weights=True, sigma=1.5, win_size=11,
            use_sample_covariance=False, channel_axis=0, data_range=1.0,
        )  # fmt: skip
        assert abs(ours[number].item() - theirs) < 1e-5


def test_11_taps_hold_nearly_all_of_31(pair):
    a, b = pair
    inner = losses.contrast_structure(a, b, 11)[..., 10:-10, 10:-10]
    assert (inner - losses.contrast_structure(a, b, 31)).abs().max() < 2e-3


def test_structure_loss_has_a_true_gradient():
    a, b = torch.rand(2, 1, 3, 13, 13, dtype=torch.double)
    # the loss itself is float32: compare its gradient with a difference quotient by hand
    a, b = a.float().requires_grad_(), b.float()
    (slope,) = torch.autograd.grad(losses.structure_loss(a, b, 11), a)
    step = 1e-2 * slope / slope.norm()
    rise = losses.structure_loss(a + step, b, 11) - losses.structure_loss(a - step, b, 11)
    assert math.isclose(rise.item(), 2 * (step * slope).sum().item(), rel_tol=0.02)


def test_scoring_first_does_not_spoil_training():
    losses.gaussian_band.cache_clear()
    with torch.inference_mode():
        losses.blur(torch.rand(1, 3, 20, 20))
    images = torch.rand(1, 3, 20, 20, requires_grad=True)
    losses.blur(images).sum().backward()
    assert images.grad.isfinite().all()


def test_the_window_is_the_published_one(published):
    *_, npz = published
    window = losses.gaussian_band(31, 31, 1.5, torch.device("cpu"), torch.float32)[0]
    np.testing.assert_allclose(window.numpy(), npz["loss.window31_1d.full"], atol=1e-7)


def test_reconstruction_loss_is_the_published_one(published):
    output, target, npz = published
    assert (
        abs(losses.reconstruction_loss(output, target) - npz["loss.recon_mean.full"].item()) < 5e-5
    )


def test_structure_loss_with_its_quirk_is_the_published_one(published):
    """Pair 0 has a red pixel below 0.018, so [3]'s code takes L = 2 for it; pair 1 has none."""
    output, target, npz = published
    loss = losses.structure_loss(output, target, published_range=True)
    assert abs(loss.item() - npz["loss.struct_mean.full"]) < 2e-5
    for number, expected in enumerate(npz["loss.struct_none.full"]):
        one = slice(number, number + 1)
        loss = losses.structure_loss(output[one], target[one], published_range=True)
        assert abs(loss.item() - expected) < 2e-5
    assert losses.published_level_range(target).flatten().tolist() == [2, 1]


def test_structure_map_is_the_published_one(published):
    output, target, npz = published
    level_range = losses.published_level_range(target)
    map_ = 1 - losses.contrast_structure(output, target, 31, level_range)
    for ours, name in ((map_[..., :16, :16], "tl16"), (map_[..., ::8, ::8], "c1s8")):
        np.testing.assert_allclose(ours.numpy(), npz[f"loss.struct_map.{name}"], atol=5e-4)


def test_without_the_quirk_the_range_is_1_whatever_the_picture(published):
    output, target, npz = published
    each = [losses.structure_loss(output[[n]], target[[n]]).item() for n in range(2)]
    assert abs(each[1] - npz["loss.struct_none.full"][1]) < 2e-5
    assert each[0] > npz["loss.struct_none.full"][0] + 1e-3


def test_total_weighs_the_terms_and_halves_two_of_them_on_demand():
    terms = {"rec": torch.tensor(10.0), "ssim": torch.tensor(0.5), "adv": torch.tensor(2.0)}
    weights = {"rec": 1, "ssim": 60, "adv": 0.25, "mask": 1}
    assert losses.total_loss(terms, weights).item() == 10 + 30 + 0.5
    assert losses.total_loss(terms, weights, halved=True).item() == 5 + 15 + 0.5
    del terms["ssim"]
    assert losses.total_loss(terms, weights, halved=True).item() == 10 + 0.5
