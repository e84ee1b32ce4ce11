"""Light, camera and sensor: what makes two recordings of one face look unlike."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from .raster import Ambient, Light

PRESETS = ("window", "overcast", "lamp", "ring", "evening", "outdoors", "office", "screen")


@dataclass
class Lighting:
    """Lights, what comes from all round, exposure of the face and of the background."""

    lights: list
    ambient: Ambient
    exposure: float = 1.0
    backdrop: float = 1.0


def towards(side, up, front=1.0):
    direction = np.array([side, up, front], float)
    return direction / np.linalg.norm(direction)


def warmth(kelvin_shift):
    """A white balance: > 0 warmer, < 0 cooler; about 1 is a lamp, -1 a blue sky."""
    return np.array([1 + 0.22 * kelvin_shift, 1.0, 1 - 0.30 * kelvin_shift])


def lighting(generator, preset):
    """One of PRESETS, with its directions and strengths a little different each time."""
    side = generator.choice([-1.0, 1.0])
    some = generator.uniform
    tone = warmth(generator.normal(0.0, 0.12))
    if preset == "window":
        key = Light(
            towards(side * some(0.8, 1.6), some(0.3, 0.7), some(0.5, 0.9)), 2.1 * tone, size=0.3
        )
        fill = Light(towards(-side, 0.2, 0.8), 0.28 * warmth(0.4), shadow=False)
        around = Ambient(0.34 * warmth(-0.15), 0.20 * warmth(0.3))
        return Lighting([key, fill], around, 1.0, 0.9)
    if preset == "overcast":
        key = Light(towards(side * some(0, 0.4), some(0.8, 1.3)), 1.15 * warmth(-0.2), size=0.5)
        fill = Light(towards(-side * 0.6, 0.1), 0.25 * tone, shadow=False)
        return Lighting([key, fill], Ambient(0.75 * warmth(-0.25), 0.34 * tone), 1.0, 1.0)
    if preset == "lamp":
        key = Light(towards(side * some(0.5, 1.1), some(0.4, 0.9)), 1.9 * warmth(0.75), size=0.15)
        rim = Light(towards(-side * 1.2, 0.5, -0.6), 0.7 * warmth(0.4), shadow=False)
        return Lighting([key, rim], Ambient(0.26 * warmth(0.6), 0.18 * warmth(0.8)), 1.05, 0.55)
    if preset == "ring":
        key = Light(towards(0.08 * side, some(0.15, 0.3)), 1.9 * tone, size=0.3)
        return Lighting([key], Ambient(0.32 * tone, 0.24 * tone), 1.0, 0.7)
    if preset == "evening":
        key = Light(towards(side * 1.1, 0.35, 0.8), 1.5 * warmth(0.9), size=0.12)
        rim = Light(towards(-side * 1.2, 0.4, -0.3), 0.8 * warmth(-0.9))
        return Lighting([key, rim], Ambient(0.18 * warmth(-0.7), 0.14 * warmth(0.5)), 1.1, 0.45)
    if preset == "outdoors":
        sun = Light(
            towards(side * some(0.5, 1.0), some(0.8, 1.2), some(0.3, 0.8)),
            2.4 * warmth(0.25),
            size=0.05,
        )
        fill = Light(towards(-side * 0.7, 0.1), 0.35 * warmth(-0.3), shadow=False)
        return Lighting([sun, fill], Ambient(0.55 * warmth(-0.5), 0.30 * warmth(0.2)), 0.92, 1.1)
    if preset == "office":
        key = Light(towards(side * some(0.1, 0.4), 1.3, 0.9), 1.35 * warmth(-0.1), size=0.4)
        second = Light(towards(-side * some(0.5, 0.9), 0.9, 0.9), 0.7 * warmth(-0.05), size=0.4)
        return Lighting([key, second], Ambient(0.46 * tone, 0.30 * tone), 1.0, 1.0)
    key = Light(
        towards(0.1 * side, -0.12), 1.05 * warmth(-0.7), size=0.3
    )  # a screen before the face
    lamp = Light(towards(side * 1.1, 0.7, 0.3), 1.1 * warmth(0.6), size=0.15)
    return Lighting([key, lamp], Ambient(0.28 * tone, 0.20 * tone), 1.05, 0.6)


@njit(cache=True, parallel=True, fastmath=True)
def backdrop(wide, x, y, height, width, gain):
    """A window (height, width, 3) into a wider background, its corner at (x, y), between texels."""
    out = np.empty((height, width, 3), np.float32)
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    for row in prange(height):
        a = min(max(row + y0, 0), wide.shape[0] - 1)
        b = min(a + 1, wide.shape[0] - 1)
        for column in range(width):
            c = min(max(column + x0, 0), wide.shape[1] - 1)
            d = min(c + 1, wide.shape[1] - 1)
            for k in range(3):
                top = wide[a, c, k] * (1 - fx) + wide[a, d, k] * fx
                low = wide[b, c, k] * (1 - fx) + wide[b, d, k] * fx
                out[row, column, k] = gain * (top * (1 - fy) + low * fy)
    return out


def grain(generator, strength=1.6, tile=256):
    """A tile of sensor noise in grey levels (tile, tile, 3): mostly brightness, some colour."""
    grey = generator.normal(0, strength, (tile, tile, 1))
    colour = generator.normal(0, 0.45 * strength, (tile, tile, 3))
    return (grey + colour).astype(np.float32)


@njit(cache=True, parallel=True, fastmath=True)
def develop(image, noise, shift_x, shift_y, vignette):
    """What a lens and a sensor add, in place: darker corners, and grain that is stronger in shade.

    image: (H, W, 3) uint8. noise: from grain(); shift: where its tile starts. vignette in [0, 1].
    """
    height, width = image.shape[0], image.shape[1]
    tile = noise.shape[0]
    scale = np.float32(4.0 / (width * width + height * height))
    for row in prange(height):
        dy = np.float32(row - 0.5 * height)
        for column in range(width):
            dx = np.float32(column - 0.5 * width)
            far = (dx * dx + dy * dy) * scale
            dark = 1 - vignette * far * far
            for k in range(3):
                value = image[row, column, k] * dark
                rough = noise[(row + shift_y) % tile, (column + shift_x) % tile, k]
                value += rough * (1.25 - value * np.float32(0.003))
                image[row, column, k] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
