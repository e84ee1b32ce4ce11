"""Figures: what goes in comes out as pictures, in the right order, nothing hidden or invented."""

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

matplotlib.use("agg")

from hmdlib import figures  # noqa: E402


def shown(figure):
    """The pictures of a grid in reading order."""
    (page,) = figure.axes
    return [picture.get_array() for picture in page.images]


def words(figure):
    """The names of a grid in reading order, each with its place (x, y) in inches from the top."""
    (page,) = figure.axes
    return {text.get_text(): text.get_position() for text in page.texts}


def grey(*levels):
    """One flat 8 x 8 picture a level: (N, 8, 8, 3) uint8."""
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def test_floats_become_the_same_bytes_that_they_came_from():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    as_floats = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert np.array_equal(figures.as_uint8(as_floats), images)
    assert np.array_equal(figures.as_uint8([as_floats[:1], images[1]]), images)


@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (1, 6, 6), (3, 6, 6), (2, 3, 6, 6)])
def test_masks_and_single_pictures_become_a_stack_of_rgb(shape):
    stack = figures.as_uint8(torch.ones(shape))
    assert stack.shape == (shape[0] if len(shape) == 4 else 1, 6, 6, 3) and (stack == 255).all()


def test_values_outside_the_range_are_cut_off_not_wrapped():
    image = torch.tensor([-1.0, 0.0, 2.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert figures.as_uint8(image)[0, 0, 0].tolist() == [0, 0, 255]


def test_a_grid_keeps_reading_order_and_names():
    figure = figures.show_grid(
        grey(10, 20, 30, 40), titles=["a", "b"], labels=["x", "y"], columns=2
    )
    assert [int(picture[0, 0, 0]) for picture in shown(figure)] == [10, 20, 30, 40]
    assert list(words(figure)) == ["a", "x", "b", "y"]
    corners = [picture.get_extent() for picture in figure.axes[0].images]  # left, right, low, high
    for name, (x, y) in words(figure).items():
        if name in "ab":  # above the middle of its column
            left, right, _, top = corners["ab".index(name)]
            assert x == pytest.approx((left + right) / 2) and y < top
        else:  # before the middle of its row
            left, _, low, top = corners[2 * "xy".index(name)]
            assert x < left and y == pytest.approx((low + top) / 2)


def test_a_grid_with_a_name_for_every_picture_shows_every_name():
    figure = figures.show_grid(grey(1, 2, 3), titles=["a", "b", "c"], columns=2)
    assert list(words(figure)) == ["a", "b", "c"]
    assert words(figure)["a"][0] == words(figure)["c"][0]  # one column
    first, _, third = (picture.get_extent() for picture in figure.axes[0].images)
    assert first[2] < words(figure)["c"][1] < third[3]  # between the rows


def test_pictures_of_a_grid_do_not_overlap():
    figure = figures.show_grid([grey(1, 2), grey(3, 4)], titles=["a", "b"], labels=["x", "y"])
    corners = np.array([picture.get_extent() for picture in figure.axes[0].images])
    (left, right, low, high), wide, tall = corners.T, *figure.get_size_inches()
    assert right[0] < left[1] and low[0] < high[2]
    assert min(left.min(), high.min()) > 0 and right.max() <= wide and low.max() <= tall
    assert figure.axes[0].get_xlim() == (0, wide) and figure.axes[0].get_ylim() == (tall, 0)
    np.testing.assert_allclose(right - left, low - high)  # square pictures stay square


def test_a_strip_shows_first_and_last_frame_with_their_seconds():
    figure = figures.strip(grey(*range(100)), times=np.arange(100) / 10, count=4)
    assert [int(picture[0, 0, 0]) for picture in shown(figure)] == [0, 33, 66, 99]
    assert list(words(figure))[-1] == "9.9 s"


def test_a_comparison_has_a_column_a_method_and_a_row_a_frame():
    columns = {"input": grey(1, 2), "ours": torch.zeros(2, 3, 8, 8), "truth": grey(5, 6)}
    figure = figures.comparison_figure(columns, labels=["0 s", "1 s"])
    assert [int(picture[0, 0, 0]) for picture in shown(figure)] == [1, 0, 5, 2, 0, 6]


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError):
        figures.comparison_figure({"input": grey(1, 2), "truth": grey(1)})


def test_landmarks_are_drawn_where_they_are_and_a_missing_face_changes_nothing():
    landmarks = np.full((2, 68, 2), 20.0)
    landmarks[1] = np.nan
    drawn = figures.overlay_landmarks(np.zeros((2, 32, 32, 3), np.uint8), landmarks, zoom=2)
    rows, columns = np.nonzero(drawn[0].sum(axis=-1))
    assert drawn.shape == (2, 64, 64, 3) and drawn[1].sum() == 0
    assert abs(rows.mean() - 40) < 1 and abs(columns.mean() - 40) < 1


def test_a_box_is_drawn_on_its_edges_only():
    drawn = figures.overlay_boxes(np.zeros((1, 40, 40, 3), np.uint8), [(10, 5, 20)])[0].sum(axis=-1)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 25, 10, 30)
    assert drawn[6:25, 11:30].sum() == 0


def test_a_map_is_bright_where_it_is_large():
    maps = torch.zeros(1, 4, 8, 8)
    maps[..., 4:] = 1  # the right half, in each of four channels
    drawn = figures.overlay_map(np.zeros((1, 32, 32, 3), np.uint8), maps).astype(float)
    assert drawn.shape == (1, 32, 32, 3) and drawn[:, :, 20:].mean() > 4 * drawn[:, :, :12].mean()


def test_curves_draw_every_loss_once_and_leave_the_bookkeeping_out():
    history = pd.DataFrame({"step": [1, 2], "stage": ["a", "b"], "rec": [2.0, 1.0], "lr": 1e-3})
    figure = figures.loss_curves(history)
    assert [axes.get_title() for axes in figure.axes] == ["rec"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2"]
    assert figure.texts[0].get_text().split() == ["stages:", "1", "a", "2", "b"]


def test_bars_are_as_long_as_their_numbers():
    table = pd.DataFrame(
        {"frame": [20.0, 29.0], "hidden": [15.0, 22.0]}, index=["baseline", "paper"]
    )
    lengths = [patch.get_width() for patch in figures.bars(table, "dB").axes[0].patches]
    assert lengths == [20.0, 29.0, 15.0, 22.0]


def test_source_shows_the_code_that_runs():
    page = figures.source(figures.as_uint8).data
    assert "as_uint8" in page and "np.clip" in re.sub("<[^>]*>", "", page)


def test_a_saved_figure_is_handed_back(tmp_path):
    figure = figures.strip(grey(1, 2))
    assert figures.save(figure, tmp_path / "strip.png") is figure
    assert (tmp_path / "strip.png").stat().st_size > 0
