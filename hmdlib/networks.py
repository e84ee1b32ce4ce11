"""The de-occluder: encoder, decoder and attention fusion (Sec. III-B).

The encoder-decoder is that of 3FabRec ([3] in the paper), whose code subtracts a mean colour from
every picture and ends in tanh. Both stay inside: outside this module pictures are RGB in [0, 1].
`base width` is the number of channels at the highest resolutions (64 in the paper).
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hmdlib import InputError

MEAN_COLOUR = (0.518, 0.418, 0.361)
"""The mean RGB that [3] subtracts from every picture (and does not divide by a deviation)."""

LADDERS = {64: (False, False, 3), 128: (True, False, 4), 256: (True, True, 5)}
"""Image size -> (max-pool in the stem, residual stage enc0, number of decoder blocks).

[3] wires 128 and 256. 64 drops the max-pool as well; it is there for tests and smoke runs."""


def mean_free(images):
    """From RGB in [0, 1] to the scale inside the networks: minus the mean colour. (N, 3, H, W)."""
    return images - images.new_tensor(MEAN_COLOUR).view(1, 3, 1, 1)


def with_mean(images):
    """Back from the networks' scale to RGB in [0, 1]. (N, 3, H, W)."""
    return images + images.new_tensor(MEAN_COLOUR).view(1, 3, 1, 1)


def float32_region(tensor):
    """A context without mixed precision, for layers whose output is counted in grey levels."""
    return torch.autocast(tensor.device.type, enabled=False)


def check_size(image_size):
    """Raise an InputError for a size that no ladder is wired for."""
    if image_size not in LADDERS:
        raise InputError(f"image_size={image_size}: choose one of {sorted(LADDERS)}")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, as in ResNet-18 (enc0 .. enc4; decision 1)."""

    def __init__(self, channels_in, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != channels:
            conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, features):
        change = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(change)) + self.shortcut(features))


class InvertedResidualBlock(nn.Module):
    """A residual block that doubles height and width: its first layer is a 4x4 deconvolution."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        deconv = nn.ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=False)
        self.shortcut = nn.Sequential(deconv, nn.BatchNorm2d(channels))

    def forward(self, features):  # (N, c_in, h, w)
        change = torch.relu(self.bn1(self.conv1(features)))  # (N, c, 2h, 2w)
        return torch.relu(self.bn2(self.conv2(change)) + self.shortcut(features))


class Encoder(nn.Module):
    """A ResNet that ends in 99 numbers, and shows the features of its first residual stage.

    forward: mean-free pictures (N, 3 or 4, S, S) -> code (N, latent), F_enc (N, width, s, s) with
    s = 64 at image size 256 and 32 below (decision 1).
    """

    def __init__(self, image_size=256, width=64, latent=99, channels=3):
        super().__init__()
        check_size(image_size)
        pool, has_enc0, _ = LADDERS[image_size]
        conv = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        layers = [conv, nn.BatchNorm2d(width), nn.ReLU()]
        self.stem = nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if pool else []))
        self.enc0 = self._stage(width, width, 1) if has_enc0 else None
        self.enc1 = self._stage(width, width, 2 if has_enc0 else 1)
        self.enc2 = self._stage(width, 2 * width, 2)
        self.enc3 = self._stage(2 * width, 4 * width, 2)
        self.enc4 = self._stage(4 * width, 8 * width, 2)
        self.bottleneck = nn.Linear(8 * width, latent)

    @staticmethod
    def _stage(channels_in, channels, stride):
        first = ResidualBlock(channels_in, channels, stride)
        return nn.Sequential(first, ResidualBlock(channels, channels))

    def forward(self, images):  # (N, 3, 256, 256)
        features = self.stem(images)  # (N, 64, 64, 64)
        if self.enc0 is None:
            seen = features = self.enc1(features)
        else:
            seen = self.enc0(features)  # (N, 64, 64, 64)
            features = self.enc1(seen)  # (N, 64, 32, 32)
        features = self.enc4(self.enc3(self.enc2(features)))  # (N, 512, 4, 4)
        with float32_region(features):
            return self.bottleneck(features.float().mean(dim=(2, 3))), seen


class Decoder(nn.Module):
    """From 99 numbers to a picture, stopping on the way to let the attention speak.

    `imagine`: code (N, latent) -> F_dec (N, width, s, s), the size of F_enc (decision 2).
    `paint`: fused features (N, width, s, s) -> mean-free picture (N, 3, S, S), in (-1, 1).
    """

    def __init__(self, image_size=256, width=64, latent=99):
        super().__init__()
        check_size(image_size)
        self.seed_linear = nn.Linear(latent, 8 * width)
        deconv = nn.ConvTranspose2d(8 * width, 8 * width, 4, 1, 0, bias=False)
        self.seed = nn.Sequential(deconv, nn.BatchNorm2d(8 * width), nn.ReLU())
        self.dec1 = InvertedResidualBlock(8 * width, 4 * width)
        self.dec2 = InvertedResidualBlock(4 * width, 2 * width)
        self.dec3 = InvertedResidualBlock(2 * width, width)
        self.fused_after = 4 if image_size == 256 else 3
        self.blocks = LADDERS[image_size][2]
        for number in range(4, self.blocks + 1):
            self.add_module(f"dec{number}", InvertedResidualBlock(width, width))
        self.head = nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False)

    def imagine(self, code):  # (N, 99)
        features = self.seed(self.seed_linear(code)[..., None, None])  # (N, 512, 4, 4)
        for number in range(1, self.fused_after + 1):
            features = self.get_submodule(f"dec{number}")(features)
        return features  # (N, 64, 64, 64)

    def paint(self, fused):  # (N, 64, 64, 64)
        for number in range(self.fused_after + 1, self.blocks + 1):
            fused = self.get_submodule(f"dec{number}")(fused)  # (N, 64, 128, 128)
        with float32_region(fused):
            return torch.tanh(self.head(fused.float()))  # (N, 3, 256, 256)

    def forward(self, code):
        return self.paint(self.imagine(code))


class AttentionFusion(nn.Module):
    """Weigh what the encoder still sees against what the decoder imagines (Sec. III-B2, Eq. 1).

    Under the headset the encoder's features carry nothing; beside it they carry the wall's texture
    and the hair, which no 99-number code can hold. Two maps say, channel by channel, whom to trust
    where.

    width: the channels of the features that it weights. m: of the convolutions inside, 4m, 4m, 8m;
    None takes the width (decision 3). activation of the maps: "sigmoid", "softmax" over the pair,
    or "none" (decision 4). start: "usual", or "decoder", which trusts the decoder alone at first,
    so that step 2 begins where step 1 ended (decision 6).
    """

    def __init__(self, width=64, activation="sigmoid", start="usual", m=None):
        super().__init__()
        if activation not in ("sigmoid", "softmax", "none"):
            raise InputError(f"activation={activation!r}: choose sigmoid, softmax or none")
        if start not in ("usual", "decoder"):
            raise InputError(f"attention_start={start!r}: choose usual or decoder")
        self.activation = activation
        m = m or width
        steps = [2 * width, 4 * m, 4 * m, 8 * m, 2 * width]
        convs = [nn.Conv2d(a, b, 3, 1, 1) for a, b in zip(steps, steps[1:], strict=False)]
        relu = [layer for conv in convs[:-1] for layer in (conv, nn.ReLU())]
        self.maps = nn.Sequential(*relu, convs[-1])
        if start == "decoder":
            self._trust_decoder()

    @torch.no_grad()
    def _trust_decoder(self):
        last = self.maps[-1]
        low, high = (0.0, 1.0) if self.activation == "none" else (-4.0, 4.0)
        last.weight.zero_()
        last.bias.copy_(torch.tensor([low, high]).repeat_interleave(len(last.bias) // 2))

    def weights(self, seen, imagined):
        """The two maps, each (N, width, h, w): trust in the encoder, trust in the decoder."""
        maps = self.maps(torch.cat([seen, imagined], dim=1))  # (N, 2 width, h, w)
        if self.activation == "sigmoid":
            maps = torch.sigmoid(maps)
        attention_enc, attention_dec = maps.chunk(2, dim=1)  # (N, width, h, w) each
        if self.activation == "softmax":
            attention_enc = torch.sigmoid(attention_enc - attention_dec)  # softmax of a pair
            attention_dec = 1 - attention_enc
        return attention_enc, attention_dec

    def forward(self, seen, imagined):  # both (N, width, h, w)
        # frozen, it takes no gradient at all: the features learn for the maps as they are
        learns = torch.is_grad_enabled() and self.maps[0].weight.requires_grad
        with torch.set_grad_enabled(learns):
            attention_enc, attention_dec = self.weights(seen, imagined)  # (N, width, h, w) each
        fused = seen * attention_enc + imagined * attention_dec  # Eq. 1
        return fused, attention_enc, attention_dec


class Deoccluder(nn.Module):
    """The paper's generator: it sees a face under a headset and draws it without (Fig. 3).

    image_size: 256 (the paper), 128, or 64 for tests. width: base width, 64 in the paper. latent:
    numbers in the bottleneck. attention: False builds the baseline, [3] alone. activation,
    attention_start, m: see AttentionFusion. mask_input: the mask as a fourth input channel
    (decision 16).

    `bypass_attention = True` is step 1: F_fused = F_dec, so all must pass the bottleneck (decision
    5). `attention_has_learnt` tells weights whose attention was trained from those that carry its
    random start along.
    """

    def __init__(self, image_size=256, width=64, latent=99, attention=True,
                 activation="sigmoid", attention_start="usual", mask_input=False,
                 m=None):  # fmt: skip
        super().__init__()
        check_size(image_size)
        self.architecture = {"image_size": image_size, "width": width, "latent": latent,
                             "attention": attention, "activation": activation,
                             "mask_input": mask_input, "m": m}  # fmt: skip
        self.encoder = Encoder(image_size, width, latent, channels=4 if mask_input else 3)
        self.decoder = Decoder(image_size, width, latent)
        fusion = AttentionFusion(width, activation, attention_start, m) if attention else None
        self.attention = fusion
        self.wants_mask = mask_input
        self.wants_landmarks = False  # only hmdlib.ours does
        self.bypass_attention = False
        self.attention_has_learnt = False

    def forward(self, images, hidden=None, return_maps=False):
        """images (N, 3, S, S) in [0, 1] -> reconstruction, same shape, about [0, 1], not clipped.

        hidden: (N, 1, S, S), needed with mask_input, ignored without. return_maps adds the two
        attention maps (N, width, s, s), None where there is no attention.
        """
        code, seen = self.encode(images, hidden)
        reconstruction, *maps = self.decode(code, seen)
        return (reconstruction, *maps) if return_maps else reconstruction

    def encode(self, images, hidden=None):
        """images -> code (N, latent), F_enc (N, width, s, s)."""
        size = self.architecture["image_size"]
        if images.shape[1:] != (3, size, size):
            raise InputError(f"images of shape {tuple(images.shape)}: wants (N, 3, {size}, {size})")
        images = mean_free(images)
        if self.wants_mask:
            if hidden is None:
                raise InputError("hidden=None: this model takes the mask as input; pass hidden=")
            images = torch.cat([images, hidden], dim=1)
        return self.encoder(images)

    def decode(self, code, seen, code_only=0):
        """code and F_enc -> reconstruction (N, 3, S, S) and the two attention maps (or None).

        code_only: the first so many pictures of the batch bypass the attention, as in step 1; there
        are no maps of them.
        """
        fused, attention_enc, attention_dec = self.decoder.imagine(code), None, None
        if self.attention is not None and not self.bypass_attention:
            alone, imagined = fused[:code_only], fused[code_only:]
            fused, attention_enc, attention_dec = self.attention(seen[code_only:], imagined)
            fused = torch.cat([alone, fused]) if code_only else fused
        return with_mean(self.decoder.paint(fused)), attention_enc, attention_dec


def parameters_of(module):
    """The number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def gflop(model):
    """What one picture costs, forward, in billions of operations; a multiply-add counts as two."""
    device, size = next(model.parameters()).device, model.architecture["image_size"]
    images = torch.zeros(1, 3, size, size, device=device)
    was_training = model.training
    model.eval()  # a look must not move batch norm's statistics
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images, images[:, :1])
    model.train(was_training)
    return counter.get_total_flops() / 1e9
