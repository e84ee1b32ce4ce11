"""The landmark finder: what its second look reads, and what it cannot change."""

import pytest
import torch

from hmdlib import InputError, model_files
from hmdlib.landmark_finder import LandmarkFinder
from hmdlib.model_files import start_ours_from
from hmdlib.ours import Ours

CHANNELS = (4, 6, 8)


@pytest.fixture
def maps():
    """The coarsest maps of two pictures, and the two finest."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 8, 8, 8), (2, 4, 32, 32), (2, 6, 16, 16)
    coarsest, *finer = (torch.rand(shape, generator=generator) for shape in shapes)
    return coarsest, finer


@pytest.fixture
def finder():
    """One whose second look has learnt something."""
    torch.manual_seed(0)
    one = LandmarkFinder(CHANNELS, 16).eval()
    torch.nn.init.normal_(one.correct[-1].weight)
    return one


def test_the_second_look_corrects_nothing_at_first(maps):
    one = LandmarkFinder(CHANNELS, 16)
    torch.nn.init.normal_(one.first[-1].weight, std=0.05)
    first, second = one(*maps)
    assert torch.equal(first, second) and second.shape == (2, 68, 2)


def test_it_reads_the_finer_maps_where_the_first_look_found_a_landmark_and_nowhere_else(
    finder, maps
):
    """The first look gives the average face, some half of the picture wide, in its middle."""
    coarsest, finer = maps
    with torch.no_grad():
        before = finder(coarsest, finer)[-1]
        aside, amid = ([one.clone() for one in finer] for _ in range(2))
        for one in aside:
            one[..., : one.shape[3] // 8] += 3.0  # the left border
        for one in amid:
            one[:, 0, one.shape[2] // 2] += 3.0  # a line across the eyes
        assert torch.equal(finder(coarsest, aside)[-1], before)
        assert (finder(coarsest, amid)[-1] - before).abs().max() > 1e-3


def test_dim_light_changes_nothing_in_what_is_read(finder, maps):
    coarsest, finer = maps
    with torch.no_grad():
        dim = finder(coarsest, [0.3 * one for one in finer])
        torch.testing.assert_close(dim, finder(coarsest, finer), atol=1e-4, rtol=0)


def test_it_learns_to_correct_what_the_first_look_cannot_see():
    """A bright column marks the true place in the finer maps; the coarsest are empty."""
    torch.manual_seed(0)
    finder = LandmarkFinder(CHANNELS, 32)
    learning = torch.optim.Adam(finder.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)

    def lesson(count):
        shift = 0.2 * (torch.rand(count, generator=generator) - 0.5)  # some 6 pixels of 64
        across = (torch.arange(32) + 0.5) / 16 - 1
        ramp = (across - shift[:, None]).abs()[:, None, None].expand(-1, 1, 32, -1)
        fine = torch.cat([ramp, 1 - ramp, ramp.square(), torch.ones_like(ramp)], dim=1)
        half = torch.nn.functional.avg_pool2d(fine, 2)[:, [0, 1, 2, 3, 0, 1]]
        truth = finder.first[-1].bias.detach().view(68, 2) + torch.stack(
            [shift, torch.zeros(count)], dim=1)[:, None]  # fmt: skip
        return torch.zeros(count, 8, 8, 8), [fine, half], truth

    finder.first.requires_grad_(False)
    for _ in range(100):
        coarsest, finer, truth = lesson(16)
        loss = (finder(coarsest, finer)[-1] - truth).abs().mean()
        learning.zero_grad()
        loss.backward()
        learning.step()
    coarsest, finer, truth = lesson(64)
    with torch.no_grad():
        once, twice = ((look - truth).abs().mean() for look in finder(coarsest, finer))
    assert twice < 0.4 * once


def test_each_look_is_taught_by_its_own_error(finder, maps):
    for look, whose in ((0, finder.first), (1, finder.correct)):
        finder.zero_grad()
        (finder(*maps)[look] - 0.3).abs().mean().backward()
        for part in (finder.first, finder.correct):
            assert bool(part[-1].bias.grad.any()) == (part is whose)


def test_one_that_looks_once_may_begin_with_one_that_looks_twice_and_not_the_other_way(tmp_path):
    torch.manual_seed(1)
    twice, file = Ours(64, 8).eval(), tmp_path / "ours.safetensors"
    torch.nn.init.normal_(twice.texture.pictures, std=0.05)
    model_files.save(file, twice)
    once = Ours(64, 8, looks_again=False).eval()
    start_ours_from(once, file)
    images, hidden = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    hidden[..., 20:36, 10:50] = 1
    with torch.no_grad():  # the second look has learnt nothing yet
        assert torch.equal(once(images, hidden), twice(images, hidden))
    model_files.save(file, once)
    with pytest.raises(InputError, match=r"looks_again=False \(wanted True\)"):
        start_ours_from(Ours(64, 8), file)
