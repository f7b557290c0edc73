/* What the supervisor does for an item of kind `score`: it opens the references and the estimates of a track for the
 * child, and sees in the end whether they are still what they were. */
#include "item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_file_name(struct wire_slice s)
{
    return s.bytes && !memchr(s.data, '/', s.bytes) && !memchr(s.data, 0, s.bytes);
}

/* A file of a folder, or an object. */
struct wish {
    const char *folder;
    struct wire_slice name, object;
    enum task_role role;
};

static int open_path(const struct wish *w, const char *file, struct track_file *f)
{
    char path[2 * LIMIT_PATH];
    if (snprintf(path, sizeof path, "%s/%s", w->folder, file) >= LIMIT_PATH)
        return fail(STATUS_ARGUMENT, "its path is too long");
    const int code = item_look(path, &f->stat);
    return code ? code : item_open_file(path, &f->fd, &f->stat);
}

static int open_object(struct item *it, const struct wish *w, struct track_file *f)
{
    struct hash name;
    uint64_t bytes = 0;
    if (w->object.bytes != HASH_BYTES)
        return fail(STATUS_ARGUMENT, "%s",
                    w->object.bytes ? "an object is named by 32 bytes"
                                    : "it is no object: who sent the job could not read it");
    memcpy(name.bytes, w->object.data, HASH_BYTES);
    f->is_object = true;
    const int code = item_open_object(it, &name, &f->fd, &bytes);
    return code || bytes ? code : fail(STATUS_FORMAT, "the file is empty");
}

/* One more file of the track, the turn-th; a failure says which. */
static int open_one(struct item *it, uint32_t turn, const struct wish *w)
{
    struct item_track *const t = it->track;
    const char *const side = w->role == TASK_ROLE_REFERENCE ? "reference" : "estimate";
    struct track_file *const f = &t->file[turn];
    char file[LIMIT_STEM_NAME + 1];
    if (turn < t->count) /* open since an earlier turn */
        return STATUS_OK;
    wire_copy(w->name, file, sizeof file);
    if (!is_file_name(w->name))
        return fail(STATUS_ARGUMENT, "%s '%s': it is no name of a file", side, file);
    *f = (struct track_file){.role = w->role, .fd = -1};
    const bool is_object = it->lease->to_objects || w->object.bytes;
    const int code = is_object ? open_object(it, w, f) : open_path(w, file, f);
    t->count += f->fd >= 0;
    return status_context(code, "%s %s", side, file);
}

static int open_all(struct item *it)
{
    struct kind_score_item m;
    struct kind_score_pair pair;
    char estimates[LIMIT_PATH + 1];
    int code = wire_decode(&kind_score_item_schema, it->params, it->params_bytes, &m);
    if (code)
        return code;
    if (it->has_object)
        return fail(STATUS_ARGUMENT, "a track is a folder, not an object");
    if (!m.stems.count)
        return fail(STATUS_ARGUMENT, "the track has no stems");
    if (m.estimates.bytes && memchr(m.estimates.data, 0, m.estimates.bytes))
        return fail(STATUS_ARGUMENT, "estimates: the path has a zero byte in it");
    wire_copy(m.estimates, estimates, sizeof estimates);
    for (uint32_t turn = 0; !code && wire_next(&m.stems, &kind_score_pair_schema, &pair); turn += 2) {
        code = open_one(it, turn, &(struct wish){it->path, pair.reference, pair.reference_object, TASK_ROLE_REFERENCE});
        if (!code)
            code = open_one(it, turn + 1,
                            &(struct wish){estimates, pair.estimate, pair.estimate_object, TASK_ROLE_ESTIMATE});
    }
    return code;
}

int track_open(struct item *it)
{
    if (!it->track)
        it->track = calloc(1, sizeof *it->track);
    return it->track ? open_all(it) : fail(STATUS_NOMEM, "out of memory");
}

void track_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST])
{
    for (uint32_t i = 0; i < it->track->count; i++) {
        r->role[r->extra] = (uint8_t)it->track->file[i].role;
        fds[TASK_FDS + r->extra] = it->track->file[i].fd;
        r->extra++;
    }
}

int track_check_unchanged(const struct item *it)
{
    struct stat now;
    for (uint32_t i = 0; i < it->track->count; i++) {
        const struct track_file *const f = &it->track->file[i];
        if (f->is_object)
            continue;
        if (fstat(f->fd, &now))
            return fail(STATUS_IO, "cannot read: %s", strerror(errno));
        if (!item_same_file(&now, &f->stat))
            return fail(STATUS_IO, "a file of the track changed while it was read");
    }
    return STATUS_OK;
}

void track_release(struct item *it)
{
    for (uint32_t i = 0; it->track && i < it->track->count; i++)
        item_close(&it->track->file[i].fd);
    free(it->track);
    it->track = NULL;
}
