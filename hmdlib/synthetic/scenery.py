"""What stands behind a synthetic person: rooms, windows, streets, all out of focus.

Everything is painted flat into a small canvas in linear light, nearest things last, and blurred:
what is out of focus needs no detail. Places are given in picture heights: x in [0, aspect], y in
[0, 1] downwards.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

KINDS = (
    "wall",
    "bookshelf",
    "window",
    "office",
    "curtain",
    "plants",
    "outdoors",
    "bokeh",
    "gradient",
    "brick",
)


class Canvas:
    """A picture in linear light, (height, width, 3), with brushes that take places in heights."""

    def __init__(self, height, aspect, colour):
        self.height, self.aspect = height, aspect
        self.pixels = np.empty((height, round(height * aspect), 3), np.float32)
        self.pixels[:] = colour
        self.y, self.x = np.mgrid[: self.pixels.shape[0], : self.pixels.shape[1]] / height

    def rectangle(self, left, top, right, bottom, colour, alpha=1.0):
        scale = self.height
        rows = slice(max(0, round(top * scale)), max(0, round(bottom * scale)))
        columns = slice(max(0, round(left * scale)), max(0, round(right * scale)))
        part = self.pixels[rows, columns]
        part += alpha * (np.asarray(colour, np.float32) - part)

    def ellipse(self, x, y, width, height, colour, alpha=1.0, turn=0.0):
        reach = 1.1 * max(width, height) * self.height
        rows = slice(max(0, int(y * self.height - reach)), max(0, int(y * self.height + reach)))
        columns = slice(max(0, int(x * self.height - reach)), max(0, int(x * self.height + reach)))
        dx, dy = self.x[rows, columns] - x, self.y[rows, columns] - y
        c, s = np.cos(turn), np.sin(turn)
        inside = ((c * dx + s * dy) / width) ** 2 + ((c * dy - s * dx) / height) ** 2 < 1
        part = self.pixels[rows, columns]
        part += (alpha * inside)[..., None] * (np.asarray(colour, np.float32) - part)

    def light(self, x, y, size, strength):
        """Brighten smoothly around a place: the falloff of a lamp or a window on a wall."""
        away = ((self.x - x) ** 2 + (self.y - y) ** 2) / size**2
        self.pixels *= (1 + strength * np.exp(-away))[..., None].astype(np.float32)

    def mottle(self, generator, size, strength):
        """Uneven paint or plaster: smooth noise, size in picture heights."""
        noise = gaussian_filter(generator.normal(0, 1, self.pixels.shape[:2]), size * self.height)
        self.pixels *= (1 + strength * noise / max(1e-6, noise.std()))[..., None]
        np.maximum(self.pixels, 0.002, out=self.pixels)


def hue(generator, low, high, saturation):
    """A colour in linear light: its grey in [low, high], around it some saturation in [0, 1]."""
    tint = generator.dirichlet((7, 6.5, 6)) * 3 - 1
    return np.clip(generator.uniform(low, high) * (1 + saturation * tint), 0.005, 1)


def shade(generator, colour, amount=0.25):
    return np.clip(np.asarray(colour) * np.exp(generator.normal(0, amount)), 0.003, 1)


def paint_wall(generator, height, aspect):
    wall = generator.choice([0, 1, 2])
    colour = (hue(generator, 0.35, 0.6, 0.12), hue(generator, 0.12, 0.3, 0.4), (0.5, 0.44, 0.36))
    canvas = Canvas(height, aspect, colour[wall])
    canvas.mottle(generator, 0.04, 0.02)
    canvas.light(generator.uniform(0, aspect), generator.uniform(0, 0.6), 0.9, 0.5)
    for _ in range(generator.integers(1, 4)):
        frame(canvas, generator)
    if generator.random() < 0.6:  # a sideboard or the back of a sofa
        top = generator.uniform(0.62, 0.85)
        left, right = sorted(generator.uniform(-0.3, aspect + 0.3, 2))
        canvas.rectangle(left - 0.2, top, right + 0.2, 1.1, hue(generator, 0.05, 0.3, 0.5))
        canvas.rectangle(left - 0.2, top, right + 0.2, top + 0.02, hue(generator, 0.2, 0.4, 0.2))
    if generator.random() < 0.5:
        lamp(canvas, generator)
    return canvas


def frame(canvas, generator):
    """A picture on the wall, or a notice board."""
    x, y = generator.uniform(0, canvas.aspect), generator.uniform(0.05, 0.45)
    w, h = generator.uniform(0.12, 0.35), generator.uniform(0.15, 0.35)
    rim = hue(generator, 0.02, 0.4, 0.3)
    canvas.rectangle(x + 0.015, y + 0.02, x + w + 0.015, y + h + 0.02, (0, 0, 0), 0.25)
    canvas.rectangle(x, y, x + w, y + h, rim)
    canvas.rectangle(x + 0.02, y + 0.02, x + w - 0.02, y + h - 0.02, (0.6, 0.58, 0.54))
    canvas.rectangle(
        x + 0.045, y + 0.045, x + w - 0.045, y + h - 0.045, hue(generator, 0.1, 0.5, 0.7)
    )
    for _ in range(5):
        place = x + w * generator.uniform(0.3, 0.7), y + h * generator.uniform(0.3, 0.7)
        size = generator.uniform(0.02, 0.06, 2)
        canvas.ellipse(*place, *size, hue(generator, 0.05, 0.6, 0.8), 0.8)


def lamp(canvas, generator):
    x, y = generator.uniform(0.05, canvas.aspect - 0.05), generator.uniform(0.25, 0.5)
    canvas.rectangle(x - 0.006, y, x + 0.006, 1, (0.03, 0.03, 0.03))
    canvas.light(x, y, 0.35, 1.6)
    canvas.ellipse(x, y, 0.09, 0.08, (1.6, 1.25, 0.75))


def books(canvas, generator, left, right, bottom, tallest):
    """A row of books; some lean, some gaps hold a thing."""
    x = left
    while x < right:
        if generator.random() < 0.06:
            canvas.ellipse(x + 0.05, bottom - 0.05, 0.035, 0.05, hue(generator, 0.05, 0.5, 0.6))
            x += 0.1
            continue
        width = generator.uniform(0.012, 0.035)
        top = bottom - tallest * generator.uniform(0.65, 0.97)
        cover = hue(generator, 0.02, 0.3, 1.0) * (1.1, 0.85, 0.7)
        canvas.rectangle(x, top, x + width, bottom, cover)
        canvas.rectangle(x + width * 0.8, top, x + width, bottom, cover * 0.45)
        if generator.random() < 0.5:
            canvas.rectangle(x, top + 0.03, x + width, top + 0.045, hue(generator, 0.3, 0.7, 0.4))
        x += width


def paint_bookshelf(generator, height, aspect):
    wood = np.array(
        [(0.30, 0.18, 0.09), (0.55, 0.5, 0.45), (0.12, 0.06, 0.03)][generator.choice(3)]
    )
    canvas = Canvas(height, aspect, wood * 0.22)
    pitch = generator.uniform(0.22, 0.32)
    offset = generator.uniform(0, pitch)
    for row in range(-1, 6):
        bottom = offset + row * pitch
        books(canvas, generator, 0, aspect, bottom, pitch - 0.03)
        canvas.rectangle(0, bottom, aspect, bottom + 0.022, wood)
    spacing, x = generator.uniform(0.5, 0.9), generator.uniform(0, 0.4)
    while x < aspect:
        canvas.rectangle(x, 0, x + 0.025, 1, wood * 0.8)
        x += spacing
    canvas.light(generator.uniform(0, aspect), 0.2, 0.9, 0.6)
    return canvas


def leaves(canvas, generator, x, y, reach, count, size):
    """A bush or a pot plant: leaves scattered round a place, darker ones first."""
    green = np.array([0.07, 0.13, 0.035]) * np.exp(generator.normal(0, 0.35))
    for _ in range(6):  # the dark inside
        dx, dy = generator.normal(0, 0.4 * reach, 2)
        canvas.ellipse(x + dx, y + 0.8 * dy, 0.5 * reach, 0.4 * reach, green * 0.35, 0.85)
    for i in range(count):
        angle, far = generator.uniform(0, 2 * np.pi), reach * np.sqrt(generator.random())
        colour = green * (0.4 + 1.4 * i / count) * np.exp(generator.normal(0, 0.25, 3))
        canvas.ellipse(
            x + far * np.cos(angle),
            y + 0.8 * far * np.sin(angle),
            size,
            size * generator.uniform(0.25, 0.5),
            colour,
            0.9,
            angle + generator.normal(0, 0.5),
        )


def paint_outdoors(generator, height, aspect):
    canvas = Canvas(height, aspect, (0.55, 0.68, 0.9))
    canvas.pixels *= (1.15 - 0.3 * canvas.y)[..., None].astype(np.float32)
    for _ in range(5):
        x, y = generator.uniform(0, aspect), generator.uniform(0, 0.4)
        canvas.ellipse(x, y, generator.uniform(0.1, 0.35), 0.05, (0.95, 0.95, 0.95), 0.5)
    horizon = generator.uniform(0.4, 0.65)
    if generator.random() < 0.5:
        x = -0.1
        while x < aspect:
            width, top = generator.uniform(0.15, 0.4), generator.uniform(0.05, 0.45)
            house(canvas, generator, x, top, x + width, horizon + 0.1)
            x += width
    for _ in range(generator.integers(5, 10)):
        place = generator.uniform(0, aspect), horizon + generator.uniform(-0.22, 0.05)
        leaves(canvas, generator, *place, generator.uniform(0.1, 0.3), 70, 0.035)
    ground = hue(generator, 0.15, 0.3, 0.1) if generator.random() < 0.5 else (0.12, 0.2, 0.06)
    canvas.rectangle(0, horizon + 0.12, aspect, 1.1, ground)
    return canvas


def house(canvas, generator, left, top, right, bottom):
    wall = hue(generator, 0.2, 0.5, 0.25)
    canvas.rectangle(left, top, right, bottom, wall)
    across, down = generator.integers(2, 5), generator.integers(3, 6)
    for i in range(across):
        for j in range(down):
            x = left + (right - left) * (i + 0.25) / across
            y = top + (bottom - top) * (j + 0.2) / down
            w, h = (right - left) * 0.5 / across, (bottom - top) * 0.55 / down
            canvas.rectangle(x, y, x + w, y + h, wall * generator.uniform(0.15, 0.5))


def paint_window(generator, height, aspect):
    """A bright window with a view, its bars, perhaps a blind; the wall round it in shade."""
    view = paint_outdoors(generator, height, aspect)
    inside = Canvas(height, aspect, hue(generator, 0.12, 0.3, 0.15))
    inside.mottle(generator, 0.05, 0.02)
    left = generator.uniform(-0.1, 0.5) * aspect
    right, top = left + generator.uniform(0.5, 0.9) * aspect, generator.uniform(-0.1, 0.15)
    bottom = generator.uniform(0.65, 0.9)
    glass = (inside.x > left) & (inside.x < right) & (inside.y > top) & (inside.y < bottom)
    bright = generator.uniform(0.9, 1.5)
    inside.pixels[glass] = view.pixels[glass] * bright
    paint = hue(generator, 0.3, 0.6, 0.08)
    for x in np.linspace(left, right, generator.integers(2, 5)):
        inside.rectangle(x - 0.014, top, x + 0.014, bottom, paint)
    for y in (*np.linspace(top, bottom, generator.integers(2, 4)), bottom):
        inside.rectangle(left, y - 0.014, right, y + 0.014, paint)
    if generator.random() < 0.35:
        for y in np.arange(top, top + generator.uniform(0.2, 0.6), 0.03):
            inside.rectangle(left, y, right, y + 0.016, paint * 0.9)
    inside.light((left + right) / 2, 0.4, 0.8, 0.4)
    if generator.random() < 0.5:
        x = generator.uniform(0, aspect)
        leaves(inside, generator, x, bottom - 0.08, 0.13, 60, 0.05)
    return inside


def paint_office(generator, height, aspect):
    canvas = Canvas(height, aspect, hue(generator, 0.3, 0.5, 0.08))
    canvas.rectangle(0, 0, aspect, 0.18, (0.55, 0.55, 0.54))  # ceiling
    for x in np.arange(generator.uniform(-0.2, 0.2), aspect, 0.6):
        canvas.rectangle(x, 0.05, x + 0.3, 0.10, (1.6, 1.6, 1.5))
    for x in np.arange(generator.uniform(-0.1, 0.3), aspect, generator.uniform(0.35, 0.6)):
        if generator.random() < 0.5:
            canvas.rectangle(x, 0.22, x + 0.3, 0.62, (0.5, 0.62, 0.7), 0.7)
            canvas.rectangle(x + 0.14, 0.22, x + 0.155, 0.62, (0.1, 0.1, 0.1))
        else:
            canvas.rectangle(x, 0.3, x + 0.27, 0.8, hue(generator, 0.08, 0.35, 0.5))
    for _ in range(generator.integers(2, 5)):
        x, y = generator.uniform(0, aspect), generator.uniform(0.55, 0.7)
        canvas.rectangle(x, y, x + 0.26, y + 0.16, (0.02, 0.02, 0.022))
        canvas.rectangle(x + 0.01, y + 0.01, x + 0.25, y + 0.145, hue(generator, 0.2, 0.7, 0.6))
    canvas.rectangle(0, 0.8, aspect, 1.1, hue(generator, 0.1, 0.4, 0.3))
    leaves(canvas, generator, generator.uniform(0, aspect), 0.6, 0.15, 80, 0.05)
    return canvas


def paint_curtain(generator, height, aspect):
    canvas = Canvas(height, aspect, hue(generator, 0.1, 0.45, 0.5))
    folds = generator.uniform(7, 16)
    wander = 0.25 * np.sin(2.3 * canvas.y + generator.uniform(0, 6)) + 0.4 * np.sin(3 * canvas.x)
    wave = np.sin(2 * np.pi * folds * canvas.x / aspect + 2 * wander)
    wave += 0.5 * np.sin(4.7 * np.pi * folds * canvas.x / aspect + 3 * wander + 1)
    canvas.pixels *= (0.85 + 0.28 * wave)[..., None].astype(np.float32)
    canvas.light(generator.uniform(0, aspect), 0.2, 0.8, 0.7)
    if generator.random() < 0.5:
        left = generator.uniform(-0.2, 0.7) * aspect
        canvas.rectangle(
            left, 0, left + generator.uniform(0.25, 0.6), 1, hue(generator, 0.5, 1.1, 0.1)
        )
    return canvas


def paint_plants(generator, height, aspect):
    canvas = Canvas(height, aspect, hue(generator, 0.25, 0.5, 0.15))
    canvas.light(generator.uniform(0, aspect), 0.2, 0.8, 0.6)
    for _ in range(generator.integers(3, 6)):
        x, y = generator.uniform(0, aspect), generator.uniform(0.3, 0.75)
        canvas.rectangle(x - 0.06, y + 0.05, x + 0.06, y + 0.25, hue(generator, 0.1, 0.5, 0.5))
        leaves(canvas, generator, x, y, generator.uniform(0.12, 0.28), 110, 0.06)
    canvas.rectangle(0, 0.88, aspect, 1.1, (0.25, 0.16, 0.09))
    return canvas


def paint_bokeh(generator, height, aspect):
    """Evening lights of a street or a bar."""
    canvas = Canvas(height, aspect, hue(generator, 0.01, 0.05, 0.8))
    for _ in range(5):
        x, y = generator.uniform(0, aspect), generator.uniform(0, 1)
        canvas.ellipse(x, y, 0.4, 0.25, hue(generator, 0.02, 0.15, 0.9), 0.6)
    for _ in range(generator.integers(25, 60)):
        warm = np.array([1.0, generator.uniform(0.35, 0.9), generator.uniform(0.05, 0.8)])
        x, y, size = (
            generator.uniform(0, aspect),
            generator.beta(2, 2),
            generator.uniform(0.012, 0.05),
        )
        canvas.ellipse(x, y, size, size, warm * generator.uniform(0.2, 1.3), 0.55)
    return canvas


def paint_gradient(generator, height, aspect):
    """A studio's paper: one colour, lit in its middle."""
    canvas = Canvas(height, aspect, hue(generator, 0.08, 0.4, 0.5))
    canvas.light(aspect * generator.uniform(0.3, 0.7), generator.uniform(0.3, 0.6), 0.6, 1.0)
    canvas.mottle(generator, 0.08, 0.06)
    return canvas


def paint_brick(generator, height, aspect):
    colour = np.array(
        [(0.33, 0.12, 0.07), (0.5, 0.47, 0.43), (0.22, 0.1, 0.06)][generator.choice(3)]
    )
    canvas = Canvas(height, aspect, colour * 1.3 + 0.08)
    tall, wide = 0.055, 0.16
    for row in range(20):
        for x in np.arange(-(row % 2) * wide / 2, aspect, wide):
            brick = shade(generator, colour, 0.22)
            canvas.rectangle(x, row * tall, x + wide - 0.01, (row + 1) * tall - 0.01, brick)
    canvas.light(generator.uniform(0, aspect), generator.uniform(0, 0.5), 0.8, 0.8)
    if generator.random() < 0.6:
        frame(canvas, generator)
    return canvas


def background(generator, kind, size, blur=0.012, margin=0.04):
    """A painted, blurred background.

    size: (width, height) of the picture; margin: share of the width added on each side, room for a
    camera that moves; blur: standard deviation in picture heights. Returns (H + 2 m, W + 2 m, 3)
    float32 in linear light, m = round(margin * width).
    """
    border = round(margin * size[0])
    wide, tall = size[0] + 2 * border, size[1] + 2 * border
    height = int(np.clip(tall, 96, 360))
    canvas = globals()[f"paint_{kind}"](generator, height, wide / tall)
    depth = max(blur * height, 0.4)
    pixels = gaussian_filter(canvas.pixels, (depth, depth, 0))
    scale = (tall / pixels.shape[0], wide / pixels.shape[1], 1)
    grown = (
        pixels
        if scale == (1, 1, 1)
        else zoom(pixels, scale, order=1, grid_mode=True, mode="nearest")
    )
    return np.maximum(grown, 0).astype(np.float32)
