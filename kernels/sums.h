/* sums - where one sum over very many values is cut: into spans on the CPU, on a device into as many blocks as it
 * takes, SUM_BLOCKS at most, each of which goes on in steps of all of them. Room-internal. */
#ifndef SUMS_H
#define SUMS_H
#include <stdint.h>

enum { SUM_BLOCKS = 1024, SUM_SPAN = 16384 /* values of a flat block that a thread takes at once */ };

static inline int64_t sum_spans(int64_t values)
{
    return (values + SUM_SPAN - 1) / SUM_SPAN;
}

#endif
