"""What a training is to do, as data: the stages of Sec. III-C, read from a profile."""

import difflib
import math
from dataclasses import MISSING, dataclass, field, fields, replace

from hmdlib import InputError
from hmdlib.iteration import PARTS


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


def stages(entries, longer=1.0, **usual):
    """The Stages that a profile's dicts say, `usual` where one says nothing; else InputError.

    longer: so many times the pictures that each of them says.
    """
    read = [from_dict(Stage, {**usual, **entry}) for entry in entries]
    return [replace(stage, images=round(longer * stage.images)) for stage in read]


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
