"""A small deferred renderer: meshes and hair strands in, picture, depth and labels out.

Lengths are centimetres. The camera stands at the origin and looks along -z, x to the picture's
right, y up; a head is some 60 to 80 cm away. Colours are linear light, 1 = a white sheet in full
light; the picture that comes out is tone-mapped sRGB. Same input, same picture: nothing is random.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

SKIN, HAIR, OTHER = 1, 2, 3
"""Labels: 1 face and skin, 2 hair, 3 clothes and other things; 0 is the background."""


@dataclass(eq=False)
class Material:
    """How a surface looks. Make it once and keep it: its texture pyramid is computed once.

    albedo: (h, w, 3) linear [0, 1], or a colour (3,). Row 0 of a texture is v = 1 (the top).
    roughness: GGX roughness in [0.02, 1], or an (h, w) map. bump: (h, w) heights in cm, or None.
    specular: reflectance at normal incidence (skin 0.028, cloth 0.02, wet 0.04, metal 0.5).
    subsurface: 0 hard surface .. 1 skin (red light bleeds round the terminator).
    two_sided: False drops triangles that face away. shadow: casts one.
    emission: adds albedo * emission without light (0 for everything but screens and lamps).
    opacity: 1, or less for thin glass (every pixel of it is blended over what lies behind).
    """

    albedo: np.ndarray
    roughness: float | np.ndarray = 0.5
    specular: float = 0.03
    subsurface: float = 0.0
    bump: np.ndarray | None = None
    two_sided: bool = False
    label: int = SKIN
    shadow: bool = True
    emission: float = 0.0
    opacity: float = 1.0

    @cached_property
    def pyramid(self):
        """Maps (red, green, blue, roughness, height) at falling sizes, flat, and their shapes."""
        raise NotImplementedError


@dataclass(eq=False)
class Mesh:
    """Triangles in camera space, counter-clockwise seen from outside.

    vertices (V, 3) float32 cm; triangles (T, 3) int32; uv (V, 2) in [0, 1] (None for a constant
    material); occlusion (V,) in [0, 1], 1 = open sky (None = all open); normals (V, 3) or None
    for smooth ones computed from the triangles.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    material: Material
    uv: np.ndarray | None = None
    occlusion: np.ndarray | None = None
    normals: np.ndarray | None = None


@dataclass(eq=False)
class Strands:
    """Hairs, brows, lashes: S polylines of K points, root first.

    points (S, K, 3) cm; radius cm at the root (a number or (S,)), tapering to taper * radius at
    the tip; colours (S, 3) linear, the hair's own diffuse colour; occlusion (S, K) in [0, 1] or
    None: how much ambient light reaches each point (roots inside the hair get little);
    gloss: strength of the highlights; label: HAIR for head hair, SKIN for brows and lashes.
    """

    points: np.ndarray
    colours: np.ndarray
    radius: float | np.ndarray = 0.006
    taper: float = 0.4
    occlusion: np.ndarray | None = None
    gloss: float = 1.0
    label: int = HAIR
    shadow: bool = True


@dataclass
class Light:
    """A far light: direction points from the scene to the light; colour (3,) linear.

    size: angular radius in radians, softens shadows and widens highlights (sun 0.01, window 0.3).
    """

    direction: np.ndarray
    colour: np.ndarray
    shadow: bool = True
    size: float = 0.12


@dataclass
class Ambient:
    """Light from all round: sky from above, ground from below, blended by the normal's y."""

    sky: np.ndarray = field(default_factory=lambda: np.full(3, 0.35))
    ground: np.ndarray = field(default_factory=lambda: np.full(3, 0.2))


@dataclass
class Camera:
    """A pinhole: pixel x = centre_x + focal * X / -Z, pixel y = centre_y - focal * Y / -Z."""

    width: int
    height: int
    focal_px: float
    centre: tuple[float, float] | None = None

    def project(self, points):
        """(..., 3) cm -> (..., 2) pixels; (0, 0) is the top left corner of the picture."""
        points = np.asarray(points)
        centre = self.centre or (self.width / 2, self.height / 2)
        scale = self.focal_px / -points[..., 2]
        return np.stack(
            [centre[0] + scale * points[..., 0], centre[1] - scale * points[..., 1]], -1
        )


def render(meshes, strands, lights, ambient, camera, background=None, exposure=1.0):
    """Draw the scene. Returns (image, depth, label).

    background: (H, W, 3) linear, or None for black. image: uint8 sRGB (H, W, 3); depth: float32
    (H, W) cm along the axis, 0 = background; label: uint8 (H, W).
    """
    raise NotImplementedError
