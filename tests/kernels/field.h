/* field - maps with their memory for tests: what lies between and around positions is known, and known to be untouched.
 */
#ifndef FIELD_H
#define FIELD_H
#include "device_batch.h"
#include "maps.h"
#include "oracle_network.h"
#include "subject.h"

struct field {
    struct maps m;
    struct oracle_shape s;
    float *memory, *before; /* both [floats] */
    int64_t floats;
};

/* Positions NaN, margins 0, between items `gap` sentinels. */
struct field field_open(const struct oracle_shape *s, bool margins, int64_t gap);
void field_close(struct field *f);
void field_noise(struct field *f, uint64_t *seed, float size);
int64_t field_positions(const struct field *f);              /* floats of all */
void field_read(const struct field *f, float *out);          /* dense */
void field_write(const struct field *f, const float *dense); /* positions only */
bool field_intact(const struct field *f);                    /* nothing beside positions was written */
bool field_untouched(const struct field *f);                 /* nor a position, since field_open */

float *noise_of(uint64_t *seed, int64_t n, float size);
struct exec *exec_of_threads(int threads); /* on a device: another exec of it */
struct arena *scratch_of(struct exec *ex); /* of operations: in the device's memory there */

/* A view of the field's memory, in the memory of the batch's exec; back: what is written there comes back. */
struct maps device_maps(struct device_batch *b, const struct field *f, const struct maps *m, bool back);

/* How far the positions lie from what is wanted, relative L2; infinity when something else was written. */
double field_error(const struct field *f, const double *want);
bool field_equal(const struct field *a, const struct field *b); /* bits of positions */

/* 64-byte aligned floats. */
float *packed_of(size_t bytes);

#endif
