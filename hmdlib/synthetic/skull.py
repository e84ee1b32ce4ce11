"""A head as something for hair to lie on."""

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree


class Skull:
    """A head's surface as a distance from its middle in each direction, looked up fast.

    points (V, 3): the head's vertices at rest, face, ears and neck too. scale: this head's height
    over the mean head's, for places that are given on the mean head.
    """

    centre = np.array([0.0, 2.5, -4.5])

    def __init__(self, points, scale=1.0, rows=90, columns=180):
        self.scale = scale
        away = points - self.centre
        distance = np.linalg.norm(away, axis=1)
        tree = cKDTree(away / distance[:, None])
        polar = (np.arange(rows) + 0.5) * np.pi / rows
        around = (np.arange(columns) + 0.5) * 2 * np.pi / columns - np.pi
        polar, around = np.meshgrid(polar, around, indexing="ij")
        grid = np.stack(
            [np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1
        )
        gap, near = tree.query(grid.reshape(-1, 3), k=4)
        weight = 1 / (gap + 1e-3) ** 2
        self.table = ((distance[near] * weight).sum(1) / weight.sum(1)).reshape(rows, columns)

    def radius(self, away):
        """Distance from the middle to the surface along each direction (..., 3), any length."""
        length = np.linalg.norm(away, axis=-1) + 1e-9
        polar = np.arccos(np.clip(away[..., 1] / length, -1, 1))
        around = np.arctan2(away[..., 0], away[..., 2])
        rows, columns = self.table.shape
        place = [polar * rows / np.pi - 0.5, (around + np.pi) * columns / (2 * np.pi) - 0.5]
        place[0] = np.clip(place[0], 0, rows - 1)
        return map_coordinates(self.table, place, order=1, mode="grid-wrap")

    def between(self, points, low, high):
        """Points moved so that they lie from low to high cm above the surface; the neck is free."""
        away = points - self.centre
        length = np.linalg.norm(away, axis=-1) + 1e-9
        above = length - self.radius(away)
        move = np.clip(above, low, np.maximum(high, low)) - above
        free = np.where(move < 0, (points[..., 1] + 1.0) / 3, (points[..., 1] + 9.0) / 3)
        return points + away * (move * np.clip(free, 0, 1) / length)[..., None]
