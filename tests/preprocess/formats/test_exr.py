"""EXR files that the official library writes are read by channel; what is damaged or lies is a fault, and takes no memory."""

import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import OpenEXR
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zipmap_pl.errors import UserError
from zipmap_pl.preprocess.formats import extras
from zipmap_pl.preprocess.formats.exr import read_exr
from zipmap_pl.preprocess.formats.sources import Zipped
from zipmap_pl.preprocess.raw import RawFault

# In steps, so that every block is smaller when compressed: others are stored without a checksum.
DEPTH = np.random.default_rng(0).integers(1, 5, (40, 30)).astype(np.float32)
DEPTH[0, :4] = [0, np.inf, np.nan, 65504]


def written(file, channels, compression=OpenEXR.ZIP_COMPRESSION, **header):
    plain = {"compression": compression, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(plain | header, dict(channels)) as image:
        image.write(str(file))
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("exr") / "whole.exr", {"Y": DEPTH}).read_bytes()


@pytest.mark.parametrize(
    "compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "ZSTD", "B44", "B44A", "DWAA", "DWAB", "HTJ2K256"]
)
def test_flat_maps_of_every_compression_are_read(tmp_path, compression):
    """As small as a file can be: no limit may take it for a header that lies."""
    flat = np.full((1080, 1920), 7.5, np.float16)
    file = written(tmp_path / "a.exr", {"R": flat, "G": flat}, getattr(OpenEXR, f"{compression}_COMPRESSION"))
    assert np.allclose(read_exr(file, "R"), flat, rtol=1e-3)  # DWA is not exact


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("tiles", [False, True])
def test_values_are_read_as_stored(tmp_path, kind, tiles):
    options = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()} if tiles else {}
    stored = DEPTH.astype(kind)
    values = read_exr(written(tmp_path / "a.exr", {"Depth": stored}, **options), "Depth")
    assert values.dtype == np.float32
    assert np.array_equal(values, stored.astype(np.float32), equal_nan=True)


def test_the_first_channel_of_the_names_that_is_there_is_read(tmp_path):
    layers = {name: DEPTH + k for k, name in enumerate("RGBA")}
    file = written(tmp_path / "a.exr", layers)
    assert np.array_equal(read_exr(file, "Y", "B"), layers["B"], equal_nan=True)
    with pytest.raises(RawFault, match="has the channels A, B, G, R, expected Y or Depth"):
        read_exr(file, "Y", "Depth")


def test_members_of_archives_are_read(tmp_path, whole):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.exr", whole)
    assert np.array_equal(read_exr(Zipped(tmp_path / "a.zip", "0.exr"), "Y"), DEPTH, equal_nan=True)


def test_integers_are_no_depth(tmp_path):
    file = written(tmp_path / "a.exr", {"Y": np.ones((4, 5), np.uint32)})
    with pytest.raises(RawFault, match="channel Y has integers"):
        read_exr(file, "Y")


def test_a_part_of_the_image_is_refused(tmp_path):
    corners = (np.array([1, 0], np.int32), np.array([30, 39], np.int32))
    file = written(tmp_path / "a.exr", {"Y": DEPTH}, dataWindow=corners)
    with pytest.raises(RawFault, match="expected the whole of the image"):
        read_exr(file, "Y")


def test_several_parts_are_refused(tmp_path):
    parts = [OpenEXR.Part({"name": name}, {"Y": DEPTH}) for name in ("left", "right")]
    with OpenEXR.File(parts) as image:
        image.write(str(tmp_path / "a.exr"))
    with pytest.raises(RawFault, match="several parts"):
        read_exr(tmp_path / "a.exr", "Y")


def test_damage_is_a_fault_and_the_library_does_not_print(tmp_path, whole, capfd):
    for data in (whole[:-100], whole[:500] + bytes([whole[500] ^ 0xFF]) + whole[501:]):
        (tmp_path / "a.exr").write_bytes(data)
        with pytest.raises(RawFault, match="unreadable EXR"):
            read_exr(tmp_path / "a.exr", "Y")
    print("seen afterwards")
    assert capfd.readouterr() == ("seen afterwards\n", "")


@given(end=st.integers(1, 1000))
def test_a_cut_file_is_a_fault(tmp_path_factory, whole, end):
    file = tmp_path_factory.getbasetemp() / "cut.exr"
    file.write_bytes(whole[: min(end, len(whole) - 1)])
    with pytest.raises(RawFault):
        read_exr(file, "Y")


def fits_its_checksums(data: bytes) -> bool:
    """Return True if each block of rows of this file is a zlib stream whose checksum fits."""
    start = data.index(b"scanlineimage") + len(b"scanlineimage") + 1  # the last attribute, and the end of the header
    try:
        for block in range(3):
            (place,) = struct.unpack_from("<Q", data, start + 8 * block)
            (length,) = struct.unpack_from("<i", data, place + 4)
            zlib.decompress(data[place + 8 : place + 8 + length])
    except (struct.error, OverflowError, zlib.error):
        return False
    return True


@example(place=929, value=1)  # two pairs of bytes trade one, which zlib's sum cannot see
@given(place=st.integers(0, 1200), value=st.integers(1, 255))
def test_an_altered_byte_is_a_fault_or_changes_nothing_that_the_checksums_see(tmp_path_factory, whole, place, value):
    file = tmp_path_factory.getbasetemp() / "altered.exr"
    data = bytearray(whole)
    data[place % len(data)] ^= value
    file.write_bytes(data)
    try:
        depth = read_exr(file, "Y")
    except RawFault as fault:
        assert fault.file == str(file)
    else:
        assert depth.shape == DEPTH.shape and (np.array_equal(depth, DEPTH, equal_nan=True) or fits_its_checksums(data))


def lying(whole: bytes, attribute: bytes, before: bytes, after: bytes) -> bytes:
    start = whole.index(attribute)
    return whole[:start] + whole[start:].replace(before, after, 1)


@pytest.mark.parametrize("side", [8000, 200_000, 2**31 - 1])
def test_a_header_that_lies_takes_no_memory(tmp_path, whole, side):
    corner, lie = ((np.array(end, "<i4")).tobytes() for end in ((29, 39), (side - 1, side - 1)))
    data = lying(lying(whole, b"dataWindow", corner, lie), b"displayWindow", corner, lie)
    (tmp_path / "a.exr").write_bytes(data)
    code = (
        "import resource, sys; from pathlib import Path; from zipmap_pl.preprocess.formats.exr import read_exr\n"
        "from zipmap_pl.preprocess.raw import RawFault\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_exr(Path(sys.argv[1]), 'Y')\n"
        "except RawFault as fault: print(peak() - before < 60_000, fault)"
    )
    found = subprocess.run([sys.executable, "-c", code, tmp_path / "a.exr"], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("True ")
    assert f"its header promises {side}x{side}" in found.stdout


def test_without_the_library_the_extra_is_named(tmp_path, whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(whole)
    with pytest.raises(UserError, match=r'OpenEXR, which is not installed; .* "zipmap_pl\[exr\]"'):
        read_exr(tmp_path / "a.exr", "Y")


def test_a_library_is_imported_when_it_is_needed():
    assert extras.library("zlib", "none", "this test").crc32(b"") == 0
