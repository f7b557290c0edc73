/* whole_file - bytes as a file that stands under its name when it is whole and on the disk; an earlier one is replaced.
 *
 *   errors    STATUS_IO names path and reason, and nothing is left behind; STATUS_NOMEM */
#ifndef WHOLE_FILE_H
#define WHOLE_FILE_H
#include "status.h"

#include <stddef.h>

int whole_file_write(const char *path, const void *data, size_t bytes) MUST_USE;

#endif
