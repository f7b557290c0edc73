/* store_rig - a feature store in the test's folder, with records whose contents follow from a number. */
#ifndef STORE_RIG_H
#define STORE_RIG_H
#include "store.h"

#include <stddef.h>

struct store *rig_open(const char *folder, size_t map_bytes); /* makes the folder too */

/* Record number n: FEATURE_MEL with `array_bytes` bytes of n; rig_get checks all that it reads. */
struct store_key rig_key(int n);
int rig_put(struct store *s, int n, size_t array_bytes);
int rig_get(struct store *s, int n, size_t want_bytes);

/* Changes one bit of byte `at` of the first value of a table of the store in folder f, behind the store's back; the
 * store must be closed. */
void rig_damage(const char *table, size_t at);

/* Puts an entry of any bytes in there, likewise; creates the table where there is none. */
void rig_insert(const char *table, const void *key, size_t key_bytes, const void *value, size_t value_bytes);

#endif
