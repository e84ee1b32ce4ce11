"""Where an autoencoder's training begins: with a code that already tells pictures apart.

As the framework initialises it, the code hardly differs from one picture to the next. The decoder
then learns the mean face first, and silences the code that disturbs it; it takes long to come back.
An initialisation from data (P. Kraehenbuehl et al., Data-dependent Initializations of Convolutional
Neural Networks, 2016) changes nothing of the architecture.
"""

import torch


@torch.no_grad()
def whiten_code(model, images):
    """Let each number of the code vary over some pictures, by about 1 and independently.

    The bottleneck layer becomes the principal directions of its input over the pictures, each
    scaled to deviation 1, mixed by a random rotation. model: a Deoccluder, untrained. images: (N,
    3, S, S) in [0, 1], some hundreds. Returns the standard deviation over the pictures, averaged
    over the numbers of the code, before and after.
    """
    features = []
    layer = model.encoder.bottleneck
    hook = layer.register_forward_hook(lambda _, given, __: features.append(given[0].float()))
    was_training = model.training
    model.train()  # batch norm's running statistics know nothing yet
    before = torch.cat([model.encode(part)[0] for part in images.split(128)]).std(0).mean()
    hook.remove()
    model.train(was_training)
    features = torch.cat(features)  # (N, 8 width)
    middle = features.mean(0)
    _, spread, directions = torch.linalg.svd(features - middle, full_matrices=False)
    spread = spread[: layer.out_features] / len(features) ** 0.5
    floor = 0.05 * spread[0]  # where pictures hardly differ, do not blow up their noise
    directions = directions[: layer.out_features] / spread.hypot(floor)[:, None]
    mix, _ = torch.linalg.qr(torch.randn(len(directions), len(directions)).to(directions))
    layer.weight[: len(directions)] = mix @ directions  # all, unless there are fewer pictures
    layer.bias.copy_(-layer.weight @ middle)
    return before.item(), layer(features).std(0).mean().item()
