/* separation - what the parts of the program of that name share: networks of released size with weights from a seed. */
#ifndef BENCH_SEPARATION_H
#define BENCH_SEPARATION_H
#include "device.h"
#include "exec.h"
#include "seeded_network.h"

enum { SEPARATION_PRECISIONS = 3, SEPARATION_BATCH = 8, SEPARATION_BATCH_TINY = 2, SEPARATION_SEED = 1 };

struct separation_bench {
    enum seeded_size size;
    const char *folder;    /* for files that others read; NULL: none are written */
    double seconds;        /* of a row that can be cut short */
    struct exec *cpu, *ex; /* ex: the device's */
    const struct device_api *api;
};

/* Segments at a time: 8, or in a rehearsal 2. */
static inline int separation_batch(const struct separation_bench *b)
{
    return b->size == SEEDED_TINY ? SEPARATION_BATCH_TINY : SEPARATION_BATCH;
}

/* A mixture of that number: noise and a tone, about as loud as what the network expects. */
void separation_mix(int number, int64_t frames, float *mix);

void separation_not_run(const char *row, const char *why);

/* Rows "4 stems, fp32" and so on: the device beside the CPU. *failed: one is not as near as it has to be. */
int separation_check(struct separation_bench *b, bool *failed) MUST_USE;

/* Rows "fp32, 8 segments": seconds, launches, memory; and "fp32, songs": the whole job. */
int separation_speed(struct separation_bench *b) MUST_USE;

/* 32 songs, or as many as fit in b->seconds by the time of a segment: several separations at once, whose segments run
 * together. Gives how many songs and seconds of audio it were, and how long it took. */
struct separation_job {
    int songs;
    double audio_s, seconds;
};
int separation_songs(struct separation_bench *b, const struct htdemucs *net, double segment_s,
                     struct separation_job *out) MUST_USE;

#endif
