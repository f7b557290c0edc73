/* full_device - a device, the emulator, that has no more memory where a test says so: the calls of models/htdemucs.h
 * that take it are wrapped. And the tiny network of tests/data. */
#ifndef FULL_DEVICE_H
#define FULL_DEVICE_H
#include "exec.h"
#include "networks.h"
#include "plan.h"

enum { STEMS = 4 };

/* What there is memory for: networks on the device, segments at once on either, segments run on the device. */
extern int full_most_networks, full_most_segments, full_runs;
extern int full_refused;       /* how often something was not given */
extern int full_networks;      /* on the device now */
extern int full_compute_major; /* 0: what the emulator says */

/* A copy of the tiny network, for reading; other: with other weights. */
int full_network(const char *name, bool other);

struct exec_options full_device_options(void);
struct networks *full_make(bool on_device);

/* All stems, for each of which every network counts. */
void full_plan(struct plan *plan, int networks);

/* How often that is said on stderr while `f` runs. */
int full_times_said(const char *what, void (*f)(void *context), void *context);

#endif
