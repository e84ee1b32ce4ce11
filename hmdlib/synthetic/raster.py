"""A small deferred renderer: meshes and hair strands in, picture, depth and labels out.

Lengths are centimetres. The camera stands at the origin and looks along -z, x to the picture's
right, y up; a head is some 60 to 80 cm away. Colours are linear light, 1 = a white sheet in full
light; the picture that comes out is tone-mapped sRGB. Same input, same picture: nothing is random.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from . import resolve, sampling, visibility

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
        """Colour, roughness and bump slopes at falling sizes: list of (h, w, CHANNELS) float32."""
        maps = [np.asarray(m) for m in (self.albedo, self.roughness, self.bump) if m is not None]
        size = next((m.shape[:2] for m in maps if m.ndim >= 2), (1, 1))
        texels = np.zeros((*size, sampling.CHANNELS), np.float32)
        texels[..., :3] = self.albedo
        texels[..., 3] = self.roughness
        if self.bump is not None:
            slope_v, slope_u = np.gradient(np.asarray(self.bump, np.float32))
            texels[..., 4], texels[..., 5] = slope_u * size[1], slope_v * size[0]
        levels = [texels]
        while min(levels[-1].shape[:2]) > 4 and not any(n % 2 for n in levels[-1].shape[:2]):
            fine = levels[-1]
            levels.append(
                (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4
            )
        return levels


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
    (H, W) cm along the axis, 0 = background; label: uint8 (H, W). Transparent meshes
    (opacity < 1) change the image only.
    """
    size = (camera.height, camera.width)
    solid = [mesh for mesh in meshes if mesh.material.opacity >= 1]
    glass = [mesh for mesh in meshes if mesh.material.opacity < 1]
    surface, atlas = _surface(solid, camera), _atlas(tuple(m.material for m in solid))
    hair = _hair(strands, camera)
    detail = int(np.clip(2 * max(size), 256, 768))  # texels a side of a shadow map
    lamps = _lights(lights, ambient, solid, strands, detail)
    near = np.zeros((2 * size[0], 2 * size[1]), np.float32)
    ids = np.full(near.shape, -1, np.int32)
    _fill(near, ids, surface, solid)
    if strands:
        visibility.fill_strands(near, ids, hair.screen, _widths(strands, camera))
    if background is None:
        background = np.zeros((*size, 3))
    background = np.ascontiguousarray(background, np.float32)
    image, depth, label = resolve.resolve(
        near, ids, surface, atlas, hair, lamps, background, exposure
    )
    if glass:
        ids[:] = -1
        surface, atlas = _surface(glass, camera), _atlas(tuple(m.material for m in glass))
        _fill(near, ids, surface, glass)
        open_lamps = lamps._replace(casts=np.zeros_like(lamps.casts))  # glints outshine shadows
        resolve.glaze(image, near, ids, surface, atlas, open_lamps, exposure)
    return np.round(image * 255).astype(np.uint8), depth, label


def _screen(points, camera):
    """Points (..., 3) cm -> x, y in samples (two a pixel) and nearness 1 / distance, float32."""
    points = np.asarray(points, np.float32)
    screen = np.empty_like(points)
    screen[..., :2] = 2 * camera.project(points)
    screen[..., 2] = 1 / -points[..., 2]
    return screen


def _surface(meshes, camera):
    """Many meshes as one set of arrays."""

    def joined(parts, shape, kind=np.float32):
        return np.concatenate([np.asarray(p, kind) for p in parts] or [np.zeros(shape, kind)])

    counts = [len(mesh.vertices) for mesh in meshes]
    starts = np.cumsum([0, *counts])
    vertices = joined([m.vertices for m in meshes], (0, 3))
    triangles = joined(
        [m.triangles + n for m, n in zip(meshes, starts, strict=False)], (0, 3), np.int32
    )
    uv = joined(
        [np.zeros((n, 2)) if m.uv is None else m.uv for m, n in zip(meshes, counts, strict=True)],
        (0, 2),
    )
    normals = [
        visibility.vertex_normals(np.asarray(m.vertices, np.float32), m.triangles)
        if m.normals is None
        else m.normals
        for m in meshes
    ]
    open_sky = [
        np.ones(n) if m.occlusion is None else m.occlusion
        for m, n in zip(meshes, counts, strict=True)
    ]
    looks = [m.material for m in meshes]
    matter = [[1.0, k.specular, k.subsurface, k.emission, k.opacity] for k in looks]
    sizes = [len(mesh.triangles) for mesh in meshes]
    return sampling.Surface(
        vertices,
        joined(normals, (0, 3)),
        uv,
        joined(open_sky, (0,)),
        _screen(vertices, camera),
        triangles,
        sampling.gradients(vertices, uv, triangles),
        np.repeat(np.arange(len(meshes), dtype=np.int32), sizes),
        np.array(matter, np.float32).reshape(-1, 5),
        np.array([k.label for k in looks], np.uint8),
    )


@lru_cache(maxsize=8)
def _atlas(materials):
    """The texture pyramids of some materials, flat; the last few atlases are kept for reuse."""
    levels = np.zeros((len(materials), 12, 3), np.int64)
    texels, offset = [np.zeros(1, np.float32)], 1
    for m, material in enumerate(materials):
        for n, level in enumerate(material.pyramid[:12]):
            levels[m, n] = offset, *level.shape[:2]
            texels.append(level.ravel())
            offset += level.size
    return sampling.Atlas(np.concatenate(texels), levels)


def _spread(value, count):
    """A number or an array of one per strand, as (count,) float32."""
    return np.broadcast_to(np.asarray(value, np.float32), (count,))


def _hair(strands, camera):
    """Many strand sets as one; all need the same number of points K (None gives an empty set)."""
    if not strands:
        none = np.zeros((0, 2, 3), np.float32)
        flat = np.zeros((0, 2), np.float32)
        return sampling.Hair(
            none, none, none, flat[:, [0, 0, 0]], flat, flat[:, 0].copy(), np.zeros(0, np.uint8)
        )
    points = np.concatenate([np.asarray(s.points, np.float32) for s in strands])
    tangents = np.empty_like(points)
    tangents[:, 1:-1] = points[:, 2:] - points[:, :-2]
    tangents[:, 0], tangents[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    tangents /= np.linalg.norm(tangents, axis=-1, keepdims=True) + 1e-9
    open_sky = [
        np.ones(s.points.shape[:2]) if s.occlusion is None else s.occlusion for s in strands
    ]
    count = [len(s.points) for s in strands]
    return sampling.Hair(
        points,
        tangents,
        _screen(points, camera),
        np.concatenate([np.asarray(s.colours, np.float32) for s in strands]),
        np.concatenate(open_sky).astype(np.float32),
        np.concatenate([_spread(s.gloss, n) for s, n in zip(strands, count, strict=True)]),
        np.repeat(np.array([s.label for s in strands], np.uint8), count),
    )


def _thickness(strands):
    """Diameter of every strand at every point, cm (S, K)."""
    parts = []
    for s in strands:
        count, points = s.points.shape[:2]
        fall = 1 + (s.taper - 1) * np.linspace(0, 1, points, dtype=np.float32) ** 2
        parts.append(2 * _spread(s.radius, count)[:, None] * fall)
    return np.concatenate(parts)


def _widths(strands, camera):
    """Diameter of every strand at every point, in samples (S, K)."""
    distance = -np.concatenate([np.asarray(s.points[..., 2], np.float32) for s in strands])
    return (_thickness(strands) * 2 * camera.focal_px / distance).astype(np.float32)


def _fill(near, ids, surface, meshes):
    """Rasterise the surface into the buffers."""
    two_sided = np.array([m.material.two_sided for m in meshes], bool)
    both = two_sided[surface.mesh_of]
    visibility.fill_triangles(near, ids, surface.screen, surface.triangles, both)


def _lights(lights, ambient, meshes, strands, resolution):
    """The lights with their shadow maps, which cover all that casts a shadow."""
    count = len(lights)
    frames = np.zeros((count, 3, 4), np.float32)
    maps = [np.zeros((count, resolution, resolution), np.float32) for _ in range(3)]
    casts = np.array([light.shadow for light in lights], bool)
    casting = [m for m in meshes if m.material.shadow]
    hairs = [s for s in strands if s.shadow]
    clouds = [m.vertices for m in casting] + [s.points[::8].reshape(-1, 3) for s in hairs]
    texel = 0.05
    if casts.any() and clouds:
        cloud = np.concatenate(clouds).astype(np.float32)
        centre = (cloud.min(0) + cloud.max(0)) / 2
        radius = np.linalg.norm(cloud - centre, axis=1).max() + 0.5
        texel = float(2 * radius / resolution)
    for i, light in enumerate(lights):
        if casts[i] and clouds:
            frames[i] = shadow_frame(light.direction, centre, radius, resolution)
            _shadow_map(frames[i], casting, hairs, texel, *(m[i] for m in maps))
    direction = np.array([light.direction for light in lights], np.float32).reshape(-1, 3)
    return sampling.Lights(
        direction / np.linalg.norm(direction, axis=1, keepdims=True),
        np.array([light.colour for light in lights], np.float32).reshape(-1, 3),
        np.array([light.size for light in lights], np.float32),
        np.array([ambient.sky, ambient.ground], np.float32),
        frames,
        *maps,
        casts & bool(clouds),
        texel,
    )


def shadow_frame(direction, centre, radius, resolution):
    """(3, 4): takes cm to texel x, texel y and nearness to the light in cm (> 0)."""
    z = np.asarray(direction, float) / np.linalg.norm(direction)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z])
    frame = np.concatenate([axes, (radius - axes @ centre)[:, None]], axis=1)
    frame[:2] *= resolution / (2 * radius)
    return frame


def _shadow_map(frame, meshes, strands, texel, depth, front, cover):
    """Fill one light's maps in place."""

    def seen(points):
        return (np.asarray(points, np.float32) @ frame[:, :3].T + frame[:, 3]).astype(np.float32)

    if meshes:
        starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
        triangles = np.concatenate(
            [m.triangles + n for m, n in zip(meshes, starts, strict=False)]
        ).astype(np.int32)
        points = np.concatenate([seen(m.vertices) for m in meshes])
        ids, both = np.empty(depth.shape, np.int32), np.ones(len(triangles), bool)
        visibility.fill_triangles(depth, ids, points, triangles, both)
    if strands:
        points = seen(np.concatenate([s.points for s in strands]))
        visibility.fill_hair_shadow(
            front, cover, points, (_thickness(strands) / texel).astype("f4")
        )
