"""Pictures to play with: sliders over small functions that answer at once.

Each widget is one function from control values to a picture (`live` joins the two), so that the
same function draws the static picture of a batch run. A widget keeps its controls, by name, in
`.controls`, its picture in `.picture` and the line under the controls in `.caption`.
"""

import io
from dataclasses import replace
from functools import lru_cache

import ipywidgets
import numpy as np
import torch
from PIL import Image

from hmdlib import InputError, figures, masks

SHOWN = 384  # pixels a side, so that a crop of 128 can be looked at without glasses


def live(draw, controls):
    """A picture that follows its controls.

    draw: called with the controls' values by name, returns (picture (H, W, 3) uint8, caption).
    controls: {name: ipywidgets control}. Returns a box that a notebook shows.
    """
    picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start"})
    caption = ipywidgets.Label()

    def update(_change=None):
        try:
            drawn, words = draw(**{name: control.value for name, control in controls.items()})
            picture.value, caption.value = png(enlarge(drawn)), words
        except InputError as error:  # an observer's exception would vanish in the server's log
            caption.value = str(error)

    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.observe(update, "value")
    update()
    column = ipywidgets.VBox([*controls.values(), caption])
    box = ipywidgets.HBox([picture, column], layout={"flex_flow": "row wrap"})
    box.controls, box.picture, box.caption = controls, picture, caption
    return box


def png(picture):
    """The bytes of a PNG file; picture (H, W, 3) uint8. Level 1: speed counts here, not size."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()


def enlarge(picture, size=SHOWN):
    """A small picture at least `size` pixels wide; a larger one as it is."""
    height, width = picture.shape[:2]
    if width >= size:
        return picture
    large = Image.fromarray(picture).resize((size, round(size * height / width)), Image.BICUBIC)
    return np.asarray(large)


def wipe(left, right, position):
    """The left part of one picture and the right part of another, with a white line between.

    left, right: (H, W, 3) uint8 of one size. position: 0 shows only `right`, 1 only `left`.
    """
    edge = int(round(position * left.shape[1]))
    joined = np.concatenate([left[:, :edge], right[:, edge:]], axis=1)
    if 0 < edge < left.shape[1]:
        joined[:, edge - 1 : edge + 1] = 255
    return joined


def resized(family, width=1.0, height=1.0, drop=0.0):
    """The usual headset of a family, so many times as wide and as high, and moved down.

    drop: inter-ocular distances further down the face than usual.
    """
    usual = masks.Headset(family=family)
    return replace(
        usual,
        width=usual.width * width,
        height=usual.height * height,
        drop=usual.drop + drop,
    )


def _headset_controls():
    """The sliders that several widgets share: which headset, how large, how far down."""
    slider = ipywidgets.FloatSlider
    return {
        "family": ipywidgets.Dropdown(options=list(masks.FAMILIES)),
        "width": slider(value=1.0, min=0.5, max=1.5, step=0.05),
        "height": slider(value=1.0, min=0.5, max=1.5, step=0.05),
        "drop": slider(value=0.0, min=-0.6, max=1.2, step=0.05),
    }


def headset_explorer(images, landmarks):
    """Hang any headset on any of a few pictures and read how much it hides.

    images: (N, 3, S, S) in [0, 1]. landmarks: (N, 68, 2).
    """
    size = images.shape[-1]

    def draw(picture, family, width, height, drop, textured):
        one = slice(picture, picture + 1)
        model = resized(family, width, height, drop)
        if textured:
            occluded, hidden = masks.render(landmarks[one], size, model, over=images[one])
        else:
            hidden = masks.headset(landmarks[one], size, model)
            occluded = masks.occlude(images[one], hidden)
        return figures.as_uint8(occluded)[0], f"{hidden.mean():.1%} of the picture is hidden"

    picture = ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1)
    textured = ipywidgets.Checkbox(value=True)
    return live(draw, {"picture": picture, **_headset_controls(), "textured": textured})


def session_explorer(sessions):
    """Leaf through the crops of a person's sessions, with or without the landmarks."""

    def draw(session, frame, points):
        chosen = sessions[session]
        frame = min(frame, len(chosen.frames) - 1)
        image = np.asarray(chosen.frames[frame])
        if points:
            image = figures.overlay_landmarks(image, chosen.landmarks[frame])[0]
        return image, f"{chosen.name}, {chosen.times[frame]:.2f} s"

    controls = {
        **_frame_controls(sessions),
        "points": ipywidgets.Checkbox(value=True),
    }
    return live(draw, controls)


def _frame_controls(sessions):
    """Which session and which of its frames; the second slider is as long as the session."""
    names = [(session.name, index) for index, session in enumerate(sessions)]
    session = ipywidgets.Dropdown(options=names, value=0)
    frame = ipywidgets.IntSlider(value=0, min=0, max=len(sessions[0].frames) - 1)

    def fit(change):
        frame.max = len(sessions[change["new"]].frames) - 1

    session.observe(fit, "value")
    return {"session": session, "frame": frame}


@torch.no_grad()
def views(model, image, landmarks, headset=None):
    """Everything there is to see of one frame: {name: picture (S, S, 3) uint8}.

    model: a trained Deoccluder in eval mode, on any device. image: (3, S, S) in [0, 1].
    landmarks: (68, 2). headset: a masks.Headset, textured. A model without attention has no maps.
    """
    size, device = image.shape[-1], next(model.parameters()).device
    occluded, hidden = masks.render(landmarks[None], size, headset, over=image[None])
    output, attention_enc, attention_dec = model(
        occluded.to(device), hidden.to(device), return_maps=True
    )
    output = output.cpu().clamp(0, 1)
    pictures = {
        "input": occluded,
        "output": output,
        "composite": hidden * output + (1 - hidden) * occluded,
        "truth": image[None],
        "error": (output - image[None]).abs().mul(3).clamp(0, 1),
    }
    pictures = {name: figures.as_uint8(picture)[0] for name, picture in pictures.items()}
    for name, maps in [("attention_enc", attention_enc), ("attention_dec", attention_dec)]:
        if model.attention is not None and maps is not None:  # what ours returns is none
            pictures[name] = figures.overlay_map(occluded, maps, low=None, high=None)[0]
    return pictures


def playground(model, sessions):
    """Wipe between input, output, truth and attention on any frame under any headset.

    model: a trained Deoccluder in eval mode. sessions: the person's, opened by dataset.
    """

    @lru_cache(maxsize=32)  # wiping asks for the same frame again and again
    def pictures(session, frame, family, width, height, drop):
        chosen = sessions[session]
        image = torch.from_numpy(np.array(chosen.frames[frame])).permute(2, 0, 1) / 255
        landmarks = torch.from_numpy(np.array(chosen.landmarks[frame]))
        return views(model, image, landmarks, resized(family, width, height, drop))

    def draw(session, frame, left, right, position, **headset):
        frame = min(frame, len(sessions[session].frames) - 1)
        seen = pictures(session, frame, **headset)
        names = left.replace("_", " "), right.replace("_", " ")
        return wipe(seen[left], seen[right], position), f"left: {names[0]}; right: {names[1]}"

    first = views(model, torch.zeros(3, *sessions[0].frames.shape[1:3]), _a_face(sessions))
    controls = {
        **_frame_controls(sessions),
        "left": ipywidgets.Dropdown(options=list(first), value="input"),
        "right": ipywidgets.Dropdown(options=list(first), value="output"),
        "position": ipywidgets.FloatSlider(value=0.5, min=0, max=1, step=0.01),
        **_headset_controls(),
    }
    return live(draw, controls)


def _a_face(sessions):
    """The landmarks of the first frame, (68, 2)."""
    return torch.from_numpy(np.array(sessions[0].landmarks[0]))
