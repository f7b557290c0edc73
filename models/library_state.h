/* library_state - what the files of the library share. */
#ifndef LIBRARY_STATE_H
#define LIBRARY_STATE_H
#include "library.h"
#include "safetensors.h"

/* Adds what the file's metadata say of a network to the model, whose stems and kind must be those of its others.
 * `entry`, where not NULL, gets klass, args and kwargs. */
int library_facts(const struct safetensors *s, const char *file, struct library_model *m, json_t *entry) MUST_USE;

/* Hashes a file of a model, puts it into model.json's list, and adds its bytes to *all. */
int library_enter(int fd, const char *name, json_t *list, uint64_t *all) MUST_USE;

/* Creates it if need be and locks it: close the descriptor to unlock (-1 on error). Clears what killed ones left. */
int library_lock(const char *home, int *fd) MUST_USE;

/* Removes a folder and all that is in it; false, with errno, when something is left. */
bool library_clear(const char *folder);

#endif
