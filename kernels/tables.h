/* tables - the tables of ops.h that one machine can have, and the plans they share. Room-internal. */
#ifndef TABLES_H
#define TABLES_H
#include "exec.h"

extern const struct plan_kind mel_plan_kind, contrast_plan_kind, poly_plan_kind, mfcc_plan_kind;

extern const struct ops ops_scalar;
extern const struct ops ops_avx2, ops_avx512; /* where the compiler knows them: WAVEMILL_SIMD */

#endif
