"""What a synthetic person wears, where it sits and how it is lit: chosen from (seed, session).

A person keeps what a person keeps: face, colour of hair, roughly its cut, whether it ever wears
glasses. A session changes what a day changes.
"""

from dataclasses import dataclass

import numpy as np

from . import hair
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
COLOUR_SHARE = {
    "black": 0.20,
    "dark brown": 0.24,
    "brown": 0.18,
    "light brown": 0.10,
    "auburn": 0.04,
    "red": 0.02,
    "dark blond": 0.08,
    "blond": 0.06,
    "grey": 0.06,
    "white": 0.02,
}
FAMILY_SHARE = (0.27, 0.14, 0.22, 0.09, 0.09, 0.06, 0.07, 0.04, 0.02)


@dataclass
class Look:
    """One session's choices; the fields' words are those of hair, wardrobe, scenery and studio.

    glasses: (rim, colour) or None. scale: pixels a cm at the head, as a share of picture height.
    distance: cm from the camera to the head. place: where the head stands, shares of the picture.
    shake, blur, noise, vignette: see motion.perform, scenery.background, studio.develop.
    """

    style: hair.Style
    colour: str
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


def person(seed):
    """What stays with a person: (family of hair styles, colour, share of grey, glasses or None)."""
    generator = stream(seed, 0, "person")
    share = np.array(FAMILY_SHARE) / sum(FAMILY_SHARE)
    family = pick(generator, hair.FAMILIES, share)
    names, weights = zip(*COLOUR_SHARE.items(), strict=True)
    colour = pick(generator, names, np.array(weights) / sum(weights))
    grey = float(np.clip(generator.exponential(0.06) - 0.03, 0, 0.5))
    worn = pick(generator, GLASSES)
    return family, colour, grey, worn


def look(seed, session, sessions=5):
    """The look of one session. Within a person no place and no outfit comes twice.

    Glasses are worn in one of the middle sessions only: under a headset no picture could tell
    whether the last, unseen session has them.
    """
    family, colour, grey, worn = person(seed)
    order = stream(seed, 0, "order")
    places, clothes = order.permutation(len(PLACES)), order.permutation(len(CLOTHES))
    with_glasses = 2 + int(order.integers(max(1, min(sessions, 5) - 2)))
    generator = stream(seed, session, "look")
    background, light = PLACES[places[(session - 1) % len(PLACES)]]
    outfit, dyes, seconds = CLOTHES[clothes[(session - 1) % len(CLOTHES)]]
    style = hair.vary(generator, hair.STYLES[family[(session - 1) % len(family)]])
    return Look(
        style=style,
        colour=colour,
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


def passer_by(seed):
    """The look of somebody in the face collection: everything at random, glasses now and then."""
    seen = look(seed, 1)
    generator = stream(seed, 0, "passerby")
    if generator.random() < 0.18:
        seen.glasses = pick(generator, GLASSES)
    return seen
