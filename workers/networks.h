/* networks - the networks of a compute process: loaded when a job first wants them, shared by its threads, and let go
 * when memory is wanted for others.
 *
 *   threads      all functions may be called by any thread. Turns are taken on one exec that has all threads
 *   device       where there is one, networks run on it. Those of one model run together, so all of them are there, or
 *                all on the CPU; which of the two depends on what fits there alone, never on what else is loaded. What
 *                is said here of memory and turns holds for each of the two
 *   batches      segments that wait for the same network, of whichever songs, run together in the next turn: as many as
 *                fit in `bytes` and take about 2 s, by how long the last ones took; on a device 8 at most. A song's
 *                stems do not depend on what its segments run with
 *   in flight    on a device two batches: one is copied in while the other runs, and copied out while the next does. A
 *                song asks for several segments at once there, and half of them are the first batch. Who waits for one
 *                holds no lock: others begin, take networks, and have turns on the CPU meanwhile
 *   memory       what is loaded stays within `bytes`, activations included: networks that nobody holds go, the one used
 *                longest ago first. A model that fits, but not beside those that are held, is waited for. Its networks
 *                are taken as a whole and nothing is held while it waits: no two wait for each other
 *   ownership    networks_take is given back by networks_release, networks by their holder
 *   errors       STATUS_NOMEM: the networks do not fit in `bytes`; of a run: nor does one segment, beside nothing else
 *                that could go; STATUS_BUSY: not now, and it did not wait; those of safetensors_open and htdemucs_load
 */
#ifndef NETWORKS_H
#define NETWORKS_H
#include "demucs_split.h"
#include "exec.h"
#include "status.h"

struct networks;

/* Starts threads: before the sandbox is closed. device: where networks run as far as its memory goes, and how much of
 * it they may take; NULL: on the CPU. Whoever does not fit runs there too, which the log says once. */
int networks_create(int threads, size_t bytes, const struct exec_options *device, struct networks **out) MUST_USE;
void networks_destroy(struct networks **n);

/* What a model has: networks in open files, each known again by what the system says of the file. */
struct networks_wanted {
    const int *fds; /* borrowed */
    int count;
    const char *name; /* what messages call them */
    enum precision precision;
    bool on_cpu;                  /* even if there is a device: status_message then says why */
    void (*alive)(void *context); /* called about every second of waiting; NULL: does not wait */
    void *context;
};

/* Where they are, and what numbers are rounded to there: fp32 on the CPU, and on a device that has nothing else. */
struct networks_place {
    bool on_device;
    enum precision precision;
};

/* All of them, or none; each is given back by itself. out [count]. */
int networks_take(struct networks *n, const struct networks_wanted *w, const struct htdemucs **out,
                  struct networks_place *place) MUST_USE;
void networks_release(struct networks *n, const struct htdemucs *net);

/* The exec, for other work that all threads are to share: from begin to end nobody else has it. networks_exec is to
 * create with it what will run in such turns. */
struct exec *networks_exec(struct networks *n);
size_t networks_memory(const struct networks *n); /* bytes that networks on the CPU may take; SIZE_MAX: any number */
struct exec *networks_begin_turn(struct networks *n);
void networks_end_turn(struct networks *n);

/* Runs segments of what was taken, and releases it in the end. */
struct demucs_runner networks_runner(struct networks *n);

#endif
