/* score_summary - means and medians over tracks: of each stem, and of the tracks' means over their stems.
 *
 *   values       in dB; one that is not finite is undefined and left out, of a statistic without values comes NaN. The
 *                median of an even number is the mean of the middle two
 *   order        stems in order of their first track
 *   errors       STATUS_NOMEM; what was added before stays */
#ifndef SCORE_SUMMARY_H
#define SCORE_SUMMARY_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { SCORE_MEASURES = 6 };
extern const char *const score_measure_names[SCORE_MEASURES];  /* "sdr_mdx" */
extern const char *const score_measure_titles[SCORE_MEASURES]; /* "MDX SDR" */

struct score_statistics {
    char *name; /* of the stem; NULL: all */
    double *values[SCORE_MEASURES];
    size_t count[SCORE_MEASURES], capacity[SCORE_MEASURES];
};

struct score_summary { /* zero: empty */
    struct score_statistics *stems, all;
    size_t stems_count;
    uint64_t tracks;
};

/* One stem of a track; stem NULL: the track's mean, which counts the track. */
int score_summary_add(struct score_summary *y, const char *stem, const double values[SCORE_MEASURES]) MUST_USE;
double score_summary_mean(const struct score_statistics *s, int measure);
double score_summary_median(const struct score_statistics *s, int measure); /* sorts the values */
void score_summary_free(struct score_summary *y);

#endif
