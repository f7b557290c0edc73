/* maps_spans - the rows of maps in spans of a bounded length, so that threads share long rows too: a value's result may
 * follow from its place alone. Room-internal. */
#ifndef MAPS_SPANS_H
#define MAPS_SPANS_H
#include "maps.h"

enum { SPAN_FLOATS = 16384 }; /* 64 KB of each view: more than handing it out costs */

struct maps_span {
    int64_t item, row, begin, end; /* floats of the row */
};

static inline int64_t maps_spans_of_row(const struct maps *m)
{
    return (m->width * m->channels + SPAN_FLOATS - 1) / SPAN_FLOATS;
}

static inline int64_t maps_spans(const struct maps *m)
{
    return m->items * m->height * maps_spans_of_row(m);
}

static inline struct maps_span maps_span_of(const struct maps *m, int64_t i)
{
    const int64_t each = maps_spans_of_row(m), row = i / each, floats = m->width * m->channels;
    const int64_t begin = i % each * SPAN_FLOATS;
    return (struct maps_span){.item = row / m->height,
                              .row = row % m->height,
                              .begin = begin,
                              .end = begin + SPAN_FLOATS < floats ? begin + SPAN_FLOATS : floats};
}

#endif
