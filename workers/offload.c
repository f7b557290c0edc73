#include "offload.h"

#include "batch.h"
#include "device.h"
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCHES = 2,            /* in flight: one is computed while one is packed */
    BATCH_BYTES = 64 << 20, /* of a batch's buffers, unless a single row needs more */
    LIMIT_PARTS_BATCH = 4,  /* of a memory limit, each batch may take this part .. */
    LIMIT_PARTS_ARENA = 8,  /* .. and each batch's scratch this */
    BLOCK_SAMPLES = 1 << 20,
    BLOCK_SAMPLES_LEAST = 1 << 16, /* of a file, decoded at once */
    ROW_PARTS = 4                  /* a batch has room for so many blocks at least */
};

struct offload {
    struct batch batch[BATCHES];
    int batches, oldest, running; /* running ones follow each other from oldest on, as in a ring */
    size_t arena_bytes;
    int64_t block_samples;
    pthread_t former;
    bool started, ready, stop;
    pthread_mutex_t lock; /* of everything below, and of works; batches are the former's */
    pthread_cond_t asked, answered;
    struct work *head, **tail;
    size_t most_bytes; /* of a batch of several rows */
    bool halved, scratch_said;
    atomic_bool works;
};

/* ---- the former ---- */

/* Takes what goes with the oldest, out of the queue. */
static struct work *take(struct offload *o)
{
    struct work *const first = o->head, *last = first;
    size_t bytes = batch_row_bytes(first);
    int rows = 1;
    o->head = first->next;
    first->next = NULL;
    for (struct work **at = &o->head; *at && rows < BATCH_ROWS;) {
        struct work *const w = *at;
        const size_t more = batch_row_bytes(w);
        if (w->kind != first->kind || bytes + more > o->most_bytes || !w->kind->joins(first, w)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = NULL;
        last = last->next = w;
        bytes += more;
        rows++;
    }
    for (o->tail = &o->head; *o->tail;)
        o->tail = &(*o->tail)->next;
    return first;
}

/* Puts works before all that wait. */
static void put_back(struct offload *o, struct work *works)
{
    struct work **end = &works;
    while (*end)
        end = &(*end)->next;
    *end = o->head;
    if (!o->head)
        o->tail = end == &works ? &o->head : end;
    o->head = works;
}

/* Ends works: with an error, or as the device's (taken), or given back to who asked. */
static void answer(struct offload *o, struct work *works, int code, bool taken)
{
    for (struct work *w = works, *next; w; w = next) {
        next = w->next; /* gone as soon as the lock is */
        w->code = code;
        w->taken = taken;
        if (code)
            snprintf(w->message, sizeof w->message, "%s", status_message());
        w->done = true;
    }
    pthread_cond_broadcast(&o->answered);
}

static void end_oldest(struct offload *o)
{
    struct batch *const b = &o->batch[o->oldest];
    pthread_mutex_unlock(&o->lock);
    const int code = batch_end(b);
    pthread_mutex_lock(&o->lock);
    o->oldest = (o->oldest + 1) % o->batches;
    o->running--;
    answer(o, b->works, code, true);
}

/* Memory is exhausted: smaller batches; a row alone gets everything that batches hold; then it is the CPU's turn. */
static void retreat(struct offload *o, const struct batch *b, struct work *works)
{
    size_t bytes = 0;
    for (const struct work *w = works; w; w = w->next)
        bytes += batch_row_bytes(w);
    if (b->rows > 1) {
        if (!o->halved)
            log_warn("batches are halved, the device has no memory for %zu KiB: %s", bytes >> 10, status_message());
        o->halved = true;
        o->most_bytes = bytes / 2;
        put_back(o, works);
        return;
    }
    while (o->running)
        end_oldest(o);
    bytes = 0;
    for (int i = 0; i < o->batches; i++)
        bytes += batch_shrink(&o->batch[i]);
    if (bytes) {
        put_back(o, works);
        return;
    }
    log_warn("the cpu computes from now on: %s", status_message());
    atomic_store(&o->works, false);
    answer(o, works, STATUS_OK, false);
}

static void begin_next(struct offload *o)
{
    struct batch *const b = &o->batch[(o->oldest + o->running) % o->batches];
    struct work *const works = take(o);
    pthread_mutex_unlock(&o->lock);
    const int code = batch_begin(b, works);
    pthread_mutex_lock(&o->lock);
    if (code == STATUS_NOMEM)
        retreat(o, b, works);
    else if (code == STATUS_UNSUPPORTED) /* a size that this device cannot take */
        answer(o, works, STATUS_OK, false);
    else if (code)
        answer(o, works, code, false);
    else
        o->running++;
}

static void *former_main(void *arg)
{
    struct offload *const o = arg;
    pthread_mutex_lock(&o->lock);
    o->ready = true;
    pthread_cond_broadcast(&o->answered);
    while (!o->stop) {
        if (o->head && !atomic_load(&o->works)) {
            struct work *const all = o->head;
            o->head = NULL;
            o->tail = &o->head;
            answer(o, all, STATUS_OK, false);
        } else if (o->head && o->running < o->batches) {
            begin_next(o);
        } else if (o->running) {
            end_oldest(o);
        } else {
            pthread_cond_wait(&o->asked, &o->lock);
        }
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- opened and closed ---- */

static int open_batch(struct offload *o, const struct exec_options *options)
{
    struct exec_options mine = *options;
    struct exec *ex = NULL;
    mine.threads = 1;
    mine.device_arena_bytes = o->arena_bytes;
    mine.shared = o->batches ? o->batch[0].ex : NULL;
    int code = exec_create(&mine, &ex);
    code = code ? code : batch_open(&o->batch[o->batches], ex);
    o->batches += !code;
    return code;
}

/* Returns when the thread runs: what a thread needs to start, the sandbox may refuse soon. */
static int start_former(struct offload *o)
{
    if (pthread_create(&o->former, NULL, former_main, o))
        return fail(STATUS_NOMEM, "offload: cannot start its thread");
    o->started = true;
    pthread_mutex_lock(&o->lock);
    while (!o->ready)
        pthread_cond_wait(&o->answered, &o->lock);
    pthread_mutex_unlock(&o->lock);
    return STATUS_OK;
}

static size_t part_of(uint64_t limit, int parts, size_t most)
{
    const uint64_t part = limit / (unsigned)parts / ARENA_ALIGN * ARENA_ALIGN;
    return limit == 0 || part > most ? most : part < ARENA_ALIGN ? (size_t)ARENA_ALIGN : (size_t)part;
}

int offload_create(const struct exec_options *options, struct offload **out)
{
    struct offload *o = calloc(1, sizeof *o);
    if (!o)
        return fail(STATUS_NOMEM, "offload: out of memory");
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->asked, NULL);
    pthread_cond_init(&o->answered, NULL);
    atomic_init(&o->works, true);
    o->tail = &o->head;
    o->most_bytes = part_of(options->memory_limit, LIMIT_PARTS_BATCH, BATCH_BYTES);
    o->arena_bytes = part_of(options->memory_limit, LIMIT_PARTS_ARENA, EXEC_ARENA_BYTES);
    o->block_samples = (int64_t)(o->most_bytes / ROW_PARTS / sizeof(float));
    o->block_samples = o->block_samples < BLOCK_SAMPLES_LEAST ? BLOCK_SAMPLES_LEAST
                       : o->block_samples > BLOCK_SAMPLES     ? BLOCK_SAMPLES
                                                              : o->block_samples;
    int code = STATUS_OK;
    for (int i = 0; i < BATCHES && !code; i++)
        code = open_batch(o, options);
    if (code == STATUS_NOMEM && o->batches) /* one after the other, then */
        code = STATUS_OK;
    code = code ? code : start_former(o);
    if (code)
        offload_destroy(&o);
    else
        *out = o;
    return code;
}

void offload_destroy(struct offload **offload)
{
    struct offload *const o = *offload;
    if (!o)
        return;
    if (o->started) {
        pthread_mutex_lock(&o->lock);
        o->stop = true;
        pthread_cond_broadcast(&o->asked);
        pthread_mutex_unlock(&o->lock);
        pthread_join(o->former, NULL);
    }
    for (int i = 0; i < o->batches; i++)
        batch_close(&o->batch[i]);
    pthread_cond_destroy(&o->answered);
    pthread_cond_destroy(&o->asked);
    pthread_mutex_destroy(&o->lock);
    free(o);
    *offload = NULL;
}

struct exec *offload_exec(const struct offload *o)
{
    return o->batch[0].ex;
}

bool offload_works(const struct offload *o)
{
    return o && atomic_load(&o->works);
}

const char *offload_backend(const struct offload *o)
{
    return backend_name(exec_backend(o->batch[0].ex));
}

int64_t offload_block_samples(const struct offload *o)
{
    return o->block_samples;
}

/* ---- asking ---- */

static void note(struct offload_stages *s, const char *name)
{
    const size_t n = strlen(s->operations);
    if (!strstr(s->operations, name)) /* no name is part of another */
        snprintf(s->operations + n, sizeof s->operations - n, "%s%s", n ? "," : "", name);
}

static void add_out(struct work *w, void *host, size_t bytes)
{
    w->out[w->outs++] = (struct part){host, bytes};
}

static void add_in(struct work *w, const void *host, size_t bytes)
{
    w->in[w->ins++] = (struct part){(void *)host, host ? bytes : 0};
}

/* Waits until the work is done. */
static int ask(struct offload *o, struct work *w, struct offload_stages *s)
{
    pthread_mutex_lock(&o->lock);
    *o->tail = w;
    o->tail = &w->next;
    pthread_cond_signal(&o->asked);
    while (!w->done)
        pthread_cond_wait(&o->answered, &o->lock);
    pthread_mutex_unlock(&o->lock);
    if (w->code)
        return fail(w->code, "%s", w->message);
    s->copy_in_s += w->copy_in_s;
    s->compute_s += w->compute_s;
    s->copy_out_s += w->copy_out_s;
    s->launches += w->launches;
    return STATUS_OK;
}

static size_t result_bytes(const struct ragged *y)
{
    return (size_t)y->total * (size_t)y->channels * (y->dtype == DTYPE_C64 ? 8 : 4);
}

/* Which wishes the device takes; those of no room for their scratch are the CPU's. */
static void choose(struct offload *o, const struct offload_frames *w, struct offload_frames *mine)
{
    struct exec *const ex = o->batch[0].ex;
    const struct ops *const ops = exec_ops(ex);
    *mine = (struct offload_frames){.p = w->p, .x = w->x};
    mine->rms = ops->rms ? w->rms : NULL;
    mine->peak = ops->peak ? w->peak : NULL;
    mine->zero_crossing = ops->zero_crossing ? w->zero_crossing : NULL;
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        mine->spectral[i] = ops->spectral_outputs >> i & 1 ? w->spectral[i] : NULL;
    mine->loudest = mine->spectral[SPECTRAL_MEL] && ops->decibel_peak ? w->loudest : NULL;
    const size_t scratch = ops->spectral_work_bytes ? spectral_work_bytes(ex, w->p) : 0;
    if (scratch <= o->arena_bytes)
        return;
    pthread_mutex_lock(&o->lock);
    if (!o->scratch_said)
        log_warn("spectra of %lld samples are the cpu's: they take %zu KiB of scratch, the device's limit leaves %zu",
                 (long long)w->p->stft.frame.window_samples, scratch >> 10, o->arena_bytes >> 10);
    o->scratch_said = true;
    pthread_mutex_unlock(&o->lock);
    memset(mine->spectral, 0, sizeof mine->spectral);
    mine->loudest = NULL;
}

/* The row that goes into a batch; the order of its parts is that of batch_frames.c. */
static void describe_frames(const struct offload_frames *mine, struct work *w)
{
    const struct ragged *results[3 + SPECTRAL_OUTPUTS] = {mine->rms, mine->peak, mine->zero_crossing};
    *w = (struct work){.kind = &frames_kind, .wish = mine, .x_length = mine->x->total};
    w->piece = piece_of(mine->x->piece, 0);
    memcpy(results + 3, mine->spectral, sizeof mine->spectral);
    add_in(w, mine->x->data, (size_t)mine->x->total * sizeof(float));
    for (int i = 0; i < 3 + SPECTRAL_OUTPUTS; i++)
        if (results[i]) {
            add_out(w, results[i]->data, result_bytes(results[i]));
            w->y_length = results[i]->total;
        }
    if (mine->loudest)
        add_out(w, mine->loudest, sizeof *mine->loudest);
}

int offload_measure(struct offload *o, struct offload_frames *wish, struct offload_stages *stages)
{
    struct offload_frames mine;
    struct work w;
    if (!offload_works(o))
        return STATUS_OK;
    choose(o, wish, &mine);
    describe_frames(&mine, &w);
    if (w.outs == 0)
        return STATUS_OK;
    const int code = ask(o, &w, stages);
    if (code || !w.taken)
        return code;
#define TAKEN(what, name) (mine.what ? (note(stages, name), wish->what = NULL) : NULL)
    TAKEN(rms, "rms");
    TAKEN(peak, "peak");
    TAKEN(zero_crossing, "zero_crossing");
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        TAKEN(spectral[i], spectral_name((enum spectral_output)i));
    TAKEN(loudest, "decibel");
#undef TAKEN
    return STATUS_OK;
}

int offload_describe(struct offload *o, const struct offload_series *wish, bool *done, struct offload_stages *stages)
{
    *done = false;
    if (!offload_works(o) || wish->frames == 0)
        return STATUS_OK;
    const struct ops *const ops = exec_ops(o->batch[0].ex);
    if (!ops->decibel_clip || !ops->mfcc || !ops->statistics)
        return STATUS_OK;
    const size_t frames = (size_t)wish->frames, each = STATISTICS * sizeof(float);
    struct work w = {.kind = &series_kind, .wish = wish, .x_length = wish->frames};
    add_in(&w, wish->logmel, frames * (size_t)wish->mels * sizeof(float));
    add_in(&w, &wish->floor_db, sizeof wish->floor_db);
    add_in(&w, wish->joined, frames * (size_t)wish->width * sizeof(float));
    if (wish->logmel_statistics)
        add_out(&w, wish->logmel_statistics, (size_t)wish->mels * each);
    if (wish->mfcc_statistics) {
        add_out(&w, wish->mfcc_statistics, (size_t)wish->coefficients * each);
        w.scratch_bytes = frames * (size_t)wish->coefficients * sizeof(float);
    }
    if (wish->joined)
        add_out(&w, wish->joined_statistics, (size_t)wish->width * each);
    const int code = w.outs ? ask(o, &w, stages) : STATUS_OK;
    *done = !code && w.outs && w.taken;
    if (*done && wish->logmel)
        note(stages, "decibel");
    if (*done && wish->mfcc_statistics)
        note(stages, "mfcc");
    if (*done)
        note(stages, "statistics");
    return code;
}
