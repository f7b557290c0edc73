/* Stems, and the files of a model that was trained, go to the scheduler as objects: of each item one after the other,
 * and the item is over with its last. */
#include "supervisor_objects.h"

#include <stdio.h>

/* For so long the scheduler may be too full to take a stem: what was computed took longer, perhaps. */
enum { PATIENCE_MS = 300000 };

enum { UPLOADS_MOST = 4 }; /* at once: a scheduler takes 8 of a worker, checkpoints among them */

static void end(struct supervisor *s, struct item *it)
{
    it->stage = STAGE_OVER;
    item_release(it);
    supervisor_item_over(s, it);
}

static struct transfer *transfer_of(const struct supervisor *s, const struct item *it)
{
    struct transfer *t = s->transfers;
    while (t && t->stems != it)
        t = t->next;
    return t;
}

static void begin_next(struct supervisor *s, struct item *it)
{
    const struct item_put *const p = &it->puts.list[it->puts.done];
    struct transfer *const t = transfer_begin(s, &p->name);
    if (!t)
        return;
    t->stems = it;
    t->fd = p->fd;
    t->size = p->bytes;
    t->moved_ms = supervisor_now_ms();
}

void stems_work(struct supervisor *s)
{
    int running = 0;
    for (const struct transfer *t = s->transfers; t; t = t->next)
        running += t->stems != NULL;
    EACH_ITEM (s, l, it) {
        if (it->with_pool || it->stage != STAGE_PUTTING)
            continue;
        struct transfer *const t = transfer_of(s, it);
        if (it->aborted && t)
            transfer_end(s, t);
        const bool whole = it->puts.done == it->puts.count;
        if (it->separation)
            it->separation->folder.whole = whole;
        if (it->aborted || whole)
            end(s, it);
        else if (!t && running < UPLOADS_MOST) {
            begin_next(s, it);
            running++;
        }
    }
}

void stems_stored(struct supervisor *s, struct transfer *t, bool whole)
{
    struct item *const it = t->stems;
    struct item_puts *const p = &it->puts;
    const double part = whole || t->size == 0 ? 1 : (double)t->offset / (double)t->size;
    it->progress = STEMS_MADE + (1 - STEMS_MADE) * (p->done + part) / p->count;
    t->moved_ms = supervisor_now_ms();
    if (!whole)
        return;
    p->done++;
    transfer_end(s, t);
}

bool stems_refused(struct supervisor *s, struct transfer *t, enum wire_error error, const char *text)
{
    struct item *const it = t->stems;
    if ((error == ERROR_BUSY || error == ERROR_STATE) && supervisor_now_ms() - t->moved_ms < PATIENCE_MS)
        return false;
    transfer_end(s, t);
    item_fail(it, fail(STATUS_IO, "the scheduler does not take %s: %s", it->training ? "a file of the model" : "a stem",
                       text));
    end(s, it);
    return true;
}
