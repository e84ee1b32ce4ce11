"""Beyond the paper: one fusion at every scale, light ones, and a picture that keeps what is seen.

The paper lets everything under the headset come out of 99 numbers, averaged over the whole picture,
and fuses what the encoder saw at one scale, with four fat convolutions (78 % of the arithmetic).
Here the decoder meets the encoder at every scale up to that one: the coarse maps know where the jaw
is and how the light falls, and reach across the hole. Encoder and decoder stay the paper's, so that
weights of step 1 serve as the start. Notebook 06c takes it apart.
"""

import torch
from torch import nn

from hmdlib import InputError
from hmdlib.networks import Deoccluder, float32_region, load_weights, mean_free, with_mean


class ScaleFusion(nn.Module):
    """Weigh what is seen against what is imagined, as Eq. 1, and add what the two say together.

    forward: seen, imagined (N, c, h, w) -> (N, c, h, w). One look around in each channel apart,
    then products of channels in one place: 6 c^2 + 18 c multiplications a place, where the paper's
    module has 648 c^2. Starts near the decoder's side, without the addition.
    """

    def __init__(self, channels):
        super().__init__()
        both = 2 * channels
        self.look = nn.Conv2d(both, both, 3, 1, 1, groups=both)
        self.maps = nn.Conv2d(both, both, 1)
        self.together = nn.Conv2d(both, channels, 1)
        with torch.no_grad():
            self.maps.bias.copy_(torch.tensor([-2.0, 2.0]).repeat_interleave(channels))
            self.together.weight.zero_()
            self.together.bias.zero_()

    def forward(self, seen, imagined):
        both = torch.relu(self.look(torch.cat([seen, imagined], dim=1)))  # (N, 2c, h, w)
        trust_seen, trust_imagined = torch.sigmoid(self.maps(both)).chunk(2, dim=1)
        return seen * trust_seen + imagined * trust_imagined + self.together(both)


class Ours(Deoccluder):
    """A de-occluder that is told where the headset is and draws there, and only there.

    image_size, width, latent: as the paper's Deoccluder, whose encoder and decoder these are.
    every_scale: False fuses only where the paper does. keeps: False leaves the decoder's whole
    picture; True keeps the camera's pixels beside the headset up to a soft edge, whose width is
    learnt.

    forward: images (N, 3, S, S) in [0, 1] and hidden (N, 1, S, S) -> reconstruction (N, 3, S, S).
    With return_maps also the share of each pixel that is drawn, (N, 1, S, S) (None where all is).
    bypass_attention = True is step 1, as in the paper: everything through the code.
    """

    def __init__(self, image_size=128, width=32, latent=99, every_scale=True, keeps=True):
        super().__init__(image_size, width, latent, attention=False, mask_input=True)
        self.architecture = {"image_size": image_size, "width": width, "latent": latent,
                             "every_scale": every_scale, "keeps": keeps}  # fmt: skip
        channels = [8 * width, 4 * width, 2 * width, width, width]
        last = self.decoder.fused_after  # finer maps are costly, and what is seen is kept anyway
        places = range(last + 1) if every_scale else [last]
        self.attention = nn.ModuleDict({str(n): ScaleFusion(channels[n]) for n in places})
        self.edge = nn.ConvTranspose2d(width, 1, 4, 2, 1) if keeps else None
        if keeps:
            nn.init.constant_(self.edge.bias, -4.0)  # at first nearly nothing beside the headset

    def encode(self, images, hidden=None):
        """-> code (N, latent) and what decode needs: features of each scale, coarse to fine; the
        input and the mask."""
        size = self.architecture["image_size"]
        if images.shape[1:] != (3, size, size):
            raise InputError(f"images of shape {tuple(images.shape)}: wants (N, 3, {size}, {size})")
        if hidden is None:
            raise InputError("hidden=None: this model takes the mask as input; pass hidden=")
        encoder = self.encoder
        features, scales = encoder.stem(torch.cat([mean_free(images), hidden], dim=1)), []
        for stage in (encoder.enc0, encoder.enc1, encoder.enc2, encoder.enc3, encoder.enc4):
            if stage is not None:
                features = stage(features)
                scales.append(features)
        with float32_region(features):
            code = encoder.bottleneck(features.float().mean(dim=(2, 3)))
        return code, (scales[::-1], images, hidden)

    def decode(self, code, seen, code_only=0):
        """-> reconstruction, the drawn share (or None), None: as the paper's model returns them."""
        if code_only:
            raise InputError(f"code_only={code_only}: this model has no batch in two halves; use 0")
        scales, images, hidden = seen
        decoder = self.decoder
        features = decoder.seed(decoder.seed_linear(code)[..., None, None])  # (N, 8 width, 4, 4)
        for number in range(decoder.blocks + 1):
            if number:
                features = decoder.get_submodule(f"dec{number}")(features)
            if str(number) in self.attention and not self.bypass_attention:
                features = self.attention[str(number)](scales[number], features)
        with float32_region(features):
            features = features.float()
            drawn = with_mean(torch.tanh(decoder.head(features)))  # (N, 3, S, S)
            if self.edge is None or self.bypass_attention:
                return drawn, None, None
            share = torch.maximum(hidden, torch.sigmoid(self.edge(features)))  # (N, 1, S, S)
        return images + share * (drawn - images), share, None


def start_from(model, path):
    """Begin an Ours where the paper's step 1 (or an earlier Ours) ended.

    Copies encoder and decoder, and the fusions from an Ours; the mask's channel starts at zero
    weights where the file has none. Raises InputError when image size, width or latent differ.
    """
    shared = ("image_size", "width", "latent")
    earlier = load_weights(path, **{key: model.architecture[key] for key in shared})
    tensors = earlier.state_dict()
    kernel, wanted = tensors["encoder.stem.0.weight"], model.encoder.stem[0].weight
    extra = torch.zeros_like(wanted[:, kernel.shape[1] :])
    tensors["encoder.stem.0.weight"] = torch.cat([kernel, extra], dim=1)
    parts = ("encoder.", "decoder.") + (("attention.", "edge.") if type(earlier) is Ours else ())
    own = model.state_dict()
    model.load_state_dict(
        own | {k: v for k, v in tensors.items() if k.startswith(parts) and k in own}
    )
    model.attention_has_learnt = earlier.attention_has_learnt and type(earlier) is Ours
