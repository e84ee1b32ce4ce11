"""The paper's training strategy (Sec. III-C): one loop for all stages.

Step 1a, step 1b, step 2 and the baseline differ in their stages and their pictures, not in their
code. A run writes into its folder: history.csv, checkpoint.safetensors (all that it needs to go
on), model.safetensors and, where there is one, discriminator.safetensors.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import hmdlib
from hmdlib import InputError, dataset, metrics, model_files
from hmdlib.discriminators import Discriminator, LatentDiscriminator
from hmdlib.iteration import Players, choose_precision, train_step
from hmdlib.progress import Progress
from hmdlib.training_state import Run


def train(model, stages, samples, folder, occluder=None, validation=None, seed=0, device="auto",
          precision="auto", log_every=None, sample_every=None, keep="last", scores=6,
          checkpoint_every=200, on_sample=None, progress="auto", strangers=None,
          discriminator=None):  # fmt: skip
    """Train a Deoccluder through the stages, going on from its checkpoint if there is one.

    samples, validation: dataset.Samples; strangers: those of other people, for stages that mix them
    in. occluder: from masks.occluder, None for whole faces.
    log_every: steps between rows of history.csv. scores: held-back scores per stage.
    on_sample: called as on_sample(position, model) every `sample_every` steps, None: with each
    score. The model is the average where one is kept, in eval mode; position.history has curves.
    keep: "last", or "best" by held-back PSNR of the hidden region, within the last stage.
    checkpoint_every: steps. progress: see progress.Progress. discriminator: weights file of one
    that has practised, for stages with "adv"; None begins with a new one.

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
        players = make_players(model, stages, device, precision, discriminator)
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


def make_players(model, stages, device, precision, practised=None):
    """The networks on their device, laid out for it, with the adversaries that the stages need.

    The discriminator is half as wide as the model, and new unless the weights file of a `practised`
    one is given; InputError where that one is of another size or width.
    """
    size, width = model.architecture["image_size"], max(model.architecture["width"] // 2, 1)
    discriminator = latent = None
    if any("adv" in stage.losses for stage in stages):
        discriminator = Discriminator(width, size)
        if practised:
            begun = model_files.load(practised, image_size=size, width=width)
            discriminator.load_state_dict(begun.state_dict())
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
    beside = run.path.with_name("discriminator.safetensors")
    beside.unlink(missing_ok=True)  # an older training's is not of these weights
    if discriminator is not None:
        model_files.save(beside, discriminator, **facts)
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
