"""The paper's training strategy (Sec. III-C): stages as data, one loop for all of them.

Step 1a, step 1b, step 2 and the baseline differ in their stages and their pictures, not in their
code. A run writes into its folder: history.csv, checkpoint.safetensors (all that it needs to go
on), model.safetensors and, where there is one, discriminator.safetensors.
"""

import difflib
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import torch

import hmdlib
from hmdlib import InputError, dataset, metrics, model_files
from hmdlib.discriminators import Discriminator, LatentDiscriminator
from hmdlib.iteration import PARTS, Players, choose_precision, train_step
from hmdlib.progress import Progress
from hmdlib.training_state import Run


@dataclass(frozen=True)
class Stage:
    """One stretch of training: how long, with which losses, on which parts.

    name: for logs. images: its length in pictures seen. losses: weight of each term of Eq. 6 that
    is on: "rec", "adv", "ssim", "mask"; "landmarks" for a model that finds them (hmdlib.ours).
    attention: False bypasses it (step 1; decision 5). frozen: parts that do not learn, of
    iteration.PARTS; a frozen attention takes no gradient either, which spares its backward pass,
    two thirds of what it costs. lr, lr_end: learning rate, falling linearly to lr_end if given.
    momentum: Adam's beta1, 0 as published (decision 13). augment: strength; flip: mirror half of
    the pictures. ema: keep an average of the weights with this decay, 0 = none; the average is then
    scored and saved. strangers: share of every batch that shows other people.
    code_only: share of every batch that goes on practising step 1 while the rest does step 2: no
    headset, no attention.
    fixed_norm: the generator's batch norms go by their running statistics, as in use, and these
    stand still. A batch's own statistics let features grow without end: a spike in one place is
    divided away in training, and bursts into a bright patch in use, on a picture unlike the others.
    code_adversary: [3]'s latent discriminator (decision 14). halved: [3]'s halving of rec and ssim
    (15). mask_by_area: decision 10's switch. window: taps of the ssim term's Gaussian, 31 as
    published, 11 for speed. published_range: [3]'s quirk (8).
    """

    name: str
    images: int
    losses: dict = field(default_factory=lambda: {"rec": 1, "adv": 0.25, "ssim": 60, "mask": 1})
    attention: bool = True
    frozen: tuple = ()
    lr: float = 2e-5
    lr_end: float | None = None
    momentum: float = 0.0
    batch_size: int = 50
    augment: float = 0.0
    flip: bool = False
    ema: float = 0.0
    fixed_norm: bool = False
    code_adversary: bool = False
    halved: bool = False
    mask_by_area: bool = False
    window: int = 31
    published_range: bool = False
    strangers: float = 0.0
    code_only: float = 0.0

    def __post_init__(self):
        for what, given, known in (
            ("losses", self.losses, ("rec", "adv", "ssim", "mask", "landmarks")),
            ("frozen", self.frozen, PARTS),
        ):
            unknown = set(given) - set(known)
            if unknown:
                raise InputError(f"stage {self.name!r}: {what}: {unknown} unknown; use {known}")
        if not self.losses:
            raise InputError(f"stage {self.name!r}: losses={{}}: nothing to learn from; give one")
        if not all(isinstance(weight, int | float) for weight in self.losses.values()):
            raise InputError(f"stage {self.name!r}: losses={self.losses}: weights are numbers")
        if self.images < 1 or self.batch_size < 2 or self.lr <= 0:
            raise InputError(f"stage {self.name!r}: wants images >= 1, batch_size >= 2, lr > 0")
        if not 0 <= self.momentum < 1:
            raise InputError(f"stage {self.name!r}: momentum={self.momentum}: at least 0, below 1")
        if not (0 <= self.strangers < 1 and 0 <= self.code_only < 1):
            raise InputError(
                f"stage {self.name!r}: strangers={self.strangers}, code_only={self.code_only}: "
                "shares of a batch, each at least 0 and below 1"
            )
        if round(self.strangers * self.batch_size) == self.batch_size:
            raise InputError(
                f"stage {self.name!r}: strangers={self.strangers}: leaves none of the person in a "
                f"batch of {self.batch_size}; lower it"
            )

    @property
    def steps(self):
        return math.ceil(self.images / self.batch_size)

    def code_only_of(self, count):
        """How many of a batch's pictures go through the code alone, though the attention is on."""
        return round(self.code_only * count) if self.attention else 0

    def lr_at(self, step):
        """The learning rate of the stage's step (from 0)."""
        end = self.lr if self.lr_end is None else self.lr_end
        return self.lr + (end - self.lr) * step / self.steps


def stages(entries, **usual):
    """The Stages that a profile's dicts say, `usual` where one says nothing; else InputError."""
    return [from_dict(Stage, {**usual, **entry}) for entry in entries]


WIDER = {float: int | float, float | None: int | float | None, tuple: list | tuple}
"""Type of a field -> what a profile may write for it."""


def from_dict(kind, entry):
    """A dataclass, Stage or another, from a profile's dict.

    A key that it does not have or that is missing, and a value of another type are InputErrors:
    Python's own word on them would be a traceback.
    """
    known = {one.name: one.type for one in fields(kind)}
    where = f"{kind.__name__.lower()} {entry['name']!r}: " if "name" in entry else ""
    for key, value in entry.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1) or known
            raise InputError(f"{where}{key}: is unknown; there is {', '.join(near)}")
        takes = WIDER.get(known[key], known[key])
        if not isinstance(value, takes) or isinstance(value, bool) != (takes is bool):
            raise InputError(f"{where}{key}={value!r}: takes {getattr(takes, '__name__', takes)}")
    for one in fields(kind):
        if one.name not in entry and one.default is one.default_factory is MISSING:
            raise InputError(f"{where}{one.name}: is missing; give it")
    return kind(**entry)


# ---- the loop ---------------------------------------------------------------------------------


def train(model, stages, samples, folder, occluder=None, validation=None, seed=0, device="auto",
          precision="auto", log_every=None, sample_every=None, keep="last", scores=6,
          checkpoint_every=200, on_sample=None, progress="auto", strangers=None):  # fmt: skip
    """Train a Deoccluder through the stages, going on from its checkpoint if there is one.

    samples, validation: dataset.Samples; strangers: those of other people, for stages that mix them
    in. occluder: from masks.occluder, None for whole faces.
    log_every: steps between rows of history.csv. scores: held-back scores per stage.
    on_sample: called as on_sample(position, model) every `sample_every` steps, None: with each
    score. The model is the average where one is kept, in eval mode; position.history has curves.
    keep: "last", or "best" by held-back PSNR of the hidden region, within the last stage.
    checkpoint_every: steps. progress: see progress.Progress.

    Returns the History; `model` then holds what model.safetensors holds, in eval mode. On a CPU a
    run that was killed and resumed ends with the same bits. Raises InputError when the checkpoint
    belongs to another training, and when a loss is no longer finite.
    """
    _check(model, stages, samples, validation, keep)
    if occluder is not None or model.wants_landmarks:  # they place headset and texture
        samples = dataset.with_landmarks(samples, "samples")
        validation = validation and dataset.with_landmarks(validation, "validation")
        strangers = strangers and dataset.with_landmarks(strangers, "strangers")
    device = hmdlib.device(device)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        players = make_players(model, stages, device, precision)
        run = Run(players, stages, samples, folder, seed, strangers, occluder)
        held_back = validation and HeldBack(validation, occluder, seed, device)
        run.restore()
        every = log_every or max(1, min(25, run.total_steps // 20))
        bar = Progress(run.total_steps, run.position.step, progress)

        def after(step):
            """What follows a stage's step: a row, a score, a picture, a word."""
            stage = run.stages[run.position.stage]
            score_due = due(step, stage.steps, scores)
            score = held_back.score(run.shown) if held_back and score_due else {}
            if score or step % every == 0 or step == stage.steps:
                run.log(**score)
            if score and keep == "best":
                run.keep_best(score)
            if on_sample and (step % sample_every == 0 if sample_every else score_due):
                on_sample(replace(run.position), run.shown.eval())
            players.enter(stage)  # whoever looked left the networks in eval mode
            bar.advance(run.position.step, run.say)

        for index in range(run.position.stage, len(stages)):
            _train_stage(run, index, samples, occluder, checkpoint_every, after, strangers)
        bar.close()
        return _finish(run, keep)


def _train_stage(run, index, samples, occluder, checkpoint_every, after, strangers):
    """The steps of one stage, a checkpoint after every so many of them and at the end."""
    run.enter(index)
    stage, players, position = run.stages[index], run.players, run.position
    while position.stage_step < stage.steps:
        until = (position.stage_step // checkpoint_every + 1) * checkpoint_every
        batches = dataset.batches(
            samples, stage.batch_size, run.generator, stage.augment, occluder,
            min(until, stage.steps) - position.stage_step, stage.flip, players.device,
            strangers, stage.strangers, stage.code_only_of(stage.batch_size),
        )  # fmt: skip
        began = time.perf_counter()
        for batch in in_advance(batches) if players.device.type == "cuda" else batches:
            players.set_lr(stage.lr_at(position.stage_step))
            terms = train_step(players, batch, stage, position.step)
            run.advance(terms, len(batch.target), time.perf_counter() - began)
            after(position.stage_step)
            began = time.perf_counter()
        run.log()
        run.save()


def in_advance(batches, depth=2):
    """Make the next batches in a second thread while the GPU works on this one.

    Only for a GPU: on a CPU the two would fight for the same cores.
    """
    with ThreadPoolExecutor(1) as maker:
        waiting = deque(maker.submit(next, batches, None) for _ in range(depth))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(maker.submit(next, batches, None))
            yield batch


def due(step, total, times):
    """Is something that happens `times` times in `total` steps due after this step? (1 .. total)"""
    return step * times // total > (step - 1) * times // total


def _check(model, stages, samples, validation, keep):
    if not stages:
        raise InputError("stages=[]: nothing to train; give at least one Stage")
    for stage in stages:
        for what, asked in (("frozen", stage.frozen), ("code_adversary", stage.code_adversary)):
            if asked and not hasattr(model, "decoder"):
                raise InputError(
                    f"stage {stage.name!r}: {what}: is of the paper's model; this one has no such "
                    "part; leave it out"
                )
        if "landmarks" in stage.losses and not model.wants_landmarks:
            raise InputError(
                f"stage {stage.name!r}: losses: landmarks: this model finds none; leave it out"
            )
        if model.wants_landmarks and "landmarks" not in stage.losses:
            raise InputError(
                f"stage {stage.name!r}: losses: this model lays a texture by landmarks and nothing "
                "teaches it to find them; add landmarks, or build it with texture=False"
            )
    if not len(samples):
        raise InputError("samples: no picture to learn from; look at the crops first")
    if keep not in ("last", "best"):
        raise InputError(f"keep={keep!r}: choose last or best")
    if keep == "best" and not validation:
        raise InputError("keep='best': judged by held-back pictures; pass validation=")


def make_players(model, stages, device, precision):
    """The networks on their device, laid out for it, with the adversaries that the stages need.

    The discriminator is new, and half as wide as the model.
    """
    size, width = model.architecture["image_size"], model.architecture["width"]
    discriminator = latent = None
    if any("adv" in stage.losses for stage in stages):
        discriminator = Discriminator(max(width // 2, 1), size)
    if any(stage.code_adversary for stage in stages):
        latent = LatentDiscriminator(model.architecture["latent"])
    precision = choose_precision(precision, device)
    # channels-last is what bfloat16 convolutions want, and cuDNN's too
    wide = precision == "bfloat16" or device.type == "cuda"
    layout = torch.channels_last if wide else torch.contiguous_format
    for module in (model, discriminator, latent):
        if module is not None:
            module.to(device, memory_format=layout)
    return Players(model, discriminator, latent, precision)


def _finish(run, keep):
    """Leave the kept weights in the model and on disk, the discriminator beside it."""
    model, discriminator = run.players.model, run.players.discriminator
    kept = run.best if keep == "best" and run.best else run.shown.state_dict()
    model.load_state_dict(kept)
    model.requires_grad_(True).eval()
    if model.attention is not None and any(stage.attention for stage in run.stages):
        model.attention_has_learnt = True
    facts = {"stages": [stage.name for stage in run.stages], "images": run.position.images,
             "seconds": round(run.position.seconds, 1), "kept": keep,
             "best_score": run.best_score}  # fmt: skip
    model_files.save(run.path.with_name("model.safetensors"), model, **facts)
    if discriminator is not None:
        model_files.save(run.path.with_name("discriminator.safetensors"), discriminator, **facts)
    return run.history


class HeldBack:
    """Up to 32 held-back pictures under fixed headsets: always the same, so scores compare."""

    def __init__(self, samples, occluder, seed, device, count=32):
        chosen = np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))
        images, landmarks = samples.batch(chosen)
        self.occluded, self.target = images, images
        self.hidden = torch.zeros_like(images[:, :1])
        if occluder is not None:
            generator = torch.Generator().manual_seed(seed)
            self.occluded, self.hidden = occluder(images, landmarks, generator)
        self.device = device

    @torch.no_grad()
    def score(self, model):
        """Mean PSNR of the raw output in dB: psnr_frame and, where any is hidden, psnr_hidden."""
        model.eval()
        output = torch.cat([
            model(a.to(self.device), b.to(self.device)).cpu()
            for a, b in zip(self.occluded.split(16), self.hidden.split(16), strict=True)
        ])  # fmt: skip
        score = {"psnr_frame": metrics.psnr(output, self.target).mean().item()}
        if self.hidden.any():
            inside = metrics.psnr(output, self.target, self.hidden)
            score["psnr_hidden"] = inside.nanmean().item()
        return score
