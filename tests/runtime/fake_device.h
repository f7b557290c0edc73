/* fake_device - a device in host memory, with faults on order: what a module's struct device_api does, without one.
 *
 * Every call that can fail counts; the one with the number fail_at fails with fail_code. What is open and allocated is
 * counted, so that a test sees what leaks also without AddressSanitizer. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H
#include "device.h"

struct fake_device_state {
    long calls, fail_at; /* fail_at 0: never */
    int fail_code;       /* STATUS_DEVICE: also all later ones */
    long devices, streams, blocks, events;
    uint64_t limit; /* of the last one opened */
    long waits, copies;
    int count, count_code; /* what count says */
    struct device_info info;
};

extern struct fake_device_state fake_device;
extern const struct device_api fake_device_api;

#endif
