"""One loop for whoever learns to paint holes: LaFIn's two networks, and the gated network.

A lesson (`peers.lessons`) says who learns, by which optimiser, and what one step is; the loop does
the rest: batches under headsets, the learning rate, history.csv, a checkpoint to go on from. On
strangers it makes a generic peer; on one person's frames, from there on, a personal one.
"""

import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from hmdlib import InputError, checkpoint, dataset
from hmdlib.history import History
from hmdlib.iteration import choose_precision
from hmdlib.progress import Progress
from hmdlib.training import in_advance
from hmdlib.training_state import refuse_another

VERSION = 1
COLUMNS = (
    "step", "stage", "images", "seconds", "images_per_second", "lr", "total", "landmarks", "rec",
    "hidden", "visible", "adv", "tv", "perceptual", "style", "D",
)  # fmt: skip
"""Of history.csv: as hmdlib.history has them, and the terms of the peers, unweighted. landmarks: in
pixels, all 68 at once (the norm); a point is off by about an eighth of it."""


@dataclass(frozen=True)
class Plan:
    """How long one lesson takes, and how.

    images: pictures seen. lr: learning rate, falling linearly to lr_end if given (LaFIn's
    discriminator learns at a tenth). augment, flip: as in dataset.batches. strangers: share of
    every batch that shows other people, lest a personal peer forget what it knows of faces.
    log_every: steps between rows of history.csv, None: some 40 rows in all.
    """

    images: int
    batch_size: int = 4
    lr: float = 1e-4
    lr_end: float | None = None
    augment: float = 0.0
    flip: bool = False
    strangers: float = 0.0
    log_every: int | None = None

    def __post_init__(self):
        if self.images < 1 or self.batch_size < 2 or self.lr <= 0:
            raise InputError(f"{self}: wants images >= 1, batch_size >= 2, lr > 0")
        if not 0 <= self.strangers <= 1 - 1 / self.batch_size:
            raise InputError(f"{self}: strangers: a share of every batch, some of it the person's")

    @property
    def steps(self):
        return math.ceil(self.images / self.batch_size)

    def lr_at(self, step):
        """The learning rate of a step (from 0)."""
        end = self.lr if self.lr_end is None else self.lr_end
        return self.lr + (end - self.lr) * step / self.steps


# ---- the loop -----------------------------------------------------------------------------------


def train(lesson, plan, samples, folder, occluder, seed=0, precision="auto", checkpoint_every=200,
          progress="auto", strangers=None):  # fmt: skip
    """Give a lesson on some pictures, going on from its checkpoint if there is one.

    lesson: of peers.lessons, its networks already on their device. samples: dataset.Samples, and
    strangers: those of other people, for a plan that mixes them in; without landmarks they are left
    out. occluder: from masks.occluder. folder: for history.csv and checkpoint.safetensors.
    progress: see progress.Progress. Returns the History; the networks then are trained, in eval
    mode. On a CPU a run that was killed and resumed ends with the same bits. Raises InputError when
    the checkpoint belongs to another training, when no sample has landmarks, when strangers are
    wanted and there are none, and when a loss is no longer finite.
    """
    samples = dataset.with_landmarks(samples, "samples")
    if plan.strangers and strangers is None:
        raise InputError(f"strangers=None, of whom {plan.strangers} of every batch should be")
    strangers = dataset.with_landmarks(strangers, "strangers") if plan.strangers else None
    run = Run(lesson, plan, samples, folder, seed, precision, occluder, strangers)
    run.restore()
    every = plan.log_every or max(1, plan.steps // 40)
    bar = Progress(plan.steps, run.step, progress)
    run.enter()
    while run.step < plan.steps:
        until = min((run.step // checkpoint_every + 1) * checkpoint_every, plan.steps)
        batches = dataset.batches(samples, plan.batch_size, run.generator, plan.augment, occluder,
                                  until - run.step, plan.flip, run.device, strangers,
                                  plan.strangers)  # fmt: skip
        began = time.perf_counter()
        for batch in in_advance(batches) if run.device.type == "cuda" else batches:
            run.set_lr()
            run.advance(lesson.step(batch, run.mixed), time.perf_counter() - began)
            if run.step % every == 0 or run.step == plan.steps:
                run.log()
            bar.advance(run.step, run.say)
            began = time.perf_counter()
        run.log()
        run.save()
    bar.close()
    for module in lesson.modules.values():
        module.requires_grad_(True).eval()
    return run.history


class Run:
    """A training under way: the lesson, chance, position and history; all a checkpoint holds."""

    def __init__(self, lesson, plan, samples, folder, seed, precision, occluder, strangers):
        self.lesson, self.plan = lesson, plan
        self.device = next(next(iter(lesson.modules.values())).parameters()).device
        self.precision = choose_precision(precision, self.device)
        self.history = History(folder, COLUMNS)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.sums, self.since = {}, [0, 0.0]  # terms summed since the last row; steps, seconds
        self.path = Path(folder) / "checkpoint.safetensors"
        starts = {f"start of {k}": checkpoint.fingerprint(m) for k, m in lesson.modules.items()}
        self.identity = json.loads(json.dumps({
            "version": VERSION, "lesson": lesson.name, **asdict(plan), "losses": lesson.losses,
            "seed": seed, "samples": samples.fingerprint, **starts,
            "occluder": getattr(occluder, "told", None),
            "others": strangers and strangers.fingerprint,
        }))  # fmt: skip

    def enter(self):
        """All networks into training mode."""
        for module in self.lesson.modules.values():
            module.train()

    def mixed(self):
        """The context of a forward pass: bfloat16 where it pays."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def set_lr(self):
        for name, optimiser in self.lesson.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.plan.lr_at(self.step) * self.lesson.rates[name]

    def advance(self, terms, seconds):
        """Count one step, and keep its terms on their device until a row is due."""
        self.step, self.images = self.step + 1, self.images + self.plan.batch_size
        self.seconds += seconds
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.since = [self.since[0] + 1, self.since[1] + seconds]

    def log(self):
        """Write a row of history.csv: the means since the last row."""
        steps, seconds = self.since
        if not steps:
            return
        means = {name: float(total) / steps for name, total in self.sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise InputError(
                f"{self.lesson.name}: lr={self.plan.lr}: the loss is not finite by step "
                f"{self.step}; delete {self.path} and train with a lower lr"
            )
        self.history.add(
            step=self.step, stage=self.lesson.name, images=self.images, seconds=self.seconds,
            images_per_second=steps * self.plan.batch_size / max(seconds, 1e-9),
            lr=self.plan.lr_at(self.step), **means,
        )  # fmt: skip
        self.sums, self.since = {}, [0, 0.0]

    def say(self):
        last = self.history.last
        text = f"{self.lesson.name}: loss {last('total'):.3f}"
        return f"{text}, {last('images_per_second'):.0f} images/s"

    def save(self):
        """Write the checkpoint, in one step."""
        tensors = {"random/generator": self.generator.get_state()}
        tensors |= checkpoint.learners_tensors(self.lesson.modules, self.lesson.optimisers)
        position = {"step": self.step, "images": self.images, "seconds": self.seconds}
        facts = {"identity": self.identity, "position": position}
        checkpoint.write_tensors(self.path, tensors, facts)

    def restore(self):
        """Go on from the checkpoint if there is one. InputError if it is another training's."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            tensors, facts = checkpoint.read_tensors(self.path)
            refuse_another(self.path, facts.get("identity", {}), self.identity)
            vars(self).update(facts["position"])
            checkpoint.restore_learners(self.lesson.modules, self.lesson.optimisers, tensors)
            self.generator.set_state(tensors["random/generator"])
        self.history.restore(self.step)
