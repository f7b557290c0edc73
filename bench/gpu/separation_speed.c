/* How long networks take: segments alone and by many, a song, many songs. */
#include "separation.h"

#include "bench.h"
#include "htdemucs_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_HERE = 15, ROUNDS_FEW = 3, SONG_S = 240, TINY_SEGMENTS = 2, TINY_BATCH = 1 };
static const int batches[] = {1, 4, SEPARATION_BATCH, HTDEMUCS_SEGMENTS_MOST};
static const double FULL_GFLOP = 334.9; /* of a segment of four stems; models/htdemucs.md */

struct timed { /* one network in one room */
    struct separation_bench *b;
    const struct htdemucs *net;
    struct htdemucs_room *room;
    struct htdemucs_segment segment[HTDEMUCS_SEGMENTS_MOST];
    struct device_event *from, *to;
};

static int open_timed(struct timed *t)
{
    const struct htdemucs_config *const c = htdemucs_config(t->net);
    int code = t->b->api->event_create(exec_device(t->b->ex), &t->from);
    code = code ? code : t->b->api->event_create(exec_device(t->b->ex), &t->to);
    for (int i = 0; i < HTDEMUCS_SEGMENTS_MOST && !code; i++) {
        const size_t wave = (size_t)c->segment * 2;
        float *const mix = malloc(wave * sizeof *mix);
        t->segment[i] = (struct htdemucs_segment){mix, malloc(wave * (size_t)c->stems * sizeof *mix)};
        if (!mix || !t->segment[i].stems)
            return fail(STATUS_NOMEM, "out of memory");
        separation_mix(i, c->segment, mix);
    }
    return code;
}

static void close_timed(struct timed *t)
{
    for (int i = 0; i < HTDEMUCS_SEGMENTS_MOST; i++) {
        free((void *)(uintptr_t)t->segment[i].mix);
        free(t->segment[i].stems);
    }
    t->b->api->event_destroy(&t->from);
    t->b->api->event_destroy(&t->to);
}

static int run(const struct timed *t, int count)
{
    return htdemucs_run(t->net, t->b->ex, t->room, t->segment, count);
}

/* What was recorded, without the copies, by events. */
static int play(const struct timed *t, int count, double *seconds)
{
    const struct device_api *const api = t->b->api;
    struct device_stream *const stream = exec_stream(t->b->ex);
    struct device_graph *const graph = t->room->flight[0].graph[count]; /* of htdemucs_run */
    int code = graph ? api->event_record(t->from, stream) : fail(STATUS_INTERNAL, "the network was not recorded");
    code = code ? code : api->graph_launch(graph, stream);
    code = code ? code : api->event_record(t->to, stream);
    code = code ? code : api->event_wait(t->to);
    return code ? code : api->event_elapsed(t->from, t->to, seconds);
}

/* Runs of a song that is cut into segments with an overlap of a quarter. */
static int64_t song_segments(const struct separation_bench *b, const struct htdemucs_config *c)
{
    const int64_t stride = c->segment * 3 / 4;
    return b->size == SEEDED_TINY ? TINY_SEGMENTS : ((int64_t)SONG_S * c->rate_hz + stride - 1) / stride;
}

/* Of so many segments at a time, after a run of each count that occurs. */
static int time_song(const struct timed *t, int count, double *seconds)
{
    const int64_t all = song_segments(t->b, htdemucs_config(t->net));
    const int last = (int)(all % count);
    int code = last ? run(t, last) : STATUS_OK;
    code = code || !last ? code : run(t, last);
    const double began = bench_now();
    for (int64_t at = 0; at < all && !code; at += count)
        code = run(t, all - at < count ? last : count);
    *seconds = bench_now() - began;
    return code;
}

static int time_batch(struct timed *t, const char *row, int count, double *segment_s)
{
    struct device_counters before, after;
    double played[ROUNDS_HERE] = {0}, whole[ROUNDS_HERE] = {0}, song = 0;
    int done = 0;
    t->b->api->counters(exec_device(t->b->ex), &before);
    int code = run(t, count);
    t->b->api->counters(exec_device(t->b->ex), &after);
    code = code ? code : run(t, count); /* recorded */
    const double began = bench_now();
    const int most = t->b->size == SEEDED_TINY ? 1 : ROUNDS_HERE;
    for (; done < most && !code && (done < ROUNDS_FEW || bench_now() - began < t->b->seconds / 10); done++) {
        const double from = bench_now();
        code = run(t, count);
        whole[done] = (bench_now() - from) / count;
        code = code ? code : play(t, count, &played[done]);
        played[done] /= count;
    }
    code = code ? code : time_song(t, count, &song);
    if (code)
        return code;
    const double median = bench_median(played, done);
    *segment_s = bench_median(whole, done);
    printf("{\"row\":\"%s\",\"segments\":%d,\"seconds\":%.9g,\"least\":%.9g,\"most\":%.9g,\"with_copies\":%.9g,"
           "\"song_segments\":%lld,\"song_seconds\":%.9g,\"launches\":%llu,\"bytes_used\":%llu",
           row, count, median, played[0], played[done - 1], *segment_s,
           (long long)song_segments(t->b, htdemucs_config(t->net)), song,
           (unsigned long long)(after.launches - before.launches), (unsigned long long)after.bytes_used);
    if (t->b->size == SEEDED_FULL)
        printf(",\"flops_per_s\":%.4g", 1e9 * FULL_GFLOP / median);
    printf("}\n");
    fflush(stdout);
    return code;
}

static int time_songs(struct timed *t, enum precision precision, double segment_s)
{
    char row[64];
    struct separation_job job;
    const int code = separation_songs(t->b, t->net, segment_s, &job);
    snprintf(row, sizeof row, "%s, songs", precision_name(precision));
    if (!code)
        printf("{\"row\":\"%s\",\"songs\":%d,\"audio_seconds\":%.9g,\"seconds\":%.9g,\"times_real_time\":%.6g}\n", row,
               job.songs, job.audio_s, job.seconds, job.audio_s / job.seconds);
    fflush(stdout);
    return code;
}

/* A batch that does not fit is a row that says so; what is lost with the device is everything. */
static int time_batches(struct timed *t, enum precision precision)
{
    double segment_s = 0;
    int code = open_timed(t);
    for (size_t i = 0; i < sizeof batches / sizeof *batches && !code; i++) {
        char row[64];
        double here = 0;
        snprintf(row, sizeof row, "%s, %d segments", precision_name(precision), batches[i]);
        if (t->b->size == SEEDED_TINY && batches[i] > TINY_BATCH) {
            separation_not_run(row, "a rehearsal has single segments");
            continue;
        }
        code = htdemucs_room_create(t->net, t->b->ex, batches[i], &t->room);
        code = code ? code : time_batch(t, row, batches[i], &here);
        htdemucs_room_destroy(&t->room);
        segment_s = batches[i] == SEPARATION_BATCH ? here : segment_s;
        if (code == STATUS_NOMEM) {
            separation_not_run(row, status_message());
            code = STATUS_OK;
        }
    }
    close_timed(t);
    return code ? code : time_songs(t, precision, segment_s);
}

int separation_speed(struct separation_bench *b)
{
    const struct htdemucs_config c = seeded_config(b->size, 4);
    struct seeded *weights = NULL;
    int code = seeded_create(&c, SEPARATION_SEED, b->cpu, &weights);
    for (int p = SEPARATION_PRECISIONS; p-- > 0 && !code;) { /* the fastest first */
        struct htdemucs *net = NULL;
        code = seeded_load(weights, (enum precision)p, b->ex, &net);
        code = code ? code : time_batches(&(struct timed){.b = b, .net = net}, (enum precision)p);
        htdemucs_unload(&net);
    }
    seeded_destroy(&weights);
    return code;
}
