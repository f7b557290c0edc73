/* Leases: what a GRANT says, taken apart; and the one transaction at the end. */
#include "item.h"
#include "log.h"
#include "store_care.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *copy_bytes(struct wire_slice s)
{
    uint8_t *p = malloc(s.bytes ? s.bytes : 1);
    if (p && s.bytes)
        memcpy(p, s.data, s.bytes);
    return p;
}

/* A path that goes on behind a zero byte would be opened as the one in front of it. */
static bool is_cut(struct wire_slice path)
{
    return path.bytes && memchr(path.data, 0, path.bytes);
}

static char *copy_text(struct wire_slice s)
{
    char *p = malloc((size_t)s.bytes + 1);
    if (p)
        wire_copy(s, p, (size_t)s.bytes + 1);
    return p;
}

static int read_params(struct lease *l, struct wire_slice kind)
{
    char name[LIMIT_NAME + 1];
    wire_copy(kind, name, sizeof name);
    if (strcmp(name, KIND_NOOP) == 0) {
        l->task = TASK_NOOP;
        l->result_schema = &kind_noop_result_schema;
        return STATUS_OK;
    }
    if (strcmp(name, KIND_ANALYZE) == 0) {
        struct kind_analyze_params p;
        l->task = TASK_ANALYZE;
        l->result_schema = &kind_analyze_result_schema;
        uint32_t wanted = 0;
        const int code = params_analyze(l->params, l->params_bytes, &p, &wanted);
        l->feature = FEATURE_SUMMARY;
        l->force = p.force;
        l->verify = p.verify;
        l->stores = true;
        l->brief = !p.statistics;
        return code ? code : params_analyze_hash(&p, wanted, l->params_hash);
    }
    if (strcmp(name, KIND_FEATURES) == 0) {
        struct kind_features_params p;
        l->task = TASK_FEATURES;
        l->result_schema = &kind_features_result_schema;
        const int code = params_features(l->params, l->params_bytes, &p, &l->feature);
        if (code)
            return code;
        l->force = p.force;
        l->verify = p.verify;
        const bool large = l->feature == FEATURE_STFT || l->feature == FEATURE_MAGNITUDE ||
                           l->feature == FEATURE_POWER || l->feature == FEATURE_DB || l->feature == FEATURE_SAMPLES;
        l->stores = !large || p.keep; /* spectra and signals are large and quickly made again */
        return params_features_hash(&p, l->feature, l->params_hash);
    }
    if (strcmp(name, KIND_SEPARATE) == 0 || strcmp(name, KIND_SEPARATE_OBJECTS) == 0) {
        struct separate_settings s;
        l->to_objects = strcmp(name, KIND_SEPARATE) != 0;
        l->task = TASK_SEPARATE;
        l->result_schema = &kind_separate_result_schema;
        return params_separate(l->params, l->params_bytes, &s);
    }
    if (strcmp(name, KIND_SEPARATE_CLIPS) == 0) {
        struct separate_settings s;
        l->task = TASK_SEPARATE_CLIPS;
        l->result_schema = &kind_clips_result_schema;
        return params_clips(l->params, l->params_bytes, &s);
    }
    if (strcmp(name, KIND_SCORE) == 0 || strcmp(name, KIND_SCORE_OBJECTS) == 0) {
        struct kind_score_params p;
        l->to_objects = strcmp(name, KIND_SCORE) != 0;
        l->task = TASK_SCORE;
        l->result_schema = &kind_score_result_schema;
        return params_score(l->params, l->params_bytes, &p);
    }
    if (strcmp(name, KIND_TRAIN) == 0 || strcmp(name, KIND_TRAIN_OBJECTS) == 0) {
        l->to_objects = strcmp(name, KIND_TRAIN) != 0;
        l->task = TASK_TRAIN;
        l->result_schema = &kind_train_result_schema;
        return l->params_bytes ? fail(STATUS_FORMAT, "train: a job of this kind has no parameters, its items have")
                               : STATUS_OK;
    }
    if (strcmp(name, KIND_SWEEP) == 0) {
        l->task = TASK_SWEEP;
        l->result_schema = &kind_sweep_result_schema;
        return l->params_bytes ? fail(STATUS_FORMAT, "sweep: a job of this kind has no parameters, its items have")
                               : STATUS_OK;
    }
    if (strcmp(name, KIND_INSPECT) == 0) {
        struct kind_inspect_params p;
        l->task = TASK_INSPECT;
        l->result_schema = &kind_inspect_result_schema;
        return params_inspect(l->params, l->params_bytes, &p);
    }
    return fail(STATUS_UNSUPPORTED, "this worker does not do jobs of kind '%s'", name);
}

/* A training that goes on where that of another job has paused: as from a checkpoint of its own, which comes first. */
static void adopt_state(struct item *it)
{
    struct kind_train_item m;
    if (it->has_checkpoint || wire_decode(&kind_train_item_schema, it->params, it->params_bytes, &m) ||
        m.state.bytes == 0)
        return;
    if (m.state.bytes != HASH_BYTES || !it->lease->to_objects) {
        item_fail(it, fail(STATUS_ARGUMENT, "train: a state by %u bytes: it is an object, of kind " KIND_TRAIN_OBJECTS,
                           m.state.bytes));
        return;
    }
    memcpy(it->checkpoint.bytes, m.state.data, HASH_BYTES);
    it->has_checkpoint = true;
}

static int read_item(struct lease *l, struct item *it, int64_t priority, const struct message_lease *m)
{
    *it = (struct item){.lease = l,
                        .job = m->job ? m->job : l->job, /* a lease may bring items of several jobs */
                        .index = m->index,
                        .token = m->token,
                        .priority = priority,
                        .attempt = (uint32_t)m->attempt,
                        .alone = m->attempt > 1,
                        .input = -1,
                        .result_fd = -1,
                        .array.fd = -1,
                        .checkpoint_fd = -1,
                        .save_fd = -1};
    it->ffmpeg = (struct ffmpeg){.output = -1, .message = -1};
    it->params = copy_bytes(m->params);
    it->params_bytes = m->params.bytes;
    it->path = copy_text(m->path);
    if (!it->params || !it->path)
        return fail(STATUS_NOMEM, "lease: out of memory");
    if (is_cut(m->path))
        item_fail(it, fail(STATUS_ARGUMENT, "cannot open: the path has a zero byte in it"));
    if (m->object.bytes == HASH_BYTES) {
        memcpy(it->object.bytes, m->object.data, HASH_BYTES);
        it->has_object = true;
    }
    if (m->checkpoint.bytes == HASH_BYTES) {
        memcpy(it->checkpoint.bytes, m->checkpoint.data, HASH_BYTES);
        it->has_checkpoint = true;
        it->resumed = isfinite(m->progress) ? m->progress : 0;
        it->progress = it->resumed;
    }
    if (m->object.bytes && !it->has_object)
        item_fail(it,
                  fail(STATUS_ARGUMENT, "the item names an object by %u bytes, not %d", m->object.bytes, HASH_BYTES));
    if (l->task == TASK_TRAIN && !l->code)
        adopt_state(it);
    if (l->task == TASK_FEATURES && !l->code) {
        struct kind_features_item out;
        if (wire_decode(&kind_features_item_schema, it->params, it->params_bytes, &out))
            item_fail(it, STATUS_FORMAT);
        else if (is_cut(out.out))
            item_fail(it, fail(STATUS_ARGUMENT, "cannot write: the path has a zero byte in it"));
        else if (!(it->array.path = copy_text(out.out)))
            return fail(STATUS_NOMEM, "lease: out of memory");
    }
    return STATUS_OK;
}

int lease_create(const struct message_grant *grant, struct places *places, struct lease **out)
{
    struct lease *l = calloc(1, sizeof *l);
    if (!l)
        return fail(STATUS_NOMEM, "lease: out of memory");
    l->job = grant->job;
    l->places = places;
    l->params = copy_bytes(grant->params);
    l->params_bytes = grant->params.bytes;
    l->items = calloc(grant->leases.count ? grant->leases.count : 1, sizeof *l->items);
    int code = l->params && l->items ? STATUS_OK : fail(STATUS_NOMEM, "lease: out of memory");
    if (!code) {
        l->code = read_params(l, grant->kind);
        if (l->code)
            snprintf(l->message, sizeof l->message, "%s", status_message());
    }
    struct wire_list leases = grant->leases;
    struct message_lease m;
    while (!code && wire_next(&leases, &lease_schema, &m))
        code = read_item(l, &l->items[l->count++], grant->priority, &m);
    l->left = l->count;
    if (code)
        lease_destroy(&l);
    else
        *out = l;
    return code;
}

void lease_destroy(struct lease **lease)
{
    struct lease *l = *lease;
    if (!l)
        return;
    for (size_t i = 0; l->items && i < l->count; i++) {
        struct item *it = &l->items[i];
        item_release(it);
        free(it->log.text);
        free(it->params);
        free(it->path);
        free(it->array.path);
        free(it->record);
        wire_free(&it->result);
    }
    free(l->items);
    free(l->params);
    free(l);
    *lease = NULL;
}

bool places_have_room(struct places *places)
{
    uint64_t records = 0, objects = 0;
    if (store_room(places->features, &records) || store_room(places->objects, &objects))
        return true; /* then the attempt itself says why */
    const uint64_t least = records < objects ? records : objects;
    if (least < places->reserve_bytes) {
        if (!atomic_exchange(&places->is_full, true))
            log_warn("%s has %.1f MiB free, less than %.1f: results are reported and not stored until there is room",
                     places->features, (double)least / 1048576, (double)places->reserve_bytes / 1048576);
        return false;
    }
    if (least / 2 >= places->reserve_bytes) /* not at the border, where it would be said again and again */
        atomic_store(&places->is_full, false);
    return true;
}

void lease_commit(struct pool_work *w)
{
    struct lease *l = (struct lease *)((char *)w - offsetof(struct lease, work));
    struct store_put *puts = calloc(l->count ? l->count : 1, sizeof *puts);
    size_t n = 0;
    for (size_t i = 0; puts && i < l->count; i++) {
        const struct item *it = &l->items[i];
        if (!it->committing || (!it->put_record && !it->put_stat))
            continue;
        puts[n++] = (struct store_put){.has_record = it->put_record,
                                       .has_stat = it->put_stat,
                                       .key = it->key,
                                       .record = it->record,
                                       .record_bytes = it->record_bytes,
                                       .stat = it->stat,
                                       .file = it->key.file};
    }
    const int code = !puts                              ? fail(STATUS_NOMEM, "lease: out of memory")
                     : n && places_have_room(l->places) ? store_commit(l->places->store, puts, n)
                                                        : 0;
    if (code) /* the results are sound and go out; they will be computed again next time */
        log_error("%zu results could not be stored: %s", n, status_message());
    free(puts);
}
