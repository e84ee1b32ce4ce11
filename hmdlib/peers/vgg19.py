"""What VGG-19 sees in a picture: the features that perceptual losses compare.

The network of Simonyan and Zisserman (2015) as torchvision trained it on ImageNet. Whoever wants
ImageNet's mean and deviation taken off does so before; LaFIn does not.
"""

from pathlib import Path

import torch
from torch import nn

from hmdlib import InputError, weights

FILE = "vgg19-dcbb9e9d.pth"
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""(channels, convolutions) between the max-pools."""


class VGG19(nn.Module):
    """VGG-19 without its classifier. Its own weights never learn; gradients pass to the picture.

    forward: images (N, 3, H, W), names such as ("relu1_1", "relu5_2") -> list of those features, in
    that order; relu3_1 is (N, 256, H / 4, W / 4). Nothing beyond the deepest is computed.
    """

    def __init__(self):
        super().__init__()
        self.names, layers, channels_in = {}, [], 3
        for block, (channels, convs) in enumerate(BLOCKS, start=1):
            for number in range(1, convs + 1):
                layers += [nn.Conv2d(channels_in, channels, 3, 1, 1), nn.ReLU()]
                self.names[len(layers) - 1] = f"relu{block}_{number}"
                channels_in = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, images, names):
        found, features = {}, images
        for index, layer in enumerate(self.features):
            features = layer(features)
            if self.names.get(index) in names:
                found[self.names[index]] = features
            if len(found) == len(names):
                break
        return [found[name] for name in names]


def load_vgg19(path_or_state=None):
    """VGG-19 with torchvision's weights, in eval mode.

    path_or_state: the file or its state dict; None looks where model files are kept, then on the
    network (hmdlib.weights.find). Raises InputError that names the file, its address and where to
    put it.
    """
    state = weights.find(FILE) if path_or_state is None else path_or_state
    if isinstance(state, str | Path):
        state = torch.load(state, map_location="cpu", weights_only=True)
    network = VGG19()
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    if missing:
        raise InputError(f"VGG-19's weights: {missing[0]} is missing; give torchvision's {FILE}")
    network.load_state_dict({name: state[name] for name in own})
    return network.eval()
