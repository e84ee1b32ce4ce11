"""face-alignment's 68 landmarks (Bulat & Tzimiropoulos, ICCV 2017), many faces at a time."""

import numpy as np

from hmdlib import device, weights
from hmdlib.libraries import load_library

FAN, S3FD = "2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth"
"""The weights' files: of the landmarks, and of the face detector in front."""


class FaceAlignment:
    """face-alignment's 68-point network behind its S3FD face detector (Bulat & Tzimiropoulos 2017).

    Its own batch call goes frame by frame, tests each face twice and compiles for minutes; here the
    faces of a batch of frames go through the network together, once.
    """

    def __init__(self, video=None, side=480):
        load_library("face_alignment.detection.sfd")  # first: the weights are 186 MB
        self.paths = weights.find(FAN), weights.find(S3FD)
        self.side, self.boxes, self.network = side, None, None

    def __call__(self, images, first_index):
        if self.network is None:
            self._load()
        found = [self._boxes(image) for image in images]
        crops, places = [], []
        for image, boxes in zip(images, found, strict=True):
            for box in boxes:
                center, scale = self._place(box)
                crops.append(self.utils.crop(image, center, scale))
                places.append((center, scale))
        points = self._landmarks(crops, places)
        ends = np.cumsum([len(boxes) for boxes in found])
        return np.split(points, ends[:-1])

    def _load(self):
        import torch
        from face_alignment import utils
        from face_alignment.detection.sfd import FaceDetector
        from face_alignment.models import FAN as Network

        self.utils, self.device = utils, str(device())
        self.network = Network(4)
        self.network.load_state_dict(
            torch.load(self.paths[0], map_location="cpu", weights_only=True)
        )
        self.network.to(self.device).eval()
        self.boxes = FaceDetector(self.device, path_to_detector=str(self.paths[1]))

    def _boxes(self, image):
        """Face boxes (x1, y1, x2, y2, score); searched in a small copy, since S3FD is slow."""
        from PIL import Image

        factor = max(1.0, max(image.shape[:2]) / self.side)
        size = round(image.shape[1] / factor), round(image.shape[0] / factor)
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        return [
            np.append(np.array(b[:4]) * factor, b[4]) for b in self.boxes.detect_from_image(small)
        ]

    def _place(self, box):
        """The network's own framing of a face box: centre a little above the middle, and scale."""
        width, height = box[2] - box[0], box[3] - box[1]
        center = np.array([box[0] + width / 2, box[1] + height / 2])
        center[1] -= self.utils.CENTER_Y_OFFSET * height
        return center, (width + height) / self.utils.REFERENCE_SCALE

    def _landmarks(self, crops, places, batch=16):
        import torch

        points = [np.zeros((0, 68, 2), np.float32)]
        for start in range(0, len(crops), batch):
            stack = torch.from_numpy(np.stack(crops[start : start + batch])).permute(0, 3, 1, 2)
            with torch.inference_mode():
                heat = self.network(stack.to(self.device).float() / 255)
            heat = (heat[-1] if isinstance(heat, list) else heat).float().cpu().numpy()
            points += [peaks(one, *place) for one, place in zip(heat, places[start:], strict=False)]
        return np.concatenate(points)


def peaks(heat, center, scale):
    """Heat maps (68, 64, 64) of a face framed at `center`, `scale` -> (1, 68, 2) picture pixels.

    The peak is refined by a quarter pixel towards its higher neighbour, as the network's authors
    do, without their rounding to whole picture pixels, which makes landmarks jump.
    """
    count, size, _ = heat.shape
    rows, columns = np.unravel_index(heat.reshape(count, -1).argmax(1), (size, size))
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    for point, row, column, one in zip(points, rows, columns, heat, strict=True):
        if 0 < row < size - 1 and 0 < column < size - 1:
            point[0] += 0.25 * np.sign(one[row, column + 1] - one[row, column - 1])
            point[1] += 0.25 * np.sign(one[row + 1, column] - one[row - 1, column])
    framed = (points + 0.5) / size - 0.5  # of the square, counted from its middle
    return (framed * (200 * scale) + center).astype(np.float32)[None]
