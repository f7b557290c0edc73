#include "load.h"

#include "test.h"

#include <stdio.h>

static void both_put(struct journal *j, const struct journal_record *r)
{
    struct both *b = (struct both *)j;
    b->real->put(b->real, r);
    b->disk.journal.put(&b->disk.journal, r);
}

static int both_commit(struct journal *j)
{
    struct both *b = (struct both *)j;
    const int code = b->real->commit(b->real);
    return code ? code : b->disk.journal.commit(&b->disk.journal);
}

static int both_load(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                     struct journal_loaded *out)
{
    struct both *b = (struct both *)j;
    return b->real->load(b->real, each, context, out);
}

static uint64_t draw(struct load *l, uint64_t below)
{
    return test_random(&l->random) % below;
}

void load_take(struct load *l)
{
    if (l->held_count == LOAD_HELD)
        return;
    const uint64_t token = rig_take_one(&l->rig, l->worker);
    if (!token)
        return;
    CHECK(token > l->newest);
    l->newest = token;
    l->held[l->held_count++] = token;
}

static void report(struct load *l)
{
    static const enum failure_class failures[] = {FAILURE_NONE, FAILURE_NONE, FAILURE_TRANSIENT, FAILURE_INPUT};
    static const uint32_t sizes[] = {0, 40, 700, 5000}; /* the largest has pages of its own */
    if (!l->held_count)
        return;
    const uint64_t i = draw(l, l->held_count);
    rig_report(&l->rig, l->worker, l->held[i], failures[draw(l, 4)], sizes[draw(l, 4)]);
    l->held[i] = l->held[--l->held_count];
}

void load_submit(struct load *l)
{
    if (l->open)
        rig_cancel(&l->rig, l->job);
    const uint64_t wall = (uint64_t)l->rig.now_ms + RIG_WALL_MS;
    char key[17];
    snprintf(key, sizeof key, "%016llx", (unsigned long long)test_random(&l->random));
    l->items = draw(l, 7);
    l->open = draw(l, 3) == 0;
    l->job = rig_submit(&l->rig, (struct rig_job){.items = (uint32_t)l->items,
                                                  .open = l->open,
                                                  .priority = (int)draw(l, 5) - 2,
                                                  .key = draw(l, 3) ? NULL : key,
                                                  .deadline_unix_ms = draw(l, 6) ? 0 : wall + 1000,
                                                  .path_bytes = draw(l, 4) ? 0 : 300});
}

static void add(struct load *l)
{
    const uint32_t more = (uint32_t)draw(l, 5);
    if (!l->open)
        return;
    l->open = draw(l, 2);
    CHECK(rig_add(&l->rig, l->job, l->items, more, !l->open) == 0);
    l->items += more;
}

static void end(struct load *l)
{
    if (draw(l, 2)) {
        rig_cancel(&l->rig, l->job);
        l->open = false;
    } else if (l->held_count) {
        rig_return(&l->rig, l->worker, &l->held[--l->held_count], 1);
    }
}

/* What people change of the last job, and a checkpoint of what is held. */
static void change(struct load *l)
{
    const uint64_t what = draw(l, 5);
    if (what == 0)
        rig_retry(&l->rig, l->job, NULL, 0);
    else if (what == 1)
        rig_priority(&l->rig, l->job, (int)draw(l, 5) - 2);
    else if (what < 4)
        rig_control(&l->rig, what == 2 ? QUEUE_PAUSE : QUEUE_RESUME, l->job);
    else if (l->held_count)
        rig_checkpoint(&l->rig, l->worker, l->held[draw(l, l->held_count)], (uint8_t)draw(l, 256), draw(l, 10) / 10.0);
}

void load_hour(struct load *l)
{
    rig_tick(&l->rig, QUEUE_KEEP_MS);
    l->worker = rig_ready(&l->rig, 0, "w", 7, "noop", NULL, 0);
    l->held_count = 0;
}

void load_events(struct load *l)
{
    static void (*const acts[])(struct load *) = {load_submit, load_submit, add,    load_take, load_take,
                                                  load_take,   report,      report, report,    end,
                                                  load_hour,   change,      change};
    for (uint64_t n = 1 + draw(l, 5); n; n--)
        acts[draw(l, sizeof acts / sizeof *acts)](l);
}

int load_commit(struct load *l)
{
    return l->rig.options.journal->commit(l->rig.options.journal);
}

bool load_open(struct load *l, const char *folder, uint64_t seed, bool followed)
{
    struct journal_loaded loaded;
    *l =
        (struct load){.random = seed, .both = {.journal = {.put = both_put, .commit = both_commit, .load = both_load}}};
    disk_init(&l->both.disk);
    if (journal_lmdb_open(folder, &l->lmdb))
        return false;
    l->both.real = journal_lmdb_base(l->lmdb);
    rig_open(&l->rig,
             &(struct queue_options){.epoch = LOAD_EPOCH, .journal = followed ? &l->both.journal : l->both.real});
    l->rig.unchecked = true; /* what is tested here is the journal */
    if (queue_restore(l->rig.queue, l->rig.now_ms, 5000000, &loaded) || load_commit(l))
        return false;
    l->worker = rig_ready(&l->rig, 0, "w", 7, "noop", NULL, 0);
    return true;
}

void load_close(struct load *l)
{
    if (l->rig.queue)
        rig_close(&l->rig);
    journal_lmdb_close(&l->lmdb);
    disk_free(&l->both.disk);
}
