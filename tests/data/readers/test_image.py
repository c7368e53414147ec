"""Pictures of every legal kind become the documented values; all others are refused in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.image import ImageReader
from tests.components import read

RED, GREEN = (255, 0, 0), (0, 255, 0)
GROUND = (128, 128, 128)  # what a mean of 0.5 is


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def halves(left: tuple[int, int, int] = RED, right: tuple[int, int, int] = GREEN, size: int = 8) -> Image.Image:
    image = Image.new("RGB", (size, size), left)
    image.paste(right, (size // 2, 0, size, size))
    return image


def bytes_of(values: Tensor) -> list[list[list[int]]]:
    """Back from -1..1 to 0..255, as [H][W][C]."""
    return ((values + 1) * 127.5).round().int().permute(1, 2, 0).tolist()


def noise(width: int = 48, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_pixels_arrive_channels_first_and_scaled():
    """Byte 255 becomes 1 and byte 0 becomes -1 under mean 0.5 and std 0.5."""
    values = read(ImageReader("image", size=2), encode(halves(size=2)))

    assert values.dtype == torch.float32
    assert values.tolist() == [[[1, -1], [1, -1]], [[-1, 1], [-1, 1]], [[-1, -1], [-1, -1]]]


def test_mean_and_std_go_by_channel():
    """(1 - 0.5) / 0.25 = 2 for red, (0 - 0.1) / 0.2 = -0.5 for green, (0 - 0) / 1 = 0 for blue."""
    reader = ImageReader("image", size=1, mean=[0.5, 0.1, 0.0], std=[0.25, 0.2, 1.0])

    assert read(reader, encode(Image.new("RGB", (1, 1), RED))).flatten().tolist() == pytest.approx([2, -0.5, 0])


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_every_format_is_read(form: str):
    """A plain grey picture comes out the same from each."""
    values = read(ImageReader("image", size=16), encode(Image.new("RGB", (16, 16), (128, 128, 128)), form))

    assert values.flatten().tolist() == pytest.approx([2 * 128 / 255 - 1] * 768, abs=0.02)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (1, 1), 100), [100, 100, 100]),
        (Image.new("1", (1, 1), 1), [255, 255, 255]),
        (Image.fromarray(np.array([[257 * 100]], dtype=np.uint16)), [100, 100, 100]),
        (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), [255, 255, 255]),
        (Image.new("RGBA", (1, 1), (0, 0, 0, 51)), [204, 204, 204]),
        (Image.new("LA", (1, 1), (0, 51)), [204, 204, 204]),
    ],
    ids=["grey", "black and white", "16 bits", "transparent", "a fifth black", "a fifth black in grey"],
)
def test_every_mode_becomes_rgb_on_white(image: Image.Image, expected: list[int]):
    """Depth goes to 8 bits, what is transparent shows white."""
    assert bytes_of(read(ImageReader("image", size=1), encode(image))) == [[expected]]


def test_a_palette_with_a_transparent_entry_shows_white_there():
    """GIF and small PNG files mark one colour as transparent."""
    image = halves().quantize(4)
    clear = image.getpixel((0, 0))

    row = bytes_of(read(ImageReader("image", size=8), encode(image, transparency=clear)))[0]

    assert (row[0], row[7]) == ([255, 255, 255], [0, 255, 0])


def test_cmyk_becomes_rgb():
    """Print pictures keep their colour: no ink is white."""
    values = read(ImageReader("image", size=8), encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))

    assert values.min().item() > 0.98


def test_one_channel_is_grey():
    """Red has a luma of 76."""
    values = read(ImageReader("image", size=1, channels=1), encode(Image.new("RGB", (1, 1), RED)))

    assert bytes_of(values) == [[[76]]]


def test_a_photograph_is_turned_upright():
    """EXIF orientation 6 means: turn clockwise; the left half ends on top."""
    exif = Image.Exif()
    exif[0x0112] = 6

    values = bytes_of(read(ImageReader("image", size=8), encode(halves(), exif=exif)))

    assert (values[0][0], values[7][0]) == (list(RED), list(GREEN))


def test_the_first_frame_of_an_animation_is_read():
    """Later frames do not matter."""
    frames = [Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), GREEN)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert bytes_of(read(ImageReader("image", size=1), data)) == [[list(RED)]]


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("squash", [[RED, GREEN], [RED, GREEN]]),
        ("crop", [[RED, GREEN], [RED, GREEN]]),
        ("pad", [[GROUND, GROUND], [RED, GREEN], [RED, GREEN], [GROUND, GROUND]]),
    ],
)
def test_another_shape_is_squashed_cropped_or_padded(resize: str, expected: list[list[tuple[int, int, int]]]):
    """Corners and middle of a picture twice as wide as high, put into a square: only padding shows ground."""
    image = Image.new("RGB", (32, 16), RED)
    image.paste(GREEN, (16, 0, 32, 16))

    values = bytes_of(read(ImageReader("image", size=16, resize=resize), encode(image)))

    rows = [0, 15] if len(expected) == 2 else [0, 7, 8, 15]
    assert [[tuple(values[row][column]) for column in (0, 15)] for row in rows] == expected


def test_cropping_keeps_the_middle():
    """Of red, green, green, red the middle is green; squashed, the edges stay red."""
    image = Image.new("RGB", (32, 16), RED)
    image.paste(GREEN, (8, 0, 24, 16))
    cropped, squashed = (ImageReader("image", size=16, resize=resize) for resize in ("crop", "squash"))

    assert bytes_of(read(cropped, encode(image)))[0][0] == list(GREEN)
    assert bytes_of(read(squashed, encode(image)))[0][0] == list(RED)


def test_height_comes_before_width():
    """`size: [2, 6]` is a wide picture, in the values as in the spec."""
    reader = ImageReader("image", size=[2, 6])

    assert reader.fit([]).shape == (3, 2, 6)
    assert read(reader, encode(halves())).shape == (3, 2, 6)


def test_a_large_jpeg_decoded_small_looks_the_same():
    """Decoding at a lower resolution saves time and must not change what is seen."""
    big = encode(halves().resize((1024, 1024)), "JPEG", quality=95)
    small = encode(halves().resize((1024, 1024)).resize((16, 16), Image.Resampling.BILINEAR))
    reader = ImageReader("image", size=16)

    assert (read(reader, big) - read(reader, small)).abs().max().item() < 0.15


def test_without_a_size_the_training_pictures_decide():
    """All of one size: that is it."""
    reader = ImageReader("image", size=None)

    assert reader.fit([encode(noise())] * 2).shape == (3, 40, 48)


def test_without_a_size_pictures_must_agree():
    """The message has both sizes and the key to set."""
    with pytest.raises(ValueError, match=r"is 8 x 8 pixels .* first one 40 x 48; .*`reader.image.size`"):
        ImageReader("image", size=None).fit([encode(noise()), encode(halves())])


def test_without_a_size_or_a_picture_nothing_can_be_said():
    """A message instead of an endless default."""
    with pytest.raises(ValueError, match=r"set `reader\.photo\.size`"):
        ImageReader("photo", size=None).fit([])


def test_with_a_size_no_picture_is_opened_to_fit():
    """Fitting must not cost a pass over the files."""

    def unread():
        pytest.fail("a picture was opened")
        yield b""

    assert ImageReader("image", size=8).fit(unread()).shape == (3, 8, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused(form: str, share: float):
    """Pixels that are not there are not made up."""
    data = encode(noise(), form)

    with pytest.raises(ValueError, match=r"damaged picture|no JPEG"):
        read(ImageReader("image"), data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\xff", "no JPEG, PNG, WEBP, BMP, GIF picture"),
        (b"<!DOCTYPE html><html></html>", "begins with b'<!DOCTYP'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no JPEG"),
        (encode(noise(), "TIFF"), "no JPEG"),
        (encode(noise(), "PPM"), "no JPEG"),
        (header_only(0, 0), "damaged picture|no JPEG"),
    ],
    ids=["empty", "one byte", "html", "eps", "tiff", "ppm", "zero pixels"],
)
def test_what_is_no_picture_is_refused(data: bytes, message: str):
    """Formats outside the list stay closed, whatever the name of the file says."""
    with pytest.raises(ValueError, match=message):
        read(ImageReader("image"), data)


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (20_000, 20_000), (2**31 - 1, 1)])
def test_a_bomb_is_refused_from_its_header(width: int, height: int):
    """The file holds no pixels at all, so that decoding it would give another message."""
    with pytest.raises(ValueError, match="more than `max_pixels`"):
        read(ImageReader("image"), header_only(width, height))


def test_the_limits_are_settings():
    """A tighter one refuses what the default reads."""
    data = encode(noise())

    with pytest.raises(ValueError, match=r"48 x 40 pixels are more than `max_pixels` \(=1,000\)"):
        read(ImageReader("image", max_pixels=1000), data)
    with pytest.raises(ValueError, match=r"more than `max_bytes` \(=100\)"):
        read(ImageReader("image", max_bytes=100), data)


def test_text_is_refused():
    """A text cell in a picture column."""
    with pytest.raises(ValueError, match=r"got the text 'cat\.png'"):
        read(ImageReader("image"), "cat.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "`size`"),
        ({"size": [8]}, "`size`"),
        ({"size": [8, 5000]}, "`size`"),
        ({"mean": [0.5, 0.5]}, "`mean`"),
        ({"std": 0.0}, "`std`"),
        ({"channels": 1, "std": [1.0, 1.0, 1.0]}, "`std`"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, object], message: str):
    """Each message names its key."""
    with pytest.raises(ValueError, match=message):
        ImageReader("image", **arguments)


def test_a_restored_reader_reads_the_stored_size():
    """The spec decides, not the constructor."""
    reader = ImageReader("image", size=None)

    reader.restore(SignalSpec("image", "image", shape=(3, 4, 5)))

    assert read(reader, encode(noise())).shape == (3, 4, 5)


def test_a_spec_with_other_channels_is_refused():
    """Grey weights cannot read RGB."""
    with pytest.raises(ValueError, match=r"\[1, 4, 4\] is not \[3, height, width\]"):
        ImageReader("image").restore(SignalSpec("image", "image", shape=(1, 4, 4)))
