"""What a synthetic person wears, where it sits and how it is lit: chosen from (seed, session).

A person keeps what a person keeps: face, colour of hair, roughly its cut, whether it ever wears
glasses. A session changes what a day changes.
"""

from dataclasses import dataclass

import numpy as np

from . import haircuts
from .motion import stream
from .wardrobe import PATTERNS

#          background, light that goes with it
PLACES = (
    ("wall", "window"),
    ("bookshelf", "lamp"),
    ("outdoors", "outdoors"),
    ("office", "office"),
    ("plants", "overcast"),
    ("window", "window"),
    ("gradient", "ring"),
    ("brick", "overcast"),
    ("curtain", "lamp"),
    ("bokeh", "evening"),
    ("wall", "screen"),
    ("outdoors", "overcast"),
)
#          outfit, dyes it comes in, dyes of what is below it (or of the tie)
CLOTHES = (
    ("t-shirt", ("navy", "white", "olive", "grey", "rust", "black", "teal"), ("white",)),
    ("shirt", ("sky", "white", "denim", "pink", "lilac"), ("white",)),
    ("sweater", ("burgundy", "charcoal", "green", "navy", "camel"), ("white", "sky")),
    ("hoodie", ("grey", "navy", "mustard", "green", "black"), ("white",)),
    ("suit", ("charcoal", "navy", "black"), ("burgundy", "teal", "navy", "red")),
    ("blazer", ("navy", "camel", "charcoal", "olive"), ("white", "sky")),
    ("knit", ("cream", "rust", "teal", "grey", "pink", "mustard"), ("white",)),
)
GLASSES = (
    ("thin", (0.35, 0.34, 0.33)),
    ("thick", (0.012, 0.012, 0.013)),
    ("thick", (0.09, 0.035, 0.015)),
    ("thin", (0.42, 0.30, 0.12)),
    ("thin", (0.02, 0.02, 0.02)),
)


@dataclass
class Look:
    """One session's choices; the fields' words are those of haircuts, wardrobe, scenery and studio.

    glasses: (rim, colour) or None. scale: pixels a cm at the head, as a share of picture height.
    distance: cm from the camera to the head. place: where the head stands, shares of the picture.
    shake, blur, noise, vignette: see motion.perform, scenery.background, studio.develop.
    """

    style: haircuts.Style
    grey: float
    outfit: str
    dye: str
    pattern: str
    second: str
    glasses: tuple | None
    background: str
    light: str
    scale: float
    distance: float
    place: tuple
    shake: float
    blur: float
    noise: float
    vignette: float


def pick(generator, items, p=None):
    return items[int(generator.choice(len(items), p=p))]


def person(identity):
    """What stays with a person: (family of hair styles, share of grey hairs, glasses)."""
    generator = stream(identity.seed, 0, "person")
    share = np.array([m * identity.male + w * (1 - identity.male) for _, m, w in haircuts.FAMILIES])
    if identity.age < 33:  # few lose their hair so early
        share *= [0.05 if {"receding", "horseshoe"} & set(f[0]) else 1.0 for f in haircuts.FAMILIES]
    family = haircuts.FAMILIES[int(generator.choice(len(share), p=share / share.sum()))][0]
    grey = generator.exponential(0.012) + 0.5 * np.clip((identity.age - 42) / 25, 0, 1) ** 1.5
    return family, float(np.clip(grey, 0, 0.6)), pick(generator, GLASSES)


def look(identity, session, sessions=5):
    """The look of one session. Within a person no place and no outfit comes twice.

    Glasses are worn in one of the middle sessions only: under a headset no picture could tell
    whether the last, unseen session has them.
    """
    family, grey, worn = person(identity)
    seed = identity.seed
    order = stream(seed, 0, "order")
    places, clothes = order.permutation(len(PLACES)), order.permutation(len(CLOTHES))
    with_glasses = 2 + int(order.integers(max(1, min(sessions, 5) - 2)))
    generator = stream(seed, session, "look")
    background, light = PLACES[places[(session - 1) % len(PLACES)]]
    outfit, dyes, seconds = CLOTHES[clothes[(session - 1) % len(CLOTHES)]]
    style = haircuts.vary(generator, haircuts.STYLES[family[(session - 1) % len(family)]])
    return Look(
        style=style,
        grey=grey,
        outfit=outfit,
        dye=pick(generator, dyes),
        pattern=pick(generator, PATTERNS),
        second=pick(generator, seconds),
        glasses=worn if session == with_glasses else None,
        background=background,
        light=light,
        scale=generator.uniform(0.0175, 0.0215),
        distance=generator.uniform(60, 85),
        place=(generator.uniform(0.40, 0.60), generator.uniform(0.40, 0.46)),
        shake=float(generator.choice([0.05, 0.15, 0.4])),
        blur=generator.uniform(0.006, 0.014),
        noise=generator.uniform(0.7, 2.2),
        vignette=generator.uniform(0.05, 0.22),
    )


def passer_by(identity):
    """The look of somebody in the face collection: everything at random, glasses now and then."""
    seen = look(identity, 1)
    generator = stream(identity.seed, 0, "passerby")
    if generator.random() < 0.18:
        seen.glasses = pick(generator, GLASSES)
    return seen
