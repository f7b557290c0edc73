"""Files that say they are networks: the small one with one thing changed. Each is refused with a message that names
the file and what is wrong with it, by a program that may not have more than 1 GB of addresses (a sanitizer's takes
more by itself: there the message must do). What may differ, as the width of numbers, must give the same bits.

Some 350 programs are started: seven seconds on an idle machine.
"""
import json
import os
import re
import resource
import struct
import subprocess
import tempfile

import numpy as np

from network import DUMP, SANITIZED, SMALL, close, equal, main, read, segment, tensors_of, write

HEADER, DATA = read()
METADATA, TENSORS = HEADER["__metadata__"], tensors_of(HEADER, DATA)
KWARGS = json.loads(METADATA["kwargs"])
MIX = np.random.default_rng(1).standard_normal((26460, 2)).astype(np.float32) * np.float32(0.1)

# One of each class of tensors, and those of its edges: the first and the last layer.
CLASSES = {}
for tensor in TENSORS:
    CLASSES.setdefault(re.sub(r"\.\d+", ".N", tensor), tensor)
ONE_OF_EACH = sorted(set(CLASSES.values()) | {"decoder.3.conv_tr.weight", "tencoder.3.conv.weight",
                                              "crosstransformer.layers_t.4.linear2.weight"})


def limited() -> None:
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def message(path: str) -> str:
    """What the program says; it must refuse, in a line that names the file, and not by a signal or a sanitizer."""
    done = subprocess.run([DUMP, "segment", path, os.devnull, os.devnull], capture_output=True, text=True,
                          check=False, preexec_fn=limited)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 1, f"{done.returncode}\n{done.stderr}"
    assert lines[0].startswith("network_dump: ") and path in lines[0], lines[0]
    return lines[0]


def refused(what: str, reason: str, metadata: dict | None = None, tensors: dict | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = message(write(os.path.join(folder, "net.safetensors"), metadata or METADATA, tensors or TENSORS))
        assert reason in said, f"{what}: '{said}' does not say '{reason}'"


def with_kwargs(**changes) -> dict:
    return {**METADATA, "kwargs": json.dumps({**KWARGS, **changes})}


def with_tensor(name: str, shape: list, raw: bytes, dtype: str = "F16") -> dict:
    return {**TENSORS, name: (dtype, shape, raw)}


def as_floats(raw: bytes, kind: str) -> bytes:
    return np.frombuffer(raw, "<f2").astype(kind).tobytes()


def the_file_itself() -> None:
    """What is changed below is sound before; the other widths of its numbers hold the same numbers."""
    plain = segment(MIX)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.safetensors")
        equal("written anew", plain, segment(MIX, write(path, METADATA, TENSORS)))
        equal("other order", plain, segment(MIX, write(path, METADATA, dict(reversed(TENSORS.items())))))
        for dtype, kind in (("F32", "<f4"), ("F64", "<f8")):
            wide = {n: (dtype, s, as_floats(raw, kind)) for n, (_, s, raw) in TENSORS.items()}
            equal(dtype, plain, segment(MIX, write(path, METADATA, wide)))
        short = {n: ("BF16", s, np.frombuffer(as_floats(raw, "<f4"), "<u2")[1::2].tobytes())
                 for n, (_, s, raw) in TENSORS.items()}
        close("BF16", plain, segment(MIX, write(path, METADATA, short)), least=15)  # 8 bits of mantissa instead of 11
        equal("an option that inference never asks for", plain, segment(MIX, write(path, with_kwargs(
            t_dropout=0.3, wiener_residual=True, t_max_positions=5, rescale=7, t_cross_first=False), TENSORS)))


def tensors_missing() -> None:
    for name in ONE_OF_EACH:
        refused(name, f"tensor {name} is missing", tensors={n: t for n, t in TENSORS.items() if n != name})
    refused("none at all", "is missing", tensors={"x": ("F16", [1], b"\0\0")})


def tensors_too_many() -> None:
    refused("one", "tensor encoder.0.conv.weights belongs to no layer of this network; so do 0 others",
            tensors=with_tensor("encoder.0.conv.weights", [1], b"\0\0"))
    refused("of another layer", "tensor encoder.4.conv.bias belongs to no layer of this network; so do 1 others",
            tensors={**with_tensor("encoder.4.conv.bias", [1], b"\0\0"), "zzz": ("F16", [0], b"")})


def tensors_of_other_shapes() -> None:
    """Each gets two of the up to seven wrong shapes in turn: all of them would take half a minute."""
    for turn, name in enumerate(ONE_OF_EACH):
        dtype, shape, raw = TENSORS[name]
        longer = [shape[0] + 1, *shape[1:]]
        row = len(raw) // shape[0]
        changed = {f"{longer}": raw + raw[:row], f"{[*shape, 1]}": raw, f"{[1, *shape]}": raw}
        if shape[0] > 1:
            changed[f"{[shape[0] - 1, *shape[1:]]}"] = raw[:-row]
        if len(shape) > 1 and shape[0] != shape[1]:
            changed[f"{[shape[1], shape[0], *shape[2:]]}"] = raw
        if shape[-1] == 1 and len(shape) > 1:
            changed[f"{shape[:-1]}"] = raw
        if len(shape) > 1:
            changed[f"{[int(np.prod(shape))]}"] = raw
        changed["[]"] = raw[:2]
        texts = list(changed)
        for text in (texts[turn % len(texts)], texts[(turn + 2) % len(texts)]):
            refused(f"{name} {text}", f"tensor {name} is {text}, and {shape} belongs there",
                    tensors=with_tensor(name, json.loads(text), changed[text], dtype))
    refused("no elements", "is [0], and [64] belongs there", tensors=with_tensor("channel_upsampler.bias", [0], b""))


def numbers_that_are_none() -> None:
    for turn, name in enumerate(ONE_OF_EACH):
        dtype, shape, raw = TENSORS[name]
        spoiled = raw[:-2] + struct.pack("<e", (np.inf, -np.inf, np.nan)[turn % 3])
        refused(name, f"tensor {name}: element {len(raw) // 2 - 1} is not finite",
                tensors=with_tensor(name, shape, spoiled, dtype))
    name = "freq_emb.embedding.weight"
    shape = TENSORS[name][1]
    huge = np.full(shape, 1e39, "<f8").tobytes()
    refused("beyond float", f"tensor {name}: element 0 is not finite", tensors=with_tensor(name, shape, huge, "F64"))
    for dtype, width in (("I64", 8), ("U8", 1), ("BOOL", 1)):
        refused(dtype, f"tensor '{name}' is {dtype}",
                tensors=with_tensor(name, shape, bytes(width * int(np.prod(shape))), dtype))


def no_such_metadata() -> None:
    for key in ("klass", "kwargs"):
        refused(f"no {key}", "no klass and kwargs", {k: v for k, v in METADATA.items() if k != key})
    refused("klass", "klass demucs.hdemucs.HDemucs: only", {**METADATA, "klass": "demucs.hdemucs.HDemucs"})
    refused("args", "args [[\"a\"]]: only kwargs are read", {**METADATA, "args": "[[\"a\"]]"})
    refused("structure", "structure: ", {**METADATA, "structure": "{}"})
    for text, reason in (("", "kwargs: "), ("{", "kwargs: "), ("[1]", "kwargs: no object"), ("{}", "sources: "),
                         ('{"depth": 1, "depth": 2}', "kwargs: "), ("[" * 3000, "kwargs: "),
                         ('{"a": 1e999}', "kwargs: ")):
        refused(f"kwargs {text[:20]}", reason, {**METADATA, "kwargs": text})


def options_that_are_not_implemented() -> None:
    for key, value in (
            ("audio_channels", 1), ("channels_time", 8), ("wiener_iters", 1), ("end_iters", 1), ("cac", False),
            ("rewrite", False), ("kernel_size", 4), ("stride", 2), ("context", 0), ("context_enc", 1),
            ("t_emb", "cape"), ("t_norm_in", False), ("t_norm_in_group", True), ("t_group_norm", True),
            ("t_norm_first", False),
            ("t_norm_out", False), ("t_layer_scale", False), ("t_gelu", False), ("t_weight_pos_embed", 0.5),
            ("t_sparse_self_attn", True), ("t_sparse_cross_attn", True), ("t_cross_first", True),
            ("use_train_segment", False), ("cac", None), ("stride", "4"), ("t_gelu", 1)):
        refused(f"{key}={value}", f"{key} is not ", with_kwargs(**{key: value}))
    refused("multi_freqs", "multi_freqs: ", with_kwargs(multi_freqs=[0.5]))
    for changes in ({"norm_starts": 3}, {"freq_emb": 0}, {"t_layers": 0}):
        refused(str(changes), "not implemented", with_kwargs(**changes))


def options_out_of_range() -> None:
    whole = "is not a whole number from"
    for key, values in {"samplerate": (0, 7999, 192001), "channels": (0, -8, 1025, 8.5), "growth": (0, 5, 1.5),
                        "depth": (0, 7), "nfft": (32, 65536), "norm_starts": (-1,), "dconv_mode": (4, -1),
                        "dconv_depth": (3,), "dconv_comp": (0, 65),
                        "bottom_channels": (-1, 8193, 1e300, "64", None, []),
                        "t_layers": (17, -1), "t_heads": (0, 257)}.items():
        for value in values:
            refused(f"{key}={value}", f"{key} {whole}", with_kwargs(**{key: value}))
    for key in ("t_hidden_scale", "t_max_period", "freq_emb", "emb_scale"):
        refused(key, f"{key} is not a number", with_kwargs(**{key: "4"}))
    for value in (0, -1, 0.05, 60.1, 1e300, "0.6", None, {}, {"numerator": 3, "denominator": 0},
                  {"numerator": "3", "denominator": 5}, {"numerator": 1e308, "denominator": 1e-308}):
        refused(f"segment {value}", "segment: ", with_kwargs(segment=value))
    for changes in ({"t_heads": 3}, {"t_heads": 64 * 4}, {"bottom_channels": 66, "t_heads": 2}, {"t_hidden_scale": 0},
                    {"t_hidden_scale": -1}, {"t_hidden_scale": 1e9}, {"t_hidden_scale": 0.001},
                    {"bottom_channels": 1024, "t_heads": 1}):
        refused(str(changes), "a transformer of width", with_kwargs(**changes))
    refused("max_period", "t_max_period", with_kwargs(t_max_period=0))
    for changes in ({"nfft": 100}, {"depth": 6, "norm_starts": 6}, {"dconv_comp": 16}, {"nfft": 66, "depth": 1}):
        refused(str(changes), "not implemented", with_kwargs(**changes))


def stems_of_any_name() -> None:
    for names in ([], ["s%d" % i for i in range(17)], "drums", None, 4):
        refused(f"sources {names}", "sources: a list of 1 to 16 names", with_kwargs(sources=names))
    for name in ("", "../x", "a/b", ".", "a b", "é", "x" * 32, "a\\b", None, 3, ["x"]):
        refused(f"source {name}", "source 1: a name of letters", with_kwargs(sources=["drums", name, "b", "c"]))
    refused("a zero in a name", "kwargs: ", with_kwargs(sources=["drums", "a\u0000b"]))
    refused("twice", "source 'drums' twice", with_kwargs(sources=["drums", "bass", "drums", "vocals"]))
    refused("fewer than weights", "belongs there", with_kwargs(sources=["drums", "bass"]))


def small_files_that_ask_for_much() -> None:
    """The weights of these would take up to gigabytes: they are refused for the tensors that they do not have, before
    any memory is asked for, and where they have no such weights, for what a segment would take."""
    for changes in ({"bottom_channels": 8192, "t_heads": 32},
                    {"bottom_channels": 8192, "t_heads": 32, "t_hidden_scale": 8}, {"channels": 1024},
                    {"channels": 512, "growth": 2, "bottom_channels": 0, "t_heads": 64},
                    {"t_hidden_scale": 1024}):
        refused(str(changes), "belongs there", with_kwargs(**changes))
    refused("channels", "the last layer has 27648 channels", with_kwargs(channels=1024, growth=3))
    refused("layers", "is missing", with_kwargs(t_layers=16))
    refused("segment", "a segment takes ", with_kwargs(segment=60, samplerate=192000, bottom_channels=4096,
                                                       t_heads=16))
    refused("frames", "a segment takes ", with_kwargs(segment=60, samplerate=192000, nfft=256, depth=2, channels=512))


def files_that_are_none() -> None:
    with open(SMALL, "rb") as f:
        raw = f.read()
    length, = struct.unpack_from("<Q", raw)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.safetensors")
        for data in (b"", raw[:7], raw[:8], raw[:1000], raw[:8 + length], raw[:-1], raw + b"\0",
                     struct.pack("<Q", length - 1) + raw[8:], struct.pack("<Q", 2**63) + raw[8:], b"PK\3\4" + raw):
            with open(path, "wb") as f:
                f.write(data)
            message(path)
    assert "no/such/file" in message("no/such/file")


main([the_file_itself, tensors_missing, tensors_too_many, tensors_of_other_shapes, numbers_that_are_none,
      no_such_metadata, options_that_are_not_implemented, options_out_of_range, stems_of_any_name,
      small_files_that_ask_for_much, files_that_are_none])
