/* Device memory, booked before an item is leased, so that two workers on one device never promise the same bytes. */
#include "queue_state.h"

#include <string.h>

static struct device *device_find(const struct queue *q, const char *id)
{
    struct device *d = q->devices;
    while (d && strcmp(d->id, id) != 0)
        d = d->next;
    return d;
}

static void device_drop(struct queue *q, struct device *d)
{
    struct device **link = &q->devices;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    memory_free(&q->memory, d);
}

int device_use(struct queue *q, const struct message_ready *m, struct device **out)
{
    char id[LIMIT_NAME + 1];
    wire_copy(m->device_id.bytes ? m->device_id : m->name, id, sizeof id);
    struct device *d = m->device_bytes ? device_find(q, id) : NULL;
    if (m->device_bytes && !d) {
        d = memory_resize(&q->memory, NULL, sizeof *d);
        if (!d)
            return fail(STATUS_NOMEM, "device");
        *d = (struct device){.next = q->devices};
        memcpy(d->id, id, sizeof id);
        q->devices = d;
    }
    if (d)
        d->users++;
    *out = d;
    return STATUS_OK;
}

void device_release(struct queue *q, struct device *d)
{
    if (d && --d->users == 0)
        device_drop(q, d);
}

/* What the worker books already moves along. */
void device_join(struct queue *q, struct worker *w, struct device *d, uint64_t bytes)
{
    if (d)
        d->bytes = bytes; /* the latest word counts for all workers on it */
    for (struct lease *l = w->leases; l; l = l->next)
        device_free(l);
    device_leave(q, w);
    w->room = d;
    for (struct lease *l = w->leases; l; l = l->next)
        device_book(l);
}

void device_leave(struct queue *q, struct worker *w)
{
    device_release(q, w->room);
    w->room = NULL;
}

uint32_t device_fits(const struct worker *w, const struct job *j, uint32_t most)
{
    if (!j->device_bytes)
        return most;
    if (!w->room || w->room->booked >= w->room->bytes)
        return 0;
    const uint64_t fit = (w->room->bytes - w->room->booked) / j->device_bytes;
    return fit < most ? (uint32_t)fit : most;
}

void device_book(struct lease *l)
{
    l->booked = l->worker->room ? l->job->device_bytes : 0;
    if (l->booked)
        l->worker->room->booked += l->booked;
}

void device_free(struct lease *l)
{
    if (l->booked)
        l->worker->room->booked -= l->booked;
    l->booked = 0;
}
