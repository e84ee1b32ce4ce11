"""Headset (HMD) de-occlusion: the helper package of the study.

One idea a module; arrows run one way: study -> (notebooks) -> training, inference, widgets ->
networks, losses, dataset, metrics -> masks, faces, video.
"""

from pathlib import Path

__version__ = "0.1.0"

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: every relative path of a profile starts here, wherever a notebook runs."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line that names the file or parameter, what is wrong and what to do next;
    the command line and the batch run print it alone, without a traceback.
    """


def device(name="auto"):
    """The one choice of where tensors live: CUDA, then Apple's MPS, then the CPU.

    name: "auto", or "cuda", "mps" or "cpu" to insist. Returns a torch.device.
    Raises InputError when the device asked for is not there.
    """
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, works in there.items() if works)
    if not there.get(name, False):
        have = ", ".join(kind for kind, works in there.items() if works)
        raise InputError(f"device={name!r} is not available on this machine: choose one of {have}")
    return torch.device(name)


def define_missing_torchvision_operators():
    """Let torchvision be imported beside a CPU build of torch (lpips and piq import it).

    The registry's torchvision is linked against CUDA; beside a CPU torch its operators fail to load
    and `import torchvision` stops at "operator torchvision::nms does not exist". Naming the two
    operators that it looks for is enough: this package calls neither. Where torchvision imports by
    itself, nothing is changed.
    """
    import sys

    import torch

    if "torchvision" in sys.modules or getattr(torch.ops.torchvision, "nms", None) is not None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for loaded in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # dropping the library would undo the definition
        define_missing_torchvision_operators.library = library
