"""Libraries that talk while they load, or that do not load everywhere."""

import contextlib
import importlib
import os
import sys

from hmdlib import InputError


@contextlib.contextmanager
def quiet():
    """Send what C++ libraries print at start to nowhere: file descriptor 2 itself is swapped."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def load_library(module):
    """Import a module, quietly, or say in one line why this machine cannot."""
    with loading(module.split(".")[0]), quiet():
        importlib.import_module(module)


@contextlib.contextmanager
def loading(library):
    """Make one line of what goes wrong when a library, or one that it stands on, is loaded."""
    try:
        yield
    except (ImportError, OSError) as error:
        why = " ".join(str(error).split())
        raise InputError(
            f"{library} does not load here ({why}); install what is missing (libGL: "
            "apt-get install libgl1 libglib2.0-0)"
        ) from None
