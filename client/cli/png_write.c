#include "png_write.h"

#include "whole_file.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

const char *png_library(void)
{
    return png_get_libpng_ver(NULL);
}

/* colours: NULL where the pixels are red, green and blue themselves. */
static int encode(uint32_t width, uint32_t height, const uint8_t *pixels, const uint8_t (*colours)[3], void **out,
                  size_t *bytes)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = width,
                       .height = height,
                       .format = colours ? PNG_FORMAT_RGB_COLORMAP : PNG_FORMAT_RGB,
                       .colormap_entries = colours ? 256 : 0};
    png_alloc_size_t size = 0;
    *out = NULL;
    if (width < 1 || height < 1 || width > PNG_SIDE_MOST || height > PNG_SIDE_MOST)
        return fail(STATUS_ARGUMENT, "png: a picture of %u x %u", width, height);
    const png_int_32 row = (png_int_32)(width * (colours ? 1 : 3));
    size = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *const data = malloc(size);
    if (!data)
        return fail(STATUS_NOMEM, "png: out of memory");
    if (!png_image_write_to_memory(&image, data, &size, 0, pixels, row, colours)) {
        free(data);
        return fail(STATUS_NOMEM, "png: %s", image.message);
    }
    *out = data;
    *bytes = size;
    return STATUS_OK;
}

static int write_encoded(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels,
                         const uint8_t (*colours)[3])
{
    void *data = NULL;
    size_t bytes = 0;
    int code = encode(width, height, pixels, colours, &data, &bytes);
    code = code ? code : whole_file_write(path, data, bytes);
    free(data);
    return code;
}

int png_encode_rgb(uint32_t width, uint32_t height, const uint8_t *pixels, void **out, size_t *bytes)
{
    return encode(width, height, pixels, NULL, out, bytes);
}

int png_write(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels, const uint8_t colours[256][3])
{
    return write_encoded(path, width, height, pixels, colours);
}

int png_write_rgb(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels)
{
    return write_encoded(path, width, height, pixels, NULL);
}
