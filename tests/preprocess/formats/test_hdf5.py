"""HDF5 files read in place: arrays, parts, strings, attributes; links, lies and damage are faults."""

import io
import resource
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_memory import taken_at_most

from zipmap_pl.preprocess.formats import hdf5
from zipmap_pl.preprocess.formats.hdf5 import opened, read_hdf5
from zipmap_pl.preprocess.formats.sources import Zipped
from zipmap_pl.preprocess.raw import RawFault

DEPTH = np.random.default_rng(0).uniform(0, 9, (12, 7)).astype(np.float32)
NAMES = [f"color_left/trajectory_3000/{k:06d}.JPEG" for k in range(300)] + ["", "blå"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("hdf5") / "a.hdf5"
    with h5py.File(path, "w") as top:
        top.create_dataset("depth", data=DEPTH, chunks=(4, 7), compression="gzip", shuffle=True)
        top["plain"] = np.arange(24.0).reshape(8, 3)
        top["image_0"] = np.frombuffer(b"\xff\xd8\xff and so on", np.uint8)
        position = top.create_dataset("trajectory_3000/groundtruth/position", data=np.eye(3))
        position.attrs["sampling_frequency"] = 100.0
        position.attrs["shape"] = np.array([3, 3])
        position.attrs["unit"] = "m"
        position.attrs["fixed"] = np.bytes_(b"NED")
        position.attrs["several"] = ["a", "b"]
        top.create_dataset("names", data=NAMES, dtype=h5py.string_dtype())
        top["basenames"] = np.array([b"00000000", b"17"])
        top["scalar"] = 2.5
    return path


def test_names_of_groups_are_listed(file):
    with opened(file) as contents:
        assert contents.names("trajectory_3000") == ["groundtruth"]
        assert contents.names()[:3] == ["basenames", "depth", "image_0"]
        with pytest.raises(RawFault, match="'depth' is an array, expected a group"):
            contents.names("depth")


def test_arrays_are_read_as_stored(file):
    with opened(file) as contents:
        depth = contents.array("depth", "f", (None, 7))
        assert depth.dtype == np.float32
        assert np.array_equal(depth, DEPTH)
        assert contents.array("image_0", "u", (None,)).tobytes() == b"\xff\xd8\xff and so on"
        assert np.array_equal(contents.array("trajectory_3000/groundtruth/position", "f", (3, 3)), np.eye(3))
        assert contents.array("scalar", "f", ()) == 2.5


def test_rows_are_read_without_the_others(file):
    with opened(file) as contents:
        assert np.array_equal(contents.array("depth", "f", (None, 7), slice(3, 11, 4)), DEPTH[3:11:4])
        assert contents.array("plain", "f", (None, 3), slice(5, 5)).shape == (0, 3)


def test_strings_of_any_length_and_of_a_fixed_one_are_read(file):
    with opened(file) as contents:
        assert contents.texts("names") == NAMES
        assert contents.texts("basenames") == ["00000000", "17"]
        with pytest.raises(RawFault, match=r"'plain' is float64\[8, 3\], expected strings \[N\]"):
            contents.texts("plain")


def test_attributes_are_numbers_or_a_string(file):
    key = "trajectory_3000/groundtruth/position"
    with opened(file) as contents:
        assert contents.attribute(key, "sampling_frequency") == 100
        assert contents.attribute(key, "shape").tolist() == [3, 3]
        assert contents.attribute(key, "unit") == "m"
        assert contents.attribute(key, "fixed") == "NED"
        for name, reason in (("several", "expected numbers or a string"), ("rate", "has no attribute 'rate'")):
            with pytest.raises(RawFault, match=reason):
                contents.attribute(key, name)


def test_members_of_archives_are_read(file, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(file, "a.hdf5")
    with opened(Zipped(tmp_path / "a.zip", "a.hdf5")) as contents:
        assert np.array_equal(contents.array("depth", "f", (12, 7)), DEPTH)


@pytest.mark.parametrize(
    ("key", "kind", "shape", "reason"),
    [
        ("nothing", "f", (None,), "holds no 'nothing'"),
        ("depth/x", "f", (None,), "holds no 'depth/x'"),
        ("./depth", "f", (12, 7), "holds no './depth'"),
        ("trajectory_3000", "f", (None,), "expected"),
        ("depth", "i", (12, 7), r"float32\[12, 7\], expected integers \[12, 7\]"),
        ("depth", "f", (7, None), r"expected floats \[7, N\]"),
        ("names", "f", (None,), "expected floats"),
    ],
)
def test_other_contents_are_faults(file, key, kind, shape, reason):
    with opened(file) as contents, pytest.raises(RawFault, match=reason):
        contents.array(key, kind, shape)


@pytest.mark.parametrize("key", ["soft", "external", "group/depth", "away/depth"])
def test_links_are_not_followed(file, tmp_path, key):
    with h5py.File(tmp_path / "a.h5", "w") as top:
        top["depth"] = DEPTH
        top["soft"] = h5py.SoftLink("/depth")
        top["external"] = h5py.ExternalLink(str(file), "/depth")
        top["group"] = h5py.SoftLink("/")
        top["away"] = h5py.ExternalLink(str(file), "/")
    with opened(tmp_path / "a.h5") as contents, pytest.raises(RawFault, match=f"holds no '{key}'"):
        contents.array(key, "f", (12, 7))
    with pytest.raises(RawFault, match=f"holds no '{key}'"):
        read_hdf5(tmp_path / "a.h5", key, "f", (12, 7))


def test_values_in_other_files_are_not_read(file, tmp_path):
    layout = h5py.VirtualLayout((12, 7), np.float32)
    layout[:] = h5py.VirtualSource(str(file), "depth", (12, 7))
    DEPTH.tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "a.h5", "w") as top:
        top.create_virtual_dataset("virtual", layout)
        top.create_dataset("external", (12, 7), np.float32, external=[(str(tmp_path / "raw"), 0, DEPTH.nbytes)])
    with opened(tmp_path / "a.h5") as contents:
        for key in ("virtual", "external"):
            with pytest.raises(RawFault, match="kept in other files"):
                contents.array(key, "f", (12, 7))


def test_promises_that_the_file_cannot_hold_take_no_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as top:
        top.create_dataset("empty", (200_000_000,), np.float32, chunks=(1000,))
        top.create_dataset("chunk", (5,), np.float32, chunks=(5,), maxshape=(None,))
        top.create_dataset("wide", (200_000_000,), np.float32, chunks=(100_000_000,))
        top.create_dataset("names", (1 << 40,), h5py.string_dtype(), chunks=(1000,))
        top.create_dataset("long", (10,), "S200000000", chunks=(1,))
    with taken_at_most(5_000_000), opened(tmp_path / "a.h5") as contents:
        assert contents.array("empty", "f", (None,), slice(7, 9)).tolist() == [0, 0]
        for read in (
            lambda: contents.array("empty", "f", (None,)),
            lambda: contents.array("wide", "f", (None,), slice(0, 1)),
            lambda: contents.texts("names"),
            lambda: contents.texts("long"),
        ):
            with pytest.raises(RawFault, match="expected at most"):
                read()


def test_a_large_file_is_not_read_as_a_whole(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as top:
        top["tracks"] = np.zeros(40_000_000, np.uint8)
        top["pose"] = np.eye(4)
    with taken_at_most(1_000_000), opened(tmp_path / "a.h5") as contents:
        assert np.array_equal(contents.array("pose", "f", (4, 4)), np.eye(4))


def test_missing_files_and_other_files_are_faults(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no HDF5" * 100)
    for name, reason in (
        ("none", "missing"),
        ("text/x", "missing"),
        ("empty", "empty file"),
        ("text", "unreadable HDF5"),
        ("", "is a folder"),
    ):
        with pytest.raises(RawFault, match=reason), opened(tmp_path / name):
            pass


def test_errors_of_the_system_stay_what_they_are(file, monkeypatch):
    """An OSError of h5py is damage; one of the disk stops the run."""

    class Broken:
        def __init__(self, stream):
            self.stream, self.broken = stream, False

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

        def readinto(self, buffer):
            if self.broken:
                raise OSError(5, "Input/output error")
            return self.stream.readinto(buffer)

        def __getattr__(self, name):
            return getattr(self.stream, name)

    stream = Broken(io.BytesIO(file.read_bytes()))
    monkeypatch.setattr(hdf5, "open_seekable", lambda _: stream)
    with opened(file) as contents:
        stream.broken = True
        with pytest.raises(OSError, match="Input/output error"):
            contents.array("plain", "f", (8, 3))


def test_an_error_of_the_user_is_not_taken_for_damage(file):
    with pytest.raises(KeyError), opened(file):
        raise KeyError("of the reader")


def test_a_heap_of_strings_that_has_no_end_is_a_fault(tmp_path):
    """One altered byte in the length of its free space, and HDF5 2.0 takes steps of 0 through the zeros behind it."""
    with h5py.File(tmp_path / "a.h5", "w") as top:
        top.create_dataset("names", data=["a", "b"], dtype=h5py.string_dtype())
    data = bytearray((tmp_path / "a.h5").read_bytes())
    length = data.index(b"GCOL") + 16 + 2 * 24 + 8
    assert int.from_bytes(data[length : length + 8], "little") == 4096 - 16 - 2 * 24
    data[length + 1] = 0
    (tmp_path / "a.h5").write_bytes(data)
    with opened(tmp_path / "a.h5") as contents, pytest.raises(RawFault, match="unreadable HDF5"):
        contents.texts("names")


@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}])
def test_strings_that_say_to_be_longer_than_the_file_take_no_memory(tmp_path, options):
    """References are length (4 bytes), heap, number: HDF5 takes memory for the length before it looks for the heap."""
    with h5py.File(tmp_path / "a.h5", "w") as top:
        names = top.create_dataset("names", data=["a", "bc", "d"], dtype=h5py.string_dtype(), **options)
        names.flush()
    with opened(tmp_path / "a.h5") as contents:
        assert contents.texts("names") == ["a", "bc", "d"]
    with h5py.File(tmp_path / "a.h5", "r+") as top:
        chunk = b"\xff\xff\xff\x3f" + bytes(28)
        if options:
            packed = zlib.compress(chunk) if "compression" in options else chunk
            top["names"].id.write_direct_chunk((0,), packed)
        else:
            place = top["names"].id.get_offset()
    if not options:
        data = bytearray((tmp_path / "a.h5").read_bytes())
        data[place : place + 32] = chunk
        (tmp_path / "a.h5").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(tmp_path / "a.h5") as contents, pytest.raises(RawFault, match="unreadable HDF5"):
        contents.texts("names")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def everything(path):
    with opened(path) as contents:
        for group in ("", "trajectory_3000", "trajectory_3000/groundtruth"):
            contents.names(group)
        depth = contents.array("depth", "f", (12, 7))
        contents.array("plain", "f", (8, 3))
        contents.texts("names")
        contents.texts("basenames")
        contents.attribute("trajectory_3000/groundtruth/position", "sampling_frequency")
        contents.attribute("trajectory_3000/groundtruth/position", "unit")
        return depth


@given(end=st.integers(1, 40_000))
def test_a_cut_file_is_a_fault(tmp_path_factory, file, end):
    damaged = tmp_path_factory.getbasetemp() / "cut.hdf5"
    data = file.read_bytes()
    damaged.write_bytes(data[: end % len(data)] or b"\0")
    with pytest.raises(RawFault):
        everything(damaged)


@given(place=st.integers(0, 1 << 20), value=st.integers(1, 255))
def test_an_altered_byte_is_a_fault_or_gives_values_of_the_same_kind(tmp_path_factory, file, place, value):
    damaged = tmp_path_factory.getbasetemp() / "altered.hdf5"
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= value
    damaged.write_bytes(data)
    try:
        assert everything(damaged).shape == DEPTH.shape
    except RawFault as fault:
        assert fault.file == str(damaged)
