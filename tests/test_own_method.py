"""A reader's own method in the comparison: what its file must hold and give back."""

import pytest
import torch

from hmdlib import InputError
from hmdlib.peers import own


def written(folder, body, name="mine"):
    """A method from the body of its `paint`, loaded."""
    file = folder / "method.py"
    file.write_text(f"import torch\n\n\ndef paint(occluded, hidden):\n    {body}\n")
    return own.load({name: str(file)})[name]


def test_it_paints_any_number_of_pictures_clipped(tmp_path):
    """In parts: pictures come back in their order, and what lies beyond [0, 1] is clipped."""
    method = written(tmp_path, "return occluded + 2 * hidden")
    occluded, hidden = torch.rand(37, 3, 8, 8), torch.zeros(37, 1, 8, 8)
    hidden[:, :, :4] = 1
    drawn = method.paint(occluded, hidden)
    assert torch.equal(drawn[:, :, 4:], occluded[:, :, 4:]) and (drawn[:, :, :4] == 1).all()


def test_it_cannot_change_what_the_others_are_given(tmp_path):
    method = written(tmp_path, "return occluded.mul_(0)")
    occluded, hidden = torch.ones(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    assert method.paint(occluded, hidden).max() == 0 and occluded.min() == 1


@pytest.mark.parametrize(
    "body, problem",
    [
        ("return hidden", r"paint gave \(2, 1, 8, 8\); return a tensor \(2, 3, 8, 8\)"),
        ("return None", "paint gave a NoneType"),
        ("return occluded.numpy()", "paint gave a ndarray"),
        ("return occluded / hidden", "NaN or infinity"),
    ],
)
def test_a_wrong_result_is_one_clear_error(tmp_path, body, problem):
    method = written(tmp_path, body)
    with pytest.raises(InputError, match=problem):
        method.paint(torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8))


def test_a_wrong_file_or_name_is_one_clear_error(tmp_path):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(InputError, match="absent.py is not there"):
        own.load({"mine": str(tmp_path / "absent.py")})
    with pytest.raises(InputError, match="has no function paint"):
        own.load({"mine": str(tmp_path / "empty.py")})
    with pytest.raises(InputError, match="'paper' is the study's own"):
        own.load({"paper": str(tmp_path / "empty.py")}, taken=["paper"])
