/* output_file - a file that a task writes and that stands under its name only when it is whole: until then it has no
 * name at all, or, on file systems that cannot do that, a hidden one beside its place.
 *
 *   ownership    path is the holder's own, borrowed here; open gives fd and temporary, settle or drop take them back
 *   errors       STATUS_ARGUMENT: it can never be written there; STATUS_IO: the system refuses; STATUS_NOMEM. The
 *                message names the path */
#ifndef OUTPUT_FILE_H
#define OUTPUT_FILE_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

struct output_file {
    char *path;      /* where it goes */
    char *temporary; /* beside it; NULL: not open */
    bool nameless;   /* it gets that name only when it is whole */
    int fd;          /* -1: not open */
};

/* Opens it for reading and writing, empty. `token` tells apart who writes to the same place. */
int output_file_open(struct output_file *f, uint64_t token) MUST_USE;

/* It is whole: closed, and moved to its path, over what is there. After a failure drop it. */
int output_file_settle(struct output_file *f) MUST_USE;

/* Closed and gone, if it is open. */
void output_file_drop(struct output_file *f);

#endif
