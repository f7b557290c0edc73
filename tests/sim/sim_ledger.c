/* What is owed to clients and workers, written from the messages alone: from the moment that a group is on the disk.
 * The journal's records play no part here, and no restart takes anything back. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct owed_item {
    uint64_t content;   /* what the client sent, as one number */
    uint64_t newest;    /* token that it was granted under */
    uint64_t committed; /* token whose report was committed; 0: none */
    int failure;        /* of that report */
    uint32_t attempt;   /* of the newest token */
    uint64_t outcome;   /* all that a page said of it, as one number; 0: not seen yet */
    uint64_t number;    /* of that outcome */
    uint32_t retries;   /* outcomes before it, which count no more */
    uint32_t seen;      /* of those, in the audit that goes on */
    uint64_t saved;     /* nonce of the last checkpoint that was answered as committed; 0: none */
    int progress;       /* of it, in percent */
};

struct owed_job {
    uint64_t id, nonce;
    int kind;
    uint32_t max_attempts;
    bool removed;
    uint64_t key, content; /* of its SUBMIT */
    bool paused;
    int priority;
    uint64_t deadline_unix_ms;
    uint32_t count;
    struct owed_item *items;
};

struct sim_ledger {
    struct owed_job *jobs;
    size_t count;
    uint64_t last_token;
    uint64_t *committed; /* every token whose report was committed */
    size_t committed_count, committed_capacity;
};

void ledger_create(struct sim *s)
{
    s->ledger = calloc(1, sizeof *s->ledger);
    EXPECT(s->ledger, "no memory");
}

void ledger_destroy(struct sim *s)
{
    for (size_t i = 0; i < s->ledger->count; i++)
        free(s->ledger->jobs[i].items);
    free(s->ledger->jobs);
    free(s->ledger->committed);
    free(s->ledger);
    s->ledger = NULL;
}

static struct owed_job *find(struct sim_ledger *l, uint64_t job)
{
    for (size_t i = l->count; i-- > 0;)
        if (l->jobs[i].id == job)
            return &l->jobs[i];
    return NULL;
}

/* ---- writing down ---- */

static void owe_items(struct owed_job *j, uint64_t nonce, uint32_t count)
{
    j->items = realloc(j->items, (j->count + count + 1) * sizeof *j->items);
    EXPECT(j->items, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        struct sim_item item;
        sim_item(nonce, i, &item);
        j->items[j->count++] = (struct owed_item){.content = sim_content(&item.m)};
    }
}

/* The job that is kept under that key. */
static const struct owed_job *of_key(const struct sim *s, uint64_t key)
{
    for (size_t i = s->ledger->count; i-- > 0;) {
        const struct owed_job *j = &s->ledger->jobs[i];
        if (j->key == key && shadow_find(&s->shadow, j->id))
            return j;
    }
    return NULL;
}

static void owe_job(struct sim *s, const struct sim_message *m, const struct queue_action *a)
{
    struct sim_ledger *l = s->ledger;
    const struct owed_job *other = m->key ? of_key(s, m->key) : NULL;
    EXPECT(!other || other->id == a->job, "job %d was accepted under the key of job %d", (int)a->job, (int)other->id);
    EXPECT(l->count == 0 || l->jobs[l->count - 1].id < a->job, "job %d: its number was given before", (int)a->job);
    EXPECT(a->count == m->count, "job %d was accepted with %d of %u items", (int)a->job, (int)a->count, m->count);
    l->jobs = realloc(l->jobs, (l->count + 1) * sizeof *l->jobs);
    EXPECT(l->jobs, "no memory");
    l->jobs[l->count] = (struct owed_job){.id = a->job,
                                          .nonce = m->nonce,
                                          .kind = m->kind,
                                          .key = m->key,
                                          .content = sim_job_content(m),
                                          .priority = m->priority,
                                          .deadline_unix_ms = m->deadline_unix_ms,
                                          .max_attempts = m->max_attempts ? (uint32_t)m->max_attempts : QUEUE_ATTEMPTS};
    owe_items(&l->jobs[l->count++], m->nonce, m->count);
}

static void accepted(struct sim *s, const struct sim_message *m, const struct queue_action *a)
{
    struct owed_job *j = find(s->ledger, a->job);
    if (m->type == SIM_SUBMIT && a->known) {
        EXPECT(m->key && j && !j->removed && j->key == m->key && j->content == sim_job_content(m),
               "job %d is said to be what was submitted again", (int)a->job);
        s->done.known++;
        return;
    }
    if (m->type == SIM_SUBMIT) {
        owe_job(s, m, a);
        return;
    }
    EXPECT(j && !j->removed, "ADD to job %d, which is not there", (int)a->job);
    if (m->first == j->count)
        owe_items(j, m->nonce, m->count);
    EXPECT(a->count == j->count, "job %d has %d items, and %u were sent", (int)j->id, (int)a->count, j->count);
}

/* What a worker is told of an item, or would be, is what was saved last. */
static void check_saved(struct sim *s, const struct owed_job *j, uint32_t index)
{
    const struct shadow_job *shadow = shadow_find(&s->shadow, j->id);
    const struct owed_item *item = &j->items[index];
    struct message_lease l;
    if (!shadow || shadow->items[index].state > ITEM_LEASED)
        return;
    EXPECT(queue_item(s->queue, j->id, index, &l) == STATUS_OK, "item %u of job %d is lost", index, (int)j->id);
    EXPECT(sim_number(l.checkpoint) == item->saved && (!item->saved || (int)(l.progress * 100 + 0.5) == item->progress),
           "item %u of job %d does not go on from its last checkpoint", index, (int)j->id);
}

static void saved(struct sim *s, const struct sim_message *m, const struct queue_entry *e)
{
    if (e->verdict != COMMIT_COMMITTED)
        return;
    for (size_t i = s->ledger->count; i-- > 0;)
        for (uint32_t k = 0; k < s->ledger->jobs[i].count; k++)
            if (s->ledger->jobs[i].items[k].newest == e->token) {
                s->ledger->jobs[i].items[k].saved = m->nonce;
                s->ledger->jobs[i].items[k].progress = m->values[0];
                s->done.checkpoints++;
                return;
            }
    sim_broken("a checkpoint is committed under %llx, which is no item's newest token", (unsigned long long)e->token);
}

/* RETRY, PAUSE, RESUME, PRIORITY, from when their answer may leave. */
static void changed(struct sim *s, const struct sim_message *m)
{
    struct owed_job *j = find(s->ledger, m->job);
    EXPECT(j && !j->removed, "job %d was changed, and never accepted", (int)m->job);
    s->done.controls += m->type != SIM_RETRY;
    if (m->type == SIM_PRIORITY)
        j->priority = m->priority;
    else if (m->type != SIM_RETRY)
        j->paused = m->type == SIM_PAUSE;
    else
        j->deadline_unix_ms = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        struct owed_item *item = &j->items[i];
        if (!(m->chosen >> i & 1))
            continue;
        item->retries++;
        item->outcome = item->committed = item->saved = 0;
        item->failure = 0;
        s->done.retried++;
    }
}

static void granted(struct sim *s, const struct queue_action *a)
{
    struct sim_ledger *l = s->ledger;
    for (size_t i = a->first; i < a->first + a->count; i++) {
        const struct queue_entry *e = &s->actions.entries[i];
        struct owed_job *j = find(l, e->job);
        EXPECT(j, "a grant of job %d, which was never accepted", (int)e->job);
        struct owed_item *item = &j->items[e->index];
        EXPECT(e->token > l->last_token && e->token > item->newest, "token %llx was given before",
               (unsigned long long)e->token);
        EXPECT(!item->outcome, "an item is granted that has an outcome");
        check_saved(s, j, e->index);
        l->last_token = item->newest = e->token;
        item->attempt = e->attempt;
    }
}

static void remember(struct sim_ledger *l, uint64_t token)
{
    if (l->committed_count == l->committed_capacity) {
        l->committed_capacity = l->committed_capacity ? 2 * l->committed_capacity : 64;
        l->committed = realloc(l->committed, l->committed_capacity * sizeof *l->committed);
        EXPECT(l->committed, "no memory");
    }
    l->committed[l->committed_count++] = token;
}

static void reported(struct sim_ledger *l, const struct sim_message *m, const struct queue_entry *e)
{
    if (e->verdict != COMMIT_COMMITTED)
        return;
    for (size_t i = l->count; i-- > 0;)
        for (uint32_t k = 0; k < l->jobs[i].count; k++) {
            struct owed_item *item = &l->jobs[i].items[k];
            if (item->newest != e->token)
                continue;
            EXPECT(item->committed != e->token, "token %llx is committed twice", (unsigned long long)e->token);
            item->committed = e->token;
            remember(l, e->token);
            for (uint32_t n = 0; n < m->count; n++)
                if (m->tokens[n] == e->token)
                    item->failure = m->values[n];
            return;
        }
    sim_broken("a report is committed under %llx, which is no item's newest token", (unsigned long long)e->token);
}

static void in_conflict(struct sim *s, const struct sim_message *m)
{
    bool other = false; /* it may have been removed in the same group */
    for (size_t i = 0; i < s->ledger->count; i++) {
        const struct owed_job *j = &s->ledger->jobs[i];
        other |= !j->removed && j->key == m->key && j->content != sim_job_content(m);
    }
    EXPECT(m->key && other, "a key is refused, and no other content stands under it");
    s->done.conflicts++;
}

void ledger_group(struct sim *s)
{
    for (uint32_t g = 0; g < s->group_count; g++) {
        const struct sim_applied *applied = &s->group[g];
        if (applied->m.counts)
            changed(s, &applied->m);
        for (size_t i = applied->first; i < applied->first + applied->count; i++) {
            const struct queue_action *a = &s->actions.list[i];
            if (a->type == QUEUE_ACCEPTED)
                accepted(s, &applied->m, a);
            else if (a->type == QUEUE_GRANT)
                granted(s, a);
            else if (a->type == QUEUE_SAVED)
                saved(s, &applied->m, &s->actions.entries[a->first]);
            else if (a->type == QUEUE_REFUSED && a->error == ERROR_CONFLICT)
                in_conflict(s, &applied->m);
            for (size_t k = 0; a->type == QUEUE_COMMITS && k < a->count; k++)
                reported(s->ledger, &applied->m, &s->actions.entries[a->first + k]);
        }
    }
    for (size_t i = 0; i < s->ledger->count; i++) /* that it was time, the shadow has seen */
        s->ledger->jobs[i].removed |= shadow_find(&s->shadow, s->ledger->jobs[i].id) == NULL;
}

void ledger_lost(struct sim *s)
{
    s->ledger->last_token = 0;
    for (size_t i = 0; i < s->ledger->count; i++)
        for (uint32_t k = 0; k < s->ledger->jobs[i].count; k++)
            s->ledger->jobs[i].items[k].newest = 0;
}

/* ---- what they hear is nothing that is not owed ---- */

static void heard_commits(const struct sim_ledger *l, const struct sim_message *m)
{
    for (uint32_t k = 0; k < m->count; k++) {
        bool known = m->values[k] != COMMIT_COMMITTED;
        for (size_t i = l->committed_count; i-- > 0 && !known;)
            known = l->committed[i] == m->tokens[k];
        EXPECT(known, "a worker was told that %llx is committed, and the disk does not know it",
               (unsigned long long)m->tokens[k]);
    }
}

void ledger_heard(struct sim *s, const struct sim_message *m)
{
    if (m->type == SIM_COMMITS)
        heard_commits(s->ledger, m);
    if (m->type != SIM_ACCEPTED)
        return;
    const struct owed_job *j = find(s->ledger, m->job);
    EXPECT(j && m->first <= j->count, "a client was told of %d items of job %d, and the disk does not know them",
           (int)m->first, (int)m->job);
}

/* ---- holding the queue to it ---- */

static void check_result(const struct owed_item *item, const struct message_outcome *m)
{
    uint64_t result[2] = {0};
    if (m->failure == FAILURE_STALE || m->failure == FAILURE_TIMEOUT) {
        EXPECT(m->state == ITEM_DEAD && m->result.bytes == 0, "a result of nobody");
        return;
    }
    EXPECT((m->state == ITEM_DONE) == (m->failure == FAILURE_NONE), "done, but failed");
    EXPECT(m->result.bytes >= sizeof result, "a result of %u bytes", m->result.bytes);
    memcpy(result, m->result.data, sizeof result);
    uint8_t computed[SIM_RESULT];
    const struct wire_slice whole = sim_result(result[0], result[1], computed);
    EXPECT(m->result.bytes == whole.bytes && memcmp(m->result.data, whole.data, whole.bytes) == 0,
           "the result is not what was computed");
    EXPECT(result[0] == item->content, "the result was computed of another item");
    EXPECT(!item->newest || result[1] == item->newest, "the result came under a token that was not the newest");
    EXPECT(item->committed == result[1] && item->failure == (int)m->failure,
           "a result that no committed report brought");
    EXPECT((m->message.bytes > 0) == (m->failure != 0), "the message of a failure is lost");
}

void ledger_outcome(struct sim *s, uint64_t job, uint64_t number, const struct message_outcome *m)
{
    struct owed_job *j = find(s->ledger, job);
    EXPECT(j && m->index < j->count, "an outcome of what nobody sent");
    struct owed_item *item = &j->items[m->index];
    if (m->retried) {
        EXPECT(m->result.bytes == 0 && m->message.bytes == 0 && m->state == ITEM_DEAD && item->retries > 0 &&
                   (!item->outcome || item->number != number),
               "outcome %d of job %d counts no more, and was not retried", (int)number, (int)job);
        item->seen++;
        return;
    }
    s->done.timeouts += !item->outcome && m->failure == FAILURE_TIMEOUT;
    uint64_t hash = sim_mix(sim_mix(sim_mix(1, m->state), m->failure), m->attempts);
    for (uint32_t i = 0; i < m->result.bytes; i++)
        hash = sim_mix(hash, m->result.data[i]);
    for (uint32_t i = 0; i < m->message.bytes; i++)
        hash = sim_mix(hash, m->message.data[i]);
    if (!item->outcome)
        check_result(item, m);
    EXPECT(!item->outcome || (item->outcome == hash && item->number == number),
           "outcome %d of job %d was another before", (int)number, (int)job);
    item->outcome = hash;
    item->number = number;
}

static void audit_outcomes(struct sim *s, const struct owed_job *j)
{
    struct message_watch watch = {.job = j->id, .with_path = true};
    uint32_t count = 1;
    for (uint32_t i = 0; i < j->count; i++)
        j->items[i].seen = 0;
    while (count) {
        struct wire_buffer b = {0};
        struct message_outcome m;
        uint64_t next = watch.cursor;
        EXPECT(queue_page(s->queue, &watch, &b, &count, &next) == STATUS_OK, "job %d is lost", (int)j->id);
        struct wire_list list = wire_list_of(&b, count);
        for (uint64_t i = watch.cursor; wire_next(&list, &outcome_schema, &m); i++)
            ledger_outcome(s, j->id, i, &m);
        EXPECT(next == watch.cursor + count, "a page of %u ends at %d", count, (int)next);
        watch.cursor = next;
        wire_free(&b);
    }
    for (uint32_t i = 0; i < j->count; i++) {
        const struct owed_item *item = &j->items[i];
        const bool lasting =
            item->failure == FAILURE_NONE || item->failure == FAILURE_INPUT || item->failure == FAILURE_INTERNAL;
        EXPECT(!item->committed || !lasting || item->outcome, "item %u of job %d was committed, and has no outcome", i,
               (int)j->id);
        EXPECT(item->seen == item->retries, "item %u of job %d was tried again %u times, and %u outcomes say so", i,
               (int)j->id, item->retries, item->seen);
        check_saved(s, j, i);
        EXPECT(!item->outcome || item->number < watch.cursor, "outcome %d of job %d is lost", (int)item->number,
               (int)j->id);
    }
}

static void audit_job(struct sim *s, const struct owed_job *j)
{
    struct message_job m;
    struct message_item spec;
    struct message_grant of = {0};
    uint8_t wanted[8];
    EXPECT(queue_show(s->queue, j->id, &m) == STATUS_OK, "job %d was accepted, and is lost", (int)j->id);
    EXPECT(m.paused == j->paused && m.priority == j->priority && m.deadline_unix_ms == j->deadline_unix_ms,
           "job %d: its priority, its deadline or that it is paused is another", (int)j->id);
    EXPECT(m.items == j->count, "job %d has %d items of %u", (int)j->id, (int)m.items, j->count);
    EXPECT(queue_spec(s->queue, j->id, &of) == STATUS_OK, "job %d is lost", (int)j->id);
    const struct wire_slice mine = sim_params(j->nonce, wanted);
    EXPECT(of.kind.bytes == 1 && of.kind.data[0] == 'a' + j->kind && of.params.bytes == mine.bytes &&
               (!mine.bytes || memcmp(of.params.data, mine.data, mine.bytes) == 0),
           "job %d has another kind or other parameters", (int)j->id);
    for (uint32_t i = 0; i < j->count; i++)
        EXPECT(sim_item_of(s->queue, j->id, i, &spec) == STATUS_OK && sim_content(&spec) == j->items[i].content,
               "item %u of job %d is another", i, (int)j->id);
    audit_outcomes(s, j);
}

static void audit_list(struct sim *s)
{
    struct message_list asked = {.limit = QUEUE_LIST_MAX};
    bool more = true;
    while (more) {
        struct wire_buffer b = {0};
        struct message_job m = {0};
        uint32_t count = 0;
        EXPECT(queue_list(s->queue, &asked, &b, &count, &more) == STATUS_OK, "%s", status_message());
        struct wire_list list = wire_list_of(&b, count);
        while (wire_next(&list, &job_schema, &m)) {
            const struct owed_job *j = find(s->ledger, m.job);
            EXPECT(j && !j->removed, "job %d is there, and should not", (int)m.job);
        }
        asked.after = m.job;
        wire_free(&b);
    }
}

void ledger_audit(struct sim *s)
{
    for (size_t i = 0; i < s->ledger->count; i++)
        if (!s->ledger->jobs[i].removed)
            audit_job(s, &s->ledger->jobs[i]);
    audit_list(s);
}
