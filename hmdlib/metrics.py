"""How good is a de-occluded face? SSIM, PSNR, LPIPS and GMSD, over the frame or under the headset.

The conventions behind every number (decision 21), to be stated beside every table:
- pictures are rounded to uint8 first, as they would be shown;
- PSNR on uint8 RGB, peak 255, computed per picture; a table averages the pictures' decibels;
- SSIM on RGB, 11 x 11 Gaussian of sigma 1.5, data range 1, valid border, each colour apart;
- LPIPS v0.1 with AlexNet, on [-1, 1] (0 = same);
- GMSD (gradient magnitude similarity deviation, Xue et al. 2014; 0 = same), a perceptual metric
that needs no weights; computed by piq;
- sharpness: how much fine detail there is for each unit in the truth (1 = as much; it does not ask
whether the detail is right).

Pictures are (N, 3, H, W) in [0, 1]; `hidden` is (N, 1, H, W), 1 = hidden. With region=hidden SSIM
and LPIPS are the mean of their maps over the hidden pixels, PSNR uses the hidden pixels alone, and
GMSD looks at the composite inside the bounding box of the hidden region. A picture with nothing
hidden scores NaN there. The `ring` is the seam: a band on both sides of the hidden region's edge.
"""

from functools import cached_property

import pandas as pd
import torch
import torch.nn.functional as F

import hmdlib
from hmdlib import InputError
from hmdlib.losses import blur
from hmdlib.perceptual import lpips_network

COLUMNS = ["ssim", "psnr", "lpips", "gmsd", "sharpness"]


def as_shown(images):
    """Clip to [0, 1] and round to the 256 levels of a screen. (N, 3, H, W), float64."""
    return (images.detach().double().clamp(0, 1) * 255).round() / 255


def composite(outputs, targets, hidden):
    """The output under the headset, the camera's pixels elsewhere. (N, 3, H, W)."""
    return outputs * hidden + targets * (1 - hidden)


def ring(hidden, reach=None):
    """The seam of a composite: all within `reach` pixels of the hidden region's edge, both sides.

    hidden: (N, 1, H, W), 1 = hidden. reach: a fortieth of the height by default. (N, 1, H, W).
    """
    reach = reach or max(1, round(hidden.shape[-2] / 40))
    window = {"kernel_size": 2 * reach + 1, "stride": 1, "padding": reach}
    grown, kept = F.max_pool2d(hidden, **window), 1 - F.max_pool2d(1 - hidden, **window)
    return grown - kept


class _Shown:
    """Pictures as a screen shows them, and what is asked of them alone, computed once."""

    def __init__(self, images):
        self.images = as_shown(images)

    @cached_property
    def means(self):
        """The local means: (N, 3, H - 10, W - 10), as all maps of a blur."""
        return blur(self.images, 11)

    @cached_property
    def variances(self):
        """The local variances, of the same shape."""
        return blur(self.images * self.images, 11) - self.means**2

    @cached_property
    def detail(self):
        """The energy of what the blur takes away, the mean of the colours."""
        fine = self.images[..., 5:-5, 5:-5] - self.means
        return (fine**2).mean(dim=1, keepdim=True)

    @cached_property
    def features(self):
        """What AlexNet sees, layer by layer, each place's channels of length one."""
        import lpips

        network = lpips_network().to(self.images.device)
        with torch.no_grad():
            layers = network.net(network.scaling_layer(self.images.float() * 2 - 1))
        return [lpips.normalize_tensor(layer) for layer in layers]


class _Pair:
    """Pictures beside their truth, both _Shown, and their differences' maps, each computed once."""

    def __init__(self, output, target):
        self.output, self.target = output, target

    @cached_property
    def squares(self):
        """Squared error, the mean of the colours: (N, 1, H, W)."""
        return ((self.output.images - self.target.images) ** 2).mean(dim=1, keepdim=True)

    @cached_property
    def similarity(self):
        """SSIM's map, the mean of the colours."""
        a, b = self.output, self.target
        c1, c2 = 0.01**2, 0.03**2
        covariance = blur(a.images * b.images, 11) - a.means * b.means
        luminance = (2 * a.means * b.means + c1) / (a.means**2 + b.means**2 + c1)
        structure = (2 * covariance + c2) / (a.variances + b.variances + c2)
        return (luminance * structure).mean(dim=1, keepdim=True)

    @cached_property
    def perceived(self):
        """LPIPS of each picture, and its map of what a viewer minds, in float64."""
        scores, enlarged, size = 0, 0, self.output.images.shape[-2:]
        weigh = lpips_network().lins
        for ours, theirs, layer in zip(
            self.output.features, self.target.features, weigh, strict=True
        ):
            with torch.no_grad():
                minded = layer((ours - theirs) ** 2)  # (N, 1, h, w)
            scores = scores + minded.double().mean(dim=(1, 2, 3))
            enlarged = enlarged + F.interpolate(minded, size, mode="bilinear").double()
        return scores, enlarged

    def lpips(self, region=None):
        if lpips_network() is None:
            return self.squares.new_full((len(self.squares),), torch.nan)
        scores, enlarged = self.perceived
        return scores if region is None else _mean(enlarged, region)

    def psnr(self, region=None):
        return -10 * torch.log10(_mean(self.squares, region))

    def ssim(self, region=None):
        return _mean(self.similarity, _inner(region))

    def sharpness(self, region=None):
        ours, theirs = (_mean(one.detail, _inner(region)) for one in (self.output, self.target))
        return (ours / theirs).sqrt()


def _pair(outputs, targets):
    return _Pair(_Shown(outputs), _Shown(targets))


def _inner(region):
    """The region on the map that a blur of 11 taps leaves."""
    return None if region is None else region[..., 5:-5, 5:-5]


def psnr(outputs, targets, region=None):
    """Peak signal-to-noise ratio in dB, per picture (N,), float64; infinite for equal pictures.

    10 log10(255^2 / mean squared error of the uint8 RGB values), over the frame or the region.
    """
    return _pair(outputs, targets).psnr(region)


def ssim(outputs, targets, region=None):
    """Structural similarity per picture (N,), 1 = same (Wang et al. 2004).

    Equals skimage's structural_similarity(gaussian_weights=True, sigma=1.5, win_size=11,
    use_sample_covariance=False, data_range=1, channel_axis=...) on uint8-rounded pictures.
    """
    return _pair(outputs, targets).ssim(region)


def lpips(outputs, targets, region=None):
    """Learned perceptual distance per picture (N,), 0 = same (Zhang et al. 2018, AlexNet v0.1).

    Over a region: the mean over hidden pixels of the spatial map. NaN where the backbone's file is
    not at hand; `perceptual.lpips_note` says which file and where to put it.
    """
    return _pair(outputs, targets).lpips(region)


def gmsd(outputs, targets, region=None):
    """Gradient magnitude similarity deviation per picture (N,), 0 = same, by piq.

    Over a region: of the composite, inside the region's bounding box.
    """
    hmdlib.define_missing_torchvision_operators()
    import piq

    a, b = as_shown(outputs).float(), as_shown(targets).float()
    if region is None:
        return piq.gmsd(a, b, data_range=1.0, reduction="none").double()
    a = composite(a, b, region)
    scores = torch.full((len(a),), torch.nan, dtype=torch.float64, device=a.device)
    for number, mask in enumerate(region[:, 0]):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        if len(rows) and min(rows.max() - rows.min(), columns.max() - columns.min()) >= 7:
            box = (slice(number, number + 1), slice(None), slice(rows.min(), rows.max() + 1),
                   slice(columns.min(), columns.max() + 1))  # fmt: skip
            scores[number] = piq.gmsd(a[box], b[box], data_range=1.0)
    return scores


def sharpness(outputs, targets, region=None):
    """Fine detail in the output for each unit in the truth, per picture (N,): 1 = as much.

    Detail is what a Gaussian of sigma 1.5 takes away; its root mean square over the region, in the
    output over in the truth. Below 1 is blur, above 1 noise or edges that are not there.
    """
    return _pair(outputs, targets).sharpness(region)


def spectrum(images, bins=24):
    """How much there is of each fineness: power by spatial frequency, per picture (N, bins).

    images: (N, 3, H, H), square. The mean squared Fourier amplitude of all colours over rings of
    equal frequency, from 0 to 0.5 cycles a pixel; a Hann window takes the borders' jump away. A
    natural picture falls by a power law; a blurred one falls faster.
    """
    side = images.shape[-1]
    window = torch.hann_window(side, dtype=torch.float64)
    shown = as_shown(images).cpu()
    shown = (shown - shown.mean(dim=(2, 3), keepdim=True)) * window * window[:, None]
    power = torch.fft.fft2(shown).abs().square().mean(dim=1).flatten(1)  # (N, H * H)
    at = torch.fft.fftfreq(side, dtype=torch.float64)
    ring_of = ((at**2 + at[:, None] ** 2).sqrt().flatten() * 2 * bins).long()  # corners beyond 0.5
    inside = ring_of < bins
    total = torch.zeros(len(images), bins, dtype=torch.float64)
    total.index_add_(1, ring_of[inside], power[:, inside])
    return total / torch.bincount(ring_of[inside], minlength=bins).clamp(min=1)


def _mean(scores, region):
    """Mean of a map (N, 1, H, W) over each picture, or over its region's pixels. (N,)."""
    if region is None:
        return scores.mean(dim=(1, 2, 3))
    weight = (region > 0.5).to(scores.dtype)
    return (scores * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


# ---- tables -----------------------------------------------------------------------------------


def evaluate(outputs, targets, hidden, batch_size=32):
    """Every score of every picture: raw output and composite, over frame, hidden region and ring.

    outputs: (N, 3, H, W), or those of several methods by name. Returns a DataFrame with the columns
    image, output (raw, composite), region (frame, hidden, ring) and COLUMNS: six rows a picture.
    Of several methods, in their order, with the column method first. (PSNR, frame, composite) =
    (PSNR, hidden) - 10 log10(hidden area). Raises InputError when the shapes differ or targets
    leave [0, 1].
    """
    methods = outputs if isinstance(outputs, dict) else {"": outputs}
    for images in methods.values():
        _check(images, targets, hidden)
    if "mps" in {images.device.type for images in (targets, *methods.values())}:
        # Apple's GPUs have no float64
        targets, hidden = targets.cpu(), hidden.cpu()
        methods = {name: images.cpu() for name, images in methods.items()}
    tables = {name: [] for name in methods}
    for start in range(0, len(targets), batch_size):
        part = slice(start, start + batch_size)
        truth, mask = targets[part], (hidden[part] > 0.5).to(targets.dtype)
        beside = _Shown(truth)  # what is asked of the truth alone is asked once for all methods
        for name, images in methods.items():
            rows = _scores(images[part].detach(), truth, mask, beside)
            tables[name].append(rows.assign(image=rows["image"] + start))
    tables = {
        name: pd.concat(parts).sort_values("image", kind="stable", ignore_index=True)
        for name, parts in tables.items()
    }
    if not isinstance(outputs, dict):
        return tables[""]
    named = [rows.assign(method=[name] * len(rows)) for name, rows in tables.items()]
    every = pd.concat(named, ignore_index=True)
    return every[["method", *every.columns.drop("method")]]


def _scores(images, truth, mask, beside):
    """The rows of one batch of one method; `beside` is its truth as _Shown."""
    regions = {"frame": None, "hidden": mask, "ring": ring(mask)}
    in_box = gmsd(images, truth, mask)  # of the composite, whichever output is asked
    frames = []
    for output, picture in {"raw": images, "composite": composite(images, truth, mask)}.items():
        pair = _Pair(_Shown(picture), beside)
        for region, where in regions.items():
            scores = {
                "ssim": pair.ssim(where),
                "psnr": pair.psnr(where),
                "lpips": pair.lpips(where),
                "gmsd": in_box if region == "hidden" else gmsd(picture, truth, where),
                "sharpness": pair.sharpness(where),
            }
            scores = {name: score.cpu().numpy() for name, score in scores.items()}
            row = {"image": range(len(images)), "output": output, "region": region}
            frames.append(pd.DataFrame({**row, **scores}))
    return pd.concat(frames)


def _check(outputs, targets, hidden):
    if not len(outputs):
        raise InputError("outputs: no pictures to score; the test session gave none")
    if outputs.shape != targets.shape or outputs.shape[1] != 3:
        shapes = f"{tuple(outputs.shape)}, {tuple(targets.shape)}"
        raise InputError(f"outputs and targets: shapes {shapes}; both must be (N, 3, H, W)")
    if hidden.shape != (len(outputs), 1, *outputs.shape[2:]):
        raise InputError(f"hidden: shape {tuple(hidden.shape)}; it must be (N, 1, H, W)")
    if targets.min() < -1e-4 or targets.max() > 1 + 1e-4 or not outputs.isfinite().all():
        raise InputError(
            "targets: values outside [0, 1], or outputs not finite; convert them first"
        )
