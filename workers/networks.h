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
    void (*alive)(void *context); /* called four times in a second of waiting; NULL: does not wait */
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
/* alive: called four times in a second of waiting; NULL: nobody asks. pass: the end of a turn and the next one, for who
 * has many: others that wait have theirs first. */
struct exec *networks_begin_turn(struct networks *n, const struct demucs_alive *alive);
void networks_pass_turn(struct networks *n, const struct demucs_alive *alive);
void networks_end_turn(struct networks *n);

/* Other work that holds memory for long, as a training does. What it says that it takes is counted with the networks,
 * so that all stay within the bytes that there are: what nobody holds goes for it, and what fits, but not beside what
 * is held now, is waited for. */
struct networks_work {
    const char *name;            /* what messages call it */
    size_t host, device, beside; /* bytes: on the CPU; on a device, and of the host beside that */
    size_t scratch;              /* of the device's bytes, for its operations */
    enum precision precision;
    bool on_cpu;               /* even if there is a device: status_message then says why */
    struct demucs_alive alive; /* called four times in a second of waiting; tell NULL: does not wait */
};

struct networks_part {
    struct exec *exec; /* on a device its own, that needs no turn; else networks_exec, for turns */
    struct networks_place place;
    const char *device; /* which one it is; "" on the CPU */
    size_t host, bytes; /* what it counts for: of the host, of the device */
};

/* NULL: there is none. To ask what something takes there. */
const struct exec *networks_device(const struct networks *n);

/* On the device if it fits there alone, else on the CPU, which the log says. It has all that it takes, of both, or
 * waits with nothing. STATUS_NOMEM: nor does it fit there, or what it takes beside the device is more than the host
 * has, with the sizes; STATUS_BUSY: not now, and it did not wait. */
int networks_begin_work(struct networks *n, const struct networks_work *w, struct networks_part *out) MUST_USE;
/* After all that was made with its exec has gone. */
void networks_end_work(struct networks *n, struct networks_part *p);

/* Runs segments of what was taken, and releases it in the end. */
struct demucs_runner networks_runner(struct networks *n);

#endif
