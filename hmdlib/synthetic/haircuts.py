"""Haircuts as rows of numbers: how long, how combed, who wears what, where the hairline runs."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

#            azimuth  y of the hairline for a skull from chin -9.4 to crown 13 (cm)
HAIRLINE = (
    (0, 8.5),
    (22, 8.7),
    (38, 8.0),
    (52, 6.4),
    (64, 4.0),
    (74, 1.0),
    (82, 0.4),
    (90, 1.8),
    (100, 3.6),
    (115, 2.4),
    (128, -2.0),
    (145, -6.0),
    (180, -7.2),
)


@dataclass(frozen=True)
class Style:
    """How hair is cut and combed. Lengths in cm; flows are weights of a combing direction.

    top, sides: length on the crown and above the ears; back: at the nape. rise: how upright hair
    stands at its root, 0 combed flat .. 1 upright. lift: thickness of the whole head of hair.
    part: where it divides, cm to the person's left of the middle, or None. side, backward, down:
    combing away from the parting, to the back, to the ground. gravity: how soon it hangs. clump:
    0 loose .. 1 in locks. curl, turns: radius in cm and turns a cm. frizz: disorder. recede: how
    far the front hairline has gone back, cm. thin: share of hair lost on the crown. gather: a place
    (x, y, z) where all hair is tied, or None; tail: cm of hair behind that place, 0 a bun.
    forward: share of long hair that falls over the chest instead of the back.
    """

    top: float = 4.0
    sides: float = 1.5
    back: float = 1.5
    rise: float = 0.5
    lift: float = 0.8
    part: float | None = None
    side: float = 0.0
    backward: float = 0.0
    down: float = 0.3
    gravity: float = 0.1
    clump: float = 0.5
    curl: float = 0.0
    turns: float = 0.3
    frizz: float = 0.10
    recede: float = 0.0
    thin: float = 0.0
    gather: tuple | None = None
    tail: float = 0.0
    forward: float = 0.5


STYLES = {
    "crop": Style(
        clump=0.35, top=2.6, sides=1.1, back=1.0, rise=0.42, backward=-0.6, down=0.25, lift=0.7
    ),
    "buzz": Style(top=0.8, sides=0.55, back=0.5, rise=0.6, lift=0.25, clump=0.1, down=0.2),
    "side parting": Style(
        top=7.5, sides=2.4, back=2.2, rise=0.22, part=3.4, side=1.3, backward=0.30, lift=1.5
    ),
    "swept back": Style(
        top=9.0, sides=3.4, back=3.5, rise=0.32, backward=1.3, lift=1.6, gravity=0.05
    ),
    "quiff": Style(top=6.0, sides=1.3, back=1.2, rise=0.55, backward=0.9, lift=2.2, gravity=0.0),
    "curls": Style(
        top=6.0,
        sides=3.0,
        back=3.0,
        rise=0.45,
        lift=2.0,
        curl=0.4,
        turns=0.6,
        clump=0.7,
        frizz=0.25,
    ),
    "bob": Style(
        backward=0.5,
        top=20,
        sides=13,
        back=12,
        rise=0.12,
        part=2.4,
        side=1.0,
        down=0.7,
        gravity=0.7,
        lift=1.5,
    ),
    "long": Style(
        backward=0.5,
        top=42,
        sides=36,
        back=34,
        rise=0.1,
        part=0.8,
        side=1.0,
        down=0.7,
        gravity=0.8,
        lift=1.4,
    ),
    "wavy": Style(
        backward=0.5,
        top=38,
        sides=32,
        back=30,
        rise=0.14,
        part=-2.2,
        side=1.0,
        down=0.7,
        gravity=0.7,
        lift=1.9,
        curl=0.55,
        turns=0.10,
        clump=0.7,
        forward=0.7,
    ),
    "bun": Style(
        clump=0.15,
        top=26,
        sides=22,
        back=22,
        rise=0.03,
        lift=0.6,
        gravity=0,
        gather=(0, 6.5, -14.0),
        frizz=0.04,
    ),
    "ponytail": Style(
        clump=0.15,
        top=26,
        sides=22,
        back=22,
        rise=0.03,
        lift=0.7,
        gravity=0,
        gather=(0, 5.0, -13.8),
        tail=26,
        frizz=0.05,
    ),
    "receding": Style(
        top=3.0, sides=1.5, back=1.4, rise=0.35, backward=0.6, lift=0.6, recede=3.0, thin=0.45
    ),
    "horseshoe": Style(top=0.5, sides=1.5, back=1.5, rise=0.3, lift=0.4, recede=12.0, thin=0.97),
    "bald": Style(
        top=0.16, sides=0.2, back=0.2, rise=0.8, lift=0.05, clump=0, recede=0.8, thin=0.3
    ),
}

FAMILIES = (
    (("side parting", "swept back", "quiff", "crop"), 0.42, 0.0),
    (("crop", "side parting"), 0.22, 0.02),
    (("buzz", "crop"), 0.14, 0.0),
    (("receding",), 0.08, 0.0),
    (("horseshoe",), 0.06, 0.0),
    (("bald",), 0.05, 0.0),
    (("curls",), 0.10, 0.14),
    (("long", "wavy", "ponytail", "bun"), 0.03, 0.54),
    (("bob",), 0.0, 0.20),
    (("ponytail", "bun"), 0.0, 0.12),
)
"""Styles that one person may wear within a month (the same hair, combed, tied or cut a little
anew), and how common they are among men and among women."""


def hairline(azimuth, style):
    """Height of the hairline on the mean head, cm, at each azimuth in degrees (0 front)."""
    table = np.array(HAIRLINE, float)
    azimuth = np.abs(azimuth)
    y = PchipInterpolator(table[:, 0], table[:, 1])(azimuth)
    temples = np.exp(-(((azimuth - 36) / 15) ** 2)) + 0.55 * np.exp(-((azimuth / 30) ** 2))
    return y + style.recede * temples


def vary(generator, style):
    """The same cut on another day: lengths, volume, parting a little different."""
    factor = np.exp(generator.normal(0, 0.08, 4))
    part = None if style.part is None else style.part + generator.normal(0, 0.4)
    return replace(
        style,
        top=style.top * factor[0],
        sides=style.sides * factor[1],
        lift=style.lift * factor[2],
        part=part,
        backward=style.backward + generator.normal(0, 0.1),
        clump=float(np.clip(style.clump * factor[3], 0, 0.95)),
    )
