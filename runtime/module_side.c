/* The module's side of what it shares with its host: failures and log lines go to the host that loaded it, so that
 * status_message() there has them. Linked into modules in place of status.c and log.c. */
#include "device.h"
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_BYTES = 512 };

const struct host_api *device_host;

int status_fail(enum status code, const char *file, int line, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return (device_host->fail)(code, file, line, "%s", text); /* not the macro */
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    device_host->log((int)level, "%s", text);
}
