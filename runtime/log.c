#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static const char *log_program = "wavemill";
static enum log_level log_level = LOG_WARN_;

static _Thread_local uint64_t log_number;

void log_tag(uint64_t number)
{
    log_number = number;
}

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_level = level;
    const char *wanted = getenv("WAVEMILL_LOG");
    for (int i = 0; wanted && i < 4; i++)
        if (strcmp(wanted, names[i]) == 0)
            log_level = (enum log_level)i;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > log_level)
        return;
    char text[1024 + LOG_TAG_BYTES], *const line = text + LOG_TAG_BYTES;
    const size_t most = sizeof text - LOG_TAG_BYTES;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, most, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, most - n, ".%03ldZ %-5s %s[%d]: ", now.tv_nsec / 1000000, names[level], log_program,
                          (int)getpid());
    va_list args;
    va_start(args, format);
    const int m = vsnprintf(line + n, most - n - 1, format, args);
    va_end(args);
    n += m < 0 ? 0 : (size_t)m < most - n - 1 ? (size_t)m : most - n - 2;
    for (size_t i = 0; i < n; i++) /* a file's name may hold line breaks and terminal codes */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    char tag[LOG_TAG_BYTES + 1];
    const size_t front = log_number ? LOG_TAG_BYTES : 0;
    snprintf(tag, sizeof tag, "%c%016llx", LOG_TAG, (unsigned long long)log_number);
    memcpy(line - front, tag, front);
    if (write(STDERR_FILENO, line - front, n + front) < 0)
        return; /* nowhere left to say so */
}
