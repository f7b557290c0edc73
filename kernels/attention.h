/* attention - scaled dot-product attention of many heads, without a matrix of scores in memory.
 *
 *   equation     for each item b, head g and query i: y[i] = sum_j softmax_j(q[i].k[j]/sqrt(d)) * v[j],
 *                d = channels/heads, head g being the channels g*d to g*d + d - 1
 *   shapes       q maps [B][1][N][heads*d], k and v maps [B][1][M][heads*d] in, y maps [B][1][N][heads*d] out; rows
 *                of q, k and v may lie further apart than they are long (`stride` floats from token to token): q, k and
 *                v are usually parts of one product
 *   limits       d 1 to 256; N, M >= 1; heads 1 to 256
 *   not finite   a NaN among the scores of a query makes that query's y NaN
 *   ownership    borrows all; scratch of attention_work_bytes() from exec's arena, given back: keys and values in the
 *                order that products want, and per thread the scores of a few queries; none on a device
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 <= 3e-6 against oracle_attention, times s/16 where the largest score s is above 16;
 *                asserted in test_attention.c
 *   source       torch.nn.functional.scaled_dot_product_attention; Vaswani et al. 2017 */
#ifndef ATTENTION_H
#define ATTENTION_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct attention_params {
    int64_t heads, width; /* of one head: d */
};

/* Tokens of one kind. */
struct tokens {
    float *data; /* of the first item's first token */
    int64_t items, count;
    int64_t item_stride, stride; /* floats from item to item, from token to token */
};

size_t attention_work_bytes(const struct exec *ex, const struct attention_params *p, int64_t keys);

/* Front: validates, then calls the twin of ex's backend. */
int attention(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
              const struct tokens *v, const struct tokens *y) MUST_USE;

size_t attention_work_bytes_cpu(const struct exec *ex, const struct attention_params *p, int64_t keys);
int attention_cpu(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                  const struct tokens *v, const struct tokens *y);

#ifdef __cplusplus
}
#endif
#endif
