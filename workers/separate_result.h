/* separate_result - what is said of one file that was taken apart.
 *
 *   ownership    the map borrows from the struct, and from what it was made of, until separate_result_free
 *   errors       STATUS_NOMEM */
#ifndef SEPARATE_RESULT_H
#define SEPARATE_RESULT_H
#include "audio.h"
#include "job.h"
#include "kinds.h"
#include "mixture.h"
#include "separated.h"

struct separate_outcome {
    const struct plan *plan;
    const struct separate_settings *settings;
    const struct separated *separated;
    const struct mixture *mixture;
    double resumed_from;  /* NaN: it was begun here */
    const char *folder;   /* NULL: the supervisor fills it in */
    const double *snr_db; /* [plan->outputs], of what is approximate; NULL: not measured */
};

struct separate_result {
    struct kind_separate_result map;
    struct wire_buffer warnings, stems;
    char format[AUDIO_FORMAT_BYTES];
};

int separate_result_make(struct job *j, const struct audio *a, const struct separate_outcome *o,
                         struct separate_result *out) MUST_USE;
void separate_result_free(struct separate_result *r);

#endif
