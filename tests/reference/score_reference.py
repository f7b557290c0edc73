"""Writes what tests/kernels/test_score_bss.c compares with: the figures of mir_eval 0.8.2 and museval 0.4.1.

    score_reference.py SEPARATION TREE

SEPARATION is tests/data/separation of mir_eval (refNN/K.wav, estNN/K.wav, 16 bit), TREE the root of this project. Writes
TREE/tests/data/separation/NN.s16, the same samples without headers: little-endian, references then estimates, source by
source, channels side by side; and TREE/tests/kernels/score_expected.h. Wants numpy, scipy, soundfile, mir_eval and
museval's metrics.py, which needs no other part of museval: `pip install --no-deps museval==0.4.1` will do.
"""
import glob
import importlib.util
import os
import sys
import types
import warnings

import mir_eval.separation
import numpy as np
import soundfile

SETS = ["02", "03", "06", "09"]  # three sources in another order, four, two in stereo, one
HEAD = """/* score_expected - what mir_eval 0.8.2 and museval 0.4.1 say of the signals in tests/data/separation. Written by
 * tests/reference/score_reference.py. NAN: they do not give this one. */
#ifndef SCORE_EXPECTED_H
#define SCORE_EXPECTED_H
#include "score.h"

#include <math.h>

struct expected_row {
    int frame, reference;
    struct score_bss y;
};

struct expected {
    const char *set, *peer;
    int64_t samples;
    int32_t channels;
    struct score_bss_params p;
    int rows;
    const struct expected_row *row;
};

"""


def museval_metrics():
    """metrics.py alone: its package wants the MUSDB tools."""
    where = importlib.util.find_spec("museval").submodule_search_locations[0]
    package = types.ModuleType("museval")
    package.__path__ = [where]
    package.util = types.ModuleType("museval.util")
    sys.modules["museval"], sys.modules["museval.util"] = package, package.util
    spec = importlib.util.spec_from_file_location("museval.metrics", os.path.join(where, "metrics.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer_figures(reference, estimate, museval, taps, permute, window, hop, whole):
    """{name: [reference][frame]}"""
    if whole:
        figures = museval.bss_eval(reference, estimate, window or np.inf, hop or np.inf, permute, taps)
        order = np.repeat(figures[4][:, :1], figures[0].shape[1], axis=1)
        return dict(zip(("sdr", "isr", "sir", "sar", "estimate"), figures[:4] + (order,)))
    images, sources = mir_eval.separation.bss_eval_images, mir_eval.separation.bss_eval_sources
    arguments = (permute,)
    if window:
        images, sources = mir_eval.separation.bss_eval_images_framewise, mir_eval.separation.bss_eval_sources_framewise
        arguments = (window, hop, permute)
    y = dict(zip(("sdr", "isr", "sir", "sar", "estimate"), images(reference, estimate, *arguments)))
    if reference.ndim == 2:
        y["sdr_filt"] = sources(reference, estimate, *arguments)[0]
    return {name: np.asarray(values).reshape(len(reference), -1) for name, values in y.items()}


def number(x):
    return "NAN" if np.isnan(x) else "INFINITY" if x == np.inf else "%.9f" % x


def main():
    warnings.filterwarnings("ignore")
    separation, tree = sys.argv[1:3]
    museval, text, table = museval_metrics(), HEAD, ""
    for name in SETS:
        signals = [np.array([soundfile.read(f, dtype="int16")[0] for f in sorted(glob.glob(f"{separation}/{q}{name}/*.wav"))])
                   for q in ("ref", "est")]
        np.array(signals).astype("<i2").tofile(f"{tree}/tests/data/separation/{name}.s16")
        reference, estimate = (s / 32768.0 for s in signals)
        # Few of 512 taps, which mir_eval cannot change: with sanitizers, 2,048 unknowns take ten seconds.
        few = name in ("03", "06")
        cases = [(512, True, 0, 0, False), (128 if few else 512, True, 2000, 1500, True)]
        if not few:
            cases += [(512, False, 0, 0, False), (512, False, 4000, 3000, False)]
        for i, (taps, permute, window, hop, whole) in enumerate(cases):
            y = peer_figures(reference, estimate, museval, taps, permute, window, hop, whole)
            frames = y["sdr"].shape[1]
            text += "static const struct expected_row expected_%s_%d[] = {\n" % (name, i)
            for t in range(frames):
                for j in range(len(reference)):
                    values = [number(y[k][j, t]) if k in y else "NAN" for k in ("sdr", "isr", "sir", "sar", "sdr_filt")]
                    text += "    {%d, %d, {%s, %d}},\n" % (t, j, ", ".join(values), y["estimate"][j, t])
            text += "};\n"
            flag = {True: "true", False: "false"}
            table += '    {"%s", "%s", %d, %d, {%d, %d, %d, %d, %s, %s}, %d, expected_%s_%d},\n' % (
                name, "museval" if whole else "mir_eval", reference.shape[1], 1 if reference.ndim == 2 else 2,
                len(reference), taps, window, hop, flag[whole], flag[permute], frames * len(reference), name, i)
    text += "\nstatic const struct expected expected[] = {\n" + table + "};\n\n#endif\n"
    with open(f"{tree}/tests/kernels/score_expected.h", "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
