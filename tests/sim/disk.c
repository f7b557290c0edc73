#include "disk.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *claim(void *block, size_t bytes)
{
    void *grown = realloc(block, bytes ? bytes : 1);
    if (!grown) {
        fputs("the simulator itself is out of memory\n", stderr);
        exit(2);
    }
    return grown;
}

/* ---- copies of records ---- */

/* Where records have slices; a new type with bytes of its own needs its lines here. */
static const struct {
    enum journal_type type;
    size_t offset;
} slices[] = {
    {JOURNAL_JOB, offsetof(struct journal_record, submitted.kind)},
    {JOURNAL_JOB, offsetof(struct journal_record, submitted.name)},
    {JOURNAL_JOB, offsetof(struct journal_record, submitted.params)},
    {JOURNAL_ITEM, offsetof(struct journal_record, item.path)},
    {JOURNAL_ITEM, offsetof(struct journal_record, item.object)},
    {JOURNAL_ITEM, offsetof(struct journal_record, item.params)},
    {JOURNAL_OUTCOME, offsetof(struct journal_record, outcome.message)},
    {JOURNAL_OUTCOME, offsetof(struct journal_record, outcome.result)},
    {JOURNAL_OUTCOME, offsetof(struct journal_record, outcome.log)},
    {JOURNAL_JOB, offsetof(struct journal_record, submitted.key)},
    {JOURNAL_JOB, offsetof(struct journal_record, submitted.content)},
    {JOURNAL_CHECKPOINT, offsetof(struct journal_record, checkpoint.object)},
};
enum { SLICES = sizeof slices / sizeof *slices };

static struct wire_slice *slice_of(struct journal_record *r, int i)
{
    return r->type == slices[i].type ? (struct wire_slice *)((char *)r + slices[i].offset) : NULL;
}

static struct kept *keep(const struct journal_record *from)
{
    struct journal_record r = *from;
    size_t bytes = 0;
    for (int i = 0; i < SLICES; i++) {
        const struct wire_slice *s = slice_of(&r, i);
        bytes += s ? s->bytes : 0;
    }
    struct kept *k = claim(NULL, sizeof *k + bytes);
    *k = (struct kept){.r = r};
    uint8_t *at = k->bytes;
    for (int i = 0; i < SLICES; i++) {
        struct wire_slice *s = slice_of(&k->r, i);
        if (!s)
            continue;
        if (s->bytes)
            memcpy(at, s->data, s->bytes);
        s->data = at;
        at += s->bytes;
    }
    return k;
}

/* ---- a committed record goes to its place ---- */

static struct disk_job *find(struct disk *d, uint64_t job)
{
    size_t low = 0, high = d->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (d->jobs[middle].id < job)
            low = middle + 1;
        else
            high = middle;
    }
    return low < d->count && d->jobs[low].id == job ? &d->jobs[low] : NULL;
}

static void free_job(struct disk_job *j)
{
    for (uint32_t i = 0; i < j->item_count; i++) {
        free(j->items[i].spec);
        free(j->items[i].lease);
        free(j->items[i].checkpoint);
    }
    for (uint32_t i = 0; i < j->outcome_count; i++)
        free(j->outcomes[i]);
    free(j->items);
    free(j->outcomes);
    free(j->job);
    free(j->sealed);
    free(j->cancelled);
    free(j->finished);
    free(j->control);
}

static void broken(const struct kept *k, const char *what)
{
    printf("BROKEN: a record of type %d, job %d, item %u: %s\n", (int)k->r.type, (int)k->r.job, k->r.index, what);
    exit(1);
}

static void settle_job(struct disk *d, struct kept *k)
{
    if (d->count && d->jobs[d->count - 1].id >= k->r.job)
        broken(k, "jobs come in the order of their numbers");
    d->jobs = claim(d->jobs, (d->count + 1) * sizeof *d->jobs);
    d->jobs[d->count++] = (struct disk_job){.id = k->r.job, .job = k};
    d->last_job = k->r.job;
}

static void replace(struct kept **place, struct kept *k)
{
    free(*place);
    *place = k;
}

static void settle_lease(struct disk_item *item, struct kept *k)
{
    const bool granted = k->r.type == JOURNAL_GRANTED;
    if (granted ? item->state != ITEM_QUEUED : item->state != ITEM_LEASED && item->state != ITEM_DEAD)
        broken(k, "only what is queued is granted, and only what is leased or dead is queued again");
    item->state = granted ? ITEM_LEASED : ITEM_QUEUED;
    replace(&item->lease, k);
}

static void settle_outcome(struct disk_job *j, struct disk_item *item, struct kept *k)
{
    if (k->r.number != j->outcome_count || item->state > ITEM_LEASED)
        broken(k, "outcomes are numbered from 0, and an item has one until it is queued again");
    j->outcomes = claim(j->outcomes, (j->outcome_count + 1) * sizeof(struct kept *));
    j->outcomes[j->outcome_count++] = k;
    item->state = (int)k->r.outcome.state;
    replace(&item->lease, NULL);
    replace(&item->checkpoint, NULL);
}

static void settle_checkpoint(struct disk_item *item, struct kept *k)
{
    if (item->state != ITEM_LEASED)
        broken(k, "a checkpoint of what nobody computes");
    replace(&item->checkpoint, k);
}

static void settle_of_item(struct disk_job *j, struct kept *k)
{
    if (k->r.type == JOURNAL_ITEM) {
        if (k->r.index != j->item_count)
            broken(k, "indexes come in order");
        j->items = claim(j->items, (j->item_count + 1) * sizeof *j->items);
        j->items[j->item_count++] = (struct disk_item){.spec = k};
        return;
    }
    if (k->r.index >= j->item_count)
        broken(k, "there is no such item");
    if (k->r.type == JOURNAL_OUTCOME)
        settle_outcome(j, &j->items[k->r.index], k);
    else if (k->r.type == JOURNAL_CHECKPOINT)
        settle_checkpoint(&j->items[k->r.index], k);
    else
        settle_lease(&j->items[k->r.index], k);
}

static void settle_end(struct kept **place, struct kept *k)
{
    if (*place)
        broken(k, "it comes a second time");
    *place = k;
}

static void settle(struct disk *d, struct kept *k)
{
    if (k->r.type == JOURNAL_JOB) {
        settle_job(d, k);
        return;
    }
    struct disk_job *j = find(d, k->r.job);
    if (!j)
        broken(k, "there is no such job");
    switch (k->r.type) {
    case JOURNAL_SEALED:
        settle_end(&j->sealed, k);
        break;
    case JOURNAL_CANCELLED:
        settle_end(&j->cancelled, k);
        break;
    case JOURNAL_FINISHED:
        settle_end(&j->finished, k);
        break;
    case JOURNAL_REOPENED:
        if (!j->finished || j->cancelled)
            broken(k, "only a job that is done can be taken up again");
        replace(&j->finished, NULL);
        free(k);
        break;
    case JOURNAL_CONTROL:
        replace(&j->control, k);
        break;
    case JOURNAL_REMOVED:
        free(k);
        free_job(j);
        memmove(j, j + 1, (size_t)(d->jobs + --d->count - j) * sizeof *j);
        break;
    default:
        settle_of_item(j, k);
    }
}

/* ---- struct journal ---- */

static void disk_put(struct journal *journal, const struct journal_record *r)
{
    struct disk *d = (struct disk *)journal;
    if (d->waiting_count == d->waiting_capacity) {
        d->waiting_capacity = d->waiting_capacity ? 2 * d->waiting_capacity : 64;
        d->waiting = claim(d->waiting, d->waiting_capacity * sizeof(struct kept *));
    }
    d->waiting[d->waiting_count++] = keep(r);
}

static int disk_commit(struct journal *journal)
{
    struct disk *d = (struct disk *)journal;
    for (size_t i = 0; i < d->waiting_count; i++)
        settle(d, d->waiting[i]);
    d->waiting_count = 0;
    return STATUS_OK;
}

static bool disk_can_wait(const struct journal *journal)
{
    const struct disk *d = (const struct disk *)journal;
    bool can = true;
    for (size_t i = 0; i < d->waiting_count; i++)
        can &= d->waiting[i]->r.type == JOURNAL_GRANTED;
    return can;
}

/* Cut to the journal's promise: the last GRANTED or QUEUED that came after an item's outcomes, the last checkpoint of
 * what has none, of jobs what ends them and what was changed last. */
static int tell_job(const struct disk_job *j, int (*each)(void *context, const struct journal_record *r), void *context)
{
    const struct kept *ends[] = {j->sealed, j->cancelled, j->finished};
    int code = each(context, &j->job->r);
    for (uint32_t i = 0; i < j->item_count && !code; i++)
        code = each(context, &j->items[i].spec->r);
    for (uint32_t i = 0; i < j->item_count && !code; i++)
        if (j->items[i].lease)
            code = each(context, &j->items[i].lease->r);
    for (uint32_t i = 0; i < j->outcome_count && !code; i++)
        code = each(context, &j->outcomes[i]->r);
    for (int i = 0; i < 3 && !code; i++)
        if (ends[i])
            code = each(context, &ends[i]->r);
    for (uint32_t i = 0; i < j->item_count && !code; i++)
        if (j->items[i].checkpoint)
            code = each(context, &j->items[i].checkpoint->r);
    if (j->control && !code)
        code = each(context, &j->control->r);
    return code;
}

static int disk_load(struct journal *journal, int (*each)(void *context, const struct journal_record *r), void *context,
                     struct journal_loaded *out)
{
    struct disk *d = (struct disk *)journal;
    int code = STATUS_OK;
    *out = (struct journal_loaded){.last_job = d->last_job};
    for (size_t i = 0; i < d->count && !code; i++, out->jobs++)
        code = tell_job(&d->jobs[i], each, context);
    return code;
}

/* ---- life ---- */

void disk_init(struct disk *d)
{
    *d = (struct disk){
        .journal = {.put = disk_put, .commit = disk_commit, .can_wait = disk_can_wait, .load = disk_load}};
}

void disk_drop_group(struct disk *d)
{
    while (d->waiting_count)
        free(d->waiting[--d->waiting_count]);
}

void disk_free(struct disk *d)
{
    disk_drop_group(d);
    for (size_t i = 0; i < d->count; i++)
        free_job(&d->jobs[i]);
    free(d->jobs);
    free(d->waiting);
    *d = (struct disk){0};
}

/* ---- pictures ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static int add_to_picture(void *context, const struct journal_record *from)
{
    struct journal_record r = *from;
    uint64_t hash = *(uint64_t *)context;
    const bool of_item = r.type >= JOURNAL_GRANTED && r.type <= JOURNAL_OUTCOME;
    hash = mix(mix(hash, r.type), r.job);
    if (of_item || r.type == JOURNAL_ITEM)
        hash = mix(hash, r.index);
    if (of_item)
        hash = mix(mix(hash, r.attempts), r.token);
    if (r.type == JOURNAL_OUTCOME)
        hash = mix(mix(mix(hash, r.number), r.outcome.state), r.outcome.failure);
    if (r.type == JOURNAL_FINISHED)
        hash = mix(hash, r.unix_ms);
    if (r.type == JOURNAL_JOB)
        hash = mix(mix(mix(mix(hash, (uint64_t)r.submitted.priority), r.submitted.max_attempts),
                       r.submitted.submitted_unix_ms),
                   r.submitted.cancel_on_disconnect);
    if (r.type == JOURNAL_JOB)
        hash = mix(mix(mix(mix(mix(mix(mix(mix(hash, r.submitted.session), r.submitted.start_unix_ms),
                                       r.submitted.deadline_unix_ms),
                                   r.submitted.backoff_ms),
                               r.submitted.attempt_ms),
                           r.submitted.stall_ms),
                       r.submitted.device_bytes),
                   r.submitted.wave);
    if (r.type == JOURNAL_CONTROL)
        hash = mix(mix(mix(mix(hash, (uint64_t)r.control.priority), r.control.paused), r.control.session),
                   r.control.deadline_unix_ms);
    if (r.type == JOURNAL_CHECKPOINT)
        hash = mix(mix(hash, r.index), (uint64_t)(r.checkpoint.progress * 10000));
    for (int i = 0; i < SLICES; i++) {
        const struct wire_slice *s = slice_of(&r, i);
        hash = mix(hash, s ? s->bytes : 0);
        for (uint32_t k = 0; s && k < s->bytes; k++)
            hash = mix(hash, s->data[k]);
    }
    *(uint64_t *)context = hash;
    return STATUS_OK;
}

uint64_t journal_picture(struct journal *j, struct journal_loaded *out)
{
    uint64_t hash = 1;
    const int code = j->load(j, add_to_picture, &hash, out);
    return mix(mix(mix(hash, out->jobs), out->last_job), (uint64_t)-code);
}
