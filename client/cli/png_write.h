/* png_write - pictures as PNG. The only file that knows libpng.
 *
 *   pixels    [height][width] numbers of colours, the top row first
 *   file      appears under its name when it is whole; an earlier one is replaced
 *   errors    STATUS_IO names the reason; STATUS_ARGUMENT: no such picture; STATUS_NOMEM */
#ifndef PNG_WRITE_H
#define PNG_WRITE_H
#include "status.h"

#include <stdint.h>

enum { PNG_SIDE_MOST = 32768 };

int png_write(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels,
              const uint8_t colours[256][3]) MUST_USE;

const char *png_library(void); /* "1.6.39" */

#endif
