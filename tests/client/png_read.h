/* png_read - a PNG as its pixels, for tests. */
#ifndef PNG_READ_H
#define PNG_READ_H
#include "test.h"

#include <png.h>
#include <stdlib.h>

struct png_read {
    int width, height;
    uint8_t *rgb; /* malloc'ed */
};

static inline struct png_read png_read(const char *path)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    REQUIRE(png_image_begin_read_from_file(&image, path));
    image.format = PNG_FORMAT_RGB;
    struct png_read p = {(int)image.width, (int)image.height, malloc(PNG_IMAGE_SIZE(image))};
    REQUIRE(p.rgb && png_image_finish_read(&image, NULL, p.rgb, 0, NULL));
    return p;
}

/* 0xRRGGBB */
static inline uint32_t png_at(const struct png_read *p, int x, int y)
{
    const uint8_t *const at = p->rgb + (size_t)3 * ((size_t)y * (size_t)p->width + (size_t)x);
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

#endif
