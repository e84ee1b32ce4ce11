"""The album keeps what a network drew, through interruptions, and shows it in order."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("agg")

from hmdlib.album import Album  # noqa: E402  (the backend must be chosen first)


@pytest.fixture
def half():
    """A network that draws everything at half its brightness."""
    model = torch.nn.Conv2d(3, 3, 1, bias=False)
    model.weight.data = 0.5 * torch.eye(3)[..., None, None]
    return model


def test_what_was_drawn_is_kept_and_found_again_by_another_run(tmp_path, half):
    inputs = torch.tensor([0.2, 0.6])[:, None, None, None].expand(2, 3, 8, 8)
    first = Album(tmp_path, inputs, live=False)
    for images in (1000, 20):
        first(SimpleNamespace(images=images, history=None), half)
    pages = Album(tmp_path, inputs, live=False).pages()
    assert list(pages) == [20, 1000]
    np.testing.assert_array_equal(pages[20][:, 0, 0, 0], np.round(255 * np.array([0.1, 0.3])))


def test_figure_goes_from_input_over_time_to_truth(tmp_path, half):
    inputs = torch.ones(3, 3, 8, 8)
    album = Album(tmp_path, inputs, live=False)
    for images in (10, 20, 30, 40):
        album(SimpleNamespace(images=images, history=None), half)
    figure = album.figure(count=2, pictures=2, truth=torch.zeros(3, 3, 8, 8))
    (page,) = figure.axes
    greys = [picture.get_array()[0, 0, 0] for picture in page.images]
    assert greys == [255, 128, 128, 0] * 2  # two rows: input, first, last, truth
    assert [text.get_text() for text in page.texts] == ["input", "10 images", "40 images", "truth"]
