/* bench_device - what the parts of the program of that name share. */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H
#include "batch.h"

struct baseline;
struct baseline_api;

struct bench_device {
    struct exec *ex;
    const struct device_api *api;
    struct device_info info;
    const char *targets;
    struct device_event *from, *to;
    int rounds, calls; /* calls between two events */
    bool small;        /* a rehearsal: everything in little */
    struct ragged x;   /* on the device */
    const struct baseline_api *baseline_api;
    struct baseline *baseline; /* NULL: baseline_why says why */
    char baseline_why[600];
    double copy_rate, flop_rate; /* 0: not measured */
};

/* Seconds of one of d->calls calls of body, between two events. */
int bench_clock(struct bench_device *d, int (*body)(void *), void *context, double *seconds) MUST_USE;

void bench_not_run(const char *row, const char *why);
void bench_copies(struct bench_device *d);   /* rows copy_pinned_in, copy_pinned_out, copy_pageable_in */
void bench_launches(struct bench_device *d); /* rows launch_and_wait, launch_queued, launch_graph */

#endif
