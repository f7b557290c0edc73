/* progress - how far a long command is, on stderr: a bar on a terminal, JSON lines for programs, or nothing.
 *
 *   json      one object per line, at most five a second and one at the end: {"job", "stage", "done", "total", "rate",
 *             "eta_s", "state"}; eta_s is null while it cannot be told
 *   threads   one */
#ifndef PROGRESS_H
#define PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

enum progress_kind { PROGRESS_AUTO, PROGRESS_NONE, PROGRESS_BAR, PROGRESS_JSON };

struct progress {
    enum progress_kind kind;
    const char *stage;
    uint64_t job;
    int64_t began_ms, shown_ms;
    bool drawn; /* a bar stands on the terminal's last line */
};

/* AUTO: a bar when stderr is a terminal, else nothing. */
void progress_init(struct progress *p, enum progress_kind kind, const char *stage);
void progress_show(struct progress *p, uint64_t done, uint64_t total);
void progress_clear(struct progress *p); /* before anything else is printed */
void progress_end(struct progress *p, uint64_t done, uint64_t total, const char *state);

#endif
