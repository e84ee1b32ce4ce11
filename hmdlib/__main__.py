"""The command line, thin: python -m hmdlib run | render | crops | deocclude."""

import argparse
import errno
import signal
import sys
from pathlib import Path

from hmdlib import InputError


def run(args):
    from hmdlib import batch, running

    # A batch system ends a job by SIGTERM: leave as tidily as on Ctrl-C, with no kernel behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running.run(args.profile, args.parameters, args.start, args.only, say=say)
    except batch.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 1


def render(args):
    from hmdlib.synthetic import people

    _, _, seed = args.person.partition("synthetic_")
    if not seed.isdigit():
        raise InputError(f"{args.person}: is no synthetic person; name one like synthetic_7")
    for path in people.write_person(args.folder, int(seed), args.sessions, args.seconds):
        say(path)


def crops(args):
    from hmdlib import dataset

    sessions = dataset.prepare_subject(
        args.videos, args.folder, args.image_size, detector=args.detector, tracking=args.tracking
    )
    for session in sessions:
        say(f"{session.name}: {len(session.frames)} frames")


def deocclude(args):
    from hmdlib import inference, masks

    headset = masks.Headset(args.wear, strap=True) if args.wear else None
    report = inference.deocclude_video(
        args.model, args.video, args.output, headset, args.box, args.detector,
        side_by_side=args.side_by_side, finder=args.finder,
    )  # fmt: skip
    say(report)


def say(line):
    print(line, flush=True)


def parser():
    top = argparse.ArgumentParser(prog="python -m hmdlib", description="Headset de-occlusion.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("run", help="run the study's notebooks with a profile")
    one.set_defaults(call=run)
    one.add_argument("profile", nargs="?", default="laptop", metavar="PROFILE")
    one.add_argument(
        "-p", nargs=2, action="append", default=[], dest="parameters", metavar=("NAME", "VALUE")
    )
    one.add_argument("--from", dest="start", metavar="NN", help="this notebook and all later ones")
    one.add_argument("--only", metavar="NN", help="this one notebook")

    one = commands.add_parser("render", help="render the videos of a synthetic person")
    one.set_defaults(call=render)
    one.add_argument("person", help="synthetic_7, or another number")
    one.add_argument("folder", type=Path)
    one.add_argument("--sessions", type=int, default=7)
    one.add_argument("--seconds", type=float, default=6)

    one = commands.add_parser("crops", help="cut the face out of every video of a folder")
    one.set_defaults(call=crops)
    one.add_argument("videos", type=Path)
    one.add_argument("folder", type=Path)
    one.add_argument("--image-size", type=int, default=128)
    one.add_argument("--detector", default="auto")
    one.add_argument("--tracking", default="fixed")

    one = commands.add_parser("deocclude", help="remove the headset from a video")
    one.set_defaults(call=deocclude)
    for name in ("model", "video", "output"):
        one.add_argument(name, type=Path)
    one.add_argument(
        "--wear", metavar="KIND", help="put a headset on first: visor, goggles, glasses"
    )
    one.add_argument(
        "--box", nargs=3, type=float, metavar=("X", "Y", "SIDE"),
        help="the head-and-shoulders square in pixels, where no detector finds a face",
    )  # fmt: skip
    one.add_argument("--detector", default="auto")
    one.add_argument(
        "--finder", type=Path, metavar="MODEL",
        help="the paper's model of the same person: it finds the headset for ours",
    )  # fmt: skip
    one.add_argument("--side-by-side", action="store_true", help="write input and result abreast")
    return top


def main(words=None):
    """Run one command; returns the exit code: 0, 1 (a notebook failed or was stopped), 2 (input),
    130 (Ctrl-C elsewhere)."""
    args = parser().parse_args(words)
    try:
        return args.call(args) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"{error.filename or 'disk'}: is full; make room and run it again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
