"""How much faster than the paper's model is ours on this machine, and what do its own forms save?

    python benchmarks/speed_of_ours.py [--size 128] [--width 32] [--rounds 200]

The networks take turns, one call each, so that a slow moment of the machine falls on both; medians.
Then the 1x1 convolutions and the pixel shuffles of ours, worked out by hmdlib.ours and by torch.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from hmdlib.networks import Deoccluder
from hmdlib.ours import CHANNELS, Ours, finer


def medians(rounds, *calls):
    """Median milliseconds of each call, a function with its arguments; they take turns."""
    taken = [[] for _ in calls]
    for _ in range(rounds + 3):
        for times, (call, *arguments) in zip(taken, calls, strict=True):
            began = time.perf_counter()
            call(*arguments)
            times.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(times[3:]) for times in taken]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    ours, paper = (kind(options.size, options.width).eval() for kind in (Ours, Deoccluder))
    print(f"{torch.get_num_threads()} threads; milliseconds a call, medians")
    for together in (1, 8):
        images = torch.rand(together, 3, options.size, options.size)
        hidden = (torch.rand_like(images[:, :1]) < 0.2).float()
        fast, slow = medians(options.rounds // together, (ours, images, hidden), (paper, images))
        print(f"{together} at a time: ours {fast:.1f}, the paper's {slow:.1f}: {slow / fast:.2f}")
        side = options.size // 2
        for place, share in zip(ours.meet, CHANNELS, strict=False):
            maps = torch.rand(together, int(share * options.width), side, side)
            by_torch = (F.conv2d, maps, place.weight, place.bias)
            took = medians(options.rounds, (place, maps), by_torch,
                           (finer, maps), (F.pixel_shuffle, maps, 2))  # fmt: skip
            print("  {} channels, {} x {}: 1x1 {:.3f} (torch {:.3f}), shuffle {:.3f} (torch {:.3f})"
                  .format(maps.shape[1], side, side, *took))  # fmt: skip
            side //= 2


if __name__ == "__main__":
    with torch.inference_mode():
        main()
