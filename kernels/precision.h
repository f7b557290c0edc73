/* precision - what numbers are rounded to before they are multiplied; sums are in f32. conv.h says how.
 *
 *   names    "fp32", "tf32", "bf16"
 *   errors   STATUS_ARGUMENT: no such name; the message lists them */
#ifndef PRECISION_H
#define PRECISION_H
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

enum precision { PRECISION_F32 = 0, PRECISION_TF32 = 1, PRECISION_BF16 = 2 };

const char *precision_name(enum precision p);
int precision_parse(const char *name, enum precision *out) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
