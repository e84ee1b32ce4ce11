"""Frames and sound in and out of video files (PyAV), any container, as a viewer sees them."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, ColorTrc

from hmdlib import InputError

UNSPECIFIED = 2  # FFmpeg's number for a colour space that nobody named
FASTEST = 240  # frames a second that a camera may film
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
SOONEST = 0.001  # seconds from one frame to the next at least, where a damaged file says less


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, after its rotation and pixel shape are applied.

    frames_estimate: what the container says (0 = it does not say); counted: it holds their number,
    and did not only guess it from duration and rate. seconds: its duration (0 = it does not say).
    rotation: degrees, counted clockwise, by which a player turns the stored frames. hdr: its
    colours are those of high dynamic range (PQ or HLG), whose curve we do not undo: they come out
    flat.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames_estimate: int
    counted: bool
    seconds: float
    rotation: int
    has_sound: bool
    codec: str
    hdr: bool = False

    def share_read(self, frames, end):
        """How much of the file that was, 1 = all, when so many frames came, the last until `end` s.

        By the number of frames where the container holds it; else by time, since a variable frame
        rate makes a guessed number worthless.
        """
        if self.counted:
            return min(1.0, frames / self.frames_estimate)
        return min(1.0, end / self.seconds) if self.seconds else 1.0


def probe(path):
    """Look at a video without reading it all; the first frame must decode.

    Raises InputError for a file that is missing, empty, truncated, no video, or without a frame.
    """
    path = Path(path)
    with _open(path) as container:
        stream = _pictures(container)
        frame = next(_decode(container, stream), None)
        if frame is None:
            raise InputError(
                f"{path}: not one frame can be decoded; the file is truncated: copy it"
            )
        height, width = _upright(frame, stream).shape[:2]
        fps = _rate(stream)
        frames = stream.frames or round(_seconds(container, stream) * fps) or _packets(path)
        return VideoInfo(
            path, width, height, fps, frames, bool(stream.frames), _seconds(container, stream),
            -int(frame.rotation) % 360, bool(container.streams.audio), stream.codec_context.name,
            frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67),
        )  # fmt: skip


def read(path, every=1):
    """Stream a video's frames, one in memory at a time.

    every: yield each every-th frame only (the 0th first). Yields (image, time): image (H, W, 3)
    uint8 RGB, turned as a player would turn it and with square pixels; time in seconds since the
    first frame, from the frame's own time stamp, so variable frame rates keep their pace; it always
    rises. Damaged frames are left out; a truncated file ends early. Raises InputError like probe,
    and where the frames change their size.
    """
    path = Path(path)
    with _open(path) as container:
        stream = _pictures(container)
        fps = _rate(stream)
        # AVI holds no times to show a frame, only the order in which frames are decoded
        stamped = "dts" if container.format.name == "avi" else "pts"
        start, last, index, size = None, -1.0, -1, None
        for index, frame in enumerate(_decode(container, stream)):
            stamp = getattr(frame, stamped)
            time = index / fps if stamp is None else float(stamp * frame.time_base)
            start = time if start is None else start
            last = max(time - start, last + SOONEST)
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:  # a call or a screen whose window was resized
                raise InputError(
                    f"{path}: the picture changes from {size[0]} x {size[1]} pixels to "
                    f"{frame.width} x {frame.height} after {last:.1f} s; export it in one size"
                )
            if index % every == 0:
                yield _upright(frame, stream), max(0.0, last)
        if index < 0:
            raise InputError(
                f"{path}: not one frame can be decoded; the file is truncated: copy it"
            )


def write(path, images, fps, sound_from=None, crf=18, times=None):
    """Write an H.264 mp4 (yuv420p, BT.709) that every player opens; whole or not at all.

    images: iterable of (H, W, 3) uint8 RGB, all of one size; an odd size gains one repeated row or
    column, since yuv420p has none. sound_from: a file whose sound is added (AAC), cut at the last
    frame. crf: x264's quality, 18 looks lossless. times: seconds of each frame, for a variable
    frame rate; else every frame lasts 1 / fps. Returns the path. Raises InputError on no images,
    and where no file can be written.
    """
    path = Path(path)
    refuse_unwritable(path)
    partial = _partial(path)
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as output:
            sound = av.open(str(sound_from)) if sound_from is not None else None
            try:
                _write_streams(
                    output, images, Fraction(fps).limit_denominator(2002), crf, times, sound
                )
            finally:
                if sound is not None:
                    sound.close()
        partial.replace(path)
    except StopIteration:
        raise InputError(f"{path}: no image was given, so no video is written") from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def refuse_unwritable(path):
    """Raise an InputError unless a file can be written to `path`; makes its folder."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the video file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another") from None


def _partial(path):
    return path.with_name(path.name + ".partial")


def _open(path):
    """Open a container that holds video, or say in one line why not."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError:
        try:
            with open(path, "rb") as file:
                known = file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat")
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read: {error.strerror}; give this program access to the file, "
                "or copy it elsewhere"
            ) from None
        what = "truncated: its index is missing" if known else "not a video that can be read"
        raise InputError(f"{path}: {what}; copy or export it again (mp4, mov, mkv, webm)") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video; export it again as mp4")
    return container


def _pictures(container):
    """The main video stream, decoded by as many threads as there are cores."""
    stream = container.streams.best("video")
    stream.thread_type = "AUTO"
    return stream


def _decode(container, stream):
    """All frames that decode; damaged packets and frames are passed over, a cut-off end is an
    end."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from (frame for frame in frames if not frame.is_corrupt)


def _upright(frame, stream):
    """A decoded frame as (H, W, 3) uint8 RGB, with square pixels, turned as the container says."""
    space = int(frame.colorspace)
    if space == UNSPECIFIED:  # what players assume
        space = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    width = round(frame.width * float(stream.sample_aspect_ratio or 1))
    rgb = frame.reformat(width=width, format="rgb24", src_colorspace=space)
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90)))


def _rate(stream):
    """Frames a second; 30 where the file says none, or the ticks of its clock (WebM's 1000)."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate <= FASTEST else 30.0


def _packets(path):
    """How many pictures a file holds that says neither their number nor its length."""
    with _open(path) as container:
        return sum(packet.size > 0 for packet in container.demux(_pictures(container)))


def _seconds(container, stream):
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _write_streams(output, images, fps, crf, times, sound):
    images = iter(images)
    first = next(images)
    height, width = first.shape[:2]
    video = output.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "fast"})
    video.width, video.height, video.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    video.codec_context.colorspace = Colorspace.ITU709
    video.codec_context.time_base = Fraction(1, 90000)
    audio = _Sound(output, sound) if sound is not None and sound.streams.audio else None
    for index, image in enumerate(_chain(first, images)):
        time = Fraction(index) / fps if times is None else Fraction(float(times[index]))
        frame = _yuv(image)
        frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
        output.mux(video.encode(frame))
        if audio is not None:
            audio.write_until(time + 1 / fps)
    output.mux(video.encode(None))
    if audio is not None:
        audio.close()


def _chain(first, rest):
    yield first
    yield from rest


def _yuv(image):
    """(H, W, 3) uint8 RGB as a yuv420p frame of even size, BT.709 for every player to agree on."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
    frame.colorspace = Colorspace.ITU709
    return frame


class _Sound:
    """The sound of one file, encoded bit by bit into another, beside its pictures."""

    def __init__(self, output, source):
        stream = source.streams.audio[0]
        self.output = output
        rate = max((rate for rate in AAC_RATES if rate <= stream.rate), default=AAC_RATES[0])
        self.encoder = output.add_stream("aac", rate=rate)
        self.encoder.layout = "stereo" if stream.channels > 1 else "mono"
        self.resampler = av.AudioResampler("fltp", self.encoder.layout, self.encoder.rate)
        self.frames = _decode(source, stream)
        video = source.streams.video
        first = video[0].start_time if video else None  # sound counts from the first picture
        self.start = Fraction(0) if first is None else first * video[0].time_base
        self.reached, self.ended = Fraction(0), False

    def write_until(self, time):
        """Encode on until the sound has reached `time` seconds."""
        while not self.ended and self.reached < time:
            frame = next(self.frames, None)
            if frame is None:
                self.ended = True
                return
            begins = frame.pts * frame.time_base - self.start
            self.reached = begins + Fraction(frame.samples, frame.sample_rate)
            # not the packet's time base, which may be too coarse for the encoder's own frames
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round(begins * frame.sample_rate)
            for piece in self.resampler.resample(frame):
                self.output.mux(self.encoder.encode(piece))

    def close(self):
        self.output.mux(self.encoder.encode(None))
