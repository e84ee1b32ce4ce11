"""Does a public detector take the shipped person for a face, and find its parts in their place?

    python benchmarks/detector_on_people.py [FOLDER] [--every 2]

MediaPipe's landmarker on every so many frames of each video in the folder (data/videos/synthetic_7)
against the truth beside it. Prints the share of frames with a face, and the medians of the distance
to the truth, in distances between the outer eye corners.
"""

import argparse
from pathlib import Path

import numpy as np

from hmdlib import ROOT, detectors, video

PARTS = {"eye corners": [36, 39, 42, 45], "nose tip": [30], "mouth corners": [48, 54], "chin": [8]}


def misses(path, every):
    """How far off each landmark is in each frame looked at: (N, 68), NaN where no face is found."""
    find = detectors.detector("mediapipe")
    with np.load(detectors.sidecar_path(path)) as sidecar:
        truth = sidecar["landmarks"][::every]
    found = np.full(truth.shape, np.nan)
    for number, (image, _) in enumerate(video.read(path, every)):
        seen = find(image[None], number)[0]
        if len(seen):
            found[number] = max(seen, key=lambda face: np.ptp(face[:, 0]))
    between = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    return np.linalg.norm(found - truth, axis=2) / between[:, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "data/videos/synthetic_7")
    parser.add_argument("--every", type=int, default=2)
    options = parser.parse_args()
    off = np.concatenate([misses(path, options.every) for path in options.folder.glob("*.mp4")])
    there = np.isfinite(off[:, 0])
    print(f"a face is found in {there.sum()} of {len(off)} frames")
    for name, points in PARTS.items():
        print(f"{name:14s} {np.median(off[there][:, points]):.3f}")


if __name__ == "__main__":
    main()
