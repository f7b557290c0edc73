#include "status_origin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 512, WHERE_BYTES = 96 };

static _Thread_local char thread_message[MESSAGE_BYTES];
static _Thread_local char thread_where[WHERE_BYTES];
static _Thread_local bool thread_on_device;

static const struct {
    const char *name;
    enum failure_class failure;
} codes[] = {
    [-STATUS_OK] = {"ok", FAILURE_NONE},
    [-STATUS_ARGUMENT] = {"argument", FAILURE_INPUT},
    [-STATUS_SHAPE] = {"shape", FAILURE_INPUT},
    [-STATUS_NOMEM] = {"nomem", FAILURE_RESOURCE},
    [-STATUS_DEVICE] = {"device", FAILURE_DEVICE},
    [-STATUS_INTERNAL] = {"internal", FAILURE_INTERNAL},
    [-STATUS_FORMAT] = {"format", FAILURE_INPUT},
    [-STATUS_NOT_FOUND] = {"not_found", FAILURE_INPUT},
    [-STATUS_IO] = {"io", FAILURE_TRANSIENT},
    [-STATUS_DAMAGED] = {"damaged", FAILURE_INTERNAL},
    [-STATUS_TIMEOUT] = {"timeout", FAILURE_TRANSIENT},
    [-STATUS_BUSY] = {"busy", FAILURE_TRANSIENT},
    [-STATUS_VERSION] = {"version", FAILURE_INPUT},
    [-STATUS_CANCELLED] = {"cancelled", FAILURE_NONE},
    [-STATUS_UNSUPPORTED] = {"unsupported", FAILURE_INPUT},
};

static int is_code(int code)
{
    return code <= 0 && code > -(int)(sizeof codes / sizeof *codes);
}

const char *status_name(int code)
{
    return is_code(code) ? codes[-code].name : "unknown";
}

enum failure_class status_class(int code)
{
    return is_code(code) ? codes[-code].failure : FAILURE_INTERNAL;
}

const char *failure_name(int failure)
{
    static const char *const names[] = {"NONE",     "INPUT", "RESOURCE", "TRANSIENT", "DEVICE",
                                        "INTERNAL", "CRASH", "STALE",    "TIMEOUT"};
    const int known = failure >= 0 && failure < (int)(sizeof names / sizeof *names);
    return known ? names[failure] : "UNKNOWN";
}

__attribute__((format(printf, 4, 0))) static void record(bool on_device, const char *file, int line, const char *format,
                                                         va_list args)
{
    const char *base = strrchr(file, '/');
    snprintf(thread_where, sizeof thread_where, "%s:%d", base ? base + 1 : file, line);
    vsnprintf(thread_message, sizeof thread_message, format, args);
    thread_on_device = on_device;
}

int status_fail(enum status code, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(false, file, line, format, args);
    va_end(args);
    return code;
}

int status_fail_on_device(enum status code, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(true, file, line, format, args);
    va_end(args);
    return code;
}

bool status_is_of_device(void)
{
    return thread_on_device;
}

int status_context(int code, const char *format, ...)
{
    if (code == STATUS_OK)
        return code;
    char before[MESSAGE_BYTES], all[2 * MESSAGE_BYTES + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(before, sizeof before, format, args);
    va_end(args);
    const int n = snprintf(all, sizeof all, "%s: %s", before, thread_message);
    const size_t keep = n < MESSAGE_BYTES ? (size_t)n : MESSAGE_BYTES - 1;
    memcpy(thread_message, all, keep);
    thread_message[keep] = '\0';
    return code;
}

const char *status_message(void)
{
    return thread_message;
}

const char *status_where(void)
{
    return thread_where;
}
