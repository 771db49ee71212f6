"""Reading safetensors: every type and layout read right, every fault named."""

import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mdiff.errors import MdiffError
from mdiff.weights import open_weights, read_header, variants
from mdiff.weights.convert import convert, from_float32, to_float32
from mdiff.weights.digest import file_digest

STEM = "model"


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.standard_normal(4).astype(np.float32),
        "scale": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.fixture
def folder(tmp_path, tensors):
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def write_sharded(folder, tensors, stem=STEM):
    names = list(tensors)
    shards = {f"{stem}-00001-of-00002.safetensors": names[:2], f"{stem}-00002-of-00002.safetensors": names[2:]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


def raw(path, header, data=b"", length=None):
    """Write a file with any header, true or not."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded) if length is None else length) + encoded + data)
    return path


def refusal(path):
    with pytest.raises(MdiffError) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reads_what_safetensors_wrote(folder, tensors):
    weights = open_weights(folder, STEM)
    assert set(weights.names) == set(tensors)
    for name, expected in tensors.items():
        assert weights.shape(name) == expected.shape
        assert weights.dtype(name) == "float32"
        np.testing.assert_array_equal(weights.read(name), expected)
    assert weights.nbytes == sum(tensor.nbytes for tensor in tensors.values())


def test_sharded_equals_single(tmp_path, tensors):
    write_sharded(tmp_path, tensors)
    weights = open_weights(tmp_path, STEM)
    assert len(weights.files) == 2
    for name, expected in tensors.items():
        np.testing.assert_array_equal(weights.read(name), expected)


@pytest.mark.parametrize(
    "index",
    ["model.safetensors.fp16.index.json", "model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"],
)
def test_sharded_variant_by_each_name(tmp_path, tensors, index):
    write_sharded(tmp_path, tensors)
    (tmp_path / "model.safetensors.index.json").rename(tmp_path / index)
    assert set(open_weights(tmp_path, STEM, "fp16").names) == set(tensors)
    assert variants([path.name for path in tmp_path.iterdir()], STEM) == {"fp16": index}


def test_variant_is_chosen_and_a_wrong_one_named(folder, tensors):
    save_file({"other": tensors["conv.bias"]}, folder / "model.fp16.safetensors")
    assert open_weights(folder, STEM, "fp16").names == ("other",)
    assert "conv.bias" in open_weights(folder, STEM).names
    with pytest.raises(MdiffError, match=r"no variant 'fp61'; did you mean 'fp16'\?"):
        open_weights(folder, STEM, "fp61")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MdiffError, match=r"only the variant fp16: set model\.variant"):
        open_weights(folder, STEM)


@pytest.mark.parametrize("source", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("target", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("round_to", [None, "float16", "bfloat16"])
def test_conversion_in_chunks_equals_the_whole(tmp_path, monkeypatch, source, target, round_to):
    values = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    stored = values.astype(np.float64) if source == "float64" else from_float32(values, source)
    names = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    header = {"x": {"dtype": names[source], "shape": [10, 100], "data_offsets": [0, stored.nbytes]}}
    raw(tmp_path / "model.safetensors", header, stored.tobytes())
    monkeypatch.setattr("mdiff.weights.files._CHUNK", 64)
    got = open_weights(tmp_path, STEM).read_as("x", target, round_to)
    np.testing.assert_array_equal(got, convert(stored, source, target, round_to).reshape(10, 100))
    # and the value is the nearest: within half a unit in the last place of the coarsest type on the way
    bits = {"float64": 24, "float32": 24, "float16": 11, "bfloat16": 8, None: 24}
    error = np.abs(to_float32(got, target).ravel() - values)
    passes = {source, target, round_to}
    assert (error <= np.abs(values) * sum(2.0 ** -bits[name] for name in passes) + 1e-7).all()


def test_bfloat16_rounds_to_nearest_even():
    # 1 + 2^-8 lies halfway between 1 and 1 + 2^-7: to even, 1; a little more: up. Infinity and NaN stay themselves.
    values = np.array([1 + 2**-8, 1 + 2**-8 + 2**-20, 1 + 3 * 2**-8, -0.0, np.inf, np.nan, 3.4e38], np.float32)
    back = to_float32(from_float32(values, "bfloat16"), "bfloat16")
    np.testing.assert_array_equal(back, np.array([1, 1 + 2**-7, 1 + 2**-6, -0.0, np.inf, np.nan, np.inf], np.float32))


def test_values_beyond_float16_are_named(tmp_path):
    save_file({"big": np.array([1.0, 1e6], np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(MdiffError, match=r"'big' of model\.safetensors has values beyond the range of float16"):
        open_weights(tmp_path, STEM).read_as("big", "float16")
    with pytest.raises(MdiffError, match="float16"):
        open_weights(tmp_path, STEM).read_as("big", "float32", round_to="float16")


def test_missing(tmp_path):
    with pytest.raises(MdiffError, match=r"model\.safetensors is missing"):
        open_weights(tmp_path, STEM)
    with pytest.raises(MdiffError, match=r"folder .* is missing"):
        open_weights(tmp_path / "nowhere", STEM)


def test_dangling_link_is_missing(tmp_path):
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(MdiffError, match=r"model\.safetensors is missing"):
        open_weights(tmp_path, STEM)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_truncated_names_expected_and_actual_bytes(folder, keep):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    message = refusal(path)
    size = len(whole[:keep])
    assert "truncated" in message and f"{size} bytes" in message
    if keep == -1:
        assert f"expected {len(whole)} bytes" in message


def test_trailing_bytes_are_corrupt(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x")
    assert f"expected {len(whole)} bytes by its header, it has {len(whole) + 1} bytes" in refusal(path)


def test_git_lfs_pointer(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 3438167534\n")
    message = refusal(path)
    assert "git-lfs pointer" in message and "expected 3438167534 bytes" in message
    assert f"it has {path.stat().st_size} bytes" in message


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".bin", ".png"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickle_is_refused_whatever_its_suffix(tmp_path, suffix, protocol):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps({"weight": list(range(100))}, protocol=protocol))
    message = refusal(path)
    assert "safetensors only" in message
    if protocol >= 2:
        assert "pickle" in message


def test_torch_zip_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1, 2]))
    assert "zip of pickles" in refusal(path)


@pytest.mark.parametrize("name", ["model.bin", "pytorch_model.bin", "model.ckpt"])
def test_a_folder_of_pickles_says_so(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps([1]))
    with pytest.raises(MdiffError, match=f"only {name}: a pickle can run code"):
        open_weights(tmp_path, STEM)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"{not json", "not valid JSON"),
        (b"\xff\xfe{}", "not a safetensors"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b"{" * 100_000, "not valid JSON"),
        ({"x": 3}, "'x' is not described"),
        ({"x": entry("F8_E4M3", offsets=(0, 2))}, "unsupported type 'F8_E4M3'"),
        ({"x": entry(shape=(-1,))}, "shape [-1]"),
        ({"x": entry(shape=(True, 2))}, "shape [True, 2]"),
        ({"x": entry(offsets=(8, 0))}, "data offsets [8, 0]"),
        ({"x": entry(shape=(3,))}, "of shape [3] and type F32 has 8 bytes"),
        ({"x": entry(), "y": entry(offsets=(4, 12))}, "overlaps another or leaves a gap"),
        ({"x": entry(offsets=(8, 16))}, "overlaps another or leaves a gap"),
        ({"__metadata__": [], "x": entry()}, "metadata"),
    ],
)
def test_corrupt_headers(tmp_path, header, said):
    assert said in refusal(raw(tmp_path / "model.safetensors", header, bytes(16)))


def test_absurd_header_length(tmp_path):
    assert "not a safetensors" in refusal(raw(tmp_path / "m.safetensors", b"{}", length=2**62))


def test_file_of_zeros_and_web_page(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(4096))
    assert "begins with zeros" in refusal(path)
    path.write_text("<!DOCTYPE html><html>404</html>")
    assert "web page" in refusal(path)


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", 3, "a\\b", ".x"])
def test_index_that_leaves_its_folder(tmp_path, file):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": file}}))
    with pytest.raises(MdiffError, match="not a file of its own folder"):
        open_weights(tmp_path, STEM)


def test_index_and_shards_must_agree(tmp_path, tensors):
    weight_map = write_sharded(tmp_path, tensors)
    index = tmp_path / "model.safetensors.index.json"
    second = next(file for file in weight_map.values() if "00002" in file)
    index.write_text(json.dumps({"weight_map": weight_map | {"ghost": second}}))
    with pytest.raises(MdiffError, match="lacks 'ghost'"):
        open_weights(tmp_path, STEM)
    index.write_text(json.dumps({"weight_map": {k: v for k, v in weight_map.items() if k != "empty"}}))
    with pytest.raises(MdiffError, match=r"has 'empty', which .* does not name"):
        open_weights(tmp_path, STEM)
    index.write_text("[]")
    with pytest.raises(MdiffError, match="has no weight_map"):
        open_weights(tmp_path, STEM)
    index.write_text("{")
    with pytest.raises(MdiffError, match="not valid JSON"):
        open_weights(tmp_path, STEM)
    index.write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / second).unlink()
    with pytest.raises(MdiffError, match=f"1 of 2 weight files are missing in .*: {second}"):
        open_weights(tmp_path, STEM)


def test_a_file_that_shrinks_after_opening_is_named(folder):
    weights = open_weights(folder, STEM)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(MdiffError, match="changed while being read"):
        for name in weights.names:
            weights.read(name)


class TestDigest:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache" / "digests"

    def test_is_the_sha256_and_remembered(self, folder, cache):
        path = folder / "model.safetensors"
        expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
        assert open_weights(folder, STEM).digest() == expected
        (remembered,) = cache.iterdir()
        remembered.write_text("b" * 64)  # proves that the second time comes from the cache
        assert file_digest(path) == "b" * 64

    @pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"z" * 64, b"a" * 63])
    def test_a_corrupt_cache_is_harmless(self, folder, cache, garbage):
        path = folder / "model.safetensors"
        expected = file_digest(path)
        (remembered,) = cache.iterdir()
        remembered.write_bytes(garbage)
        assert file_digest(path) == expected
        assert remembered.read_text() == expected

    def test_a_cache_that_cannot_be_written_is_harmless(self, folder, monkeypatch):
        monkeypatch.setenv("MDIFF_CACHE", "/dev/null/cache")
        assert len(file_digest(folder / "model.safetensors")) == 64

    def test_a_changed_file_has_another_digest(self, folder, tensors):
        before = open_weights(folder, STEM).digest()
        save_file(tensors | {"scale": np.array(2, np.float32)}, folder / "model.safetensors")
        assert open_weights(folder, STEM).digest() != before

    def test_hub_blobs_are_named_by_theirs(self, tmp_path, tensors):
        blob = tmp_path / "blobs" / ("c" * 64)
        blob.parent.mkdir()
        save_file(tensors, blob)
        (tmp_path / "model.safetensors").symlink_to(blob)
        assert open_weights(tmp_path, STEM).digest() == "c" * 64

    def test_of_shards_names_all_of_them(self, tmp_path, tensors):
        write_sharded(tmp_path, tensors)
        digest = open_weights(tmp_path, STEM).digest()
        write_sharded(tmp_path, tensors | {"scale": np.array(3, np.float32)})
        assert open_weights(tmp_path, STEM).digest() != digest


def test_opening_imports_no_mindspore():
    code = "import sys, mdiff.weights; assert 'mindspore' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
