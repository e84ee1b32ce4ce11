"""Those who judge the de-occluder while it learns: real or drawn, noise or code (Sec. III-B3)."""

import torch
from torch import nn

from hmdlib.networks import check_size, float32_region, mean_free


class Discriminator(nn.Module):
    """Real or drawn? DCGAN's discriminator as [3] has it: one logit per picture (Sec. III-B3).

    forward: images (N, 3, S, S) in [0, 1] -> logits (N,), the mean of a map of logits.
    width: channels of the first convolution, 32 in [3]. image_size 64 has one convolution less.
    """

    def __init__(self, width=32, image_size=256):
        super().__init__()
        check_size(image_size)
        self.architecture = {"width": width, "image_size": image_size}
        steps = [3, width, 2 * width, 4 * width, 8 * width] + [8 * width] * (image_size > 64)
        layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for a, b in zip(steps[1:], steps[2:], strict=False):
            conv = nn.Conv2d(a, b, 4, 2, 1, bias=False)
            layers += [conv, nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.judge = nn.Conv2d(steps[-1], 1, 4, 1, 0, bias=False)

    def forward(self, images):
        features = self.features(mean_free(images))  # (N, 256, 8, 8) at 256
        with float32_region(features):
            return self.judge(features.float()).mean(dim=(1, 2, 3))  # (N,)


class LatentDiscriminator(nn.Module):
    """Does this code look like standard-normal noise? [3]'s adversary of the codes (decision 14).

    forward: codes (N, latent) -> logits (N,). Dropout comes before the ReLU, as published.
    """

    def __init__(self, latent=99, hidden_units=1000):
        super().__init__()
        self.lin1 = nn.Linear(latent, hidden_units)
        self.lin2 = nn.Linear(hidden_units, hidden_units)
        self.lin3 = nn.Linear(hidden_units, 1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, codes):
        units = torch.relu(self.dropout(self.lin1(codes)))
        units = torch.relu(self.dropout(self.lin2(units)))
        return self.lin3(units)[:, 0]
