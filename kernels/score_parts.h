/* score_parts - what the files of score_bss share: the shape of a problem, its scratch, and its three steps.
 *
 * Letters beyond those of ops.h: S sources, L taps, K = S*C channels of all references (and of all estimates), n = K*L
 * unknowns. Channel k is channel k % C of source k / C. Samples outside the slice that is looked at count as 0. */
#ifndef SCORE_PARTS_H
#define SCORE_PARTS_H
#include "fft.h"
#include "score.h"

#define SCORE_SAMPLES_MOST (INT64_C(1) << 40)
enum { SCORE_BLOCK = 64 }; /* rows and columns of a block of the normal equations */

struct score_slice {
    int64_t begin, end;
    int64_t first; /* sample that the signals' data begin with: 0 but for pieces */
};

/* Sums of squares of one estimate e beside one reference s. */
struct score_sums {
    double truth;    /* s */
    double error;    /* e - s */
    double filtered; /* P_j e */
    double spatial;  /* P_j e - s */
    double rest;     /* e - P_j e */
    double interf;   /* P e - P_j e */
    double all;      /* P e */
    double artifact; /* e - P e */
};

/* Lower triangle of a symmetric matrix in blocks of rows: row i has the columns up to the end of its diagonal block. */
struct score_matrix {
    double *data;
    int32_t n; /* rows in use; stored up to a whole block */
};

struct score_work {
    struct score_bss_params p;
    int32_t channels, all; /* C, K */
    int32_t pairs;         /* references that an estimate is held against: 1, or S where permuted */
    int64_t fft, bins;     /* size of the transforms; bins of one */
    const struct score_signal *reference, *estimate;
    void (*alive)(void *context); /* or NULL */
    void *context;

    struct fft_plan *plan;
    void *fft_work;
    double *time;                 /* [2][fft] */
    struct fft_complex *spectra;  /* [3*K][bins]: of what is transformed of one block */
    struct fft_complex *products; /* [K*(K+1)/2 + K*K][bins], correlate only; see filters */
    double *between;              /* [K*(K+1)/2][2L-1] correlation of reference i with reference j <= i, lags -L+1 .. */
    double *with;                 /* [K][K][L] correlation of reference i with estimate e, lags 0 .. L-1 */
    struct score_matrix matrix;
    double *rhs;                 /* [n][K] */
    double *scratch;             /* [n][K], and then n */
    double *gain;                /* [K] 1 / norm of a reference's channel */
    double *remains;             /* [n] of the diagonal */
    int32_t *order;              /* [n] */
    struct fft_complex *filters; /* [K][K][bins] estimate's channel, reference's channel; then own: */
    struct fft_complex *own;     /* [K][pairs][C][bins] estimate's channel, reference, its channel */
    struct score_sums *sums;     /* [S][pairs] */
};

static inline void score_alive(const struct score_work *w)
{
    if (w->alive)
        w->alive(w->context);
}

static inline double *score_row(const struct score_matrix *m, int64_t i)
{
    const int64_t block = i / SCORE_BLOCK;
    return m->data + SCORE_BLOCK * SCORE_BLOCK * (block * (block + 1) / 2) +
           i % SCORE_BLOCK * SCORE_BLOCK * (block + 1);
}

/* Sample t of channel c as a double, 0 outside the slice. */
static inline double score_sample(const struct score_signal *x, struct score_slice slice, int32_t c, int64_t t)
{
    return t < slice.begin || t >= slice.end ? 0 : (double)x->data[(t - slice.first) * x->channels + c];
}

/* Reference that pair i of estimate source q is. */
static inline int32_t score_pair(const struct score_work *w, int32_t q, int32_t i)
{
    return w->pairs == 1 ? q : i;
}

/* Whether the samples are finite and as many, of as many channels, as those of `first`; who and which name x. */
int score_check(const char *who, int32_t which, const struct score_signal *x,
                const struct score_signal *first) MUST_USE;

/* Are the parameters and the number of channels within the limits? */
int score_bss_check(const struct score_bss_params *p, int32_t channels) MUST_USE;

/* What the parameters say of the work, without scratch. */
struct score_work score_shape(const struct score_bss_params *p, int32_t channels);

/* Lays the scratch out from `base`, which may be NULL; its size. */
size_t score_lay_out(struct score_work *w, unsigned char *base);

/* What an estimate's sums give. */
void score_result(const struct score_sums *s, int32_t estimate, struct score_bss *y);

/* 10*log10(over / under); +infinity for x/0, -infinity for 0/x, NaN for 0/0. */
double score_decibel(double over, double under);

/* Fills between and with from the slice: begin, then blocks of score_correlate_step() samples in order, then end. A
 * block looks at taps-1 samples before it and behind it. */
void score_correlate(struct score_work *w, struct score_slice slice);
int64_t score_correlate_step(const struct score_work *w);
void score_correlate_begin(struct score_work *w);
void score_correlate_block(struct score_work *w, struct score_slice slice, int64_t from);
void score_correlate_end(struct score_work *w);

/* Fills filters and own from the correlations. */
void score_solve(struct score_work *w);

/* Fills sums from the filters, over the slice; in blocks as above, which look at taps-1 samples before them, up to
 * taps-1 samples behind the slice's end. */
void score_measure(struct score_work *w, struct score_slice slice);
int64_t score_measure_step(const struct score_work *w);
void score_measure_begin(struct score_work *w);
void score_measure_block(struct score_work *w, struct score_slice slice, int64_t from);

/* Cholesky factor of the matrix in place, and its rank: n, or with `pivoted` the number of rows that lie further than
 * `least` from those before them; order[i] is then the row that came to place i. Not pivoted, the first row that does
 * not ends it: less than n says that the factor is of no use. */
int32_t score_factor(struct score_work *w, bool pivoted, double least);

/* x [n][columns] = the solution for x of a factored matrix of this rank; scratch as large. */
void score_substitute(const struct score_work *w, int32_t rank, int32_t columns, double *x, double *scratch);

#endif
