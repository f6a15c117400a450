"""Animations: every frame, its time and the loop; limits; what becomes of them where they cannot be animations."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from tests.files import animation, frames_of
from tests.service.http.test_bad_input import refused

TIMES = [80, 40, 200, 120]
MOVING = ["gif", "webp", "png"]
every = pytest.mark.parametrize("kind", MOVING)


def pictures(count=4, alpha=False):
    """Flat colours with a bar that moves: what differs between frames is where they were only partly stored."""
    made = []
    for index in range(count):
        frame = np.full((24, 32, 4), 255, np.uint8)
        frame[..., :3] = (40, 120, 200)
        frame[:, 8 * index : 8 * index + 8, :3] = (250, 200, 20)
        if alpha:
            frame[:6, :, 3] = 0
        made.append(frame if alpha else frame[..., :3])
    return made


def looped(kind, plays):
    """The option that makes an animation run so often: GIF counts repetitions."""
    if kind != "gif":
        return {"loop": plays}
    return {} if plays == 1 else {"loop": max(0, plays - 1)}


def loop_of(data):
    image = Image.open(io.BytesIO(data))
    loop = image.info.get("loop")
    if image.format != "GIF":
        return loop
    return 1 if loop is None else loop + 1 if loop else 0


def encoding(kind):
    return {"lossless": True} if kind == "webp" else {}


@every
def test_every_frame_is_enlarged_and_shown_as_long(upscaled, kind):
    data = animation(kind, pictures(), TIMES, **looped(kind, 0), **encoding(kind))
    response = upscaled(data)
    assert response.headers["content-type"] == f"image/{kind}"
    answers, times = frames_of(response.content)
    assert times == TIMES
    assert len(answers) == 4
    for index, (answer, frame) in enumerate(zip(answers, pictures(), strict=True)):
        assert answer.shape == (48, 64, 4)
        middle = answer[24, 16 * index + 8, :3].astype(int)
        assert np.abs(middle - (250, 200, 20)).max() < 16
        assert np.abs(answer[24, (16 * index + 40) % 64, :3].astype(int) - frame[0, (8 * index + 20) % 32]).max() < 16


@every
def test_every_frame_is_stylised_as_if_it_were_alone(stylised, kind):
    data = animation(kind, pictures(), TIMES, **encoding(kind))
    answers, _ = frames_of(stylised(data, format="png").content)
    for answer, frame in zip(answers, frames_of(data)[0], strict=True):
        alone = Image.open(io.BytesIO(stylised(encoded(frame[..., :3].copy())).content))
        assert np.array_equal(answer[..., :3], np.asarray(alone))


@every
@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("answer", MOVING)
def test_the_loop_is_kept_whatever_the_format(upscaled, kind, plays, answer):
    data = animation(kind, pictures(2), [100, 100], **looped(kind, plays))
    response = upscaled(data, format=answer)
    assert response.headers["content-type"] == f"image/{answer}"
    assert loop_of(response.content) == plays
    assert frames_of(response.content)[1] == [100, 100]


@every
def test_transparency_of_an_animation_is_kept(upscaled, kind):
    data = animation(kind, pictures(alpha=True), TIMES, disposal=2) if kind == "gif" else None
    data = data or animation(kind, pictures(alpha=True), TIMES, **encoding(kind))
    for answer in MOVING:
        shown, _ = frames_of(upscaled(data, format=answer).content)
        assert len(shown) == 4
        for frame in shown:
            assert (frame[:10, :, 3] == 0).all()
            assert (frame[14:, :, 3] == 255).all()


@every
@pytest.mark.parametrize("answer", ["jpeg", "avif"])
def test_a_still_format_gets_the_first_frame_and_is_told(upscaled, kind, answer):
    response = upscaled(animation(kind, pictures(), TIMES), format=answer)
    assert response.headers["impasto-frames"] == "1/4"
    still = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))
    assert still.shape == (48, 64, 3)
    assert np.abs(still[24, 8].astype(int) - (250, 200, 20)).max() < 20


def test_accept_does_not_stop_an_animation(plain):
    data = animation("gif", pictures(), TIMES)
    for accept, expected in {
        "image/avif,image/webp,image/apng,*/*;q=0.8": "image/webp",  # a browser's
        "*/*": "image/gif",
        "image/png, image/jpeg": "image/png",
        "image/jpeg": "image/jpeg",
        "image/gif": "image/gif",
    }.items():
        response = plain.post("/upscale?factor=2", content=data, headers={"Accept": accept})
        assert response.headers["content-type"] == expected


def test_a_picture_that_does_not_move_is_not_answered_as_a_gif(plain, upscaled):
    still = encoded(picture(), "gif")
    assert upscaled(still).headers["content-type"] == "image/png"
    problem = refused(plain.post("/upscale?factor=2&format=gif", content=still), 422, "invalid_parameter")
    assert problem["parameter"] == "format"
    response = plain.post("/upscale?factor=2", content=still, headers={"Accept": "image/gif"})
    refused(response, 406, "not_acceptable")


@every
def test_too_many_frames_are_refused_before_any_is_decoded(plain, kind):
    frames = [np.full((2, 2, 3), 5 * index, np.uint8) for index in range(41)]
    problem = refused(plain.post("/upscale?factor=2", content=animation(kind, frames, 50)), 413, "too_many_frames")
    assert problem["expected"] == "at most 40 frames"
    assert frames_of(plain.post("/upscale?factor=2", content=animation(kind, frames[:40], 50)).content)[1] == [50] * 40


@every
def test_the_pixels_of_all_frames_count(plain, kind):
    frames = [np.full((400, 400, 3), 20 * index, np.uint8) for index in range(7)]
    data = animation(kind, frames, 50)
    problem = refused(plain.post("/upscale?factor=2", content=data), 413, "too_many_pixels")
    assert "400 x 400, 7 frames" in problem["detail"]
    assert "at most 1000000 pixels" in problem["detail"]
    assert plain.post("/upscale?factor=2&format=jpeg", content=data).status_code == 200  # one frame


@every
def test_an_animation_that_ends_early_is_broken(plain, kind):
    data = animation(kind, [picture(40, 40, seed=each) for each in range(4)], 50)
    refused(plain.post("/upscale?factor=2", content=data[: len(data) * 3 // 5]), 422, "broken_image")


def test_the_default_image_of_a_png_is_not_a_frame(upscaled):
    frames = pictures(3)
    buffer = io.BytesIO()
    still = Image.new("RGB", (32, 24), (255, 0, 0))
    others = list(map(Image.fromarray, frames))
    still.save(buffer, "PNG", save_all=True, append_images=others, default_image=True, duration=50)
    answers, times = frames_of(upscaled(buffer.getvalue()).content)
    assert times == [50, 50, 50]
    assert not any((answer[24, 60, :3] == (255, 0, 0)).all() for answer in answers)


def test_of_a_tiff_with_pages_the_first_is_read_and_the_client_is_told(upscaled):
    buffer = io.BytesIO()
    first, second = Image.fromarray(picture(seed=1)), Image.fromarray(picture(20, 20, seed=2))
    first.save(buffer, "TIFF", save_all=True, append_images=[second, second])
    response = upscaled(buffer.getvalue())
    assert response.headers["impasto-frames"] == "1/3"
    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(response.content))),
        np.asarray(Image.open(io.BytesIO(upscaled(encoded(picture(seed=1))).content))),
    )


def joined(first, second):
    """Two GIFs of one size as one, the second with its palette as its frame's own."""
    size = second[10] & 7
    palette, at = second[13 : 13 + (3 << size + 1)], second.index(b"\x2c\0\0\0\0", 13 + (3 << size + 1))
    return first[:-1] + second[at : at + 9] + bytes([0x80 | size]) + palette + second[at + 10 :]


def test_an_animation_that_begins_in_grey_is_not_made_grey(upscaled):
    colour = np.full((24, 32, 3), (250, 20, 20), np.uint8)
    every_grey = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    data = joined(encoded(every_grey, "gif"), encoded(colour, "gif"))
    assert Image.open(io.BytesIO(data)).mode == "L"
    answer = Image.open(io.BytesIO(upscaled(data, format="png").content))
    assert (answer.mode, answer.n_frames) == (
        "RGB",
        2,
    )  # (which colours is Pillow's affair, and it errs: see raster.py)


@pytest.mark.parametrize("answer", MOVING)
@pytest.mark.parametrize("times", [[65_535_000, 65_535_000, 1000], [1e6 / 3, 1e5 / 7, 1e5 / 3]])
def test_times_and_loops_that_a_format_cannot_hold_are_as_long_as_it_can(upscaled, answer, times):
    data = animation("png", [picture(8, 8, seed=seed) for seed in range(3)], times, loop=2**31)
    response = upscaled(data, format=answer)
    shown, milliseconds = frames_of(response.content)
    assert len(shown) == 3
    assert milliseconds[0] > 200_000
    assert loop_of(response.content) >= 65_535


@pytest.mark.parametrize("answer", MOVING)
def test_frames_that_are_the_same_for_very_long(upscaled, answer):
    same = [picture(8, 8, seed=seed) for seed in (0, 1, 1, 1, 1)]
    data = animation("webp", same, [16_000_000, 16_000_001, 16_000_002, 16_000_003, 16_000_004])
    assert len(frames_of(upscaled(data, format=answer).content)[0]) >= 2
