/* png_write - pictures as PNG. The only file that knows libpng.
 *
 *   pixels    [height][width] numbers of colours, or [height][width][3] red, green and blue; the top row first
 *   file      appears under its name when it is whole; an earlier one is replaced
 *   errors    STATUS_IO names the reason; STATUS_ARGUMENT: no such picture; STATUS_NOMEM */
#ifndef PNG_WRITE_H
#define PNG_WRITE_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { PNG_SIDE_MOST = 32768 };

int png_write(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels,
              const uint8_t colours[256][3]) MUST_USE;
int png_write_rgb(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels) MUST_USE;

/* The file's bytes; malloc'ed. */
int png_encode_rgb(uint32_t width, uint32_t height, const uint8_t *pixels, void **out, size_t *bytes) MUST_USE;

const char *png_library(void); /* "1.6.39" */

#endif
