/* separate_show - what `wavemill separate` prints of a file: its stems, in the command's format. */
#ifndef SEPARATE_SHOW_H
#define SEPARATE_SHOW_H
#include "cli.h"

#define SEPARATE_CSV \
    "path,stem,out,peak,rms,si_sdr_db,verdict,residual_rms,sample_rate,frames,error_class,error_message"

int separate_show_one(const struct common *c, const char *path, const struct kind_separate_result *r);

/* As batch->show. */
int separate_show(struct batch *b, const char *path, struct wire_slice result);

/* Adds "results" to a line of JSON. */
void separate_members(json_t *line, const struct kind_separate_result *r);

/* The stems alone, of a table or as CSV. */
void separate_show_stems(const struct common *c, const char *path, const struct kind_separate_result *r);

#endif
