/* Objects: PUT in pieces, GET in pieces.
 *
 * A PUT with data is done at once: a write that does not wait for the disk, and one flush at the end of an object.
 * Everything that needs a stored object to be sound (GET, and the question whether one is there) waits in a line, in
 * front of which objects are read and hashed by pieces of STEP_BYTES a turn. What was found sound is remembered by
 * inode, size and time of change, so that each object is read once for all the pieces of all its readers. */
#include "broker_state.h"
#include "log.h"
#include "objects.h"
#include "objects_spool.h"
#include "paths.h"
#include "store_care.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    UPLOADS_MOST = 64,    /* open at once, of all peers ... */
    UPLOADS_PEER = 8,     /* ... and of one */
    WAITING_MOST = 1024,  /* requests in the line */
    CHUNKS_TURN = 64,     /* of them answered in one turn: 32 MiB */
    STEP_BYTES = 2 << 20, /* read and hashed in one turn: about 2 ms */
    CHECKED = 4096,       /* objects remembered as sound */
    DEFAULT_IDLE_MS = 300000,
    DEFAULT_KEEP_MS = 24 * 3600 * 1000
};
#define OBJECT_MOST (UINT64_C(1) << 40)     /* bytes of one object */
#define RESERVE_BYTES (UINT64_C(256) << 20) /* free space that uploads leave */

struct upload {
    struct objects_spool *spool;
    struct hash name;
    uint64_t size;
    struct channel_peer owner; /* who began it; anybody may go on with it */
    int64_t heard_ms;
    struct upload *next;
};

struct waiting {
    struct hash name;
    struct channel_peer peer;
    bool to_worker, is_put;
    uint32_t seq;
    uint64_t offset, bytes;
};

struct sound {
    struct hash name;
    struct stat stat;
};

struct object_service {
    char folder[PATHS_MAX];
    int64_t idle_ms;
    struct upload *uploads;
    int upload_count;
    struct waiting line[WAITING_MOST]; /* a ring */
    uint32_t first, count;
    struct objects_check *check; /* of the first in the line */
    struct sound sound[CHECKED]; /* by the first bytes of the name */
    struct sweep *sweep;
    uint8_t chunk[LIMIT_CHUNK];
};

int objects_start(struct broker *b)
{
    if (!b->options.objects)
        return STATUS_OK;
    struct object_service *o = calloc(1, sizeof *o);
    if (!o)
        return fail(STATUS_NOMEM, "objects");
    b->objects = o;
    o->idle_ms = b->options.upload_idle_ms ? b->options.upload_idle_ms : DEFAULT_IDLE_MS;
    /* A folder of the queue's own: the feature store sweeps its objects by its records. */
    snprintf(o->folder, sizeof o->folder, "%s/queue", b->options.objects);
    const int code = paths_make(o->folder);
    if (code)
        return code;
    objects_spool_clear(o->folder, 0);
    o->sweep = sweep_create(o->folder, b->options.object_keep_ms ? b->options.object_keep_ms : DEFAULT_KEEP_MS);
    return o->sweep ? STATUS_OK : fail(STATUS_NOMEM, "objects");
}

static void drop_upload(struct object_service *o, struct upload *u)
{
    struct upload **at = &o->uploads;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    objects_spool_drop(&u->spool);
    free(u);
    o->upload_count--;
}

void objects_stop(struct broker *b)
{
    struct object_service *o = b->objects;
    if (!o)
        return;
    while (o->uploads)
        drop_upload(o, o->uploads);
    objects_check_end(&o->check);
    sweep_destroy(&o->sweep);
    free(o);
    b->objects = NULL;
}

/* ---- what is sound ---- */

static struct sound *sound_place(struct object_service *o, const struct hash *name)
{
    return &o->sound[(name->bytes[0] | name->bytes[1] << 8) % CHECKED];
}

static bool same_object(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool look(const struct object_service *o, const struct hash *name, struct stat *out)
{
    char path[PATHS_MAX + 128];
    objects_path(o->folder, name, path, sizeof path);
    return stat(path, out) == 0;
}

static bool is_sound(struct object_service *o, const struct hash *name)
{
    struct stat now;
    const struct sound *s = sound_place(o, name);
    return memcmp(&s->name, name, sizeof *name) == 0 && look(o, name, &now) && same_object(&s->stat, &now);
}

/* Used now; and remembered as sound. */
static void note_sound(struct object_service *o, const struct hash *name)
{
    struct sound *s = sound_place(o, name);
    s->name = *name;
    if (objects_touch(o->folder, name) || !look(o, name, &s->stat))
        *s = (struct sound){0};
}

/* ---- the line ---- */

static void answer_error(struct broker *b, const struct waiting *w, const char *text)
{
    reply_error(b, w->to_worker, &w->peer, w->seq, ERROR_NOT_FOUND, text);
}

static void answer(struct broker *b, const struct waiting *w, bool is_there, const char *text)
{
    struct stat s = {0};
    if (is_there)
        is_there = look(b->objects, &w->name, &s);
    if (!w->is_put && !is_there) {
        answer_error(b, w, text);
        return;
    }
    struct reply *r = reply_add(b, w->is_put ? REPLY_STORED : REPLY_CHUNK, w->to_worker, &w->peer, w->seq);
    r->object = w->name;
    r->whole = is_there;
    r->offset = w->is_put ? (uint64_t)s.st_size : w->offset;
    r->bytes = w->bytes;
}

/* Looks at the first in the line; true when it has its answer. */
static bool serve_first(struct broker *b)
{
    struct object_service *o = b->objects;
    const struct waiting *w = &o->line[o->first];
    const char *text = "there is no such object";
    bool over = o->check == NULL && is_sound(o, &w->name);
    int code = STATUS_OK;
    if (!over && !o->check)
        code = objects_check_begin(o->folder, &w->name, &o->check);
    if (!over && !code)
        code = objects_check_step(o->check, STEP_BYTES, &over);
    if (!over && !code)
        return false;
    objects_check_end(&o->check);
    if (over)
        note_sound(o, &w->name);
    if (code == STATUS_DAMAGED) {
        log_error("%s: put aside", status_message());
        if (objects_put_aside(o->folder, &w->name))
            log_error("%s", status_message());
        text = "the object is damaged";
    } else if (code && code != STATUS_NOT_FOUND) {
        log_error("%s", status_message());
        text = "the object cannot be read";
    }
    answer(b, w, over, text);
    o->first = (o->first + 1) % WAITING_MOST;
    o->count--;
    return true;
}

static void refuse(struct broker *b, bool to_worker, const struct packet *p, enum wire_error error, const char *text)
{
    reply_error(b, to_worker, &p->peer, p->header.seq, error, text);
}

static void enqueue(struct broker *b, bool to_worker, const struct packet *p, const struct waiting *what)
{
    struct object_service *o = b->objects;
    if (o->count == WAITING_MOST) {
        refuse(b, to_worker, p, ERROR_BUSY, "too many requests for objects");
        return;
    }
    struct waiting *w = &o->line[(o->first + o->count++) % WAITING_MOST];
    *w = *what;
    w->peer = p->peer;
    w->seq = p->header.seq;
    w->to_worker = to_worker;
}

static bool refused(struct broker *b, bool to_worker, const struct packet *p, struct wire_slice object)
{
    if (!b->objects)
        refuse(b, to_worker, p, ERROR_STATE, "this scheduler keeps no objects");
    else if (object.bytes != HASH_BYTES)
        refuse(b, to_worker, p, ERROR_BODY, "an object is named by 32 bytes");
    else
        return false;
    return true;
}

void objects_get(struct broker *b, bool to_worker, const struct packet *p, const struct message_get *m)
{
    struct waiting w = {.offset = m->offset, .bytes = m->bytes && m->bytes < LIMIT_CHUNK ? m->bytes : LIMIT_CHUNK};
    if (refused(b, to_worker, p, m->object))
        return;
    memcpy(w.name.bytes, m->object.data, HASH_BYTES);
    enqueue(b, to_worker, p, &w);
}

/* ---- PUT ---- */

static struct upload *find_upload(const struct object_service *o, const struct hash *name)
{
    struct upload *u = o->uploads;
    while (u && memcmp(&u->name, name, sizeof *name) != 0)
        u = u->next;
    return u;
}

static void stored(struct broker *b, bool to_worker, const struct packet *p, const struct hash *name, uint64_t offset,
                   bool whole)
{
    struct reply *r = reply_add(b, REPLY_STORED, to_worker, &p->peer, p->header.seq);
    r->object = *name;
    r->offset = offset;
    r->whole = whole;
}

/* NULL: there is room for another upload of this size from this peer; else what is short. */
static const char *no_room(const struct object_service *o, const struct channel_peer *peer, uint64_t size)
{
    uint64_t room = 0, announced = size;
    int of_peer = 0;
    for (const struct upload *u = o->uploads; u; u = u->next) {
        announced += u->size - objects_spool_offset(u->spool);
        of_peer += u->owner.bytes == peer->bytes && memcmp(u->owner.id, peer->id, peer->bytes) == 0;
    }
    if (o->upload_count >= UPLOADS_MOST || of_peer >= UPLOADS_PEER)
        return "too many uploads at once";
    if (store_room(o->folder, &room) || room < RESERVE_BYTES || room - RESERVE_BYTES < announced)
        return "the disk is nearly full";
    return NULL;
}

static int begin_upload(struct broker *b, const struct channel_peer *peer, const struct hash *name, uint64_t size,
                        struct upload **out)
{
    struct object_service *o = b->objects;
    struct upload *u = calloc(1, sizeof *u);
    int code = u ? objects_spool_begin(o->folder, name, size, &u->spool) : fail(STATUS_NOMEM, "objects");
    if (code) {
        free(u);
        return code;
    }
    u->name = *name;
    u->size = size;
    u->owner = *peer;
    u->next = o->uploads;
    o->uploads = u;
    o->upload_count++;
    *out = u;
    return STATUS_OK;
}

/* Bytes that belong where the upload is. */
static void take_bytes(struct broker *b, bool to_worker, const struct packet *p, struct upload *u, struct wire_slice d)
{
    struct object_service *o = b->objects;
    const struct hash name = u->name;
    const uint64_t size = u->size;
    int code = objects_spool_write(u->spool, d.data, d.bytes);
    const uint64_t offset = objects_spool_offset(u->spool);
    const bool whole = !code && offset == size;
    if (whole)
        code = objects_spool_finish(&u->spool, true);
    if (whole || code)
        drop_upload(o, u);
    if (code == STATUS_FORMAT) {
        refuse(b, to_worker, p, ERROR_STATE, "the bytes are not those of the object's name: begin again at 0");
        return;
    }
    if (code) {
        log_error("%s", status_message());
        refuse(b, to_worker, p, ERROR_BUSY, "the object cannot be written");
        return;
    }
    if (whole)
        note_sound(o, &name);
    stored(b, to_worker, p, &name, offset, whole);
}

void objects_put(struct broker *b, bool to_worker, const struct packet *p, const struct message_put *m)
{
    struct object_service *o = b->objects;
    struct waiting ask = {.is_put = true};
    struct stat there;
    if (refused(b, to_worker, p, m->object))
        return;
    memcpy(ask.name.bytes, m->object.data, HASH_BYTES);
    if (m->size > OBJECT_MOST || m->offset > m->size || m->data.bytes > m->size - m->offset) {
        refuse(b, to_worker, p, ERROR_LIMIT, "an object has at most 1 TiB, and no bytes behind its end");
        return;
    }
    struct upload *u = find_upload(o, &ask.name);
    if (!u && look(o, &ask.name, &there)) {
        enqueue(b, to_worker, p, &ask);
        return;
    }
    if (u)
        u->heard_ms = b->now_ms;
    if (m->data.bytes == 0 && m->size > 0) {
        stored(b, to_worker, p, &ask.name, u ? objects_spool_offset(u->spool) : 0, false);
        return;
    }
    if (u && u->size != m->size && m->offset == 0) { /* one of the two sizes is wrong, and the hash will tell */
        drop_upload(o, u);
        u = NULL;
    }
    const uint64_t has = u ? objects_spool_offset(u->spool) : 0;
    if (m->offset > has || (u && u->size != m->size)) {
        refuse(b, to_worker, p, ERROR_STATE, "not where the upload is: ask with a PUT without data");
        return;
    }
    if (m->offset < has) { /* said before */
        stored(b, to_worker, p, &ask.name, has, false);
        return;
    }
    const char *full = u ? NULL : no_room(o, &p->peer, m->size);
    if (!u && (full || begin_upload(b, &p->peer, &ask.name, m->size, &u))) {
        refuse(b, to_worker, p, ERROR_BUSY, full ? full : "the object cannot be written");
        return;
    }
    u->heard_ms = b->now_ms;
    take_bytes(b, to_worker, p, u, m->data);
}

/* ---- once a turn ---- */

void objects_work(struct broker *b)
{
    struct object_service *o = b->objects;
    if (!o)
        return;
    for (int n = 0; n < CHUNKS_TURN && o->count && reply_reserve(b, 1) == STATUS_OK && serve_first(b); n++)
        ;
    struct upload *next;
    for (struct upload *u = o->uploads; u; u = next) {
        next = u->next;
        if (b->now_ms - u->heard_ms >= o->idle_ms)
            drop_upload(o, u);
    }
    sweep_work(o->sweep, b);
}

void objects_followed(struct broker *b, const struct hash *name)
{
    if (b->objects)
        sweep_followed(b->objects->sweep, name, b->now_ms);
}

int64_t objects_next_ms(const struct broker *b)
{
    const struct object_service *o = b->objects;
    if (!o)
        return INT64_MAX;
    int64_t at = o->count ? 0 : sweep_next_ms(o->sweep);
    for (const struct upload *u = o->uploads; u; u = u->next)
        if (u->heard_ms + o->idle_ms < at)
            at = u->heard_ms + o->idle_ms;
    return at;
}

int objects_read(struct broker *b, const struct reply *r, struct message_chunk *out)
{
    struct object_service *o = b->objects;
    uint64_t size;
    int fd = -1;
    const int code = objects_open(o->folder, &r->object, false, &fd, &size);
    if (code)
        return code;
    const uint64_t left = r->offset < size ? size - r->offset : 0;
    const uint64_t want = left < r->bytes ? left : r->bytes;
    const ssize_t n = want ? pread(fd, o->chunk, want, (off_t)r->offset) : 0;
    close(fd);
    if (n < 0 || (uint64_t)n != want)
        return fail(STATUS_IO, "the object cannot be read");
    *out = (struct message_chunk){
        .object = {r->object.bytes, HASH_BYTES}, .size = size, .offset = r->offset, .data = {o->chunk, (uint32_t)want}};
    return STATUS_OK;
}
