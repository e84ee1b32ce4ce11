"""What a killed run leaves behind: half-written files that nobody will finish."""

import shutil
import time
from pathlib import Path

HOUR = 3600.0


def clear(folder, begins, ends=""):
    """Remove a folder's half-written files and folders that nobody has written to for an hour.

    begins, ends: of their names. Who is still at work writes more often, so another run's are left
    alone; and what cannot be removed stays, for it harms nobody.
    """
    try:
        inside = list(Path(folder).iterdir())
    except OSError:  # no folder, or one that we may not read: whoever needs it will say so
        return
    for path in inside:
        if not (path.name.startswith(begins) and path.name.endswith(ends)):
            continue
        try:
            parts = [path, *path.iterdir()] if path.is_dir() else [path]
            if time.time() - max(part.stat().st_mtime for part in parts) < HOUR:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError:  # gone meanwhile, or another user's
            continue
