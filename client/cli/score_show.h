/* score_show - what a scored track says: its rows of a table, its lines of CSV, its members of JSON; and the summary
 * over the tracks that were shown. */
#ifndef SCORE_SHOW_H
#define SCORE_SHOW_H
#include "cli.h"
#include "score_summary.h"

#define SCORE_CSV \
    "path,stem,sdr_mdx,si_sdr,bss_sdr,bss_isr,bss_sir,bss_sar,sample_rate,frames,error_class,error_message"

/* Prints a track in the command's format, the first of a table below its heading, and adds it to the summary. */
int score_show(const struct common *c, const char *path, struct wire_slice result, struct score_summary *y) MUST_USE;

/* Adds "params" and "results" to a line of JSON. */
void score_members(json_t *line, const struct kind_score_result *r);

/* Means and medians, below a table or as a line of JSON; nothing for CSV. */
void score_show_summary(const struct common *c, const struct score_summary *y, uint64_t failed);

#endif
