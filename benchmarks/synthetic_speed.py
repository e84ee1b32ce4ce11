"""How fast synthetic people are made: frames a second of a session, pictures a second of a crowd.

    python benchmarks/synthetic_speed.py [--seconds 3] [--pictures 120] [--workers 2]

Rendering, encoding and the truth are all in it; what is compiled or baked once a machine is not.
"""

import argparse
import tempfile
import time
from pathlib import Path

from hmdlib.synthetic import people


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--workers", type=int, default=None)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        people.write_person(Path(folder) / "first", 7, 1, 0.1)  # compiles
        start = time.perf_counter()
        people.write_person(Path(folder) / "person", 7, 1, wish.seconds, workers=wish.workers)
        taken = time.perf_counter() - start
        print(f"video 1280x720: {wish.seconds * 30 / taken:.1f} frames/s ({taken:.1f} s in all)")
        start = time.perf_counter()
        people.render_collection(Path(folder) / "crowd", wish.pictures, 128, workers=wish.workers)
        taken = time.perf_counter() - start
        print(f"faces 128x128: {wish.pictures / taken:.1f} pictures/s ({taken:.1f} s in all)")


if __name__ == "__main__":
    main()
