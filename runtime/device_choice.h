/* device_choice - which device to compute on: what --device says, and what this machine makes of it.
 *
 *   auto      the first GPU that the module for CUDA supports, else the CPU; the log says which and why
 *   others    exactly that, or STATUS_UNSUPPORTED with the reason: never something else in its place
 *
 *   errors    STATUS_ARGUMENT: no such word; STATUS_UNSUPPORTED: not on this machine, or not in this build;
 *             STATUS_DEVICE: the device does not answer any more */
#ifndef DEVICE_CHOICE_H
#define DEVICE_CHOICE_H
#include "device.h"
#include "exec.h"

enum { DEVICE_NAME = 24 };

struct device_choice {
    bool automatic; /* until it is resolved */
    enum exec_backend backend;
    int index;                   /* -1, until it is resolved: the first that is supported */
    const struct module *module; /* once resolved; NULL on the CPU */
};

/* auto, cpu, cuda, cuda:N or emulated. */
int device_choice_parse(const char *text, struct device_choice *out) MUST_USE;

/* Looks for it: loads the module, asks the driver, opens nothing. Starts the driver in this process: takes a while. */
int device_choice_resolve(struct device_choice *c) MUST_USE;

/* "auto", "cpu", "cuda", "cuda:0", "emulated": what parse takes, and what a worker says of itself once resolved. */
void device_choice_name(const struct device_choice *c, char out[DEVICE_NAME]);

/* Is a worker's device (its name) what the choice asks for? */
bool device_choice_fits(const struct device_choice *c, const char *device);

#endif
