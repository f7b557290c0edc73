/* decibel - the second pass over finished dB values: their maximum, and the clip below it (librosa's top_db).
 *
 *   equation     decibel_peak: y[b] = max_i x[b,i], -infinity for an empty row; decibel_clip: x[b,i] = max(x[b,i],
 *                floor[b])
 *   shapes       x ragged [B][N_b][C] f32, for decibel_clip in and out; y, floor [B] f32; all in the memory of
 *                the exec
 *   pieces       the maximum of a signal is the maximum over its pieces
 *   units        dB
 *   not finite   a NaN stays one in decibel_clip, and is passed over by decibel_peak
 *   limits       1 <= C <= 65537
 *   ownership    borrows all; on a device scratch from its arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (nothing touched); STATUS_DEVICE (undefined)
 *   determinism  exact
 *   source       librosa 0.11 power_to_db(top_db): clipped at max - top_db */
#ifndef DECIBEL_H
#define DECIBEL_H
#include "ragged.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Fronts: validate, then call the twin of ex's backend. */
int decibel_peak(struct exec *ex, const struct ragged *x, float *y) MUST_USE;
int decibel_clip(struct exec *ex, struct ragged *x, const float *floor_db) MUST_USE;

int decibel_peak_cpu(struct exec *ex, const struct ragged *x, float *y);
int decibel_clip_cpu(struct exec *ex, struct ragged *x, const float *floor_db);

#ifdef __cplusplus
}
#endif
#endif
