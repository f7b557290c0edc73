#include "paths.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int paths_program_folder(char *out, size_t capacity)
{
    const ssize_t n = readlink("/proc/self/exe", out, capacity - 1);
    if (n <= 0)
        return fail(STATUS_IO, "cannot read /proc/self/exe: %s", strerror(errno));
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    return STATUS_OK;
}
