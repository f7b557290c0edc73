/* store_export - the feature store's contents as one file that others read.
 *
 *   csv       a header and a row per analysis (FEATURE_SUMMARY): file (BLAKE2b-256), made_unix_ms, what the result
 *             says of input and signal (units in the names), then NAME.STATISTIC.VALUE for each statistic of each
 *             series that any of the analyses has: mean, var, median, min, max, and delta_mean ... of first
 *             differences. Empty: not there, or NaN
 *   npz       a ZIP archive, stored and not deflated, of HASH.KIND.npy: [bins, frames], fortran order. Where a file
 *             has several arrays of a kind, the later ones are HASH.KIND-PARAMS.npy (first 8 hex digits of the
 *             parameters' hash). Below 4 GiB in all
 *   errors    STATUS_IO names the file and the reason; STATUS_UNSUPPORTED: 4 GiB or 65,535 arrays would be passed.
 *             The file is written under a temporary name beside its own and renamed when it is whole and flushed:
 *             after an error what stood there before still does, and nothing half-written is left */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H
#include "cli.h"
#include "store.h"

struct store_export {
    const char *out;
    bool npz;               /* else csv */
    enum feature_kind kind; /* npz: only this; 0: all */
};

/* Says what was written, in the command's format. */
int store_export(const struct common *c, struct store *s, const char *objects, const struct store_export *e) MUST_USE;

#endif
