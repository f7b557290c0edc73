/* child - the compute child as its supervisor sees it: started, watched, ended.
 *   errors    STATUS_IO: the program cannot be started; the message names it */
#ifndef CHILD_H
#define CHILD_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;  /* 0: none */
    int socket; /* task.h; -1: none */
    int log;    /* read end of its stderr, does not block; -1: none */
};

struct child_options {
    const char *program; /* wavemill-compute */
    int threads;
    const char *device;    /* NULL: cpu; else a device_choice that has been resolved, by name */
    uint64_t device_limit; /* bytes of its memory; 0: what there is */
    size_t memory_bytes;   /* resident, that it is to stay below; 0: nobody says */
};

/* Starts it with its own process group, and no descriptor of ours but the task socket and a pipe as stderr. */
int child_start(struct child *c, const struct child_options *options) MUST_USE;

/* SIGKILL, reap, close. `how`, when not NULL, gets how it ended: "killed by signal 11 (Segmentation fault)". Returns
 * its exit code, -1 when a signal ended it. */
int child_end(struct child *c, char *how, size_t capacity);

/* Resident bytes of a process, 0 when it cannot be known. */
size_t child_resident_bytes(pid_t pid);

/* ---- ffmpeg, for what libsndfile cannot read ---- */

struct ffmpeg {
    pid_t pid;   /* 0: none */
    int output;  /* read end of the pipe with its AU stream; -1: none */
    int message; /* memfd that holds its stderr; -1: none */
};

/* Is there an ffmpeg on PATH? */
int ffmpeg_find(char *out, size_t capacity) MUST_USE; /* STATUS_NOT_FOUND */

/* Decodes the first audio track of `input` (borrowed). It may open no network and no playlist. `name` is the file's: a
 * FLAC file that begins with rubbish is known by its ending only. */
int ffmpeg_start(struct ffmpeg *f, const char *program, int input, const char *name) MUST_USE;

/* The last line that it has printed; "" for none. */
void ffmpeg_said(const struct ffmpeg *f, char *out, size_t capacity);

/* Ends and reaps it. STATUS_FORMAT with the last line it printed when it failed by itself, or, `suspected` of having
 * decoded nothing, when it printed one at all. */
int ffmpeg_end(struct ffmpeg *f, bool suspected) MUST_USE;

#endif
