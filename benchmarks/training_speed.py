"""How many pictures a second does training see on this machine?

    python benchmarks/training_speed.py [--size 128] [--width 32] [--batch 16] [--threads 2]

One row per kind of stage: wall-clock images a second (median step), and processor seconds per
image, which other programs on the machine disturb less. Batches are made beforehand: only the
networks count.
"""

import argparse
import statistics
import time

import torch

from hmdlib import device as choose_device
from hmdlib.dataset import Batch
from hmdlib.iteration import choose_precision, train_step, update_average
from hmdlib.networks import Deoccluder
from hmdlib.plans import Stage
from hmdlib.training import make_players

CASES = {
    "bypassed, rec (step 1)": ({"rec": 1}, False),
    "bypassed, rec + ssim": ({"rec": 1, "ssim": 60}, False),
    "attention, rec + mask (step 2)": ({"rec": 1, "mask": 1}, True),
    "attention, rec + mask + ssim": ({"rec": 1, "mask": 1, "ssim": 60}, True),
    "attention, all four (with D)": ({"rec": 1, "mask": 1, "ssim": 60, "adv": 0.25}, True),
}


def measure(case, options, where):
    """(images a second, processor seconds an image) of one kind of stage."""
    weights, attention = CASES[case]
    stage = Stage(case, 10**6, weights, attention, batch_size=options.batch, window=options.window)
    model = Deoccluder(options.size, options.width)
    players = make_players(model, [stage], where, options.precision)
    players.enter(stage)
    images = torch.rand(options.batch, 3, options.size, options.size, device=where)
    hidden = (torch.rand(options.batch, 1, options.size, options.size, device=where) < 0.2).float()
    batch = Batch(images * (1 - hidden), images, hidden)
    average = Deoccluder(options.size, options.width).to(where).eval()
    wall, processor = [], []
    for number in range(2 + options.steps):
        start = time.perf_counter(), time.process_time()
        train_step(players, batch, stage, number)
        update_average(average, model, 0.999, number)
        if where.type == "cuda":
            torch.cuda.synchronize()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    # D learns at every second step: pairs of steps are alike, single ones are not
    pairs = [a + b for a, b in zip(wall[2::2], wall[3::2], strict=False)]
    rate = 2 * options.batch / statistics.median(pairs)
    return rate, sum(processor[2:]) / (options.batch * options.steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"size": 128, "width": 32, "batch": 16, "threads": 2, "steps": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--window", type=int, default=11, help="taps of the ssim term")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    where = choose_device(options.device)
    precision = choose_precision(options.precision, where)
    print(f"{where}, {precision}, {options.size} px, width {options.width}, batch {options.batch}")
    print(f"{'stage':34s} {'images/s':>9s} {'processor ms/image':>19s}")
    for case in CASES:
        rate, cost = measure(case, options, where)
        print(f"{case:34s} {rate:9.1f} {1000 * cost:19.1f}", flush=True)


if __name__ == "__main__":
    main()
