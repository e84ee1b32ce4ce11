"""The headset's picture: light on the mesh of `headset_shape`, and triangles into pixels."""

import numba
import numpy as np

from hmdlib.headset_shape import build, grid_triangles


def paint(model, pose, size, picture, opacity):
    """Draw one headset into picture (3, H, W) and opacity (H, W), both zero at the start.

    pose: a head_pose.Pose of one head. picture holds the headset's own colour also where it covers
    a pixel in part; opacity is that part, in quarters (2 x 2 samples a pixel).
    """
    mesh = build(model)
    seen = pose.project(mesh.points)[0, :, :2]
    layers = [(seen, _shade(mesh, pose.rotation[0], model), mesh.triangles)]
    if model.cable:
        layers.insert(0, _cable(model, pose, size))
    points = np.concatenate([layer[0] for layer in layers])
    low = np.clip(np.floor(points.min(axis=0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), 0, size[::-1]).astype(int)
    if (low >= high).any():  # wholly outside the picture
        return
    canvas = np.zeros((*2 * (high - low)[::-1], 4), np.float32)
    for points, colours, triangles in layers:
        _fill(canvas, (2 * (points - low)).astype(np.float32), colours, triangles)
    rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
    _shrink(canvas, picture[:, rows, columns], opacity[rows, columns])


def _cable(model, pose, size):
    """A cable from the headset's side straight down, as gravity wants, to the picture's edge.

    Returns points (V, 2) in pixels, colours (V, 3), triangles.
    """
    unit = pose.scale[0]
    start = np.array([[model.cable * 0.46 * model.width, model.drop + 0.1, 0.25]])
    x, y = pose.project(start)[0, 0, :2]
    way = np.linspace(0, 1, 25)
    length = max(size[0] - y, 0) + unit
    swing = model.cable * unit * (0.10 * np.sin(2.2 * way) + 0.03 * np.sin(9 * way))
    half = max(0.028 * unit, 0.5)
    over = np.linspace(-1, 1, 4)
    points = np.stack(
        [x + swing - half * over[:, None], np.broadcast_to(y + length * way, (4, 25))], axis=-1
    )
    light = np.array([0.05, 0.16, 0.09, 0.03])[:, None] * model.brightness
    colours = np.broadcast_to(light[..., None], (4, 25, 3)).reshape(-1, 3)
    return points.reshape(-1, 2), colours.astype(np.float32), grid_triangles(4, 25, False)


def _shade(mesh, rotation, model):
    """Colours (V, 3) in [0, 1]: soft light from above, one lamp, and what the gloss mirrors."""
    normals = mesh.normals @ rotation.T.astype(np.float32)
    lamp = np.array(model.light, np.float32)
    lamp /= np.linalg.norm(lamp)
    sky = 0.46 - 0.20 * normals[:, 1]  # y points down
    direct = np.maximum(normals @ lamp, 0) * 0.50
    mirrored = 2 * normals[:, 2:] * normals - np.array([0, 0, 1], np.float32)
    window = np.clip((mirrored @ lamp - 0.72) / 0.2, 0, 1)
    room = np.clip(0.16 - 0.25 * mirrored[:, 1], 0, 0.4)
    grazing = (1 - np.clip(normals[:, 2], 0, 1)) ** 3
    shine = mesh.gloss * (0.5 * window * window + (0.35 + 0.65 * grazing) * room)
    colours = mesh.albedo * (sky + direct)[:, None] + shine[:, None]
    return np.clip(colours * np.float32(model.brightness), 0, 1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _fill(canvas, points, colours, triangles):
    """Paint triangles that face the viewer into canvas (H, W, 4), the last channel = covered."""
    height, width = canvas.shape[:2]
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 0:
            continue
        first, last = max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)) + 1, height)
        left, right = max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)) + 1, width)
        # Shares of a, b and c at a sample; each is linear, so it grows by a constant along a row.
        grow_a, grow_b = (by - cy) / area, (cy - ay) / area
        for row in range(first, last):
            x, y = left + 0.5, row + 0.5
            share_a = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
            share_b = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
            for column in range(left, right):
                share_c = 1 - share_a - share_b
                if share_a >= -1e-5 and share_b >= -1e-5 and share_c >= -1e-5:
                    for k in range(3):
                        canvas[row, column, k] = (
                            share_a * colours[a, k]
                            + share_b * colours[b, k]
                            + share_c * colours[c, k]
                        )
                    canvas[row, column, 3] = 1
                share_a += grow_a
                share_b += grow_b


@numba.njit(cache=True, nogil=True)
def _shrink(canvas, picture, opacity):
    """Average 2 x 2 samples: colour over the covered ones, opacity over all."""
    for row in range(opacity.shape[0]):
        for column in range(opacity.shape[1]):
            block = canvas[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            covered = block[0, 0, 3] + block[0, 1, 3] + block[1, 0, 3] + block[1, 1, 3]
            if covered > 0:
                opacity[row, column] = covered / 4
                for k in range(3):
                    total = block[0, 0, k] + block[0, 1, k] + block[1, 0, k] + block[1, 1, k]
                    picture[k, row, column] = total / covered
