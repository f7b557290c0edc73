/* Waves: only items of a job's open wave can be granted, and the next opens when all of them are over.
 *
 * The open wave is the lowest with an item that is neither done nor dead. RETRY can make an earlier one the open one
 * again; then queued items of later waves are in no chain until theirs opens. A grant looks at two numbers; opening a
 * wave looks at its items, once for each time that it opens. */
#include "queue_state.h"

uint64_t wave_end(const struct job *j)
{
    return j->wave ? (uint64_t)j->wave_first + j->wave : UINT64_MAX;
}

bool wave_has_fresh(const struct job *j)
{
    return j->fresh < j->item_count && j->fresh < wave_end(j);
}

static uint32_t stop_at(const struct job *j, uint32_t most)
{
    const uint64_t end = wave_end(j);
    return end < most ? (uint32_t)end : most;
}

/* From wave_first on, the first wave that is not over. What is not there yet is not over: the last one stays open. */
static void find_open(struct job *j)
{
    for (;; j->wave_first += j->wave) {
        j->wave_over = 0;
        for (uint32_t i = j->wave_first; i < stop_at(j, j->item_count); i++)
            j->wave_over += j->items[i].state == ITEM_DONE || j->items[i].state == ITEM_DEAD;
        if (j->wave_over < j->wave)
            return;
    }
}

/* The chains are empty. When the deadline is over nothing is granted, and they stay so. */
static void fill_chains(struct job *j)
{
    for (uint32_t i = j->wave_first; i < stop_at(j, j->fresh) && !j->expired; i++)
        if (j->items[i].state == ITEM_QUEUED && !j->items[i].waits)
            item_chain(j, i);
}

void wave_begin(struct job *j)
{
    j->again = j->retry = j->crashed = (struct chain){0};
    j->wave_first = 0;
    if (j->wave)
        find_open(j);
    fill_chains(j);
}

/* Items of later waves are counted when theirs opens. */
void wave_item_over(struct job *j, uint32_t index)
{
    if (!j->wave || index >= wave_end(j) || ++j->wave_over < j->wave)
        return;
    j->wave_first += j->wave;
    find_open(j);
    fill_chains(j);
    kind_update(j);
}
