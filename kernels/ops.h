/* ops - the one front of this room: a row per operation, a table per backend.
 *
 * Letters, the same everywhere: B rows of a batch (signals, or pieces of signals), C channels, N samples of a row,
 * F frequency bins (n_fft/2 + 1), T frames of a row, M mel bands. Audio is row-major with the channels of one sample
 * side by side; values per frame are [T][F] or [T][M].
 *
 * NAME(...) is the front: it validates once, fetches the plan from exec's cache and calls exec_ops(ex)->NAME. The twins
 * (NAME_cpu, later NAME_cuda) assume what the front has checked, allocate nothing but scratch from exec's arena, print
 * nothing and have no state. Plans differ between backends, so each table says how its own are made. */
#ifndef OPS_H
#define OPS_H
#include "centroid.h"
#include "exec.h"
#include "frames.h"
#include "level.h"
#include "mel.h"
#include "mixdown.h"
#include "peak.h"
#include "ragged.h"
#include "rms.h"
#include "stft.h"
#include "zero_crossing.h"
#ifdef __cplusplus
extern "C" {
#endif

struct ops {
    const struct plan_kind *stft_plan; /* of stft and centroid; parameters: struct stft_key */
    const struct plan_kind *mel_plan;  /* parameters: struct mel_key */

    int (*stft)(struct exec *, const struct stft_params *, const void *plan, const struct ragged *x, struct ragged *y);
    int (*mel)(struct exec *, const struct mel_params *, const void *plan, const struct ragged *x, struct ragged *y);
    int (*centroid)(struct exec *, const struct centroid_params *, const void *plan, const struct ragged *x,
                    struct ragged *y);
    int (*rms)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*peak)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*zero_crossing)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*level)(struct exec *, const struct ragged *x, struct level *y);
    int (*mixdown)(struct exec *, const struct ragged *x, struct ragged *y);
};

extern const struct ops ops_cpu;

#ifdef __cplusplus
}
#endif
#endif
