/* status_origin - where this thread's last failure came from: the program itself, or a device's module.
 *
 * STATUS_NOMEM is the device's memory when a module told of it, else the host's. Whoever has another place to compute
 * in asks for it right after the failure, as for status_message. */
#ifndef STATUS_ORIGIN_H
#define STATUS_ORIGIN_H
#include "status.h"

#include <stdbool.h>

/* As status_fail, for modules (device.h). */
int status_fail_on_device(enum status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

bool status_is_of_device(void);

#endif
