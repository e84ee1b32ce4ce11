"""A trained model at work: on pictures, on a session's crops, on a whole video file."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage import filters, measure
from torch.nn.functional import conv2d, pad

import hmdlib
from hmdlib import discriminators, faces, masks, model_files, video
from hmdlib.progress import watched


@torch.no_grad()
def deocclude(model, occluded, hidden=None, batch_size=32):
    """What the model draws without the headset: (N, 3, S, S) in [0, 1], clipped.

    model: a networks.Deoccluder on any device; it is used in eval mode and left as it was.
    occluded: (N, 3, S, S) in [0, 1] on any device, where the result is too. hidden: (N, 1, S, S),
    for a model that takes the mask as input.
    """
    where, was_training = next(model.parameters()).device, model.training
    if was_training:  # to ask every part of a small network costs as much as a layer
        model.eval()
    outputs = []
    for start in range(0, len(occluded), batch_size):
        part = slice(start, start + batch_size)
        mask = None if hidden is None else hidden[part].to(where)
        outputs.append(model(occluded[part].to(where), mask).clamp(0, 1).to(occluded.device))
    if was_training:
        model.train()
    return torch.cat(outputs) if outputs else torch.zeros_like(occluded)


def find_headset(finder, occluded):
    """Where the headset is: where a model that was never told draws something else than is seen.

    finder: the paper's model of the same person, which takes no mask. occluded: (N, 3, S, S) in
    [0, 1]. Returns hidden (N, 1, S, S), 0 or 1: the largest patch that differs, its holes closed, a
    pixel wider; nothing where that is less than a fiftieth of the picture.
    """
    difference = (deocclude(finder, occluded) - occluded).abs().amax(dim=1).cpu().numpy()
    found = np.zeros(difference.shape, bool)
    for mask, one in zip(found, difference, strict=True):
        smooth = ndimage.gaussian_filter(one, 0.7)
        patches = measure.label(filters.apply_hysteresis_threshold(smooth, 0.07, 0.16))
        if patches.any():
            largest = patches == 1 + np.bincount(patches.ravel())[1:].argmax()
            wide = np.pad(largest, 6, mode="edge")  # a headset may go on beyond the picture
            closed = ndimage.binary_fill_holes(ndimage.binary_closing(wide, iterations=3))
            mask[:] = ndimage.binary_dilation(closed)[6:-6, 6:-6]
            mask[:] &= mask.mean() > 0.02
    return torch.from_numpy(found)[:, None].to(occluded)


def composite(output, occluded, hidden, feather=0.0):
    """The model's picture under the headset, the camera's everywhere else (decision 20).

    output, occluded: (N, 3, H, W) in [0, 1]. hidden: (N, 1, H, W), 1 = hidden. feather: softens the
    join: the colour error that the output makes on the visible pixels within about `feather` pixels
    of the headset is taken off beside them, and fades out inwards. Visible pixels are those of
    `occluded`, bit by bit, and no colour of the headset comes through.
    """
    if feather > 0:
        visible = 1 - hidden
        near = _blur(visible, feather / 2)  # 1/2 at a straight join, falling to 0 inside
        error = _blur(visible * (occluded - output), feather / 2)
        output = (output + error / near.clamp(min=0.5)).clamp(0, 1)
    return torch.where(hidden > 0, output, occluded)


def _blur(images, sigma):
    """Gaussian blur of (N, C, H, W), the border repeated."""
    reach = int(3 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    for kernel, sides in ((weights, (reach, reach, 0, 0)), (weights.mT, (0, 0, reach, reach))):
        images = conv2d(pad(images, sides, mode="replicate"), kernel, groups=images.shape[1])
    return images


def _chunks(things, count):
    """Lists of up to `count` things, in order."""
    things = iter(things)
    while part := list(islice(things, count)):
        yield part


# ---------------------------------------------------------------- a whole video


@dataclass(frozen=True)
class Report:
    """What became of a video: frames written, of them de-occluded, and where."""

    path: Path
    frames: int
    deoccluded: int

    def __str__(self):
        rest = self.frames - self.deoccluded
        kept = f"; {rest} without a face or headset left as they were" if rest else ""
        return f"{self.path}: {self.deoccluded} of {self.frames} frames de-occluded{kept}"


def deocclude_video(model, source, out, headset=None, box=None, detector="auto", feather=None,
                    side_by_side=False, device="auto", batch_size=8, finder=None):  # fmt: skip
    """From a video file to a video file: find the crop, de-occlude, paste back, keep the sound.

    model: a networks.Deoccluder or its weights file. source: any video. headset: None when the
    person in it wears one already; a masks.Headset to put one on first, for a try without one.
    box: (x, y, side) of the head-and-shoulders square in source pixels; None finds it, which needs
    a face that `detector` can see. feather: see composite; None takes a fortieth of the crop's
    side. side_by_side: write input and result beside each other. finder: the paper's model of the
    same person or its weights, which finds a real headset (find_headset) for a model that must be
    told where it is.

    With a headset of ours, or a finder, the hidden pixels are known, and only they change. With a
    real one alone the whole square is the model's, joined softly at its edge, in every frame, for
    nobody can tell there whether a face is. Otherwise frames without a face stay as they are.
    Streams, batch_size frames at a time. Returns a Report, which counts the frames in which
    something was replaced. Raises InputError when no face is found, or no headset by the finder;
    when the model must be told where a real headset is and there is no finder; when the finder is
    none, or the weights are a discriminator's; when the box lies beside the picture; and when `out`
    cannot be written or is the source itself.
    """
    device = hmdlib.device(device)
    model, finder = _loaded(model, device), finder and _loaded(finder, device)
    if headset is None and model.wants_mask and finder is None:
        raise hmdlib.InputError(
            "this model must be told where the headset is: give the paper's model of the same "
            "person as a finder (--finder MODEL)"
        )
    if finder is not None:
        if finder.wants_mask:
            raise hmdlib.InputError("finder: must be told where the headset is; give another")
        if finder.architecture["image_size"] != model.architecture["image_size"]:
            raise hmdlib.InputError("finder: of another image size than the model")
    info = video.probe(source)
    _refuse(box, info, out)
    landmarks, boxes = _track(source, info, headset, box, detector)
    times, done = [], []

    def results():
        frames = watched(video.read(source), Path(source).name, len(boxes))
        for part in _chunks(frames, batch_size):
            now = slice(len(times), len(times) + len(part))
            before = np.stack([image for image, _ in part])
            times.extend(time for _, time in part)
            before, after, changed = _results(
                model, before, landmarks[now], boxes[now], headset, feather, finder
            )
            done.extend(changed)
            yield from np.concatenate([before, after], axis=2) if side_by_side else after
        if not any(done):  # said in here, so that no file is left behind
            raise hmdlib.InputError(
                f"{source}: no headset found in any of {len(done)} frames; check the box (--box X "
                "Y SIDE), head and shoulders in pixels, and that a finder is a model of this person"
            )

    video.write(out, results(), info.fps, sound_from=source, times=times)
    return Report(Path(out), len(done), int(sum(done)))


def _loaded(model, device):
    """A model, or one from its weights file, on the device."""
    if not isinstance(model, torch.nn.Module):
        file, model = model, model_files.load(model)
        if isinstance(model, discriminators.Discriminator):
            raise hmdlib.InputError(f"{file}: is a discriminator; give model.safetensors beside it")
    return model.to(device)


def _refuse(box, info, out):
    """What cannot end well, said before the long work."""
    video.refuse_unwritable(out)
    if Path(out).resolve() == Path(info.path).resolve():
        raise hmdlib.InputError(f"{out}: is the source itself; write to another file")
    if box is not None:
        x, y, side = box
        if side < 1 or x + side <= 0 or y + side <= 0 or x >= info.width or y >= info.height:
            raise hmdlib.InputError(
                f"box={tuple(box)}: x, y and side of a square in the picture of "
                f"{info.width} x {info.height} pixels; this one shows none of it"
            )


def _track(source, info, headset, box, detector, together=8):
    """First look at the video. Returns landmarks (N, 68, 2), smoothed, and boxes (N, 3)."""
    finder = None if headset is None and box is not None else faces.detector(detector, source)
    found, times = [], []
    for part in _chunks(watched(video.read(source), "faces", info.frames_estimate), together):
        times += [time for _, time in part]
        if finder is not None:
            found += finder(np.stack([image for image, _ in part]), len(found))
    try:
        landmarks = None if finder is None else faces.follow(found, source)
    except hmdlib.InputError as error:
        if headset is not None or box is not None:
            raise
        raise hmdlib.InputError(
            f"{error}; under a headset few detectors see a face: give the box (--box X Y SIDE), "
            "the head-and-shoulders square in pixels"
        ) from None
    if box is None:
        boxes = faces.crop_box(landmarks, info.width, info.height)
    else:
        boxes = np.tile(np.float32(box), (len(times), 1))
    if headset is None:  # nothing to place: the model gets every frame's box
        return np.zeros((len(times), 68, 2)), boxes
    return masks.smooth(landmarks, times), boxes


def _results(model, before, landmarks, boxes, headset, feather, finder):
    """Some frames (n, H, W, 3): with the headset on, with it off, and which were changed (n,)."""
    seen = np.isfinite(landmarks).all(axis=(1, 2))
    before, after, hidden = before.copy(), before.copy(), {}
    at, size = np.flatnonzero(seen), model.architecture["image_size"]
    if headset is not None:
        for n in at:
            points, around, under = landmarks[n : n + 1], before[n].shape[:2], _float(before[n])
            occluded, hidden[n] = masks.render(points, around, headset, under)
            before[n] = _uint8(occluded)
    none = torch.zeros(0, 3, size, size)
    crops = torch.cat([none, *(_float(faces.cut(before[n], boxes[n], size)) for n in at)])
    told = None  # without headset and finder the whole box is the model's
    if headset is not None:
        told = torch.cat([none[:, :1], *(_cut(hidden[n], boxes[n], size) for n in at)])
    elif finder is not None:
        told = find_headset(finder, crops)
    if told is not None:
        seen[at] = told.flatten(1).any(dim=1).cpu().numpy()
    outputs = deocclude(model, crops, told)
    for k, n in enumerate(at):
        output, mask = _uint8(outputs[k : k + 1]), None if told is None else told[k : k + 1]
        after[n] = _put_back(before[n], output, mask, hidden.get(n), boxes[n], feather)
    return before, after, seen


def _cut(hidden, box, size):
    """A frame's mask (1, 1, H, W) as the crop has it: (1, 1, S, S), every pixel that it touches."""
    shown = np.repeat(np.uint8(255 * hidden[0, 0, :, :, None]), 3, axis=2)
    return (_float(faces.cut(shown, box, size))[:, :1] > 0).float()


def _put_back(frame, output, mask, hidden, box, feather):
    """One frame (H, W, 3) with the model's crop (S, S, 3) in its place, where `hidden` (1, 1, H, W)
    is 1; None: where the crop's mask (1, 1, S, S) is, or without one in the whole box."""
    if hidden is None:
        square = np.full_like(output, 255)
        if mask is not None:
            square[:] = 255 * mask[0, 0, :, :, None].byte().numpy()
        hidden = (_float(faces.paste(np.zeros_like(frame), square, box))[:, :1] > 0.5).float()
    feather = float(box[2]) / 40 if feather is None else feather
    # Nothing changes but the hidden pixels, and the join is judged by pixels not far from them.
    window = (slice(None), slice(None), *_around(hidden[0, 0], int(2 * feather) + 1))
    result, pasted = frame.copy(), faces.paste(frame, output, box)
    parts = (_float(picture)[window] for picture in (pasted, frame))
    result[window[2:]] = _uint8(composite(*parts, hidden[window], feather))
    return result


def _around(mask, margin):
    """The rows and columns of an (H, W) mask's ones, and `margin` more on every side."""
    spans = []
    for other in (1, 0):
        lit = torch.nonzero(mask.any(dim=other))
        first, last = (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, 0)
        spans.append(slice(max(0, first - margin), last + margin))
    return spans


def _float(picture):
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None] / 255.0


def _uint8(image):
    """(1, 3, H, W) in [0, 1] -> (H, W, 3) uint8."""
    return image[0].mul(255).round().byte().permute(1, 2, 0).numpy()
