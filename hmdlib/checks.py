"""What is asked of a run, checked before its first notebook: person, test session, stages."""

import inspect
import unicodedata

from hmdlib import ROOT, InputError, study


def check_subject(subject, folder):
    """A subject is a synthetic person or a folder of videos; anything else ends here.

    A path is none: results and crops go into folders of the subject's name.
    """
    if subject != folder.name or subject in ("", ".", ".."):
        raise InputError(
            f"subject={subject!r}: is no name; a subject is the name of a folder in data/videos. "
            "For one elsewhere: -p subject NAME -p videos THE_FOLDER_ABOVE_IT"
        )
    if not study.is_rendered(subject) and not folder.is_dir():
        known = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        hint = study.nearest(subject, [*known, "synthetic_7"])
        raise InputError(
            f"subject={subject!r}: there is no folder {study.shown(folder)}; put the videos there,"
            f" one file a session ({hint})"
        )


def settle_unseen(books, parameters, folder, asked, say):
    """Which session is for the test, and say so; of a person's own videos the last, if none fits.

    asked: the names of the parameters on the command line. A profile's `unseen` is a session of the
    person that is shipped: where no video of this person has that name, the last one takes its
    place in `parameters`. One video only, and a name that none has, are InputErrors, here and not
    after all faces were found.
    """
    unseen = study.common(books, parameters, "unseen", None)
    if unseen is None:
        return
    why = "as asked for" if "unseen" in asked else "as the profile says"
    if not study.is_rendered(folder.name):  # else notebook 01 renders the profile's sessions
        from hmdlib import capture, dataset  # they take seconds to load

        sessions = [path.stem for path in capture.videos_of(folder)]
        # macOS may keep the accents of a file's name apart from their letters
        alike = {unicodedata.normalize("NFC", name): name for name in sessions}
        meant = alike.get(unicodedata.normalize("NFC", unseen), unseen)
        if meant not in sessions and "unseen" not in asked and len(sessions) > 1:
            meant, why = sessions[-1], "the last"
        if meant != unseen:
            unseen = meant
            for book in books:
                if "unseen" in book.declared:
                    parameters[book.name]["unseen"] = unseen
        dataset.check_split(sessions, unseen)
    say(f"The session to test on: {unseen}, {why}. For another one: -p unseen NAME")


def check_values(books, parameters, asked):
    """InputError for what a notebook could not build from its parameters: stages, an occluder.

    Notebook 05 builds its stages when those of 03 and 04 are trained, and a misspelt word is to
    cost seconds. asked: the names of the parameters on the command line.
    """
    for book in books:
        values = {name: one.default for name, one in book.declared.items()}
        values |= parameters[book.name]
        for name, value in values.items():
            try:
                check_value(name, value, values)
            except InputError as error:
                source = "-p" if name in asked else f"profile {values.get('profile')}"
                raise InputError(f"{source}: {book.name}: {name}: {error}") from None


def check_value(name, value, values):
    """InputError where a parameter of this name cannot be so; values: all of its notebook."""
    if name in CHOICES and value not in CHOICES[name]:
        hint = study.nearest(value, [str(one) for one in CHOICES[name]])
        raise InputError(f"{value!r}: {hint}")
    if name in LEAST and value < LEAST[name]:
        raise InputError(f"{value}: takes {LEAST[name]} or more")
    if name == "generic_weights" and value:
        study.require(ROOT / value, "name the weights' path from the repository's root")
    if name != "occluder" and not isinstance(value, list | dict):
        return
    from hmdlib import face_collections, masks, plans  # with torch, which takes seconds to load
    from hmdlib.peers import hole_training

    if name == "occluder":
        masks.occluder(value)
    elif name == "methods":
        for file in value.values():
            study.require(ROOT / file, "a path from the repository's root (see README)")
    elif name == "models":
        for row, losses in value.items():
            plans.stages([values["shared"] | {"losses": losses}], name=row)
    elif name.endswith("stages"):
        usual = {key: values[key] for key in ("augment", "batch_size", "ema") if key in values}
        plans.stages(dicts(value), **usual)
    elif name in ("shared", "practice", "personal"):  # one stage each, named in the notebook
        plans.stages([value], name=name)
    elif name.endswith("_plan") and value:  # {}: no such lesson
        plans.from_dict(hole_training.Plan, value)
    elif name in ("collection", "collections", "strangers"):
        for one in dicts(value):
            face_collections.check_entry(one)
            study.require(ROOT / one.get("path", ""), "see data/README.md for each layout")
    elif name in CHANGES:  # of a stage that another parameter says
        for one in dicts(value):
            check_change(name, one, values)


CHOICES = {
    "detector": ("auto", "sidecar", "face-alignment", "mediapipe"),
    "tracking": ("fixed", "smooth"),
    "image_size": (64, 128, 256),
    "attention_start": ("usual", "decoder"),
}
"""Parameters of few values, which notebooks would find out to be wrong late."""

LEAST = {"base_width": 8, "max_frames": 0, "frames": 0, "shown": 1, "batch_size": 2,
         "longer": 0.1, "timed": 0.0, "recognised": 2}  # fmt: skip
"""The smallest value of some numbers; frames and max_frames: 0 takes all."""

CHANGES = {
    "switches": ("name", "losses", "stage", "model", "fill", "new_attention"),
    "steps": ("name", "stage", "model", "practised"),
}
"""Keys of an entry, in notebooks 06 and 06c."""


def check_change(parameter, one, values):
    """InputError where a switch of notebook 06, or a step of 06c, could not be turned."""
    import torch

    from hmdlib import masks, networks, ours, plans

    told = f"{one.get('name')!r}: "
    changed = networks.Deoccluder if parameter == "switches" else ours.Ours
    known = {"": CHANGES[parameter], "model: ": [*inspect.signature(changed).parameters][2:]}
    model, stage = dicts([one.get("model", {}), one.get("stage", {})])
    for where, given in {"": one, "model: ": model}.items():
        for key in given:
            if key not in known[where]:
                raise InputError(f"{told}{where}{key}: {study.nearest(key, known[where])}")
    if "fill" in one:
        masks.occluder(one["fill"])
    usual = values["shared" if parameter == "switches" else "personal"]
    losses = {"losses": one["losses"]} if "losses" in one else {}
    plans.stages([usual | losses | stage], name=one.get("name"))
    with torch.device("meta"):  # as a notebook will build it, but without its numbers
        changed(image_size=values["image_size"], width=values["base_width"], **model)


def dicts(entries):
    """The entries, each a dict as a profile writes one: {name: ..., ...}; else InputError."""
    for one in entries:
        if not isinstance(one, dict):
            raise InputError(f"{one!r}: is no entry like {{name: ..., ...}}")
    return entries
