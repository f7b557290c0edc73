/* conv_operands - what tests of convolutions work on: a case, its operands in host memory, and a call on views of them
 * in the memory of an exec. */
#ifndef CONV_OPERANDS_H
#define CONV_OPERANDS_H
#include "field.h"

enum {
    BIAS = 1,
    SCALE = 2,
    ADD = 4,
    ADD_ROW = 8 /* one row for all */,
    IN_PLACE = 16 /* add is y */,
    OUT_MARGINS = 32
};

struct conv_case {
    struct conv_params p;
    int64_t items, height, width, out_width;
    bool margins;
    int64_t gap; /* floats between items of x */
    int with;
    const char *reason;
};

/* A case's operands. */
struct operands {
    struct conv_params p;
    float *weight, *bias, *scale, *packed;
    size_t packed_bytes;
    struct field x, add, y;
    float *add_dense; /* or NULL */
};

struct operands operands_of(struct exec *ex, const struct conv_case *c, uint64_t seed);
void operands_free(struct operands *o);

/* What a case adds to y: y itself, maps of its shape or one row; NULL where it adds nothing. */
const struct maps *operands_added(const struct operands *o, const struct field *y, int with);

/* conv of views; added: of o->add, or y itself; y: of `to`. */
int operands_conv(struct exec *ex, const struct operands *o, const struct conv_case *c, const struct maps *x,
                  const struct maps *added, const struct field *to, const struct maps *y) MUST_USE;

/* As a precision has it, by arithmetic alone; the same for arrays, in place. */
float operands_rounded(float x, enum precision p);
void operands_round(float *x, int64_t n, enum precision p);

#endif
