/* Many songs at once: each in a thread of its own that does what lies around the network, while segments of others run
 * on the device, eight together. */
#include "separation.h"

#include "bench.h"
#include "demucs_split.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SONGS_MOST = 32, SONGS_TINY = 2, SONG_S = 240, RATE = 44100, BLOCK = 1 << 16, APART = 1000, MESSAGE = 320 };

struct wish {
    struct htdemucs_segment segment;
    bool done;
    struct wish *next;
};

struct job {
    struct separation_bench *b;
    const struct htdemucs *net;
    struct htdemucs_room *room;
    const float *audio;
    int64_t frames; /* of a song */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct wish *wishes;  /* whose threads wait */
    int waiting, singing; /* singing: threads that have not ended */
    bool running;
    int code; /* the first failure, and what it said */
    char message[MESSAGE];
};

struct song {
    struct job *job;
    int number;
    int64_t done;
    pthread_t thread;
};

/* Under the lock. */
static void keep(struct job *j, int code)
{
    if (code && !j->code) {
        j->code = code;
        snprintf(j->message, sizeof j->message, "%s", status_message());
    }
}

/* Under the lock, which is let go meanwhile. */
static void run_wishes(struct job *j)
{
    struct htdemucs_segment segment[SEPARATION_BATCH];
    struct wish *taken[SEPARATION_BATCH];
    int n = 0;
    for (; n < separation_batch(j->b) && j->wishes; n++) {
        taken[n] = j->wishes;
        segment[n] = j->wishes->segment;
        j->wishes = j->wishes->next;
    }
    j->waiting -= n;
    j->running = true;
    pthread_mutex_unlock(&j->lock);
    const int code = htdemucs_run(j->net, j->b->ex, j->room, segment, n);
    pthread_mutex_lock(&j->lock);
    keep(j, code);
    for (int i = 0; i < n; i++)
        taken[i]->done = true;
    j->running = false;
    pthread_cond_broadcast(&j->changed);
}

/* Whoever completes a batch runs it; so does the last that could. */
static int run(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
               const struct demucs_alive *alive)
{
    struct job *const j = ((struct song *)context)->job;
    struct wish w = {.segment = segments[0]};
    (void)net;
    (void)alive;
    if (count != 1)
        return fail(STATUS_INTERNAL, "a song asked for %d segments", count);
    pthread_mutex_lock(&j->lock);
    w.next = j->wishes;
    j->wishes = &w;
    j->waiting++;
    pthread_cond_broadcast(&j->changed);
    while (!w.done)
        if (!j->running && (j->waiting >= separation_batch(j->b) || j->waiting == j->singing))
            run_wishes(j);
        else
            pthread_cond_wait(&j->changed, &j->lock);
    const int code = j->code;
    pthread_mutex_unlock(&j->lock);
    return code;
}

static int take(void *context, const float *stems, int64_t frames)
{
    struct song *const s = context;
    s->done += frames;
    return frames == 0 || isfinite(stems[0]) ? STATUS_OK : fail(STATUS_INTERNAL, "song %d is no number", s->number);
}

static int separate(struct song *s)
{
    struct job *const j = s->job;
    struct demucs_split_params p = {.bag = {.networks = 1, .network = {j->net}, .runner = {.run = run, .context = s}},
                                    .overlap = 0.25,
                                    .deviation = 1};
    struct separation *separation = NULL;
    for (int i = 0; i < htdemucs_config(j->net)->stems; i++) {
        p.bag.wanted[i] = true;
        p.bag.weight[0][i] = 1;
    }
    int code = demucs_split_create(&p, take, s, &separation);
    const float *const x = j->audio + (size_t)s->number * APART * 2;
    for (int64_t at = 0; at < j->frames && !code; at += BLOCK)
        code = separation_push(separation, x + 2 * at, j->frames - at < BLOCK ? j->frames - at : BLOCK);
    code = code ? code : separation_finish(separation);
    separation_destroy(&separation);
    return code || s->done == j->frames ? code : fail(STATUS_INTERNAL, "song %d lost frames", s->number);
}

static void *sing(void *context)
{
    struct song *const s = context;
    const int code = separate(s);
    pthread_mutex_lock(&s->job->lock);
    keep(s->job, code);
    s->job->singing--;
    pthread_cond_broadcast(&s->job->changed);
    pthread_mutex_unlock(&s->job->lock);
    return NULL;
}

static int run_songs(struct job *j, int songs)
{
    struct song song[SONGS_MOST];
    int started = 0;
    pthread_mutex_lock(&j->lock);
    for (; started < songs; started++) {
        song[started] = (struct song){.job = j, .number = started};
        if (pthread_create(&song[started].thread, NULL, sing, &song[started])) {
            keep(j, fail(STATUS_NOMEM, "no thread for song %d", started));
            break;
        }
    }
    j->singing = started;
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < started; i++)
        pthread_join(song[i].thread, NULL);
    return j->code ? fail(j->code, "%s", j->message) : STATUS_OK;
}

int separation_songs(struct separation_bench *b, const struct htdemucs *net, double segment_s,
                     struct separation_job *out)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    const bool tiny = b->size == SEEDED_TINY;
    struct job j = {.b = b, .net = net, .frames = tiny ? c->segment : (int64_t)SONG_S * RATE};
    const int64_t stride = c->segment * 3 / 4, runs = (j.frames + stride - 1) / stride;
    const double song_s = segment_s * (double)runs;
    const double fit = b->seconds / song_s;
    const int songs = tiny                      ? SONGS_TINY
                      : fit >= SONGS_MOST       ? SONGS_MOST
                      : fit >= SEPARATION_BATCH ? (int)fit
                                                : SEPARATION_BATCH;
    const int64_t all = j.frames + (int64_t)SONGS_MOST * APART;
    float *const audio = malloc((size_t)all * 2 * sizeof *audio);
    int code =
        audio ? htdemucs_room_create(net, b->ex, SEPARATION_BATCH, &j.room) : fail(STATUS_NOMEM, "out of memory");
    if (!code) {
        separation_mix(0, all, audio);
        j.audio = audio;
        pthread_mutex_init(&j.lock, NULL);
        pthread_cond_init(&j.changed, NULL);
        const double began = bench_now();
        code = run_songs(&j, songs);
        *out = (struct separation_job){songs, songs * (double)j.frames / RATE, bench_now() - began};
        pthread_cond_destroy(&j.changed);
        pthread_mutex_destroy(&j.lock);
    }
    htdemucs_room_destroy(&j.room);
    free(audio);
    return code;
}
