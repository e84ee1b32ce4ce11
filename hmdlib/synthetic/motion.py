"""How a synthetic person moves and sounds: pure functions of (seed, session, time).

Events (syllables, fixations, blinks, postures) are drawn once from a generator of their own kind,
in order of time, so that asking for more seconds never changes the earlier ones. Curves through the
events are smooth: a head accelerates, a lid closes, a jaw opens.
"""

from dataclasses import dataclass

import numpy as np

YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT = 35.0, 20.0, 15.0
"""No head turns further than this, in degrees; conversation stays well inside, mostly."""

#            jaw  wide  pucker  formants in Hz (Peterson and Barney 1952, men's means)
VOWELS = (
    (0.95, 0.25, 0.00, (730, 1090, 2440)),  # father
    (0.60, 0.55, 0.00, (530, 1840, 2480)),  # bed
    (0.22, 0.85, 0.00, (270, 2290, 3010)),  # see
    (0.62, 0.00, 0.65, (570, 840, 2410)),  # law
    (0.25, 0.00, 1.00, (300, 870, 2240)),  # too
    (0.42, 0.15, 0.05, (500, 1500, 2500)),  # about
)


@dataclass
class Performance:
    """A person's movements at N times.

    rotation (N, 3): head yaw, pitch, roll in degrees. translation (N, 3): cm from the rest place.
    gaze (N, 2): the eyes' yaw and pitch in the head, degrees. openness (N, 2): right and left lid,
    0 closed .. 1 open. expression: name -> (N,) in [0, 1]. body (N, 3): sway of the torso in cm.
    camera (N, 2): shift of a hand-held camera as a share of the picture's width.
    """

    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    openness: np.ndarray
    expression: dict
    body: np.ndarray
    camera: np.ndarray


def stream(seed, session, *names):
    """A generator for one kind of event: the same names always give the same numbers."""
    words = [int.from_bytes(name.encode()[:8].ljust(8), "little") for name in map(str, names)]
    return np.random.default_rng([int(seed), int(session), *words])


def ease(x):
    """0 before 0, 1 after 1, and minimum jerk between (Flash and Hogan 1985)."""
    x = np.clip(x, 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))


def drift(generator, times, slowest=0.1, fastest=0.7, parts=6):
    """Smooth noise around 0 with a standard deviation near 1: sines at scattered frequencies."""
    frequency = np.exp(generator.uniform(np.log(slowest), np.log(fastest), parts))
    phase = generator.uniform(0, 2 * np.pi, parts)
    waves = np.sin(2 * np.pi * frequency * np.asarray(times)[..., None] + phase)
    return waves.sum(-1) * np.sqrt(2 / parts)


def soft_limit(x, limit):
    """x, bent so that it never passes +-limit and stays itself well inside."""
    return x / (1 + np.abs(x / limit) ** 8) ** (1 / 8)


def follow_steps(times, starts, lengths, targets):
    """A curve that moves to targets[i] from starts[i] on within lengths[i]; before: targets[0]."""
    steps = np.diff(np.asarray(targets), axis=0)  # (M - 1, ...)
    blend = ease((np.asarray(times)[:, None] - starts[1:]) / lengths[1:])  # (N, M - 1)
    return targets[0] + np.tensordot(blend, steps, axes=1)


def postures(seed, session, times):
    """Head yaw, pitch, roll (N, 3), degrees: turn, rest, nod, rest, turn back, rest, tilt, rest."""
    generator = stream(seed, session, "posture")
    side, up, lean = generator.choice([-1, 1], 3)
    starts, lengths, targets = [0.0], [1.0], [generator.normal(0, (4, 3, 2))]
    now, turn = generator.uniform(0.5, 1.1), 0
    while now < np.max(times):
        target = generator.normal(0, (6, 3.5, 2.5))
        kind = turn % 8
        if kind in (0, 4):
            target[0] = (side if kind == 0 else -side) * generator.uniform(20, 36)
        elif kind in (2, 6):
            target[1 if kind == 2 else 2] = (
                up * generator.uniform(11, 19) if kind == 2 else lean * generator.uniform(8, 15)
            )
        if kind == 7:
            side, up, lean = -side, -up, -lean
        extreme = kind % 2 == 0
        starts.append(now)
        lengths.append(generator.uniform(0.40, 0.75))
        targets.append(target)
        now += lengths[-1] + (
            generator.uniform(0.25, 0.6) if extreme else generator.uniform(0.4, 1.1)
        )
        turn += 1
    return follow_steps(times, np.array(starts), np.array(lengths), np.array(targets))


@dataclass
class Speech:
    """Syllables: start and length in seconds, vowel's row, kind of onset (0 open, 1 lips closed,
    2 lip to teeth, 3 tongue), loudness; phrases: start and end in seconds."""

    start: np.ndarray
    length: np.ndarray
    vowel: np.ndarray
    onset: np.ndarray
    loudness: np.ndarray
    phrases: np.ndarray


def speech(seed, session, seconds):
    """Phrases of 1 to 3.5 s with pauses of 0.25 to 0.9 s, some 4.5 syllables a second."""
    generator = stream(seed, session, "speech")
    rows, phrases, now = [], [], generator.uniform(0.1, 0.5)
    while now < seconds + 0.5:
        begin, end = now, now + generator.uniform(1.0, 3.5)
        while now < end:
            length = generator.uniform(0.13, 0.30)
            stress = generator.uniform(0.55, 1.0) * (1 - 0.25 * (now - begin) / (end - begin))
            vowel = generator.choice(len(VOWELS), p=(0.20, 0.18, 0.16, 0.14, 0.10, 0.22))
            onset = generator.choice(4, p=(0.20, 0.25, 0.10, 0.45))
            rows.append((now, length, vowel, onset, stress))
            now += length
        phrases.append((begin, now))
        now += generator.uniform(0.25, 0.9)
    start, length, vowel, onset, loudness = np.array(rows).T
    return Speech(start, length, vowel.astype(int), onset.astype(int), loudness, np.array(phrases))


def bump(x):
    """A smooth bell on (-1, 1), 1 in its middle, 0 outside."""
    return np.where(np.abs(x) < 1, np.cos(np.pi / 2 * np.clip(x, -1, 1)) ** 2, 0)


def visemes(seed, session, times):
    """What speech does to the mouth: (jaw, wide, pucker, press, bite), loudness; each (N,)."""
    said = speech(seed, session, np.max(times))
    table = np.array([row[:3] for row in VOWELS])[said.vowel]  # (M, 3)
    times = np.asarray(times)[:, None]
    voiced = bump((times - said.start - 0.6 * said.length) / (0.75 * said.length))  # (N, M)
    onset = bump((times - said.start) / 0.075)
    loud = voiced * said.loudness
    weight = np.maximum(voiced.sum(1), 1)
    jaw = np.clip(1.25 * (loud @ table[:, 0]) / weight, 0, 1)
    shut = onset @ (said.onset == 1).astype(float)
    bite = onset @ (said.onset == 2).astype(float)
    tongue = onset @ (said.onset == 3).astype(float)
    mouth = {
        "jaw": jaw * (1 - np.clip(shut, 0, 1)) * (1 - 0.5 * np.clip(tongue + bite, 0, 1)),
        "wide": (loud @ table[:, 1]) / weight * (1 - np.clip(shut, 0, 1)),
        "pucker": (loud @ table[:, 2]) / weight,
        "press": np.clip(shut, 0, 1),
        "bite": np.clip(bite, 0, 1),
    }
    return mouth, np.clip(loud.max(1), 0, 1) * (1 - np.clip(shut, 0, 1))


def blinks(seed, session, times):
    """Right and left lid openness (N, 2): 0 closed; some 16 blinks a minute of 150 to 300 ms."""
    generator = stream(seed, session, "blink")
    openness = np.ones((len(times), 2))
    now = generator.uniform(0.6, 2.5)
    while now < np.max(times) + 0.5:
        length = generator.uniform(0.15, 0.30)
        later = generator.normal(0, 0.004)
        for eye, begin in enumerate((now, now + later)):
            x = (np.asarray(times) - begin) / length
            closed = ease(x / 0.36) - ease((x - 0.46) / 0.54)
            openness[:, eye] = np.minimum(openness[:, eye], 1 - closed)
        now += length + generator.uniform(2.2, 4.8)
    return openness


def gaze(seed, session, times, rotation):
    """The eyes in the head, yaw and pitch (N, 2) in degrees: fixations and saccades of 45 ms.

    Mostly into the camera; while the head turns the eyes stay with what they look at as far as
    they can reach, as eyes do.
    """
    generator = stream(seed, session, "gaze")
    starts, lengths, targets, now = [0.0], [0.045], [np.zeros(2)], 0.0
    while now < np.max(times):
        now += generator.uniform(0.35, 1.5)
        camera = generator.random() < 0.62
        spread = (1.2, 0.9) if camera else (10, 5.5)
        starts.append(now)
        lengths.append(0.045)
        targets.append(generator.normal(0, spread))
    looked = follow_steps(times, np.array(starts), np.array(lengths), np.array(targets))
    eyes = looked - 0.62 * rotation[:, :2]
    return np.stack([soft_limit(eyes[:, 0], 26.0), soft_limit(eyes[:, 1], 16.0)], 1)


def episodes(generator, times, every, length, strength):
    """Something that comes and goes (a smile, raised brows): (N,) in [0, 1]."""
    value, now = np.zeros(len(times)), generator.uniform(0, every[1] * 0.6)
    while now < np.max(times) + 1:
        last, high = generator.uniform(*length), generator.uniform(*strength)
        rise = ease((times - now) / 0.35) - ease((times - now - last) / 0.5)
        value = np.maximum(value, high * rise)
        now += last + generator.uniform(*every)
    return value


def expressions(seed, session, times):
    """Smile, brows up, brows down, squint beside speech: name -> (N,) in [0, 1]."""
    mood = stream(seed, session, "mood").uniform(0.02, 0.16)
    smile = episodes(stream(seed, session, "smile"), times, (1.8, 5.0), (0.9, 2.4), (0.35, 0.9))
    raised = episodes(stream(seed, session, "browup"), times, (1.0, 3.5), (0.4, 1.3), (0.3, 0.9))
    frown = episodes(stream(seed, session, "frown"), times, (3.0, 7.0), (0.8, 2.0), (0.3, 0.8))
    return {
        "smile": np.maximum(mood, smile),
        "brow_up": raised,
        "brow_down": frown * (1 - raised) * (1 - 0.7 * smile),
        "squint": np.clip(0.45 * smile + 0.4 * frown, 0, 1) * 0.8,
    }


def perform(seed, session, times, shake=0.15):
    """All movements of one session at the given times (N,), seconds. Returns a Performance.

    shake: how unsteady the camera is, 0 a tripod .. 1 walking.
    """
    times = np.asarray(times, dtype=float)
    mouth, loud = visemes(seed, session, times)
    rotation = postures(seed, session, times)
    idle = [drift(stream(seed, session, f"head{axis}"), times, 0.15, 1.1) for axis in range(3)]
    rotation = rotation + np.stack(idle, 1) * (1.1, 0.8, 0.7)
    rotation[:, 1] -= 1.6 * loud  # the head nods with the stress
    limits = (YAW_LIMIT, PITCH_LIMIT, ROLL_LIMIT)
    rotation = np.stack([soft_limit(rotation[:, i], limits[i]) for i in range(3)], 1)
    sway = [drift(stream(seed, session, f"body{axis}"), times, 0.05, 0.35) for axis in range(3)]
    body = np.stack(sway, 1) * (0.7, 0.12, 0.5)
    body[:, 1] += 0.08 * np.sin(2 * np.pi * 0.25 * times)  # breath
    lean = np.stack([0.05 * rotation[:, 0] - 0.10 * rotation[:, 2], 0 * times, 0 * times], 1)
    held = [drift(stream(seed, session, f"hand{axis}"), times, 0.2, 2.2) for axis in range(2)]
    return Performance(
        rotation=rotation,
        translation=body + lean,
        gaze=gaze(seed, session, times, rotation),
        openness=blinks(seed, session, times),
        expression={**mouth, **expressions(seed, session, times)},
        body=body,
        camera=np.stack(held, 1) * 0.006 * shake,
    )


def voice(seed, session, seconds, rate=24000, pitch=None):
    """A quiet murmur in step with the jaw: harmonics under the vowels' formants.

    pitch: the person's own in Hz; by default drawn from the seed. Returns (n,) float32 in [-1, 1].
    """
    pitch = pitch or float(np.exp(stream(seed, 0, "pitch").uniform(np.log(95), np.log(210))))
    slow = np.arange(0, seconds + 0.01, 0.005)
    said = speech(seed, session, seconds)
    _, loud = visemes(seed, session, slow)
    formants = np.array([row[3] for row in VOWELS], dtype=float)[said.vowel]  # (M, 3)
    middle = said.start + 0.6 * said.length
    times = np.arange(int(seconds * rate)) / rate
    tune = pitch * (1 + 0.06 * drift(stream(seed, session, "tune"), slow, 0.3, 2.5))
    phase = 2 * np.pi * np.cumsum(np.interp(times, slow, tune)) / rate
    sound = np.zeros(len(times))
    for k in range(1, int(3400 / pitch)):
        gain = np.zeros(len(slow))
        for i, width in enumerate((90.0, 120.0, 180.0)):
            centre = np.interp(slow, middle, formants[:, i])
            gain += (0.7**i) / (1 + ((k * tune - centre) / width) ** 2)
        sound += np.interp(times, slow, gain * loud) * np.sin(k * phase) / np.sqrt(k)
    breath = stream(seed, session, "breath").normal(0, 0.004, len(times))
    return (0.16 * sound / max(1e-6, np.abs(sound).max()) + breath * 0.3).astype(np.float32)
