"""Images from a folder: modes, depths, sizes, order, and what is refused."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from ebm_bench import datasets
from ebm_bench.datasets import image_folder
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.datasets import CHECKS, Case
from ebm_bench.streams import Streams
from tests.factories.data import save_images

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (24, 8, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (24, 8, 8), dtype=np.uint16)


def folder(path, **settings):
    return datasets.create("image_folder", path=str(path), **settings)


def everything(dataset):
    """Bytes of all images in the order of the files, (N, C, H, W)."""
    return dataset._data.pixels


def write(path, images, convert=lambda image: image, ending="png", **options):
    path.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(images):
        convert(Image.fromarray(pixels)).save(path / f"{i:02}.{ending}", **options)


def refused(path, match, **settings):
    with pytest.raises(InputError, match=match):
        folder(path, **settings).event_shape  # noqa: B018


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "pgm", "PNG", "gif"])
def test_grey_images_are_read_as_they_are(ending, tmp_path):
    write(tmp_path, GREY, ending=ending)
    assert folder(tmp_path).event_shape == (1, 8, 8)
    assert (everything(folder(tmp_path))[:, 0] == GREY).all()


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: image.convert("RGBA"),  # opaque
        lambda image: image.convert("P", palette=Image.Palette.WEB).convert("RGB"),
    ],
)
def test_colour_images_are_read_as_they_are(convert, tmp_path):
    write(tmp_path, COLOUR, convert)
    expected = np.stack([np.asarray(convert(Image.fromarray(x)).convert("RGB")) for x in COLOUR])
    assert (everything(folder(tmp_path)) == expected.transpose(0, 3, 1, 2)).all()


def test_palettes_are_looked_up(tmp_path):
    write(tmp_path / "colour", COLOUR, lambda image: image.quantize(64))
    expected = [np.asarray(Image.fromarray(x).quantize(64).convert("RGB")) for x in COLOUR]
    found = everything(folder(tmp_path / "colour"))
    assert (found == np.stack(expected).transpose(0, 3, 1, 2)).all()
    write(tmp_path / "grey", GREY, lambda image: image.convert("P"))
    assert (everything(folder(tmp_path / "grey"))[:, 0] == GREY).all()


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_images_of_16_bits_keep_their_upper_byte(ending, tmp_path):
    write(tmp_path, DEEP, ending=ending)
    found = folder(tmp_path)
    assert (everything(found)[:, 0] == DEEP // 256).all()
    assert "24 of 16 bits reduced to their upper byte" in found.space


@pytest.mark.parametrize("bits", [8, 12, 13])
def test_images_of_fewer_bits_in_16_are_refused(bits, tmp_path):
    write(tmp_path, DEEP >> (16 - bits))
    refused(tmp_path, "no image of 16 bits is brighter than")


def deep_colours(path, pixels):
    """Write a PNG of 16 bits for each colour, as Pillow cannot."""
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, part in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(part)) + kind + part
        content += struct.pack(">I", zlib.crc32(kind + part))
    path.write_bytes(content)


@pytest.mark.parametrize("bits", [8, 12, 13, 16])
def test_colours_of_16_bits_keep_their_upper_byte_unless_they_use_fewer(bits, tmp_path):
    deep = RNG.integers(0, 2**bits, (24, 8, 8, 3))
    for i, pixels in enumerate(deep):
        deep_colours(tmp_path / f"{i:02}.png", pixels)
    if bits < 16:
        return refused(tmp_path, "no image of 16 bits is brighter than")
    found = folder(tmp_path)
    assert (everything(found) == (deep // 256).transpose(0, 3, 1, 2)).all()
    assert "24 of 16 bits reduced to their upper byte" in found.space


def test_bitmaps_of_16_bits_a_pixel_have_eight_bits_a_colour(tmp_path):
    header = b"BM" + struct.pack("<IHHI", 54 + 128, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 0, 128, 0, 0, 0, 0)
    for i in range(24):
        dark = RNG.integers(0, 2**5, 64).astype("<u2")  # blue alone
        (tmp_path / f"{i:02}.bmp").write_bytes(header + dark.tobytes())
    assert "16 bits" not in folder(tmp_path).space


def test_black_and_white(tmp_path):
    write(tmp_path, GREY, lambda image: image.convert("1"))
    assert set(np.unique(everything(folder(tmp_path)))) == {0, 255}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_alpha_is_dropped_and_transparency_refused(mode, tmp_path):
    write(tmp_path, GREY, lambda image: image.convert(mode))
    assert (everything(folder(tmp_path))[:, 0] == GREY).all()
    image = Image.fromarray(GREY[0]).convert(mode)
    image.putalpha(128)
    image.save(tmp_path / "07.png")
    refused(tmp_path, "07.png: has transparent pixels")


def test_a_transparent_colour_of_a_palette_is_refused(tmp_path):
    write(tmp_path, GREY, lambda image: image.convert("P"), transparency=int(GREY[0, 0, 0]))
    refused(tmp_path, "has transparent pixels")


def test_orientation_of_cameras_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees
    write(tmp_path, GREY, exif=exif)
    assert (everything(folder(tmp_path))[:, 0] == np.rot90(GREY, -1, (1, 2))).all()


@pytest.mark.parametrize("mode", ["CMYK", "F", "LAB"])
def test_other_colour_spaces_are_refused(mode, tmp_path):
    write(tmp_path, COLOUR, ending="tif")
    image = Image.fromarray(COLOUR[0])
    if mode == "LAB":
        image = Image.frombytes("LAB", (8, 8), COLOUR[0].tobytes())
    else:
        image = image.convert(mode)
    image.save(tmp_path / "05.tif")
    refused(tmp_path, f"05.tif: has pixels of Pillow's mode {mode}")


def test_a_folder_of_jpegs_alone_is_read(tmp_path):
    save_images(tmp_path, ending="jpg", mode="RGB")
    found = folder(tmp_path)
    assert found.event_shape == (3, 8, 8)
    first = np.asarray(Image.open(tmp_path / "000.jpg"))
    assert (everything(found)[0] == first.transpose(2, 0, 1)).all()


def test_nested_folders_are_read_in_the_order_of_paths(tmp_path):
    write(tmp_path / "b", GREY[:8])
    write(tmp_path / "a" / "deep", GREY[8:16])
    write(tmp_path, GREY[16:])
    expected = np.concatenate([GREY[16:], GREY[8:16], GREY[:8]])
    assert (everything(folder(tmp_path))[:, 0] == expected).all()


def test_other_files_are_left_out_and_stated(tmp_path):
    write(tmp_path, GREY)
    for name in ("labels.csv", "README", ".DS_Store", "x.heic"):
        (tmp_path / name).write_text("x")
    found = folder(tmp_path)
    assert len(everything(found)) == 24
    assert "left out, as no images: README, labels.csv, x.heic" in found.space


def test_what_is_no_folder_of_images_is_refused(tmp_path):
    refused(tmp_path / "none", "none: does not exist")
    refused(tmp_path, "has no images .* it is empty")
    (tmp_path / "photo.heic").write_text("x")
    refused(tmp_path, "it has photo.heic")
    refused(tmp_path / "photo.heic", "is no folder of images")


def test_broken_files_are_named(tmp_path):
    write(tmp_path, GREY)
    (tmp_path / "05.png").write_text("not an image")
    refused(tmp_path, "05.png: cannot be read as an image")
    whole = (tmp_path / "04.png").read_bytes()
    (tmp_path / "05.png").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "05.png: cannot be read as an image")
    (tmp_path / "05.png").write_bytes(b"")
    refused(tmp_path, "05.png")
    (tmp_path / "05.png").unlink()
    (tmp_path / "05.png").symlink_to("none.png")
    refused(tmp_path, "05.png: cannot be read as an image .*No such file")


@pytest.mark.parametrize("error", [TypeError, KeyError, struct.error, EOFError, OverflowError])
def test_whatever_a_decoder_raises_names_the_file(error, tmp_path, monkeypatch):
    def fail(image):
        raise error("of a decoder")

    write(tmp_path, GREY)
    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    refused(tmp_path, "00.png: cannot be read as an image .*of a decoder")


def test_links_to_folders_and_odd_names_are_stated(tmp_path):
    write(tmp_path / "own", GREY)
    write(tmp_path / "other", GREY)
    (tmp_path / "own" / "more").symlink_to(tmp_path / "other")
    with open(os.fsencode(tmp_path / "own") + b"/caf\xe9.txt", "w"):
        pass
    found = folder(tmp_path / "own")
    assert "left out, as no images: caf\N{REPLACEMENT CHARACTER}.txt, more" in found.space
    assert len(everything(found)) == 24


def test_several_frames_are_refused(tmp_path):
    write(tmp_path, GREY, ending="gif")
    frames = [Image.fromarray(x) for x in GREY[:3]]
    frames[0].save(tmp_path / "03.gif", save_all=True, append_images=frames[1:])
    refused(tmp_path, "03.gif: has several frames")


def test_sizes_are_equal_or_resized(tmp_path):
    write(tmp_path, GREY)
    Image.fromarray(GREY[0, :6]).save(tmp_path / "11.png")
    refused(tmp_path, "11.png: 8 × 6 pixels, and .*00.png is 8 × 8.*'resize'")
    found = folder(tmp_path, resize=4)
    assert found.event_shape == (1, 4, 4)
    assert "cropped to squares and resized to 4 × 4" in found.space


@pytest.mark.parametrize("side", [2000, 10**6, 10**30])
def test_images_that_would_be_huge_are_refused_before_one_is_read(side, tmp_path, monkeypatch):
    write(tmp_path, GREY)
    monkeypatch.setattr(image_folder, "_load", lambda *_: pytest.fail("is read"))
    refused(tmp_path, f"{side**2} values in an image are more than .*'resize'", resize=side)


def test_images_that_take_too_much_memory_are_refused_before_all_are_read(tmp_path, monkeypatch):
    write(tmp_path, COLOUR)
    (tmp_path / "01.png").write_text("is not read")
    monkeypatch.setattr(image_folder, "_BYTES", 24 * COLOUR[0].size - 1)
    refused(tmp_path, "24 images of 192 bytes are more than .*'resize'")
    refused(tmp_path, "24 images of 243 bytes are more than .*'resize'", resize=9)
    monkeypatch.setattr(image_folder, "_VALUES", 191)
    refused(tmp_path, "192 values in an image are more than 191")


def test_grey_and_colour_together(tmp_path):
    write(tmp_path / "a", GREY)
    write(tmp_path / "b", COLOUR)
    found = folder(tmp_path)
    assert found.event_shape == (3, 8, 8)
    assert (everything(found)[:24] == GREY[:, None]).all()
    assert "24 grey ones repeated in 3 channels" in found.space
    grey = folder(tmp_path, channels=1)
    luma = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in COLOUR])
    assert (everything(grey)[24:, 0] == luma).all()
    assert "24 in colour reduced to their luma" in grey.space


def test_few_and_equal_images_are_refused(tmp_path):
    write(tmp_path, GREY[:4])
    refused(tmp_path, "4 points are too few")
    write(tmp_path, np.repeat(GREY[:1], 24, 0))
    refused(tmp_path, "constant")


def test_points_are_dequantised_pixels_of_the_split(tmp_path):
    write(tmp_path, GREY)
    found = folder(tmp_path, test=0.25)
    assert [found.size(s) for s in ("train", "validation", "test")] == [16, 2, 6]
    drawn = (256 * found.to_pixels(found.sample(40, Streams(0, 2), "test"))).floor()[0, :, 0]
    held_out = torch.from_numpy(GREY[found._data.split.of("test")]).float()
    assert (torch.cdist(drawn.flatten(1), held_out.flatten(1)).min(1).values < 20).all()
    again = folder(tmp_path, test=0.25).sample(40, Streams(0, 2), "test")
    assert torch.equal(again, found.sample(40, Streams(0, 2), "test"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_contract(check, tmp_path):
    write(tmp_path, GREY)
    case = Case("image_folder", {"path": str(tmp_path)})
    if check.applies(case):
        check(case)
