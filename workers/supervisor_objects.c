/* The supervisor and the scheduler's objects: fetches what items need, puts what they save. */
#include "supervisor_objects.h"
#include "log.h"
#include "objects.h"
#include "store_care.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TRANSFERS_MOST = 4,
    RESEND_MS = 2000,
    RESEND_MOST_MS = 60000,
    BUSY_AGAIN_MS = 1000,
    UNUSED_S = 24 * 3600,
    SPOOL_OLD_S = 3600
};

/* ---- asking ---- */

static void ask(struct supervisor *s, struct transfer *t)
{
    const struct wire_slice object = {t->name.bytes, HASH_BYTES};
    t->wait_ms = t->wait_ms ? 2 * t->wait_ms : RESEND_MS; /* a slow way needs patience, not more questions */
    t->wait_ms = t->wait_ms < RESEND_MOST_MS ? t->wait_ms : RESEND_MOST_MS;
    t->next_ms = supervisor_now_ms() + t->wait_ms;
    if (t->fd >= 0) /* without data: where is it? */
        t->seq = uplink_send(s, MESSAGE_PUT, &put_schema, &(struct message_put){.object = object, .size = t->size});
    else
        t->seq = uplink_send(s, MESSAGE_GET, &get_schema,
                             &(struct message_get){.object = object, .offset = t->offset, .bytes = LIMIT_CHUNK});
}

struct transfer *transfer_begin(struct supervisor *s, const struct hash *name)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (t) {
        t->name = *name;
        t->fd = -1;
        t->next = s->transfers;
        s->transfers = t;
    }
    return t;
}

void transfer_end(struct supervisor *s, struct transfer *t)
{
    struct transfer **at = &s->transfers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    objects_spool_drop(&t->spool);
    free(t);
}

static struct transfer *asked(struct supervisor *s, uint32_t seq)
{
    struct transfer *t = s->transfers;
    while (t && t->seq != seq)
        t = t->next;
    return t;
}

/* ---- fetching ---- */

static void prepare_again(struct supervisor *s, struct item *it)
{
    it->stage = STAGE_PREPARING;
    it->work.run = item_prepare;
    supervisor_submit(s, it);
}

/* The object is here, or will not come: `code` and the thread's message say why. A checkpoint that is lost costs time
 * only. */
static void fetched(struct supervisor *s, const struct hash *name, int code)
{
    char why[TASK_MESSAGE];
    snprintf(why, sizeof why, "%s", code ? status_message() : "");
    EACH_ITEM (s, l, it) {
        if (it->with_pool || it->stage != STAGE_FETCHING || memcmp(&it->missing, name, sizeof *name) != 0)
            continue;
        const bool is_input = it->has_object && memcmp(&it->object, name, sizeof *name) == 0;
        const bool is_checkpoint = it->has_checkpoint && memcmp(&it->checkpoint, name, sizeof *name) == 0;
        if (!code || (is_checkpoint && !is_input)) {
            if (code)
                item_begins_anew(it);
            prepare_again(s, it);
            continue;
        }
        item_fail(it, fail((enum status)code, "%s", why));
        item_release(it);
        supervisor_item_over(s, it);
    }
}

static int take_chunk(struct supervisor *s, struct transfer *t, const struct message_chunk *m)
{
    uint64_t room = 0;
    if (m->data.bytes == 0 && m->offset < m->size)
        return fail(STATUS_IO, "the scheduler sends another piece of an object");
    if (!t->spool) {
        if (store_room(s->places.fetched, &room) == STATUS_OK && room < m->size + s->places.reserve_bytes)
            return fail(STATUS_NOMEM, "no room for an object of %llu bytes", (unsigned long long)m->size);
        const int code = objects_spool_begin(s->places.fetched, &t->name, m->size, &t->spool);
        if (code)
            return code;
        t->size = m->size;
    }
    const int code = m->size == t->size ? objects_spool_write(t->spool, m->data.data, m->data.bytes)
                                        : fail(STATUS_IO, "an object has changed its size");
    t->offset += m->data.bytes;
    return code;
}

void uplink_chunk(struct supervisor *s, const struct packet *p)
{
    struct message_chunk m;
    struct transfer *t = s->transfers;
    if (packet_decode(p, &chunk_schema, &m) || m.object.bytes != HASH_BYTES)
        return; /* asked for again */
    while (t && (t->fd >= 0 || m.offset != t->offset || memcmp(t->name.bytes, m.object.data, HASH_BYTES) != 0))
        t = t->next; /* whichever question it answers: one may have been asked again meanwhile */
    if (!t)
        return;
    t->wait_ms = 0;
    int code = take_chunk(s, t, &m);
    if (!code && t->offset < t->size) {
        ask(s, t);
        return;
    }
    if (!code) /* not flushed: it can be had again */
        code = objects_spool_finish(&t->spool, false);
    if (code == STATUS_FORMAT)
        code = fail(STATUS_IO, "the bytes that came are not the object's");
    const struct hash name = t->name;
    transfer_end(s, t);
    fetched(s, &name, code);
}

/* Begins what waits, as long as there are not too many at once. */
static void begin_fetches(struct supervisor *s)
{
    int running = 0;
    for (const struct transfer *t = s->transfers; t; t = t->next)
        running += t->fd < 0;
    EACH_ITEM (s, l, it) {
        if (it->with_pool || it->stage != STAGE_FETCHING)
            continue;
        if (it->aborted) {
            it->stage = STAGE_OVER;
            item_release(it);
            supervisor_item_over(s, it);
            continue;
        }
        const struct transfer *t = s->transfers;
        while (t && (t->fd >= 0 || memcmp(&t->name, &it->missing, sizeof t->name) != 0))
            t = t->next;
        if (!t && running < TRANSFERS_MOST && transfer_begin(s, &it->missing))
            running++;
    }
}

/* ---- saving ---- */

static void hash_saved(struct pool_work *w)
{
    struct saving *v = (struct saving *)((char *)w - offsetof(struct saving, work));
    v->code = hash_file(v->fd, &v->name, &v->size);
}

bool saving_is_work(const struct pool_work *w)
{
    return w->run == hash_saved;
}

void saving_hashed(struct pool_work *w)
{
    ((struct saving *)((char *)w - offsetof(struct saving, work)))->hashed = true;
}

void saving_begin(struct supervisor *s, struct item *it, int fd, double progress)
{
    if (it->save_fd >= 0)
        close(it->save_fd); /* an older one that has not gone up yet */
    it->save_fd = fd;
    it->save_progress = progress;
    for (const struct saving *v = s->savings; v; v = v->next)
        if (v->token == it->token)
            return; /* after that one */
    struct saving *v = calloc(1, sizeof *v);
    if (!v)
        return; /* the next one, perhaps */
    *v = (struct saving){.token = it->token, .fd = it->save_fd, .progress = progress, .next = s->savings};
    it->save_fd = -1;
    s->savings = v;
    v->work.run = hash_saved;
    pool_submit(s->pool, &v->work);
}

static void end_saving(struct supervisor *s, struct saving *v)
{
    struct saving **at = &s->savings;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    for (struct transfer *t = s->transfers; t; t = t->next)
        if (t->saving == v) {
            transfer_end(s, t);
            break;
        }
    struct item *it = supervisor_find(s, v->token);
    close(v->fd);
    free(v);
    if (it && it->save_fd >= 0 && it->stage == STAGE_RUNNING) { /* the newer one that waited */
        const int fd = it->save_fd;
        it->save_fd = -1;
        saving_begin(s, it, fd, it->save_progress);
    }
}

static void put_piece(struct supervisor *s, struct transfer *t)
{
    uint8_t *block = malloc(LIMIT_CHUNK);
    const uint64_t left = t->size - t->offset;
    const size_t want = left < LIMIT_CHUNK ? (size_t)left : LIMIT_CHUNK;
    if (block && pread(t->fd, block, want, (off_t)t->offset) == (ssize_t)want) {
        const struct message_put m = {.object = {t->name.bytes, HASH_BYTES},
                                      .size = t->size,
                                      .offset = t->offset,
                                      .data = {block, (uint32_t)want}};
        t->seq = uplink_send(s, MESSAGE_PUT, &put_schema, &m);
        t->next_ms = supervisor_now_ms() + RESEND_MS;
    }
    free(block);
}

void uplink_stored(struct supervisor *s, const struct packet *p)
{
    struct message_stored m;
    struct transfer *t = asked(s, p->header.seq);
    if (!t || t->fd < 0 || packet_decode(p, &stored_schema, &m))
        return;
    const bool moved = m.offset > t->offset;
    t->offset = m.offset < t->size ? m.offset : 0;
    if (t->stems && (m.whole || moved)) {
        stems_stored(s, t, m.whole);
    } else if (m.whole) {
        t->saving->put = true;
        transfer_end(s, t);
    }
    if (m.whole)
        return;
    put_piece(s, t);
}

void uplink_saved(struct supervisor *s, const struct packet *p)
{
    struct message_verdict m;
    struct saving *v = s->savings;
    while (v && (!v->put || v->seq != p->header.seq))
        v = v->next;
    if (!v || packet_decode(p, &verdict_schema, &m))
        return;
    struct item *const it = supervisor_find(s, v->token);
    if (it && m.verdict == COMMIT_COMMITTED)
        it->saved = true;
    end_saving(s, v); /* STALE: the next beat says so of the item */
}

static void drive_saving(struct supervisor *s, struct saving *v, int64_t now)
{
    const struct item *it = supervisor_find(s, v->token);
    if (!it || it->over || it->aborted || v->code) {
        if (v->code)
            log_warn("a checkpoint is not saved: %s", status_name(v->code));
        end_saving(s, v);
        return;
    }
    if (v->put) {
        const struct message_checkpoint m = {
            .token = v->token, .object = {v->name.bytes, HASH_BYTES}, .progress = v->progress};
        if (now >= v->next_ms) {
            v->seq = uplink_send(s, MESSAGE_CHECKPOINT, &checkpoint_schema, &m);
            v->next_ms = now + RESEND_MS;
        }
        return;
    }
    for (const struct transfer *t = s->transfers; t; t = t->next)
        if (t->saving == v)
            return;
    struct transfer *t = transfer_begin(s, &v->name);
    if (t) {
        t->saving = v;
        t->fd = v->fd;
        t->size = v->size;
    }
}

/* ---- both ---- */

/* Once for each: the item goes on, and another attempt would go on from the checkpoint before. */
static void say_unsaved(struct supervisor *s, struct saving *v, const char *why)
{
    char text[TASK_MESSAGE];
    struct item *const it = supervisor_find(s, v->token);
    if (v->told)
        return;
    v->told = true;
    snprintf(text, sizeof text, "a checkpoint is not saved: the scheduler: %.200s", why);
    log_warn("%s", text);
    if (it)
        item_log_warn(&it->log, text);
}

/* An ERROR for a question of ours. */
bool transfers_refused(struct supervisor *s, uint32_t seq, enum wire_error error, const char *text)
{
    struct transfer *t = asked(s, seq);
    struct saving *v = s->savings;
    while (v && (!v->put || v->seq != seq))
        v = v->next;
    if (!t && !v)
        return false;
    if (t && t->stems && stems_refused(s, t, error, text))
        return true;
    if (v || (t->saving && error != ERROR_BUSY && error != ERROR_STATE)) {
        say_unsaved(s, v ? v : t->saving, text);
        end_saving(s, v ? v : t->saving);
        return true;
    }
    if (t->saving && error == ERROR_BUSY)
        say_unsaved(s, t->saving, text);
    t->seq = 0;
    if (t->fd >= 0 || error == ERROR_BUSY) { /* from where the scheduler says, a moment later */
        t->next_ms = supervisor_now_ms() + BUSY_AGAIN_MS;
        return true;
    }
    const struct hash name = t->name;
    char hex[HASH_HEX];
    hash_hex(&name, hex);
    transfer_end(s, t);
    fetched(s, &name, fail(STATUS_NOT_FOUND, "the scheduler's objects: %s: %.12s..", text, hex));
    return true;
}

void transfers_work(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    begin_fetches(s);
    stems_work(s);
    if (!s->engaged)
        return;
    struct saving *after;
    for (struct saving *v = s->savings; v; v = after) {
        after = v->next;
        if (v->hashed)
            drive_saving(s, v, now);
    }
    for (struct transfer *t = s->transfers; t; t = t->next)
        if (now >= t->next_ms)
            ask(s, t);
}

void transfers_end(struct supervisor *s)
{
    while (s->transfers)
        transfer_end(s, s->transfers);
    while (s->savings) {
        struct saving *v = s->savings;
        s->savings = v->next;
        close(v->fd);
        free(v);
    }
}

static int remove_unused(void *context, const struct hash *h, uint64_t bytes, bool damaged)
{
    char path[4096 + 128];
    struct stat s;
    (void)bytes;
    (void)damaged;
    objects_path(context, h, path, sizeof path);
    if (stat(path, &s) == 0 && time(NULL) - s.st_mtim.tv_sec > UNUSED_S)
        unlink(path);
    return STATUS_OK;
}

void fetched_sweep(const char *folder)
{
    objects_spool_clear(folder, SPOOL_OLD_S);
    if (objects_walk(folder, false, remove_unused, (void *)(uintptr_t)folder))
        log_warn("%s", status_message());
}
