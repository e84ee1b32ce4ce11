"""What a network draws of the same few pictures while it learns: kept, shown live, shown after."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hmdlib import figures
from hmdlib.progress import interactive


class Album:
    """Pictures of a training as it goes along; give it to training.train as `on_sample`.

    folder: where each row of pictures is kept as a PNG named after the images seen by then, so that
    a training that was interrupted shows all of them. inputs: (N, 3, S, S) in [0, 1], what the
    network gets. live: show curves and pictures while training; by default when somebody watches.
    """

    def __init__(self, folder, inputs, live=None):
        self.folder, self.inputs = Path(folder), inputs
        self.live = interactive() if live is None else live
        self.handles = {}

    @torch.no_grad()
    def __call__(self, position, model):
        device = next(model.parameters()).device
        drawn = figures.as_uint8(model(self.inputs.to(device)))  # (N, S, S, 3)
        self.folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(list(drawn), axis=1)).save(self._page(position.images))
        if self.live:
            self._show("pictures", figures.show_grid(drawn))
            if position.history is not None and len(position.history.rows) > 1:
                self._show("curves", figures.loss_curves(position.history.table(), smooth=3))

    def _page(self, images):
        return self.folder / f"{images:09d}.png"

    def _show(self, name, figure):
        """Draw, and the next time draw again at the same place of the page."""
        from IPython.display import display

        if name in self.handles:
            self.handles[name].update(figure)
        else:
            self.handles[name] = display(figure, display_id=True)

    def pages(self):
        """All that was kept: {images seen: (N, S, S, 3) uint8}, in order."""
        kept = {}
        for path in sorted(self.folder.glob("*.png")):
            strip = np.asarray(Image.open(path))
            kept[int(path.stem)] = np.stack(np.split(strip, strip.shape[1] // strip.shape[0], 1))
        return kept

    def figure(self, count=6, pictures=4, truth=None):
        """One row a picture, one column a time: `count` times spread evenly, first to last.

        truth: (N, 3, S, S), a last column to compare with.
        """
        pages = self.pages()
        times = sorted(pages)
        times = [times[i] for i in np.unique(np.linspace(0, len(times) - 1, count).astype(int))]
        columns = {f"{time:,} images": pages[time][:pictures] for time in times}
        columns = {"input": self.inputs[:pictures], **columns}
        if truth is not None:
            columns["truth"] = truth[:pictures]
        return figures.comparison_figure(columns)
