"""Which triangle or hair does each sample of the picture see? Z-buffers, also those of shadows.

Buffers hold the inverse distance (0 = nothing, larger = nearer; linear over a triangle on the
screen) and an id: t >= 0 is triangle t, -2 - s is hair segment s, -1 is nothing. The picture is
cut into strips of rows that are filled independently, so the result does not depend on threads.
"""

import math

import numpy as np
from numba import njit, prange

STRIPS = 16


@njit(cache=True, fastmath=True, inline="always")
def edge(ax, ay, bx, by, px, py):
    """Twice the signed area of the triangle a, b, p."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


@njit(cache=True, fastmath=True)
def _fill_triangle(near, ids, t, screen, triangles, both_sides, low, high):
    """Put triangle t into rows low..high wherever it is nearer than what is there."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
    bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
    cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
    area = edge(ax, ay, bx, by, cx, cy)
    if area >= 0.0 and not both_sides or abs(area) < 1e-9 or min(az, bz, cz) <= 0.0:
        return  # rows grow downwards, so a triangle that faces the camera has a negative area
    top = max(low, int(math.ceil(min(ay, by, cy) - 0.5)))
    bottom = min(high, int(math.floor(max(ay, by, cy) - 0.5)) + 1)
    left = max(0, int(math.ceil(min(ax, bx, cx) - 0.5)))
    right = min(near.shape[1], int(math.floor(max(ax, bx, cx) - 0.5)) + 1)
    inverse = 1.0 / area
    step_b = -(ay - cy) * inverse
    step_c = -(by - ay) * inverse
    for y in range(top, bottom):
        wb = edge(cx, cy, ax, ay, left + 0.5, y + 0.5) * inverse
        wc = edge(ax, ay, bx, by, left + 0.5, y + 0.5) * inverse
        for x in range(left, right):
            if wb >= 0.0 and wc >= 0.0 and wb + wc <= 1.0:
                depth = az + wb * (bz - az) + wc * (cz - az)
                if depth > near[y, x]:
                    near[y, x] = depth
                    ids[y, x] = t
            wb += step_b
            wc += step_c


@njit(cache=True, parallel=True, fastmath=True)
def fill_triangles(near, ids, screen, triangles, both_sides):
    """Rasterise all triangles. screen (V, 3): x, y in samples and a nearness that is > 0."""
    height = near.shape[0]
    for strip in prange(STRIPS):
        low, high = strip * height // STRIPS, (strip + 1) * height // STRIPS
        for t in range(len(triangles)):
            ya, yb = screen[triangles[t, 0], 1], screen[triangles[t, 1], 1]
            yc = screen[triangles[t, 2], 1]
            if min(ya, yb, yc) <= high and max(ya, yb, yc) >= low:
                _fill_triangle(near, ids, t, screen, triangles, both_sides[t], low, high)


@njit(cache=True, fastmath=True, inline="always")
def scatter(n):
    """A number in [0, 1) that looks random but belongs to n for ever."""
    mask = np.uint64(0xFFFFFFFF)  # numba widens products of uint32 to 64 bits
    h = (np.uint64(n) * np.uint64(2654435761)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    return float(h) / 4294967296.0


@njit(cache=True, fastmath=True)
def _fill_segment(near, ids, segment, threshold, screen, s, k, wide_a, wide_b, low, high):
    """Draw one hair segment, never thinner than a sample.

    A hair thinner than a sample is drawn with the probability that its width has: each hair keeps
    its own threshold, so that fur neither boils in a video nor grows heavy far away.
    """
    dx, dy = screen[s, k + 1, 0] - screen[s, k, 0], screen[s, k + 1, 1] - screen[s, k, 1]
    depth_a, depth_step = screen[s, k, 2], screen[s, k + 1, 2] - screen[s, k, 2]
    steep = abs(dy) > abs(dx)
    from_major, from_minor = screen[s, k, 0], screen[s, k, 1]
    span, drift = dx, dy
    if steep:
        from_major, from_minor, span, drift = from_minor, from_major, dy, dx
    slant = min(math.sqrt(dx * dx + dy * dy) / max(abs(span), 1e-6), 1.42)
    start = int(math.ceil(min(from_major, from_major + span) - 0.5))
    stop = int(math.ceil(max(from_major, from_major + span) - 0.5))
    limit = near.shape[0] if steep else near.shape[1]
    if steep:
        start, stop = max(start, low), min(stop, high)
    for m in range(max(start, 0), min(stop, limit)):
        t = (m + 0.5 - from_major) / span if abs(span) > 1e-6 else 0.5
        width = wide_a + t * (wide_b - wide_a)
        if width < threshold:
            continue
        half = 0.5 * max(width, 1.0) * slant
        centre = from_minor + t * drift
        depth = depth_a + t * depth_step
        first = int(math.ceil(centre - half - 0.5))
        last = max(first, int(math.ceil(centre + half - 0.5)) - 1)
        for n in range(first, last + 1):
            y, x = (m, n) if steep else (n, m)
            if y < low or y >= high or x < 0 or x >= near.shape[1]:
                continue
            if depth > near[y, x]:
                near[y, x] = depth
                ids[y, x] = -2 - segment


@njit(cache=True, parallel=True, fastmath=True)
def fill_strands(near, ids, screen, widths):
    """Rasterise hairs. screen (S, K, 3): x, y in samples, nearness; widths (S, K) in samples."""
    height, count, points = near.shape[0], screen.shape[0], screen.shape[1]
    for strip in prange(STRIPS):
        low, high = strip * height // STRIPS, (strip + 1) * height // STRIPS
        for s in range(count):
            threshold = scatter(s)
            for k in range(points - 1):
                ya, yb = screen[s, k, 1], screen[s, k + 1, 1]
                if max(ya, yb) < low - 3 or min(ya, yb) > high + 3:
                    continue
                if min(screen[s, k, 2], screen[s, k + 1, 2]) <= 0.0:
                    continue
                segment = s * (points - 1) + k
                a, b = widths[s, k], widths[s, k + 1]
                _fill_segment(near, ids, segment, threshold, screen, s, k, a, b, low, high)


@njit(cache=True, parallel=True, fastmath=True)
def fill_hair_shadow(front, cover, screen, widths):
    """Hair as a shadow sees it: the nearest hair's nearness, and how much hair lies behind it.

    cover adds up the widths (in texels) of the hairs that cross each texel.
    """
    height, count, points = front.shape[0], screen.shape[0], screen.shape[1]
    for strip in prange(STRIPS):
        low, high = strip * height // STRIPS, (strip + 1) * height // STRIPS
        for s in range(count):
            for k in range(points - 1):
                ax, ay, az = screen[s, k, 0], screen[s, k, 1], screen[s, k, 2]
                bx, by, bz = screen[s, k + 1, 0], screen[s, k + 1, 1], screen[s, k + 1, 2]
                if max(ay, by) < low or min(ay, by) >= high:
                    continue
                steps = int(max(abs(bx - ax), abs(by - ay))) + 1
                for i in range(steps):
                    t = (i + 0.5) / steps
                    x, y = int(ax + t * (bx - ax)), int(ay + t * (by - ay))
                    if y < low or y >= high or x < 0 or x >= front.shape[1]:
                        continue
                    front[y, x] = max(front[y, x], az + t * (bz - az))
                    cover[y, x] += widths[s, k]


@njit(cache=True, fastmath=True)
def vertex_normals(vertices, triangles):
    """Smooth unit normals (V, 3): the mean of the triangles around, weighted by area."""
    normals = np.zeros_like(vertices)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        p = vertices
        ux, uy, uz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
        vx, vy, vz = p[k, 0] - p[i, 0], p[k, 1] - p[i, 1], p[k, 2] - p[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for n in (i, j, k):
            normals[n, 0] += nx
            normals[n, 1] += ny
            normals[n, 2] += nz
    for n in range(len(normals)):
        x, y, z = normals[n, 0], normals[n, 1], normals[n, 2]
        length = math.sqrt(x * x + y * y + z * z) + 1e-12
        normals[n, 0] = x / length
        normals[n, 1] = y / length
        normals[n, 2] = z / length
    return normals
