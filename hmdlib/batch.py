"""One notebook of the study, executed by papermill: kernel, progress, peak memory, clear errors."""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from hmdlib import ROOT, InputError, study


class Stopped(RuntimeError):
    """A notebook failed or was interrupted. The message is the block to show, without traceback."""


def execute(path, output, parameters, watch):
    """papermill, with its errors in our words: InputError or Stopped."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    output.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            output,
            parameters,
            kernel_name="python3",
            language="python",
            cwd=ROOT,
            progress_bar=False,
            # written once, at the end or at an error: else before and after every cell, in whole,
            # which takes seconds
            request_save_on_cell_execute=False,
            # whatever a notebook keeps is on disk by its last cell, and torch takes a second or two
            # to leave
            shutdown_kernel="immediate",
            on_cell_start=watch.on_cell_start,
            stdout_file=watch,
        )
    except papermill.PapermillExecutionError as error:
        raise explain(path, output, error) from None
    except (DeadKernelError, CellTimeoutError):
        memory = f"{watch.peak / 2**30:.1f} GiB were in use"
        raise Stopped(
            f"{path.stem} stopped: its process died in cell {watch.cell}, most often for lack of"
            f" memory ({memory})\n  Close other programs or lower image_size, then run it again."
        ) from None
    except KeyboardInterrupt:
        # asyncio would tell of the broken-off cell at exit, a page long
        logging.getLogger("asyncio").disabled = True
        raise Stopped(
            f"{path.stem} was interrupted in cell {watch.cell}; the same command goes on from there"
        ) from None


def explain(path, output, error):
    """One clear block about a failed cell; an InputError stays one line."""
    cells = json.loads(output.read_text())["cells"]
    added = {"papermill-error-cell-tag", "injected-parameters"}
    # Two error marks stand in the executed copy by now: one on top, one before the failed cell.
    upto = cells[: error.cell_index + 3]
    own = [cell for cell in upto if not added & set(cell["metadata"].get("tags", []))]
    where = f"cell {len(own)}"  # as the notebook's author counts: from 1, prose too
    message = re.sub(r"\x1b\[[\d;]*m", "", error.evalue).strip()
    if error.ename == "InputError":
        return InputError(f"{path.stem}, {where}: {' '.join(message.split())}")
    text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))
    line = re.search(r"(?m)^-+> *\d+ *(.*)", text)
    block = [f"{path.stem} stopped at {where} (In [{error.exec_count}] of the executed copy)"]
    block += [f"    {line.group(1).strip()}"] if line else []
    block += [f"  {error.ename}: {row}" for row in message.splitlines()[:1] or [""]]
    block += [f"    {row}" for row in message.splitlines()[1:6]]
    block += [f"  The executed copy: {study.shown(output)}"]
    return Stopped(
        "\n".join([*block, "  Mend it and give the same command: it goes on from here."])
    )


@contextlib.contextmanager
def python_kernel():
    """Let the kernel name python3 mean this very interpreter, whatever a user has installed.

    HMDLIB_BATCH=1 tells the notebooks that nobody watches: ten lines of log, no progress bars.
    """
    from ipykernel.kernelspec import get_kernel_dict  # its command begins with sys.executable

    old = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "HMDLIB_BATCH")}
    with tempfile.TemporaryDirectory() as place:
        spec = get_kernel_dict()
        spec["argv"].append("--log-level=CRITICAL")  # its own talk; cells' errors come to us anyway
        study.write_json(Path(place) / "kernels/python3/kernel.json", spec)
        parts = filter(None, [place, old["JUPYTER_PATH"]])
        os.environ.update(JUPYTER_PATH=os.pathsep.join(parts), HMDLIB_BATCH="1")
        try:
            yield
        finally:
            for name, value in old.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


class Watch:
    """Time, peak memory and progress of a notebook while it runs.

    Memory is the sum over this process's children, looked at twice a second. On a terminal one
    line is kept up to date; in a log, one line a minute.
    """

    def __init__(self, name, say):
        self.name, self.say, self.cell, self.told = name, say, 0, ""
        self.peak, self.seconds, self.ended = 0, 0.0, threading.Event()
        self.live = sys.stdout.isatty()

    def on_cell_start(self, cell, cell_index):
        self.cell += "injected-parameters" not in cell.metadata.get("tags", [])

    def write(self, text):
        """papermill gives us what the cells print: the last line shows how far they are."""
        self.told = next((row for row in reversed(text.splitlines()) if row.strip()), self.told)

    def flush(self):
        """papermill asks files for this."""

    def __enter__(self):
        self.begin = time.monotonic()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.seconds = time.monotonic() - self.begin
        if self.live:
            print("\r\x1b[K", end="", flush=True)

    def _look(self):
        import psutil

        process, next_line = psutil.Process(), 60
        while not self.ended.wait(0.5):
            used = 0
            for child in process.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    used += child.memory_info().rss
            self.peak = max(self.peak, used)
            passed = time.monotonic() - self.begin
            line = f"  {self.name:<28} {minutes(passed):>8}, cell {self.cell}  {self.told.strip()}"
            if self.live:
                print(
                    "\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1], end="", flush=True
                )
            elif passed > next_line:
                next_line += 60
                self.say(line)


def minutes(seconds):
    """62.4 -> "1 min 02 s"."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
