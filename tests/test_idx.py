"""The IDX format: every type and shape survives a round trip, and no file can crash the reader or fill the memory."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnet.data.idx import IdxError, read_idx, write_idx

TYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]
arrays = st.sampled_from(TYPES).flatmap(
    lambda name: hnp.arrays(
        st.sampled_from(["<", ">"]).map(lambda order: np.dtype(order + name)),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    )
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "array.idx"


def idx(type_code, shape, payload):
    return bytes([0, 0, type_code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + payload


# --- reading returns what was written ---


@given(array=arrays, compress=st.booleans(), turned=st.booleans())
@settings(max_examples=300, deadline=None)
def test_an_array_of_any_type_shape_and_byte_order_survives(path, array, compress, turned):
    array = array.T if turned else array  # not contiguous
    file = path.with_suffix(".gz") if compress else path
    write_idx(file, array)
    result = read_idx(file)
    assert result.dtype == array.dtype.newbyteorder("=")
    assert result.dtype.isnative
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_the_bytes_are_those_of_the_format(path):
    write_idx(path, np.array([[1, 2, 3], [-1, 0, 256]], np.int16))
    assert path.read_bytes() == bytes.fromhex("00 00 0B 02 00000002 00000003 0001 0002 0003 FFFF 0000 0100")
    assert read_idx(path).tolist() == [[1, 2, 3], [-1, 0, 256]]


def test_gzip_is_recognised_by_the_content_not_by_the_name(path):
    path.write_bytes(gzip.compress(idx(8, (3,), b"abc")))
    assert read_idx(path).tolist() == [97, 98, 99]


def test_an_open_file_can_be_read_too(path):
    path.write_bytes(idx(8, (3,), b"abc"))
    with path.open("rb") as file:
        assert read_idx(file).tolist() == [97, 98, 99]


def test_equal_arrays_give_equal_compressed_files(tmp_path):
    array = np.arange(1000, dtype=np.int32)
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_the_name_decides_about_compression_unless_the_caller_does(tmp_path, compress):
    for name, argument in [("a.gz" if compress else "a", None), ("b", compress), ("b.gz", compress)]:
        write_idx(tmp_path / name, np.arange(5, dtype=np.uint8), compress=argument)
        assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == compress
        assert read_idx(tmp_path / name).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "dtype", ["i8", "u2", "f2", "bool", "complex64", "U3", "datetime64[s]", "O", np.dtypes.StringDType()]
)
def test_a_type_that_idx_lacks_is_refused_and_the_old_file_stays(path, dtype):
    path.write_bytes(b"old")
    with pytest.raises(IdxError, match="convert the array to one of uint8, int8, int16, int32, float32, float64"):
        write_idx(path, np.zeros(3, dtype))
    assert path.read_bytes() == b"old"


def test_a_length_beyond_32_bits_is_refused(path):
    huge = np.broadcast_to(np.uint8(0), (1 << 32,))  # takes one byte
    with pytest.raises(IdxError, match="stores lengths in 32 bits"):
        write_idx(path, huge)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def fail(*args):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            write_idx(tmp_path / "a", np.zeros(3, np.uint8))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


# --- damaged and wrong files ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: expected a header of at least 4 bytes, got 0"),
        (b"\0\0\x08", "not an IDX file: expected a header of at least 4 bytes, got 3"),
        (b"\x89PNG1234", "expected 00 00 as the first two bytes, got 89 50"),
        (idx(0x0A, (1,), b"a"), "unknown element type: expected one of 0x08, .*, got 0x0A"),
        (idx(0x0F, (1,), b"a"), "unknown element type: .*, got 0x0F"),
        (idx(8, (2, 3), b"")[:9], "ends inside its header: expected 8 bytes for the lengths of 2 dimensions, got 5"),
        (idx(8, (2, 3), b"12345"), r"expected 6 bytes for the shape \(2, 3\) and the type uint8, got 5"),
        (idx(8, (2, 3), b"1234567"), "expected 6 bytes for the shape .*, got more"),
        (idx(0x0E, (2,), b"1234567"), "expected 16 bytes"),
        (idx(8, (1,) * 65, b"1"), "which NumPy does not support"),
        (idx(0x0E, (0, 2**32 - 1, 2**32 - 1, 2**32 - 1), b""), "which NumPy does not support"),
        (gzip.compress(idx(8, (3,), b"abc"), mtime=0)[:-9], "damaged or truncated gzip file"),
        (gzip.compress(idx(8, (3,), b"abc"), mtime=0) + b"more", "damaged or truncated gzip file"),
        (gzip.compress(idx(8, (3,), b"ab"), mtime=0), "expected 3 bytes"),
        (b"\x1f\x8b", "damaged or truncated gzip file"),
    ],
)
def test_the_error_names_the_file_and_says_what_was_expected_and_found(path, content, message):
    path.write_bytes(content)
    with pytest.raises(IdxError, match=message) as raised:
        read_idx(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@given(data=st.data(), array=arrays, compress=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_mutated_file_gives_an_array_or_a_clear_error(path, data, array, compress):
    write_idx(path, array)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
        position = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if kind == "change" and content:
            content[position] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[position:]
        else:
            content[position:position] = data.draw(st.binary(max_size=5))
    path.write_bytes(gzip.compress(bytes(content)) if compress else bytes(content))
    try:
        assert isinstance(read_idx(path), np.ndarray)
    except IdxError as error:
        assert str(path) in str(error)


@given(content=st.binary(max_size=60), position=st.integers(0, 40), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_mutated_gzip_stream_gives_an_array_or_a_clear_error(path, content, position, byte):
    stream = bytearray(gzip.compress(idx(8, (len(content),), content), mtime=0))
    stream[2 + position % (len(stream) - 2)] = byte
    path.write_bytes(stream)
    try:
        assert read_idx(path).tobytes() == content
    except IdxError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1), (2**32 - 1,), (1 << 20, 28, 28)])
def test_a_header_that_claims_too_much_takes_no_memory(path, shape, compress):
    content = idx(0x0E, shape, b"12345678")
    path.write_bytes(gzip.compress(content) if compress else content)
    assert peak_memory_of_a_failing_read(path) < 4 << 20


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(path):
    path.write_bytes(gzip.compress(idx(8, (10,), bytes(200 << 20)), compresslevel=1))
    assert peak_memory_of_a_failing_read(path) < 4 << 20


def peak_memory_of_a_failing_read(path):
    tracemalloc.start()
    try:
        with pytest.raises(IdxError):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_message_on_a_header_of_255_huge_lengths_stays_a_sentence(tmp_path):
    (tmp_path / "x").write_bytes(bytes([0, 0, 8, 255]) + b"\x7f" * 4 * 255)
    with pytest.raises(IdxError, match="does not match its header") as raised:
        read_idx(tmp_path / "x")
    assert len(str(raised.value)) < 500
