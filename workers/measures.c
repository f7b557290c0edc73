#include "measures.h"

#include <string.h>

static const struct {
    const char *name, *member;
} measures[MEASURES] = {
    [MEASURE_RMS] = {"rms", "rms"},
    [MEASURE_PEAK] = {"peak", "peak"},
    [MEASURE_ZCR] = {"zcr", "zero_crossing_rate"},
    [MEASURE_LOGMEL] = {"logmel", "log_mel_db"},
    [MEASURE_MFCC] = {"mfcc", "mfcc"},
    [MEASURE_CENTROID] = {"centroid", "spectral_centroid_hz"},
    [MEASURE_BANDWIDTH] = {"bandwidth", "spectral_bandwidth_hz"},
    [MEASURE_ROLLOFF] = {"rolloff", "spectral_rolloff_hz"},
    [MEASURE_FLATNESS] = {"flatness", "spectral_flatness"},
    [MEASURE_CONTRAST] = {"contrast", "spectral_contrast_db"},
    [MEASURE_FLUX] = {"flux", "spectral_flux"},
    [MEASURE_POLY] = {"poly", "poly_features"},
};

const char *measure_name(enum measure m)
{
    return measures[m].name;
}

const char *measure_member(enum measure m)
{
    return measures[m].member;
}

int measure_parse(const char *name, enum measure *out)
{
    for (int m = 0; m < MEASURES; m++)
        if (strcmp(name, measures[m].name) == 0) {
            *out = (enum measure)m;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT,
                "no feature '%.32s'; there are rms, peak, zcr, logmel, mfcc, centroid, bandwidth, rolloff, flatness, "
                "contrast, flux, poly",
                name);
}
