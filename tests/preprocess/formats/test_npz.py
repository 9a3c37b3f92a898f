"""Arrays of .npz files that numpy writes are read one by one; objects, lies and damage are faults and take no memory."""

import io
import re
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_memory import taken_at_most

from zipmap_pl.preprocess.formats.npz import read_arrays
from zipmap_pl.preprocess.formats.pictures import read_npy
from zipmap_pl.preprocess.raw import RawFault

ARRAYS = {
    "intrinsics": np.random.default_rng(0).normal(size=(5, 3, 3)).astype(np.float32),
    "extrinsics": np.asfortranarray(np.random.default_rng(1).normal(size=(5, 4))),
    "visibs": np.array([[True, False]]),
    "scenes": np.array(["0000 0", "0015 12"]),
    "basenames": np.array([b"a", b"bcd"]),
    "none": np.zeros((0, 3)),
    "scalar": np.array(3),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_as_stored(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    for wanted, found in zip(ARRAYS.values(), read_arrays(tmp_path / "a.npz", *ARRAYS), strict=True):
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


def test_other_members_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", tracks=np.zeros(6_000_000, np.uint8), poses=np.eye(4))
    with taken_at_most(1_000_000):
        assert np.array_equal(read_arrays(tmp_path / "a.npz", "poses")[0], np.eye(4))


def test_a_large_array_takes_its_own_size_once(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, 15_000_000, np.uint8)
    np.savez_compressed(tmp_path / "a.npz", values=values)
    with taken_at_most(21_000_000):
        (found,) = read_arrays(tmp_path / "a.npz", "values")
    assert np.array_equal(found, values)


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=np.array([{"a": 1}], dtype=object), poses=np.eye(4))
    with pytest.raises(RawFault, match=r"a\.npz/arr_0\.npy: unreadable numpy file: holds objects \[1\]"):
        read_arrays(tmp_path / "a.npz", "arr_0")
    assert read_arrays(tmp_path / "a.npz", "poses")[0].shape == (4, 4)


def test_missing_and_repeated_arrays_and_files_are_faults(tmp_path):
    np.savez(tmp_path / "a.npz", b=1, a=2)
    with pytest.raises(RawFault, match="has the arrays a, b, expected one c"):
        read_arrays(tmp_path / "a.npz", "c")
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.npy", b"")
    with pytest.raises(RawFault, match="has the arrays a, a, b, expected one a"):
        read_arrays(tmp_path / "a.npz", "a")
    (tmp_path / "text").write_text("no archive")
    for name, reason in (("none", "missing"), ("text", "unreadable npz"), ("", "is a folder")):
        with pytest.raises(RawFault, match=reason):
            read_arrays(tmp_path / name, "a")


def npy(shape, values=b"", descr="'<f8'"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy("(1000000, 1000000)"), "float64[1000000, 1000000], that is 8000000000000 bytes, but 0 follow"),
        (npy("(2,)", bytes(15)), "that is 16 bytes, but 15 follow"),
        (npy("(2,)", bytes(17)), "that is 16 bytes, but 17 follow"),
        (npy("(-1,)"), "promises float64[-1]"),
        (npy("(0, 99999999999999999999)"), "promises float64[0, 99999999999999999999]"),
        (npy("(" + "1," * 70 + ")", bytes(8)), "promises float64[1, 1"),
        (npy("(3,)", descr="'<U0'"), "promises"),
        (npy("(3,)", descr="'O'"), "holds objects"),
        (npy("(3,)", bytes(96), "('<f8', (2, 2))"), "promises"),
        (npy("(True,)", descr="'V0'"), "promises"),
        (npy("-" * 9000 + "1"), "MemoryError"),
        (npy("(" * 150 + ")" * 150, bytes(9)), "that is 8 bytes, but 9 follow"),
        (npy("__import__('os').abort()"), "malformed node"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "EOF"),
        (b"no numpy", "magic string"),
    ],
)
def test_headers_that_lie_are_faults_of_files_and_of_members(tmp_path, data, reason):
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    for read in (lambda: read_npy(tmp_path / "a.npy"), lambda: read_arrays(tmp_path / "a.npz", "a")):
        with pytest.raises(RawFault, match=re.escape(reason)):
            read()


def test_a_member_that_inflates_to_more_than_it_says_takes_no_memory(tmp_path):
    """The archive and the header agree on 8 bytes, the compressed bytes hold 200 MB."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy("(1,)", bytes(200_000_000)))
        archive.infolist()[0].file_size = len(npy("(1,)", bytes(8)))
    with taken_at_most(5_000_000), pytest.raises(RawFault, match="Bad CRC-32"):
        read_arrays(tmp_path / "a.npz", "a")


def test_a_size_that_the_compressed_bytes_cannot_hold_takes_no_memory(tmp_path):
    data = npy("(100000000,)", bytes(8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", data)
        archive.infolist()[0].file_size = len(data) - 8 + 800_000_000
    with taken_at_most(5_000_000), pytest.raises(RawFault, match="that is 800000000 bytes, expected at most"):
        read_arrays(tmp_path / "a.npz", "a")


def saved(save):
    stream = io.BytesIO()
    save(stream, **ARRAYS)
    return stream.getvalue()


WHOLE = [saved(np.savez), saved(np.savez_compressed)]


@given(data=st.sampled_from(WHOLE), place=st.integers(0, 1 << 20), value=st.integers(1, 255), cut=st.booleans())
def test_a_cut_or_altered_file_is_a_fault_or_changes_nothing(tmp_path_factory, data, place, value, cut):
    place %= len(data)
    damaged = data[:place] if cut else data[:place] + bytes([data[place] ^ value]) + data[place + 1 :]
    file = tmp_path_factory.getbasetemp() / "damaged.npz"
    file.write_bytes(damaged)
    for name, wanted in ARRAYS.items():
        try:
            (found,) = read_arrays(file, name)
            assert np.array_equal(found, wanted)
        except RawFault as fault:
            assert fault.file.startswith(str(file))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_other_compressions_and_in_the_table_is_a_fault(tmp_path, compression):
    values, file = np.arange(400.0), tmp_path / "x.npz"
    array = io.BytesIO()
    np.save(array, values)
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("x.npy", array.getvalue())
    whole = file.read_bytes()
    for place in range(0, len(whole) - 4, 7):
        file.write_bytes(whole[:place] + b"\xff" * 4 + whole[place + 4 :])
        try:
            assert np.array_equal(read_arrays(file, "x")[0], values)
        except RawFault as fault:
            assert "\n" not in str(fault)


@pytest.mark.parametrize("shape", ["(True, 5)", "(4, 5) + ()"])
def test_odd_shapes_in_headers_are_faults_without_an_address(tmp_path, shape):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(80))
    with pytest.raises(RawFault, match="unreadable numpy file") as caught:
        read_npy(tmp_path / "x.npy")
    assert "object at" not in str(caught.value)
