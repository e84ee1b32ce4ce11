"""What every test may use."""

import pytest

import hmdlib


@pytest.fixture(scope="session")
def shared():
    """The folder of real videos, portraits and parity numbers beside the repository."""
    folder = hmdlib.ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: it holds real files that the repository does not ship")
    return folder
