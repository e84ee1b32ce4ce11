"""What long work tells while it goes: a bar for those who watch, a few lines for a log."""

import os
import sys
import time


def interactive():
    """Is somebody watching? A terminal, or a notebook that is not run as a batch.

    A batch run sets HMDLIB_BATCH=1, since a notebook's kernel cannot tell papermill from a person.
    """
    if os.environ.get("HMDLIB_BATCH"):
        return False
    return "ipykernel" in sys.modules or sys.stderr.isatty()


class Progress:
    """A bar for those who watch, some ten lines for those who read a log, nothing for tests.

    kind: "auto" (a bar if `interactive`, else lines), "bar", "lines" or "none".
    """

    def __init__(self, total, done=0, kind="auto", lines=10):
        kind = ("bar" if interactive() else "lines") if kind == "auto" else kind
        self.total, self.bar = total, None
        self.every = max(1, total // lines) if kind == "lines" else None
        if kind == "bar":
            from tqdm.auto import tqdm

            self.bar = tqdm(total=total, initial=done, unit="step")

    def advance(self, step, say):
        """One step done; `say()` makes the text, and is called only when it will be shown."""
        if self.bar is not None:
            self.bar.update()
            if step % 10 == 0:
                self.bar.set_postfix_str(say(), refresh=False)
        elif self.every and (step % self.every == 0 or step == self.total):
            print(f"step {step}/{self.total}  {say()}", flush=True)

    def close(self):
        if self.bar is not None:
            self.bar.close()


def watched(items, name, total=None, units="frames", every=30.0):
    """The items one by one, and word of how many are through: a bar for those who watch.

    For a log it is a line after every so many seconds, so that short work says nothing. total: how
    many will come, as far as one knows.
    """
    if interactive():
        from tqdm.auto import tqdm

        yield from tqdm(items, name, total, unit=f" {units}", leave=False)
        return
    said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - said >= every:
            said = time.monotonic()
            print(f"{name}: {done} of {total or 'an unknown number of'} {units}", flush=True)
