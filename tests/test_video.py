"""Any video comes in as a player shows it, and goes out so that every player shows it."""

import struct
import tracemalloc
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from hmdlib import InputError, video

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50), (128, 128, 128)]


def plain(colours, width=64, height=48):
    return [np.full((height, width, 3), colour, np.uint8) for colour in colours]


def encoded(path, images, codec, pixels, rate=25, times=None, **options):
    """Write a clip with any codec, as a stranger's file would be. times: milliseconds."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_colours_and_times_survive_a_round_trip(tmp_path):
    path = video.write(tmp_path / "a.mp4", plain(COLOURS), fps=25)
    images, times = zip(*video.read(path), strict=True)
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    for image, colour in zip(images, COLOURS, strict=True):
        assert np.abs(image.astype(int) - colour).max() <= 3


def test_every_second_frame_keeps_its_own_time(tmp_path):
    path = video.write(tmp_path / "a.mp4", plain(COLOURS), fps=25)
    assert [time for _, time in video.read(path, every=2)] == pytest.approx([0, 0.08, 0.16])


def test_variable_frame_rate_keeps_its_pace(tmp_path):
    times = [0.0, 0.1, 0.5, 0.52, 1.3]
    path = video.write(tmp_path / "a.mp4", plain(COLOURS), fps=30, times=times)
    assert [time for _, time in video.read(path)] == pytest.approx(times, abs=1e-3)


def test_a_guessed_number_of_frames_does_not_call_a_whole_file_damaged(tmp_path):
    # Matroska counts no frames: 2 s at 30 a second, then 8 s at 5, look like 300
    times = [*range(0, 2000, 33), *range(2000, 10000, 200)]
    images = [COLOURS[n % 5] for n in range(len(times))]
    path = encoded(tmp_path / "a.mkv", plain(images), "libx264", "yuv420p", 30, times)
    info, read = video.probe(path), [time for _, time in video.read(path)]
    assert len(read) == len(times) and not info.counted and info.frames_estimate > 2 * len(read)
    assert info.share_read(len(read), read[-1] + 1 / info.fps) > 0.97
    assert info.share_read(50, read[50]) < 0.2


def test_times_rise_where_the_container_tells_only_the_order_of_decoding(tmp_path):
    still = np.random.default_rng(0).integers(0, 255, (48, 96, 3), dtype=np.uint8)
    images = [np.roll(still, 3 * n, axis=1) for n in range(20)]  # moves: worth B-frames
    path = encoded(tmp_path / "a.avi", images, "libx264", "yuv420p", bf="3")
    times = [time for _, time in video.read(path)]
    assert len(times) == 20 and (np.diff(times) > 0).all() and abs(times[-1] - 19 / 25) < 0.1
    again = video.write(tmp_path / "b.mp4", images, 25, times=times)
    assert len(list(video.read(again))) == 20


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mkv", "ffv1", "yuv420p"), ("a.avi", "mpeg4", "yuv420p"), ("a.mov", "mjpeg", "yuvj420p")],
)
def test_any_container_and_odd_sizes(tmp_path, name, codec, pixels):
    path = encoded(tmp_path / name, plain([(200, 100, 50)] * 3, 63, 47), codec, pixels)
    info = video.probe(path)
    assert (info.width, info.height, info.codec, info.has_sound) == (63, 47, codec, False)
    images = [image for image, _ in video.read(path)]
    assert len(images) == 3 and images[0].shape == (47, 63, 3)
    assert np.abs(images[0].astype(int) - (200, 100, 50)).max() <= 6


def test_an_odd_size_is_written_with_its_edge_repeated(tmp_path):
    path = video.write(tmp_path / "a.mp4", plain([(200, 100, 50)] * 3, 63, 47), fps=25)
    image, _ = next(video.read(path))
    assert image.shape == (48, 64, 3)
    assert np.abs(image[-1, -1].astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize(
    ("matrix", "corner", "degrees"),
    [
        ((0, 1, -1, 0), (0, -1), 90),  # a phone held upright: the red corner goes to the top right
        ((-1, 0, 0, -1), (-1, -1), 180),
        ((0, -1, 1, 0), (-1, 0), 270),
    ],
)
def test_rotation_in_the_container_is_applied(tmp_path, matrix, corner, degrees):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16] = (255, 0, 0)
    path = video.write(tmp_path / "a.mp4", [image] * 3, fps=25)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # the track's display matrix: a b u c d v x y w
    a, b, c, d = (value * 65536 for value in matrix)
    struct.pack_into(">9i", data, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    info = video.probe(path)
    turned, _ = next(video.read(path))
    assert info.rotation == degrees
    assert (
        turned.shape[:2] == (info.height, info.width) == ((48, 64) if degrees == 180 else (64, 48))
    )
    assert turned[corner][0] > 200 and turned[..., 0].mean() < 60


def test_sound_is_kept_in_step_and_cut_at_the_last_frame(tmp_path):
    rate, quiet = 16000, np.zeros(16000)
    loud = 0.5 * np.sin(np.arange(16000) * 2 * np.pi * 440 / rate)
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.concatenate([quiet, loud, loud]) * 32767).astype("<i2").tobytes())
    path = video.write(tmp_path / "a.mp4", plain(COLOURS * 10), 25, sound_from=tmp_path / "s.wav")
    assert video.probe(path).has_sound
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert 1.9 < stream.duration * stream.time_base < 2.2
        onset = next(
            frame.time + np.abs(frame.to_ndarray()[0]).argmax() / frame.rate
            for frame in container.decode(stream)
            if np.abs(frame.to_ndarray()[0]).max() > 0.2
        )
    assert onset == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name, codec", [("a.avi", "mp3"), ("a.mkv", "mp3"), ("b.avi", "ac3")])
def test_sound_of_old_containers_is_kept(tmp_path, name, codec):
    rate = 44100
    tone = (0.5 * np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate)).astype(np.float32)
    with av.open(str(tmp_path / name), "w") as output:
        pictures = output.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream(codec, rate=rate)
        sound.layout = "mono"
        for image in plain(COLOURS * 10):
            output.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        output.mux(sound.encode(frame))
        output.mux([*pictures.encode(None), *sound.encode(None)])
    images = [image for image, _ in video.read(tmp_path / name)]
    path = video.write(tmp_path / "out.mp4", images, 25, sound_from=tmp_path / name)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert 1.8 < stream.duration * stream.time_base < 2.2


def test_a_damaged_packet_does_not_end_the_sound(tmp_path):
    rate = 44100
    tone = (0.5 * np.sin(np.arange(4 * rate) * 2 * np.pi * 440 / rate)).astype(np.float32)
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=rate)
        sound.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        output.mux([*sound.encode(frame), *sound.encode(None)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        hurt = packets[len(packets) // 3]
        start, size = hurt.pos, hurt.size
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    data[start : start + size] = b"\xff" * size
    (tmp_path / "a.mp4").write_bytes(data)
    path = video.write(tmp_path / "b.mp4", plain(COLOURS * 20), 25, sound_from=tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        heard = [np.abs(frame.to_ndarray()).max() for frame in container.decode(audio=0)]
        stream = container.streams.audio[0]
        assert 3.8 < stream.duration * stream.time_base < 4.2 and heard[-5] > 0.3


@pytest.mark.parametrize("rate, written", [(22254, 22050), (6000, 8000), (96000, 48000)])
def test_sound_of_a_rate_that_aac_has_not_takes_the_nearest_below(tmp_path, rate, written):
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(4 * rate))
    path = video.write(tmp_path / "a.mp4", plain(COLOURS * 5), 25, sound_from=tmp_path / "s.wav")
    with av.open(str(path)) as container:
        assert container.streams.audio[0].rate == written


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """As macOS keeps programs out of some folders. (Feigned, for root may read all.)"""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"whatever")

    def refuse(*words):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(video, "open", refuse, raising=False)
    with pytest.raises(InputError, match="a.mp4: cannot be read: Permission denied; give this"):
        video.probe(path)


@pytest.mark.parametrize("curve, hdr", [(18, True), (16, True), (1, False)])  # HLG, PQ, BT.709
def test_hdr_is_noticed(tmp_path, curve, hdr):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.color_trc = curve
        for image in plain(COLOURS):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    assert video.probe(tmp_path / "a.mp4").hdr is hdr


def test_a_browser_s_recording_has_a_camera_s_rate_and_a_number_of_frames(tmp_path):
    # WebM as browsers record it: a clock of milliseconds for a rate, and no length
    with av.open(str(tmp_path / "a.webm"), "w", format="webm", options={"live": "1"}) as output:
        stream = output.add_stream("libvpx", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, image in enumerate(plain(COLOURS * 12)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = 33 * number, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    info = video.probe(tmp_path / "a.webm")
    assert info.fps == 30 and info.frames_estimate == 60 and info.seconds == 0


def test_the_sound_of_a_copy_comes_from_the_video(tmp_path, shared):
    source = shared / "data/videos/subject_a/session_1.mp4"
    images = [image for image, time in video.read(source) if time < 1]
    path = video.write(tmp_path / "a.mp4", images, 25, sound_from=source)
    info = video.probe(path)
    assert info.has_sound and info.frames_estimate == len(images) == 25


def test_the_real_sessions_are_what_they_are(shared):
    folder = shared / "data/videos/subject_a"
    infos = [video.probe(folder / f"session_{n}.mp4") for n in range(1, 6)]
    sizes = [(info.width, info.height) for info in infos]
    assert sizes == [(512, 512), (432, 408), (352, 392), (1920, 1080), (1280, 720)]
    assert [info.frames_estimate for info in infos] == [250, 267, 498, 228, 243]
    assert all(info.has_sound and 25 <= info.fps <= 30 for info in infos)
    assert sum(1 for _ in video.read(infos[2].path)) == 498


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"Dear diary, today I recorded myself.\n" * 50, "not a video"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 5000, "truncated"),
    ],
)
def test_a_file_that_is_no_video_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "session_1.mp4"
    path.write_bytes(content)
    for use in (video.probe, lambda p: next(video.read(p))):
        with pytest.raises(InputError, match=words) as error:
            use(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_and_soundless_files_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.mp4: there is no such file"):
        video.probe(tmp_path / "nowhere.mp4")
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    with pytest.raises(InputError, match="holds no video"):
        video.probe(tmp_path / "s.wav")
    with pytest.raises(InputError, match="no image"):
        video.write(tmp_path / "a.mp4", [], fps=25)
    assert not list(tmp_path.glob("a.mp4*"))


def test_a_cut_off_file_gives_the_frames_that_are_there(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    whole = video.write(tmp_path / "whole.mp4", noise, fps=25).read_bytes()
    path = tmp_path / "part.mp4"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    count = sum(1 for _ in video.read(path))
    assert 15 <= count <= 26
    path.write_bytes(whole[:2600])  # the index, and nothing of the pictures
    with pytest.raises(InputError, match="truncated"):
        video.probe(path)


@pytest.mark.parametrize("every", [1, 7])
def test_a_video_whose_size_changes_is_refused_with_the_moment(tmp_path, every):
    parts = [  # a call whose window was resized, as a transport stream keeps it
        encoded(tmp_path / f"{width}.ts", plain(COLOURS * 5, width), "libx264", "yuv420p")
        for width in (64, 96)
    ]
    path = tmp_path / "call.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(
        InputError, match="call.ts: .* 64 x 48 .* 96 x 48 after 1.* export"
    ) as error:
        list(video.read(path, every))
    assert "\n" not in str(error.value)


def test_reading_needs_a_few_frames_of_memory_however_long_the_video(tmp_path):
    image = np.zeros((240, 320, 3), np.uint8)
    path = video.write(tmp_path / "a.mp4", (image for _ in range(600)), fps=30)
    tracemalloc.start()
    count = sum(1 for _ in video.read(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 600 and peak < 10 * image.nbytes


def test_where_no_file_can_be_written_it_is_said_first(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")

    def images():
        raise AssertionError("asked for before it was known that there is no place")
        yield

    for place, word in [(tmp_path, "is a folder"), (tmp_path / "file" / "a.mp4", "cannot be")]:
        with pytest.raises(InputError, match=word):
            video.write(place, images(), 25)
