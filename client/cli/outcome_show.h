/* outcome_show - what `watch` and `show` print of an item that is done, besides that it is: stems and scores as the
 * commands print them that made them. Of other kinds the store has what was measured. */
#ifndef OUTCOME_SHOW_H
#define OUTCOME_SHOW_H
#include "score_show.h"

enum outcome_kind { OUTCOME_OTHER, OUTCOME_NOOP, OUTCOME_SEPARATE, OUTCOME_SCORE };

enum outcome_kind outcome_kind_of(struct wire_slice kind);

/* Adds provenance, and "params" and "results" where the kind has some: "results" is always there. folder: where stems
 * are that came as objects; NULL: as the result has it. */
void outcome_members(enum outcome_kind kind, json_t *line, struct wire_slice result, const char *folder);

/* Lines of a table below that of the item itself; scores are added to the summary. A result that cannot be read has
 * none, and its code says why. */
int outcome_details(enum outcome_kind kind, const struct common *c, const char *path, struct wire_slice result,
                    const char *folder, struct score_summary *y) MUST_USE;

#endif
