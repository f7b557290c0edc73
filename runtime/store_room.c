#include "store_care.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

int store_room(const char *folder, uint64_t *bytes)
{
    struct statvfs fs;
    if (statvfs(folder, &fs))
        return fail(STATUS_IO, "%s: %s", folder, strerror(errno));
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return STATUS_OK;
}

int store_parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    const double number = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    const double bytes = number * (double)(UINT64_C(1) << (unit ? 10 * (unit - units + 1) : 0));
    if (end == text || errno || (*end && (!unit || end[1])) || !(bytes >= 0 && bytes < 1e18))
        return fail(STATUS_ARGUMENT, "%s is not a size: bytes, or a number with K, M, G or T", text);
    *out = (uint64_t)bytes;
    return STATUS_OK;
}
