"""A reader's own method in the comparison: a Python file with one function.

    def paint(occluded, hidden):  # (N, 3, S, S) in [0, 1]; (N, 1, S, S), 1 = hidden
        ...
        return drawn              # (N, 3, S, S) in [0, 1]: the face without the headset

Notebooks 07 and 10 score whatever it draws like everybody else's pictures.
"""

import runpy
from dataclasses import dataclass
from pathlib import Path

import torch

from hmdlib import ROOT, InputError

BATCH = 16
"""How many pictures `paint` is given at most at once."""


@dataclass(frozen=True)
class Own:
    """Somebody's method, by its name in the tables. paint: as in the file, its result checked."""

    name: str
    file: Path
    function: callable

    @torch.no_grad()
    def paint(self, occluded, hidden):
        """What it draws, raw: (N, 3, S, S), clipped to [0, 1]. On the CPU.

        Raises InputError for a result of another shape or with values that are not finite.
        """
        parts = zip(occluded.split(BATCH), hidden.split(BATCH), strict=True)
        return torch.cat([self._checked(*part) for part in parts])

    def _checked(self, occluded, hidden):
        drawn = self.function(occluded.clone(), hidden.clone())
        wanted = tuple(occluded.shape)
        tensor = isinstance(drawn, torch.Tensor)
        got = tuple(drawn.shape) if tensor else f"a {type(drawn).__name__}"
        if got != wanted:
            raise InputError(
                f"{self.file}: paint gave {got}; return a tensor {wanted}, the drawn pictures"
            )
        drawn = drawn.detach().float().cpu()
        if not drawn.isfinite().all():
            raise InputError(f"{self.file}: paint drew NaN or infinity; return values in [0, 1]")
        return drawn.clamp(0, 1)


def load(methods, taken=()):
    """The methods of a notebook's parameter, name -> Own, in the same order.

    methods: name in the tables -> Python file, from the repository's root or absolute; the file is
    executed. taken: names that the study's own methods have. Raises InputError for such a name, a
    file that is not there, and one without a function `paint`.
    """
    for name, path in methods.items():
        if name in taken:
            raise InputError(f"methods: {name!r} is the study's own; choose another name")
        if not (ROOT / path).is_file():
            raise InputError(f"methods: {name}: {path} is not there; give a Python file")
    return {name: Own(name, Path(path), _paint_of(path)) for name, path in methods.items()}


def _paint_of(path):
    function = runpy.run_path(str(ROOT / path)).get("paint")
    if not callable(function):
        raise InputError(f"{path}: has no function paint(occluded, hidden); define one")
    return function
