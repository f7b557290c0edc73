/* search - the k vectors nearest to each query, exactly: every score is computed.
 *
 *   equation     SEARCH_DOT: score = sum_d x[n,d] q[d], largest first; SEARCH_L2: sum_d (x[n,d] - q[d])^2, smallest
 *                first; equal scores: lowest index first
 *   shapes       vectors [N][D] f32, queries [Q][D] f32 in; index [Q][k] int64, score [Q][k] f32 out, best first; all
 *                in the memory of the exec
 *   units        of vectors times queries; L2 is squared: no root is taken
 *   limits       0 <= N < 2^31; 0 <= Q < 2^31; 1 <= D <= 4096; 1 <= k <= 1024; outputs do not overlap inputs
 *   fewer        what a query has too few vectors for is index -1, as in faiss, with a NaN for a score
 *   not finite   a NaN score never ranks: neither does a vector that holds a NaN, and a query that holds one gets -1
 *                throughout; infinite scores rank as numbers. A zero vector is a vector like any other
 *   ownership    borrows all; scratch of search_work_bytes() from exec's arena, given back; devices: from theirs
 *   errors       STATUS_ARGUMENT, STATUS_NOMEM (outputs untouched); STATUS_DEVICE (outputs undefined)
 *   determinism  bitwise on one backend and ISA, whatever Q, k, the other vectors and the threads: a score is summed
 *                in one order. Equal vectors have equal scores on all, so their order is the same on all
 *   accuracy     score error <= 2e-6 of sum |x q|, or of the sum of squares; ranks as those of the oracle, up
 *                to scores that lie within it; asserted in test_search.c
 *   source       faiss IndexFlatIP, IndexFlatL2 */
#ifndef SEARCH_H
#define SEARCH_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum search_measure { SEARCH_DOT = 0, SEARCH_L2 = 1 };
enum { SEARCH_DIMENSIONS_MOST = 4096, SEARCH_K_MOST = 1024 };

struct search_params {
    int64_t vectors, queries;
    int32_t dimensions, k;
    enum search_measure measure;
};

/* Scratch, CPU, at most. */
size_t search_work_bytes(const struct search_params *p, int threads);

/* Front: validates, then calls the twin of ex's backend. */
int search(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries, int64_t *index,
           float *score) MUST_USE;

int search_cpu(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
               int64_t *index, float *score);

#ifdef __cplusplus
}
#endif
#endif
