"""The state of a training run: everything that a checkpoint must hold to go on as if unbroken."""

import copy
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from hmdlib import InputError, checkpoint
from hmdlib.history import History
from hmdlib.iteration import update_average

VERSION = 1


@dataclass
class Position:
    """Where a run is: stage (from 0), its step, then steps, pictures and seconds in all.

    history: what it has told so far, for whoever draws the curves.
    """

    stage: int = 0
    stage_step: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    history: History | None = field(default=None, repr=False)

    def facts(self):
        """What a checkpoint keeps of it."""
        return {name: value for name, value in vars(self).items() if name != "history"}


class Run:
    """A training under way: networks, optimisers, average, best, chance, position, history."""

    def __init__(self, players, stages, samples, folder, seed, strangers=None,
                 occluder=None):  # fmt: skip
        self.players, self.stages = players, stages
        self.history = History(folder)
        self.position = Position(history=self.history)
        self.generator = torch.Generator().manual_seed(seed)
        self.average, self.updates = None, 0
        self.best, self.best_score = {}, None
        self.sums, self.since = {}, [0, 0, 0.0]  # terms summed, their steps, pictures, seconds
        self.path = Path(folder) / "checkpoint.safetensors"
        self.identity = json.loads(json.dumps({
            "version": VERSION, "architecture": players.model.architecture,
            "stages": [asdict(stage) for stage in stages], "seed": seed,
            "samples": samples.fingerprint,
            "strangers": strangers.fingerprint if strangers else None,
            "occluder": getattr(occluder, "told", None),  # one of the user's own: not told apart
            "start": checkpoint.fingerprint(players.model),
        }))  # fmt: skip

    @property
    def shown(self):
        """The network that is scored, shown and saved: the average where one is kept."""
        return self.players.model if self.average is None else self.average

    @property
    def total_steps(self):
        return sum(stage.steps for stage in self.stages)

    def enter(self, index):
        """Begin a stage, or go on with it."""
        stage, position = self.stages[index], self.position
        if index != position.stage:
            position.stage, position.stage_step = index, 0
            self.best, self.best_score = {}, None  # a score with D is not one without (Table II)
        if stage.ema and self.average is None:
            self.average, self.updates = copy.deepcopy(self.players.model).eval(), 0
        if not stage.ema:
            self.average = None
        self.players.enter(stage)
        if self.average is not None:
            self.average.bypass_attention = not stage.attention

    def advance(self, terms, pictures, seconds):
        """Count one step, and keep its terms on their device until a row is due."""
        position, stage = self.position, self.stages[self.position.stage]
        if self.average is not None:
            update_average(self.average, self.players.model, stage.ema, self.updates)
            self.updates += 1
        position.stage_step, position.step = position.stage_step + 1, position.step + 1
        position.images, position.seconds = position.images + pictures, position.seconds + seconds
        for name, value in terms.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)
        self.since = [self.since[0] + 1, self.since[1] + pictures, self.since[2] + seconds]

    def log(self, **scores):
        """Write a row of history.csv: the means since the last row, and scores if there are any."""
        steps, pictures, seconds = self.since
        if not steps:
            return
        means = {name: float(total) / count for name, (total, count) in self.sums.items()}
        position, stage = self.position, self.stages[self.position.stage]
        if not math.isfinite(means["total"]):
            raise InputError(
                f"stage {stage.name!r}: lr={stage.lr}: the loss is not finite by step "
                f"{position.step}; delete {self.path} and train with a lower lr"
            )
        self.history.add(
            step=position.step, stage=stage.name, images=position.images,
            seconds=position.seconds, images_per_second=pictures / max(seconds, 1e-9),
            lr=stage.lr_at(position.stage_step), **means, **scores,
        )  # fmt: skip
        self.sums, self.since = {}, [0, 0, 0.0]

    def keep_best(self, score):
        """Remember the weights with the best held-back PSNR (hidden, else frame) of this stage."""
        value = score.get("psnr_hidden", score["psnr_frame"])
        if self.best_score is None or value > self.best_score:
            self.best_score = value
            self.best = {k: v.detach().cpu().clone() for k, v in self.shown.state_dict().items()}

    def say(self):
        """The position in words, from the newest row (asking the networks would stop a GPU)."""
        stage, last = self.stages[self.position.stage], self.history.last
        text = f"{stage.name}: loss {last('total'):.2f}, {last('images_per_second'):.0f} images/s"
        score = last("psnr_frame")
        return text if math.isnan(score) else f"{text}, held-back {score:.2f} dB"

    def save(self):
        """Write the checkpoint, in one step."""
        tensors = {"random/generator": self.generator.get_state(),
                   "random/global": torch.get_rng_state()}  # fmt: skip
        tensors |= checkpoint.learners_tensors(self.players.modules, self.players.optimisers)
        if self.average is not None:
            tensors |= checkpoint.prefixed("average", self.average.state_dict())
        tensors |= checkpoint.prefixed("best", self.best)
        facts = {"identity": self.identity, "position": self.position.facts(),
                 "updates": self.updates, "best_score": self.best_score}  # fmt: skip
        checkpoint.write_tensors(self.path, tensors, facts)

    def restore(self):
        """Go on from the checkpoint if there is one. InputError if it is another training's."""
        if self.path.is_file():
            tensors, facts = checkpoint.read_tensors(self.path)
            refuse_another(self.path, facts.get("identity", {}), self.identity)
            self.position = Position(**facts["position"], history=self.history)
            self.updates, self.best_score = facts["updates"], facts["best_score"]
            checkpoint.restore_learners(self.players.modules, self.players.optimisers, tensors)
            average = checkpoint.without_prefix("average", tensors)
            if average:
                self.average = copy.deepcopy(self.players.model).eval()
                self.average.load_state_dict(average)
            self.best = checkpoint.without_prefix("best", tensors)
            self.generator.set_state(tensors["random/generator"])
            torch.set_rng_state(tensors["random/global"])
        self.history.restore(self.position.step)


def refuse_another(path, found, wanted):
    """InputError if a checkpoint's identity (found) is not that of the training asked for."""
    for key in [*wanted, *found]:
        if found.get(key) != wanted.get(key):
            what = _difference(key, found.get(key), wanted.get(key))
            raise InputError(
                f"{path}: belongs to another training ({what}); delete or move its folder to begin "
                "anew, or ask for what it was"
            )


def _difference(key, found, wanted):
    """The first thing in which two settings differ, in words."""
    if isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            return f"{key}: {len(found)} there, {len(wanted)} asked for"
        number, pair = next((n, p) for n, p in enumerate(zip(found, wanted)) if p[0] != p[1])  # noqa: B905
        return _difference(f"{key}[{number}]", *pair)
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = [*wanted, *found]
        name = next(n for n in names if found.get(n, "nothing") != wanted.get(n, "nothing"))
        return _difference(f"{key}.{name}", found.get(name), wanted.get(name))
    if key == "start":
        return "it began from other weights"
    if key in ("samples", "strangers"):
        return f"{key}: other pictures"
    return f"{key}={found!r} there, {wanted!r} asked for"
