/* summary - the statistics of a file's series, on the device where there is one; what only the whole file's maximum
 * allows comes first: clips in dB, cepstra from clipped bands, contrasts from peaks and valleys.
 *   errors    STATUS_NOMEM; those of offload.h and of the operations */
#ifndef SUMMARY_H
#define SUMMARY_H
#include "job.h"
#include "measures.h"
#include "series.h"
#include "statistics.h"

struct summary_request {
    struct job *job;
    struct series *series; /* by measure; their values are spent: clipped, contrasts put in the place of edges */
    uint32_t wanted;       /* bit of each measure */
    int32_t coefficients;  /* of cepstra */
    float loudest, peak_db, valley_db; /* over all frames, also those that are not kept */
};

/* The values of some features lie side by side, and so do their statistics. */
struct summary {
    float *values, *joined; /* [frames][width], [STATISTICS][width] */
    int32_t width, first[MEASURES];
    bool along[MEASURES];   /* side by side */
    float *alone[MEASURES]; /* of the others: [STATISTICS][values] */
};

/* Also sets the final widths of cepstra and contrast in the series. */
int summary_make(const struct summary_request *request, struct summary *out) MUST_USE;
void summary_free(struct summary *s);

/* One feature's statistics: y [STATISTICS][width]. */
void summary_copy(const struct summary *s, enum measure m, int32_t width, float *y);

#endif
