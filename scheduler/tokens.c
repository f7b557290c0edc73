#include "tokens.h"

#include <string.h>

static size_t home(const struct tokens *t, uint64_t token)
{
    return (size_t)((token * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->capacity - 1);
}

static size_t place_of(const struct tokens *t, uint64_t token)
{
    size_t at = home(t, token);
    while (t->places[at].token && t->places[at].token != token)
        at = (at + 1) & (t->capacity - 1);
    return at;
}

int tokens_reserve(struct tokens *t, size_t more)
{
    size_t capacity = t->capacity ? t->capacity : 64;
    while (capacity / 5 * 4 < t->count + more)
        capacity *= 2;
    if (capacity == t->capacity)
        return STATUS_OK;
    struct tokens grown = {.memory = t->memory, .capacity = capacity, .count = t->count};
    grown.places = memory_resize(t->memory, NULL, capacity * sizeof *grown.places);
    if (!grown.places)
        return fail(STATUS_NOMEM, "%zu tokens", capacity);
    memset(grown.places, 0, capacity * sizeof *grown.places);
    for (size_t i = 0; i < t->capacity; i++)
        if (t->places[i].token)
            grown.places[place_of(&grown, t->places[i].token)] = t->places[i];
    memory_free(t->memory, t->places);
    *t = grown;
    return STATUS_OK;
}

void tokens_put(struct tokens *t, uint64_t token, void *job, uint32_t index)
{
    const size_t at = place_of(t, token);
    t->count += t->places[at].token == 0;
    t->places[at] = (struct token_place){token, job, index};
}

const struct token_place *tokens_find(const struct tokens *t, uint64_t token)
{
    if (!t->count || !token)
        return NULL;
    const struct token_place *p = &t->places[place_of(t, token)];
    return p->token ? p : NULL;
}

void tokens_remove(struct tokens *t, uint64_t token)
{
    if (!tokens_find(t, token))
        return;
    const size_t mask = t->capacity - 1;
    size_t hole = place_of(t, token);
    t->places[hole].token = 0;
    t->count--;
    /* What was pushed past the hole comes back, so that every probe still ends at the first empty place. */
    for (size_t at = (hole + 1) & mask; t->places[at].token; at = (at + 1) & mask) {
        const size_t from = home(t, t->places[at].token);
        if (((at - from) & mask) >= ((at - hole) & mask)) {
            t->places[hole] = t->places[at];
            t->places[at].token = 0;
            hole = at;
        }
    }
}

void tokens_free(struct tokens *t)
{
    memory_free(t->memory, t->places);
    t->places = NULL;
    t->count = t->capacity = 0;
}
