#include "png_write.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *png_library(void)
{
    return png_get_libpng_ver(NULL);
}

static int write_to(FILE *f, uint32_t width, uint32_t height, const uint8_t *pixels, const uint8_t colours[256][3])
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = width,
                       .height = height,
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = 256};
    if (!png_image_write_to_stdio(&image, f, 0, pixels, (png_int_32)width, colours))
        return fail(STATUS_IO, "%s", image.message);
    return fflush(f) || fsync(fileno(f)) ? fail(STATUS_IO, "%s", strerror(errno)) : STATUS_OK;
}

/* As open(2) would have made it: mkstemp gives a file that only its owner may read. */
static void give_mode(int fd)
{
    const mode_t mask = umask(0);
    umask(mask);
    const int ignored = fchmod(fd, 0666 & ~mask);
    (void)ignored;
}

int png_write(const char *path, uint32_t width, uint32_t height, const uint8_t *pixels, const uint8_t colours[256][3])
{
    char *part = NULL;
    if (width < 1 || height < 1 || width > PNG_SIDE_MOST || height > PNG_SIDE_MOST)
        return fail(STATUS_ARGUMENT, "png: a picture of %u x %u", width, height);
    if (asprintf(&part, "%s.XXXXXX", path) < 0)
        return fail(STATUS_NOMEM, "png: out of memory");
    const int fd = mkstemp(part);
    FILE *const f = fd < 0 ? NULL : fdopen(fd, "wb");
    int code = f ? write_to(f, width, height, pixels, colours) : fail(STATUS_IO, "%s", strerror(errno));
    if (!code)
        give_mode(fd);
    if (f && fclose(f) && !code)
        code = fail(STATUS_IO, "%s", strerror(errno));
    if (!code && rename(part, path))
        code = fail(STATUS_IO, "%s", strerror(errno));
    if (!f && fd >= 0)
        close(fd);
    if (code && fd >= 0)
        unlink(part);
    free(part);
    return status_context(code, "cannot write %s", path);
}
