/* SUBMIT and ADD: how a job and its items come into the queue. */
#include "hash.h"
#include "queue_state.h"

#include <string.h>

/* ---- idempotency keys ---- */

/* Never 0, which is no token. Two keys with one hash are told apart by their bytes. */
static uint64_t key_hash(const uint8_t *key, size_t bytes)
{
    uint8_t digest[16];
    uint64_t hash = 0;
    hash_short(key, bytes, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash ? hash : 1;
}

/* The job that was submitted under that key, or one whose key has the same hash; NULL: none is kept. */
static struct job *key_find(const struct queue *q, struct wire_slice key)
{
    const struct token_place *p = key.bytes ? tokens_find(&q->keys, key_hash(key.data, key.bytes)) : NULL;
    return p ? p->job : NULL;
}

bool queue_has_key(const struct queue *q, struct wire_slice key)
{
    return key_find(q, key) != NULL;
}

void key_forget(struct queue *q, struct job *j)
{
    if (j->key_bytes)
        tokens_remove(&q->keys, j->key_hash);
    j->key_bytes = 0;
}

int job_set_key(struct queue *q, struct job *j, struct wire_slice key, struct wire_slice content)
{
    const int code = key.bytes ? tokens_reserve(&q->keys, 1) : STATUS_OK;
    if (code || !key.bytes)
        return code;
    if (key.bytes > LIMIT_KEY || content.bytes != CONTENT_BYTES || key_find(q, key))
        return fail(STATUS_DAMAGED, "a key of %u bytes", key.bytes);
    j->key_bytes = (uint8_t)key.bytes;
    memcpy(j->key, key.data, key.bytes);
    memcpy(j->content, content.data, CONTENT_BYTES);
    j->key_hash = key_hash(key.data, key.bytes);
    tokens_put(&q->keys, j->key_hash, j, 0);
    return STATUS_OK;
}

/* All that makes a job what it is. Its session may be another when it is submitted again. */
static void content_hash(const struct message_submit *m, uint8_t out[CONTENT_BYTES])
{
    const struct wire_slice slices[] = {m->kind, m->name, m->params, {m->items.data, m->items.bytes}};
    const uint64_t numbers[] = {(uint64_t)m->priority, m->max_attempts, m->sealed,     m->start_unix_ms,
                                m->deadline_unix_ms,   m->backoff_ms,   m->attempt_ms, m->stall_ms,
                                m->device_bytes,       m->items.count,  m->wave};
    uint8_t parts[4 * CONTENT_BYTES + sizeof numbers];
    const size_t all = sizeof parts - (m->wave ? 0 : sizeof numbers[0]); /* without waves as in journals of before */
    for (int i = 0; i < 4; i++)
        hash_short(slices[i].data, slices[i].bytes, parts + (size_t)i * CONTENT_BYTES);
    memcpy(parts + sizeof parts - sizeof numbers, numbers, sizeof numbers);
    hash_short(parts, all, out);
}

/* ---- making a job ---- */

static int reserve_jobs(struct queue *q)
{
    if (q->job_count < q->job_capacity)
        return STATUS_OK;
    const uint32_t capacity = q->job_count ? 2 * q->job_count : 16;
    struct job **grown = memory_resize(&q->memory, q->jobs, capacity * sizeof(struct job *));
    if (!grown)
        return fail(STATUS_NOMEM, "%u jobs", capacity);
    q->jobs = grown;
    q->job_capacity = capacity;
    return STATUS_OK;
}

/* FNV-1a: jobs that have it in common are compared byte by byte before they are granted together. */
static uint64_t group_of(struct wire_slice params)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < params.bytes; i++)
        hash = (hash ^ params.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int job_fill(struct queue *q, struct job *j, const struct message_submit *m)
{
    struct kind *kind = kind_use(q, m->kind);
    if (!kind)
        return fail(STATUS_NOMEM, "kinds");
    if (kind_reserve_job(q, kind)) {
        kind_release(q, kind);
        return STATUS_NOMEM;
    }
    j->kind = kind;
    wire_copy(m->name, j->name, sizeof j->name);
    j->priority = (int32_t)m->priority;
    j->max_attempts = (uint8_t)(m->max_attempts ? m->max_attempts : QUEUE_ATTEMPTS);
    j->cancel_on_disconnect = m->cancel_on_disconnect;
    j->start_unix_ms = m->start_unix_ms;
    j->deadline_unix_ms = m->deadline_unix_ms;
    j->backoff_ms = (uint32_t)(m->backoff_ms ? m->backoff_ms : QUEUE_BACKOFF_MS);
    j->attempt_ms = (uint32_t)m->attempt_ms;
    j->stall_ms = (uint32_t)m->stall_ms;
    j->device_bytes = m->device_bytes;
    j->wave = (uint32_t)m->wave;
    if (m->params.bytes) {
        uint8_t *params = blocks_take(&j->blocks, &q->memory, m->params.bytes);
        if (!params)
            return fail(STATUS_NOMEM, "parameters of %u bytes", m->params.bytes);
        memcpy(params, m->params.data, m->params.bytes);
        j->params = (struct wire_slice){params, m->params.bytes};
    }
    j->group = group_of(j->params);
    const int code = item_append(q, j, m->items);
    return code ? code : times_begin(q, j);
}

int job_create(struct queue *q, uint64_t id, uint64_t session, const struct message_submit *m, struct job **out)
{
    struct job *j = reserve_jobs(q) ? NULL : memory_resize(&q->memory, NULL, sizeof *j);
    if (!j)
        return fail(STATUS_NOMEM, "job");
    *j = (struct job){.timer = {.type = TIMER_JOB}, .id = id, .session = session, .submitted_unix_ms = q->unix_ms};
    const int code = job_fill(q, j, m);
    if (code) {
        q->item_count -= j->item_count;
        job_destroy(q, j);
        return code;
    }
    q->last_job = id;
    q->jobs[q->job_count++] = j;
    q->unfinished++;
    *out = j;
    return STATUS_OK;
}

/* ---- records and answers ---- */

static void record_job(struct queue *q, const struct job *j, const struct message_submit *m)
{
    queue_record(q, &(struct journal_record){.type = JOURNAL_JOB,
                                             .job = j->id,
                                             .submitted = {.kind = m->kind,
                                                           .name = m->name,
                                                           .params = m->params,
                                                           .priority = j->priority,
                                                           .max_attempts = j->max_attempts,
                                                           .submitted_unix_ms = (uint64_t)j->submitted_unix_ms,
                                                           .cancel_on_disconnect = j->cancel_on_disconnect,
                                                           .session = j->session,
                                                           .key = {j->key, j->key_bytes},
                                                           .content = {j->content, j->key_bytes ? CONTENT_BYTES : 0},
                                                           .start_unix_ms = j->start_unix_ms,
                                                           .deadline_unix_ms = j->deadline_unix_ms,
                                                           .backoff_ms = j->backoff_ms,
                                                           .attempt_ms = j->attempt_ms,
                                                           .stall_ms = j->stall_ms,
                                                           .device_bytes = j->device_bytes,
                                                           .wave = j->wave}});
}

static void record_items(struct queue *q, const struct job *j, uint32_t first)
{
    if (!q->journal)
        return;
    for (uint32_t i = first; i < j->item_count; i++) {
        struct journal_record r = {.type = JOURNAL_ITEM, .job = j->id, .index = i};
        item_spec(&j->items[i], &r.item);
        queue_record(q, &r);
    }
}

static void seal(struct queue *q, struct job *j)
{
    j->state = JOB_ACTIVE;
    queue_record(q, &(struct journal_record){.type = JOURNAL_SEALED, .job = j->id});
    job_settle(q, j);
}

static void accept(struct queue *q, const struct job *j, bool known)
{
    struct queue_action *a = actions_add(q, QUEUE_ACCEPTED);
    a->job = j->id;
    a->count = j->item_count;
    a->known = known;
}

/* A SUBMIT under a key that is in use: the same one again, or another. */
static void submit_again(struct queue *q, const struct queue_event *e, struct job *j, const uint8_t *content)
{
    const struct wire_slice key = e->submit->key;
    if (j->key_bytes != key.bytes || memcmp(j->key, key.data, key.bytes) != 0 ||
        memcmp(j->content, content, CONTENT_BYTES) != 0) {
        actions_refuse(q, ERROR_CONFLICT, "the key belongs to a job with other content");
        return;
    }
    if (j->session != e->session && job_needs_session(j)) { /* it now depends on who asked last */
        j->session = e->session;
        control_record(q, j);
    }
    accept(q, j, true);
}

int job_submit(struct queue *q, const struct queue_event *e)
{
    const struct message_submit *m = e->submit;
    uint8_t content[CONTENT_BYTES] = {0};
    struct job *j = key_find(q, m->key);
    if (m->key.bytes)
        content_hash(m, content);
    if (j) {
        submit_again(q, e, j, content);
        return STATUS_OK;
    }
    if (q->unfinished >= QUEUE_JOBS_MAX || q->item_count + m->items.count > QUEUE_ITEMS_MAX) {
        actions_refuse(q, ERROR_BUSY, "the scheduler is full");
        return STATUS_OK;
    }
    int code = m->key.bytes ? tokens_reserve(&q->keys, 1) : STATUS_OK;
    code = code ? code : job_create(q, q->last_job + 1, e->session, m, &j);
    if (code)
        return code;
    (void)!job_set_key(q, j, m->key, (struct wire_slice){content, CONTENT_BYTES}); /* reserved */
    record_job(q, j, m);
    record_items(q, j, 0);
    accept(q, j, false);
    kind_update(j);
    if (m->sealed)
        seal(q, j);
    return STATUS_OK;
}

int job_add(struct queue *q, const struct queue_event *e)
{
    const struct message_add *m = e->add;
    struct job *j = job_find(q, m->job);
    if (!j) {
        actions_refuse(q, ERROR_NOT_FOUND, "no such job");
        return STATUS_OK;
    }
    const uint64_t known = j->item_count, count = m->items.count;
    const bool repeated = m->first <= known && count <= known - m->first;
    if (!repeated && (m->first != known || j->state != JOB_OPEN)) {
        actions_refuse(q, ERROR_STATE, m->first == known ? "the job is sealed" : "a gap in the numbering of items");
        return STATUS_OK;
    }
    if (!repeated && q->item_count + count > QUEUE_ITEMS_MAX) {
        actions_refuse(q, ERROR_BUSY, "the scheduler is full");
        return STATUS_OK;
    }
    const int code = repeated ? STATUS_OK : item_append(q, j, m->items);
    if (code)
        return code;
    if (!repeated)
        record_items(q, j, (uint32_t)known);
    if (!repeated && j->expired)
        times_missed(q, j, (uint32_t)known);
    accept(q, j, repeated && count > 0);
    kind_update(j);
    if (m->sealed && j->state == JOB_OPEN && m->first + count == j->item_count)
        seal(q, j);
    return STATUS_OK;
}
