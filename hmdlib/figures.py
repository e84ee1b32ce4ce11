"""Pictures to look at: grids, film strips, overlays, maps, curves and bars.

Pictures come as everywhere in the package: float tensors (N, 3, H, W) in [0, 1] or uint8 arrays
(N, H, W, 3). Overlays return uint8 pictures that go into a grid; the others return a matplotlib
Figure, which a notebook shows once: as the last line of its cell.
"""

import inspect
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

WIDTH = 9.6  # inches: the text column of a notebook page
DPI = 110
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")  # Okabe-Ito
INK = "#333333"
NO_LOSS = {
    "step",
    "images",
    "seconds",
    "images_per_second",
    "lr",
    "D_real",
    "code_mean",
    "code_std",
}
FACE_PARTS = (  # iBUG-68: (first, last + 1, closed)
    (0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False),
    (36, 42, True), (42, 48, True), (48, 60, True), (60, 68, True),
)  # fmt: skip


def as_uint8(images):
    """Any picture or stack of pictures as a uint8 stack (N, H, W, 3), ready to draw.

    images: (N, 3, H, W) or (N, 1, H, W) float in [0, 1] (values outside are cut off), (N, H, W, 3)
    or (N, H, W) uint8, one such picture without N, or a list of pictures of one size.
    """
    if isinstance(images, (list, tuple)):
        return np.concatenate([as_uint8(image) for image in images])
    if hasattr(images, "detach"):
        images = images.detach().float().cpu().numpy()
    images = np.asarray(images)
    if images.dtype != np.uint8:
        if images.ndim >= 3 and images.shape[-3] in (1, 3):
            images = np.moveaxis(images, -3, -1)
        images = np.round(np.clip(np.nan_to_num(images), 0, 1) * 255).astype(np.uint8)
        images = images[..., 0] if images.shape[-1] == 1 else images
    if images.shape[-1] != 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    return images if images.ndim == 4 else images[None]


def _canvas(width, height):
    """An empty figure of so many inches that is shown by returning it, and only then."""
    figure = plt.figure(figsize=(width, height), dpi=DPI)
    plt.close(figure)  # otherwise a notebook would show it a second time at the end of the cell
    return figure


def _plain(axes):
    """Quiet axes: no box, pale lines at the ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK)
    return axes


def save(figure, path):
    """Write a figure to a file and hand it back, so that the same line can show it."""
    figure.savefig(path, dpi=DPI, bbox_inches="tight", facecolor="white")
    return figure


def source(thing):
    """The source of a function or class in colours: the method is there to be read."""
    from IPython.display import HTML
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    look = "font-family: monospace; font-size: 90%; line-height: 1.35; margin: 0.4em"
    formatter = HtmlFormatter(noclasses=True, nobackground=True, prestyles=look)
    return HTML(highlight(inspect.getsource(thing), PythonLexer(), formatter))


def show_grid(images, titles=None, labels=None, columns=None, scale=None):
    """Pictures side by side, names above the columns and beside the rows.

    images: one stack, laid out in rows of `columns`, or a list of stacks, one a row.
    titles: a name for each column (or, when there are as many as pictures, for each picture).
    labels: a name for each row. scale: inches a picture; by default what fills the page.
    """
    if isinstance(images, (list, tuple)) and np.ndim(images[0]) == 4:
        rows = [as_uint8(row) for row in images]
    else:
        stack = as_uint8(images)
        columns = columns or len(stack)
        rows = [stack[start : start + columns] for start in range(0, len(stack), columns)]
    across = max(len(row) for row in rows)
    height, width = rows[0].shape[1:3]
    left = 0.07 * max(len(str(label)) for label in labels) + 0.15 if labels else 0.0
    scale = scale or min(2.4 * width / height, (WIDTH - left) / across)
    tall, gap = scale * height / width, 0.04
    each_titled = titles is not None and len(titles) > across
    above = 0.24 if titles is not None else 0.0
    step = tall + gap + (above if each_titled else 0.0)
    whole = len(rows) * step + (0.0 if each_titled else above)
    figure = _canvas(left + across * (scale + gap), whole)
    # one page in inches from its upper left corner: axes for each picture take five times as long
    page = figure.add_axes([0, 0, 1, 1])
    page.set_axis_off()
    words = {"fontsize": 9, "color": INK}
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            bottom = (r + 1) * step - gap + (0.0 if each_titled else above)
            x, top = left + c * (scale + gap), bottom - tall
            page.imshow(picture, extent=(x, x + scale, bottom, top))
            name = r * across + c if each_titled else (c if r == 0 else None)
            if titles is not None and name is not None and name < len(titles):
                page.text(x + scale / 2, top - 4 / 72, titles[name], ha="center", **words)
            if labels and c == 0:
                page.text(
                    x - 0.04 * scale, top + tall / 2, labels[r], ha="right", va="center", **words
                )
    page.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0), aspect="auto")
    return figure


def around_eyes(images, landmarks, tall=0.6):
    """Cut a band around the eyes out of each picture: the part that people look at first.

    images: (N, 3, S, S). landmarks: (N, 68, 2) pixels. tall: the band's height over its width,
    which is 1.8 times the widest pair of eyes, corner to corner, and one for all. Returns (N, 3, h,
    w), moved inwards where a band would leave its picture.
    """
    points, side = landmarks[:, 36:48], images.shape[-1]
    width = min(int(1.8 * (points[..., 0].amax(1) - points[..., 0].amin(1)).max()) + 4, side)
    height = min(int(tall * width), side)
    corners = (points.mean(1) - points.new_tensor([width, height]) / 2).round().long()
    corners = corners.clamp(min=0).minimum(corners.new_tensor([side - width, side - height]))
    return torch.stack([
        image[:, y : y + height, x : x + width]
        for image, (x, y) in zip(images, corners.tolist(), strict=True)
    ])  # fmt: skip


def strip(images, times=None, count=8, scale=None):
    """A film strip: `count` frames evenly spread over a session, with the second above each.

    images: a stack, also memory-mapped: only the frames shown are read. times: (N,) seconds.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
    titles = None if times is None else [f"{times[index]:.1f} s" for index in chosen]
    return show_grid(as_uint8(images[chosen]), titles=titles, scale=scale)


def comparison_figure(columns, labels=None, scale=None):
    """One column a method, one row a frame: the figure of every comparison (Figs. 4 to 6).

    columns: {name: stack of N pictures}, in the order wanted. labels: N names of the rows.
    """
    stacks = [as_uint8(images) for images in columns.values()]
    rows = [np.stack(row) for row in zip(*stacks, strict=True)]
    return show_grid(rows, titles=list(columns), labels=labels, scale=scale)


def overlay_landmarks(images, landmarks, zoom=3, colour="#00e5ff", lines=True):
    """The 68 points, and the lines of the face parts, drawn over the pictures.

    landmarks: (N, 68, 2) pixels of the pictures, the first pixel's middle at (0.5, 0.5); NaN (no
    face) leaves a picture as it is.
    Returns uint8 (N, zoom*H, zoom*W, 3): enlarged first, so that the points stay small.
    """
    landmarks = np.asarray(landmarks, dtype=float).reshape(-1, 68, 2)
    drawn = []
    for image, points in zip(as_uint8(images), landmarks, strict=True):
        height, width = image.shape[:2]
        picture = Image.fromarray(image).resize((width * zoom, height * zoom), Image.BICUBIC)
        if np.isfinite(points).all():
            _draw_face(ImageDraw.Draw(picture), points * zoom, colour, lines)
        drawn.append(np.asarray(picture))
    return np.stack(drawn)


def _draw_face(pen, points, colour, lines):
    """Lines of the face parts, then the points; points (68, 2) in the picture's pixels."""
    size = max(1.0, min(0.012 * np.ptp(points[:, 0]), 0.006 * pen.im.size[0]))
    for first, last, closed in FACE_PARTS if lines else ():
        part = [tuple(point) for point in points[first:last]]
        pen.line(part + part[:1] * closed, fill=colour, width=1)
    for x, y in points:
        pen.ellipse((x - size, y - size, x + size, y + size), fill=colour)


def overlay_boxes(images, boxes, colours=COLOURS):
    """Squares drawn over the pictures, each box in a colour of its own.

    boxes: K rows x, y, side in pixels of the pictures. Returns uint8 (N, H, W, 3).
    """
    drawn = []
    for image in as_uint8(images):
        picture = Image.fromarray(image)
        for number, (x, y, side) in enumerate(np.asarray(boxes, dtype=float)):
            colour = colours[number % len(colours)]
            width = max(1, image.shape[1] // 250)
            ImageDraw.Draw(picture).rectangle((x, y, x + side, y + side), None, colour, width)
        drawn.append(np.asarray(picture))
    return np.stack(drawn)


def overlay_map(images, maps, strength=0.6, colours="magma", low=0.0, high=1.0):
    """A map in colour over the grey picture: attention, error or mask.

    maps: (N, h, w) or (N, C, h, w), averaged over C; enlarged to the pictures. `low` and `high` are
    the values at the two ends of the colours (None: the map's own). Returns uint8 (N, H, W, 3).
    """
    images = as_uint8(images)
    maps = maps.detach().float().cpu().numpy() if hasattr(maps, "detach") else np.asarray(maps)
    maps = maps.mean(axis=1) if maps.ndim == 4 else maps
    low = maps.min() if low is None else low
    high = maps.max() if high is None else high
    size = images.shape[2], images.shape[1]
    drawn = []
    for image, values in zip(images, (maps - low) / max(high - low, 1e-9), strict=True):
        large = Image.fromarray(values.astype(np.float32)).resize(size, Image.BILINEAR)
        colour = plt.get_cmap(colours)(np.clip(np.asarray(large), 0, 1))[..., :3]
        grey = image.mean(axis=-1, keepdims=True) / 255
        drawn.append(strength * colour + (1 - strength) * grey)
    return np.round(255 * np.stack(drawn)).astype(np.uint8)


def loss_curves(history, losses=None, smooth=1):
    """One panel a loss against the steps, the stages as numbered bands, named above the panels.

    history: DataFrame as training.train writes it: a column `step` (else the row number), perhaps
    `stage`, and one column a loss. losses: which columns; by default every other number.
    smooth: rows that a running mean covers.
    """
    numbers = history.select_dtypes("number").dropna(axis=1, how="all").columns
    losses = losses or [name for name in numbers if name not in NO_LOSS]
    across = min(3, len(losses))
    down = math.ceil(len(losses) / across)
    figure = _canvas(WIDTH, 2.3 * down + 0.2)
    steps = history["step"] if "step" in history else history.reset_index().index.to_series()
    for number, name in enumerate(losses):
        axes = _plain(figure.add_subplot(down, across, number + 1))
        values = history[name].rolling(smooth, min_periods=1).mean()
        there = values.notna().to_numpy()
        axes.plot(steps[there], values[there], color=COLOURS[0], linewidth=1.4)
        axes.set_title(name, fontsize=9, color=INK)
        axes.set_xlim(steps.min(), max(steps.max(), steps.min() + 1))
        _stage_bands(axes, history, steps)
        if number >= len(losses) - across:
            axes.set_xlabel("step", fontsize=8, color=INK)
    figure.tight_layout()
    if "stage" in history:
        names = enumerate(history["stage"].unique(), 1)
        named = "stages:   " + "   ".join(f"{number} {name}" for number, name in names)
        high = figure.get_size_inches()[1]
        figure.subplots_adjust(top=figure.subplotpars.top - 0.22 / high)
        figure.text(0.01, 1 - 0.06 / high, named, va="top", fontsize=8, color=INK)
    return figure


def _stage_bands(axes, history, steps):
    """Every second stage shaded, each with its number at the panel's top (names do not fit)."""
    if "stage" not in history:
        return
    for number, (_, rows) in enumerate(history.groupby("stage", sort=False), 1):
        first, last = steps[rows.index].min(), steps[rows.index].max()
        if number % 2 == 0:
            axes.axvspan(first, last, color="#f2f2f2", zorder=0)
        axes.text((first + last) / 2, 0.97, str(number), transform=axes.get_xaxis_transform(),
                  ha="center", va="top", fontsize=7, color="#888888")  # fmt: skip


def bars(table, unit="", low=None):
    """Grouped bars with their values: one group a row of the table, one colour a column.

    table: DataFrame of numbers. low: where the axis begins (default 0).
    """
    groups, colours = table.shape
    figure = _canvas(WIDTH, 0.26 * groups * colours + 0.22 * groups + 0.6)
    axes = _plain(figure.add_subplot())
    for number, name in enumerate(table.columns):
        places = np.arange(groups) * (colours + 0.8) + number
        drawn = axes.barh(places, table[name], height=0.9, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, fmt="%.3g", fontsize=8, padding=3, color=INK)
        drawn.set_label(str(name))
    middles = np.arange(groups) * (colours + 0.8) + (colours - 1) / 2
    axes.set_yticks(middles, [str(row) for row in table.index], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(left=low)
    axes.set_xlabel(unit, fontsize=8, color=INK)
    if colours > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    return figure


def scatter(groups, x_name="", y_name="", height=3.2):
    """Clouds of points, one colour a group: {name: (N, 2) values}."""
    figure = _canvas(0.7 * WIDTH, height)
    axes = _plain(figure.add_subplot())
    for number, (name, points) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(*np.asarray(points).T, s=8, alpha=0.5, color=colour, label=name, linewidths=0)
    axes.set_xlabel(x_name, fontsize=8, color=INK)
    axes.set_ylabel(y_name, fontsize=8, color=INK)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    return figure


def curves(x, lines, x_name="", y_name="", height=2.4):
    """Several lines over one axis, named in a legend: {name: values}, each as long as x.

    A line without a number keeps its colour free and is not named.
    """
    figure = _canvas(WIDTH, height)
    axes = _plain(figure.add_subplot())
    for number, (name, values) in enumerate(lines.items()):
        if not np.isfinite(values).any():
            continue
        axes.plot(x, values, color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=name)
    axes.set_xlabel(x_name, fontsize=8, color=INK)
    axes.set_ylabel(y_name, fontsize=8, color=INK)
    if len(lines) > 1:  # beside the curves, not over them
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    return figure
