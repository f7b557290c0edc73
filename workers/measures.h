/* measures - what an analysis can measure per frame, by name. The order is that of the results. */
#ifndef MEASURES_H
#define MEASURES_H
#include "status.h"

#include <stdint.h>

enum measure {
    MEASURE_RMS,
    MEASURE_PEAK,
    MEASURE_ZCR,
    MEASURE_LOGMEL,
    MEASURE_MFCC,
    MEASURE_CENTROID,
    MEASURE_BANDWIDTH,
    MEASURE_ROLLOFF,
    MEASURE_FLATNESS,
    MEASURE_CONTRAST,
    MEASURE_FLUX,
    MEASURE_POLY,
    MEASURES
};

enum { MEASURES_DEFAULT = (1 << MEASURE_FLUX) - 1 }; /* bits: all up to contrast */

const char *measure_name(enum measure m);   /* "centroid": in parameters */
const char *measure_member(enum measure m); /* "spectral_centroid_hz": in results, with its unit */

int measure_parse(const char *name, enum measure *out) MUST_USE; /* STATUS_ARGUMENT lists the names */

#endif
