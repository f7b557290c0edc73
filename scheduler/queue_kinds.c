#include "queue_state.h"

#include <string.h>

static bool is_named(const struct kind *k, struct wire_slice name)
{
    return k->bytes == name.bytes && (name.bytes == 0 || memcmp(k->name, name.data, name.bytes) == 0);
}

struct kind *kind_use(struct queue *q, struct wire_slice name)
{
    for (uint32_t i = 0; i < q->kind_count; i++)
        if (is_named(q->kinds[i], name)) {
            q->kinds[i]->users++;
            return q->kinds[i];
        }
    struct kind *k = q->kind_count < QUEUE_KINDS_MAX ? memory_resize(&q->memory, NULL, sizeof *k) : NULL;
    if (!k)
        return NULL;
    *k = (struct kind){.users = 1, .bytes = name.bytes};
    if (name.bytes)
        memcpy(k->name, name.data, name.bytes);
    q->kinds[q->kind_count++] = k;
    return k;
}

void kind_release(struct queue *q, struct kind *k)
{
    if (--k->users)
        return;
    uint32_t i = 0;
    while (q->kinds[i] != k)
        i++;
    q->kinds[i] = q->kinds[--q->kind_count];
    memory_free(&q->memory, k->ready);
    memory_free(&q->memory, k);
}

int kind_reserve_job(struct queue *q, struct kind *k)
{
    if (k->jobs == k->ready_capacity) {
        const uint32_t capacity = k->jobs ? 2 * k->jobs : 4;
        struct job **grown = memory_resize(&q->memory, k->ready, capacity * sizeof(struct job *));
        if (!grown)
            return fail(STATUS_NOMEM, "%u jobs of a kind", capacity);
        k->ready = grown;
        k->ready_capacity = capacity;
    }
    k->jobs++;
    return STATUS_OK;
}

static bool is_ahead(const struct job *a, const struct job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->id < b->id;
}

/* First place in kind->ready that is not ahead of the job. */
static uint32_t place_of(const struct kind *k, const struct job *j)
{
    uint32_t low = 0, high = k->ready_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (is_ahead(k->ready[middle], j))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool kind_can_grant(const struct job *j)
{
    const bool any = wave_has_fresh(j) || j->again.first || j->retry.first || j->crashed.first;
    return any && !job_is_over(j) && !j->paused && !j->early && !j->expired;
}

void kind_update(struct job *j)
{
    struct kind *k = j->kind;
    const uint32_t at = place_of(k, j);
    const bool stands = at < k->ready_count && k->ready[at] == j;
    const bool wanted = kind_can_grant(j);
    if (stands == wanted)
        return;
    struct job **place = k->ready + at;
    if (wanted) {
        memmove(place + 1, place, (k->ready_count++ - at) * sizeof(struct job *));
        *place = j;
    } else {
        memmove(place, place + 1, (--k->ready_count - at) * sizeof(struct job *));
    }
}

bool kind_is_of(const struct kind *k, const struct worker *w)
{
    for (uint32_t i = 0; i < w->kind_count; i++)
        if (w->kinds[i] == k)
            return true;
    return false;
}
