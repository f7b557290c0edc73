#include "peers.h"

#include <stdlib.h>
#include <string.h>

static uint32_t bucket_of_id(const struct channel_peer *id)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < id->bytes; i++)
        h = (h ^ id->id[i]) * 16777619u;
    return h % PEERS_BUCKETS;
}

static bool is_same(const struct channel_peer *a, const struct channel_peer *b)
{
    return a->bytes == b->bytes && memcmp(a->id, b->id, a->bytes) == 0;
}

struct peer *peers_find(const struct peers *t, const struct channel_peer *id)
{
    struct peer *p = t->by_id[bucket_of_id(id)];
    while (p && !is_same(&p->id, id))
        p = p->next_id;
    return p;
}

struct peer *peers_numbered(const struct peers *t, uint64_t number)
{
    struct peer *p = t->by_number[number % PEERS_BUCKETS];
    while (p && p->number != number)
        p = p->next_number;
    return p;
}

static void append(struct peers *t, struct peer *p)
{
    p->older = t->newest;
    p->newer = NULL;
    if (t->newest)
        t->newest->newer = p;
    else
        t->oldest = p;
    t->newest = p;
}

static void unlink_age(struct peers *t, struct peer *p)
{
    if (p->older)
        p->older->newer = p->newer;
    else
        t->oldest = p->newer;
    if (p->newer)
        p->newer->older = p->older;
    else
        t->newest = p->older;
}

int peers_add(struct peers *t, const struct channel_peer *id, uint64_t number, int64_t now_ms, struct peer **out)
{
    if (t->count >= PEERS_MAX)
        return fail(STATUS_BUSY, "%u peers", t->count);
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return fail(STATUS_NOMEM, "peer");
    *p = (struct peer){.id = *id, .number = number, .heard_ms = now_ms};
    struct peer **head = &t->by_id[bucket_of_id(id)];
    p->next_id = *head;
    *head = p;
    head = &t->by_number[number % PEERS_BUCKETS];
    p->next_number = *head;
    *head = p;
    append(t, p);
    t->count++;
    *out = p;
    return STATUS_OK;
}

void peers_touch(struct peers *t, struct peer *p, int64_t now_ms)
{
    p->heard_ms = now_ms;
    unlink_age(t, p);
    append(t, p);
}

void peers_remove(struct peers *t, struct peer *p)
{
    struct peer **link = &t->by_id[bucket_of_id(&p->id)];
    while (*link != p)
        link = &(*link)->next_id;
    *link = p->next_id;
    link = &t->by_number[p->number % PEERS_BUCKETS];
    while (*link != p)
        link = &(*link)->next_number;
    *link = p->next_number;
    unlink_age(t, p);
    t->count--;
    free(p);
}

void peers_free(struct peers *t)
{
    struct peer *newer;
    for (struct peer *p = t->oldest; p; p = newer) {
        newer = p->newer;
        free(p);
    }
    *t = (struct peers){0};
}
