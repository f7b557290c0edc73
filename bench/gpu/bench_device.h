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
    bool full;         /* the sizes that bars are of */
    struct ragged x;   /* on the device */
    const struct baseline_api *baseline_api;
    struct baseline *baseline; /* NULL: baseline_why says why */
    char baseline_why[600];
    double copy_rate, flop_rate; /* 0: not measured */
};

/* A row's figures: medians of rounds that lie in order. */
struct bench_figures {
    const char *name, *what; /* what: of which sizes; "": as the name says */
    double seconds, least, most;
    double bytes, flops; /* that must be moved, and computed, at least */
    double bar;          /* seconds that the row has to keep to at full size; 0: none */
};

/* Seconds of one of d->calls calls of body, between two events. */
int bench_clock(struct bench_device *d, int (*body)(void *), void *context, double *seconds) MUST_USE;

/* The row as a line of JSON that is still open: "more" goes on, and closes it. */
void bench_begin(const struct bench_device *d, const struct bench_figures *f);

/* Fills in what is measured: few rounds of what is slow, many calls of what is short. */
int bench_measure(struct bench_device *d, int (*body)(void *), void *context, struct bench_figures *f) MUST_USE;
void bench_end(const struct bench_device *d, const struct bench_figures *f); /* the whole row */

void bench_rows(struct bench_device *d);     /* a row for every operation, and the jobs made of several */
void bench_networks(struct bench_device *d); /* and for those that networks are made of */
void bench_not_run(const char *row, const char *why);
void bench_copies(struct bench_device *d);   /* rows copy_pinned_in, copy_pinned_out, copy_pageable_in */
void bench_launches(struct bench_device *d); /* rows launch_and_wait, launch_queued, launch_graph */

#endif
