"""``mambair upscale clip.mp4``: frames are restored as pictures are, and all else stays what it was."""

import json
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mambair_cli.restoration import clip
from mambair_cli.video import encoding
from tests.cli.run import run
from tests.video.clips import make, moving, seen


def doubled(pixels: Any, *_: Any, **__: Any) -> Any:
    return pixels.repeat(2, 0).repeat(2, 1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clip, "restore", doubled)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_frames_sound_and_times_are_those_of_the_clip(folder: Path, x2: Path) -> None:
    frames, times = moving(7), [0, 1000, 2000, 5000, 5500, 9000, 10001]
    make(folder / "in.mp4", frames, times=times, sound=True)
    outcome = run("upscale", "in.mp4", "--model", str(x2), "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert (record["output"], record["frames"], record["width"], record["height"]) == ("in_x2.mp4", 7, 48, 32)
    before, after = seen(Path("in.mp4")), seen(Path("in_x2.mp4"))
    assert after.times == before.times == [time / 24000 for time in times]
    assert after.stream["duration"] == before.stream["duration"]
    assert after.others["audio"] == before.others["audio"]
    for source, found in zip(before.frames, after.frames, strict=True):
        assert psnr(doubled(source), found) > 38
    assert {path.name for path in folder.iterdir()} == {"in.mp4", "in_x2.mp4"}


def test_each_frame_goes_the_way_of_a_picture(folder: Path, x1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    make(folder / "in.mkv", moving(2, 16, 16))
    outcome = run("denoise", "in.mkv", "--model", str(x1), "--crf", "0", "--strength", "0")
    assert outcome.code == 0, outcome.err
    before, after = seen(Path("in.mkv")), seen(Path("in_denoised.mkv"))
    for a, b in zip(before.frames, after.frames, strict=True):
        assert psnr(a, b) > 42  # colours are stored with half the pixels


@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1},
        {"colorspace": 1, "color_range": 2, "color_primaries": 1, "color_trc": 13},
        {"colorspace": 5, "color_range": 1, "color_primaries": 5, "color_trc": 6},
    ],
)
def test_colour_tags_and_colours_stay(tags: dict[str, Any], folder: Path, x2: Path) -> None:
    make(folder / "in.mp4", moving(2), sample_aspect_ratio=Fraction(4, 3), **tags)
    assert run("upscale", "in.mp4", "--model", str(x2), "--crf", "1").code == 0
    before, after = seen(Path("in.mp4")), seen(Path("in_x2.mp4"))
    assert {name: after.stream[name] for name in tags} == tags
    assert after.stream["sample_aspect_ratio"] == Fraction(4, 3)
    difference = np.asarray(after.frames[0], int) - doubled(before.frames[0])
    assert abs(difference.mean((0, 1))).max() < 0.6


def test_a_small_clip_without_tags_says_what_players_took_it_for(folder: Path, x2: Path) -> None:
    """Else they would take the larger result for BT.709."""
    make(folder / "in.mp4", moving(1))
    assert run("upscale", "in.mp4", "--model", str(x2)).code == 0
    assert seen(Path("in.mp4")).stream["colorspace"] == 2
    assert seen(Path("in_x2.mp4")).stream["colorspace"] == 6


def test_ten_bits_stay(folder: Path, x2: Path) -> None:
    frames = [frame.astype(np.uint16) * 257 for frame in moving(1)]
    make(folder / "in.mp4", frames, format="yuv422p10le")
    assert run("upscale", "in.mp4", "--model", str(x2)).code == 0
    import av

    with av.open("in_x2.mp4") as found:
        assert found.streams.video[0].pix_fmt == "yuv422p10le"


def test_a_turned_clip_comes_out_upright(folder: Path, x2: Path) -> None:
    make(folder / "in.mp4", moving(1), turned=-90, sample_aspect_ratio=Fraction(4, 3))
    assert run("upscale", "in.mp4", "--model", str(x2)).code == 0
    before, after = seen(Path("in.mp4")), seen(Path("in_x2.mp4"))
    assert after.frames[0].shape == (96, 64, 3)
    assert after.stream["sample_aspect_ratio"] == Fraction(3, 4)
    assert psnr(doubled(np.rot90(before.frames[0], -1)), after.frames[0]) > 38  # clockwise


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"color_trc": 16, "colorspace": 9, "color_primaries": 9}, "PQ"),
        ({"color_trc": 18, "colorspace": 9, "color_primaries": 9}, "HLG"),
        ({"colorspace": 9, "color_primaries": 9}, "BT.2020"),
    ],
)
def test_high_dynamic_range_is_refused(tags: dict[str, Any], word: str, folder: Path, x2: Path) -> None:
    make(folder / "in.mp4", moving(1), format="yuv420p10le", **tags)
    outcome = run("upscale", "in.mp4", "--model", str(x2))
    assert outcome.code == 1
    assert f"high dynamic range ({word}" in outcome.err.replace("10 bits, ", "")
    assert "docs/video.md" in outcome.err
    assert [path.name for path in folder.iterdir()] == ["in.mp4"]


def test_an_odd_size_is_filled_up(folder: Path, x1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "restore", lambda pixels, *_, **__: pixels)
    make(folder / "in.mkv", moving(1, 31, 47), format="yuv444p")
    monkeypatch.setattr("mambair_cli.video.colours._sampling", lambda format: "420")
    outcome = run("denoise", "in.mkv", "--model", str(x1))
    assert "48 x 32 pixels, because H.264 takes even sizes" in outcome.err
    assert seen(Path("in_denoised.mkv")).frames[0].shape == (32, 48, 3)


def test_mpeg4_where_there_is_no_x264(folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    make(folder / "in.mp4", moving(3))
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    assert run("upscale", "in.mp4", "--model", str(x2)).code == 0
    before, after = seen(Path("in.mp4")), seen(Path("in_x2.mp4"))
    assert after.times == pytest.approx(before.times, abs=1e-4)
    assert psnr(doubled(before.frames[2]), after.frames[2]) > 33


@pytest.mark.parametrize("steady", [False, True])
def test_an_interruption_costs_no_more_than_a_piece(
    steady: bool, folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its neighbours, the last frame that was kept has to be restored once more."""
    options = ["--model", str(x2), *(["--steady"] if steady else [])]
    monkeypatch.setattr(clip, "LENGTH", 4)
    make(folder / "in.mp4", moving(11), sound=True)
    assert run("upscale", "in.mp4", "-o", "whole.mp4", *options).code == 0
    calls = []

    def interrupted(pixels: Any, *_: Any, **__: Any) -> Any:
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return doubled(pixels)

    monkeypatch.setattr(clip, "restore", interrupted)
    outcome = run("upscale", "in.mp4", "-o", "out.mp4", *options)
    assert outcome.code == 130
    assert "--resume goes on" in outcome.err
    assert not Path("out.mp4").exists()
    assert not list(folder.glob("*.part"))
    assert run("upscale", "in.mp4", "-o", "out.mp4", *options, "--resume").code == 0
    total = 10 + 3 + steady  # eight of eleven were kept, or without the neighbour that the eighth needs
    assert len(calls) == total
    assert same(Path("out.mp4"), Path("whole.mp4"))
    assert not list(folder.glob("*.parts"))
    assert run("upscale", "in.mp4", "-o", "out.mp4", *options, "--resume").code == 0
    assert len(calls) == total


def same(a: Path, b: Path) -> bool:
    one, other = seen(a), seen(b)
    frames = all(np.array_equal(x, y) for x, y in zip(one.frames, other.frames, strict=True))
    return frames and one.times == other.times and one.others == other.others


def test_pieces_of_other_choices_are_not_used(folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "LENGTH", 2)
    make(folder / "in.mp4", moving(4))
    calls = []

    def failing(pixels: Any, *_: Any, **__: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return doubled(pixels)

    monkeypatch.setattr(clip, "restore", failing)
    assert run("upscale", "in.mp4", "--model", str(x2)).code == 130
    assert run("upscale", "in.mp4", "--model", str(x2), "--resume", "--crf", "30").code == 0
    assert len(calls) == 3 + 4


def test_a_name_for_no_clip_and_a_container_that_cannot_hold_it(folder: Path, x2: Path) -> None:
    make(folder / "in.mp4", moving(1))
    outcome = run("upscale", "in.mp4", "-o", "out.avi", "--model", str(x2))
    assert (outcome.code, "Use one of .mp4" in outcome.err) == (2, True)
    for option in ("--compare", "--quality=90"):
        assert run("upscale", "in.mp4", option, "--model", str(x2)).code == 2
    outcome = run("upscale", "in.mp4", "-o", "-", "--model", str(x2))
    assert (outcome.code, "standard output" in outcome.err) == (2, True)


@pytest.mark.parametrize("option", ["--crf=20", "--steady"])
def test_a_picture_takes_no_options_of_clips(option: str, folder: Path, x2: Path) -> None:
    outcome = run("upscale", "in.png", option, "--model", str(x2))
    assert (outcome.code, "is for clips" in outcome.err) == (2, True)


def test_steady_blends_each_frame_with_its_neighbours(folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, Any]] = []

    def kept(frame: Any, others: Any, small: Any) -> Any:
        calls.append((frame, others))
        return frame

    monkeypatch.setattr(clip, "steadied", kept)
    make(folder / "in.mp4", moving(5))
    assert run("upscale", "in.mp4", "--model", str(x2), "--steady").code == 0
    own = [frame for frame, _ in calls]
    assert [len(others) for _, others in calls] == [1, 2, 2, 2, 1]
    for k, (_, others) in enumerate(calls):
        expected = [own[j] for j in (k - 1, k + 1) if 0 <= j < 5]
        assert all(a is b for a, b in zip(others, expected, strict=True))


def test_what_is_no_clip(folder: Path, x2: Path) -> None:
    Path("in.mp4").write_bytes(b"<html>no such clip</html>")
    outcome = run("upscale", "in.mp4", "missing.mkv", "--model", str(x2), "-o", "out/")
    assert outcome.code == 1
    assert "in.mp4 cannot be read as a clip" in outcome.err
    assert "missing.mkv is missing" in outcome.err


def test_more_than_h264_holds(folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "LONGEST", 80)
    assert encoding.LONGEST == 16384
    make(folder / "in.mp4", moving(1))
    assert "H.264 ends at 80" in run("upscale", "in.mp4", "--model", str(x2)).err


@pytest.mark.parametrize("options", [(), ("--steady",)])
def test_no_more_than_a_few_frames_are_in_memory(
    options: tuple[str, ...], folder: Path, x2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_so_far: list[Any] = []
    alive: list[int] = []

    def counted(pixels: Any, *_: Any, **__: Any) -> Any:
        seen_so_far.append(weakref.ref(pixels))
        alive.append(sum(each() is not None for each in seen_so_far))
        return doubled(pixels)

    monkeypatch.setattr(clip, "restore", counted)
    make(folder / "in.mp4", moving(24))
    assert run("upscale", "in.mp4", "--model", str(x2), *options).code == 0
    assert len(alive) == 24
    assert max(alive) <= 4


def test_subtitles_chapters_languages_and_titles_go_along(folder: Path, x2: Path) -> None:
    import av

    Path("in.srt").write_text("1\n00:00:00,000 --> 00:00:00,040\nHello\n\n2\n00:00:00,050 --> 00:00:00,090\nWorld\n")
    make(folder / "only.mkv", moving(3))
    chapter = {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}
    with av.open("only.mkv") as pictures, av.open("in.srt") as words, av.open("in.mkv", "w") as out:
        out.metadata["title"] = "A title"
        out.set_chapters([chapter])
        streams = [out.add_stream_from_template(source.streams[0]) for source in (pictures, words)]
        for stream in streams:
            stream.metadata["language"] = "fra"
        for source, stream in zip((pictures, words), streams, strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    for name, options in (("kept.mkv", []), ("bare.mkv", ["--strip"])):
        assert run("upscale", "in.mkv", "-o", name, "--model", str(x2), *options).code == 0
    assert seen(Path("kept.mkv")).others == seen(Path("bare.mkv")).others == seen(Path("in.mkv")).others
    with av.open("kept.mkv") as kept, av.open("bare.mkv") as bare:
        assert (kept.metadata["title"], kept.chapters()[0]["metadata"]) == ("A title", {"title": "One"})
        assert [stream.metadata["language"] for stream in kept.streams] == ["fra", "fra"]
        assert ("title" in bare.metadata, bare.chapters()) == (False, [])
    outcome = run("upscale", "in.mkv", "-o", "out.mp4", "--model", str(x2))
    assert (outcome.code, "cannot hold the subtitles of in.mkv" in outcome.err) == (1, True)


def test_an_interlaced_clip_is_named(folder: Path, x2: Path) -> None:
    make(folder / "in.mp4", moving(2), codec="mpeg4", flags=1 << 29 | 1 << 18)
    assert "it is interlaced" in run("upscale", "in.mp4", "--model", str(x2)).err


def test_a_clip_that_breaks_off_is_named_or_refused(folder: Path, x2: Path) -> None:
    """libavformat just ends where a file does."""
    make(folder / "in.mkv", moving(48))
    data = Path("in.mkv").read_bytes()
    Path("in.mkv").write_bytes(data[: len(data) // 2])
    outcome = run("upscale", "in.mkv", "--model", str(x2), "--strict", "--json")
    assert outcome.code == 1
    assert "though it should last 2.0 s" in outcome.err
    outcome = run("upscale", "in.mkv", "--model", str(x2), "--json")
    assert (outcome.code, "though it should last 2.0 s" in outcome.err) == (0, True)
    assert 5 < json.loads(outcome.out)["frames"] < 43


def test_damaged_frames_are_named_or_refused(folder: Path, x2: Path) -> None:
    make(folder / "in.avi", moving(12), codec="mpeg4", time_base=Fraction(1, 24))
    data = bytearray(Path("in.avi").read_bytes())
    for place in [k for k in range(len(data)) if data[k : k + 4] == b"00dc"][4:8]:
        data[place + 8 : place + 16] = bytes(8)
    Path("in.avi").write_bytes(data)
    outcome = run("upscale", "in.avi", "--model", str(x2))
    assert (outcome.code, "damaged frames are left out" in outcome.err) == (0, True)
    outcome = run("upscale", "in.avi", "--model", str(x2), "--strict", "--overwrite")
    assert (outcome.code, "in.avi is refused" in outcome.err) == (1, True)
