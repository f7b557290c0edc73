/* What the supervisor does for an item of kind `separate_clips`: it finds the model, opens the clips, the folders for
 * their stems and a file for the child to work in, and in the end gives the files of each clip that was separated their
 * names. A clip that cannot be opened is left out, as one that cannot be decoded: the child gets an empty file. */
#include "item.h"
#include "stem_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct item_clips {
    struct plan plan;
    uint32_t count;
    struct clip_place {
        int fd;
        struct stat stat;
        bool there; /* it could be opened */
        struct stem_folder folder;
    } clip[LIMIT_CLIPS];
    struct output_file spool; /* never gets its name */
    int weights[BAG_NETWORKS_MOST];
    uint8_t *request; /* what the child gets: the plan, then the item's own parameters */
    uint32_t request_bytes;
};

/* Names of outputs for a clip stay a row of descriptors: all of an item go in one message. */
static bool fits_a_message(const struct item_clips *c, uint32_t clips)
{
    return clips * (1 + (uint32_t)c->plan.outputs) + 1 + (uint32_t)c->plan.networks <= TASK_EXTRA;
}

static int open_clip(struct clip_place *p, struct wire_slice path)
{
    char text[LIMIT_PATH + 1];
    wire_copy(path, text, sizeof text);
    const bool cut = memchr(path.data, 0, path.bytes) != NULL;
    p->there = !cut && !item_look(text, &p->stat) && !item_open_file(text, &p->fd, &p->stat);
    if (p->there)
        return STATUS_OK;
    item_close(&p->fd);
    p->fd = memfd_create("left out", MFD_CLOEXEC);
    return p->fd >= 0 ? STATUS_OK : fail(STATUS_NOMEM, "memfd: %s", strerror(errno));
}

/* Two clips of one track would write the same files. */
static int refuse_equal(struct wire_list clips)
{
    struct kind_clip a, b;
    while (wire_next(&clips, &kind_clip_schema, &a))
        for (struct wire_list rest = clips; wire_next(&rest, &kind_clip_schema, &b);)
            if (a.track.bytes == b.track.bytes && memcmp(a.track.data, b.track.data, a.track.bytes) == 0)
                return fail(STATUS_ARGUMENT, "two clips have the same track, '%.*s'",
                            (int)(a.track.bytes < 80 ? a.track.bytes : 80), (const char *)a.track.data);
    return STATUS_OK;
}

static int open_all(struct item *it, struct item_clips *c, const struct audio_format *format)
{
    struct kind_clips_item m;
    struct kind_clip clip;
    int code = wire_decode(&kind_clips_item_schema, it->params, it->params_bytes, &m);
    if (!code && !m.clips.count)
        code = fail(STATUS_ARGUMENT, "the item has no clips");
    if (!code && !fits_a_message(c, m.clips.count))
        code = fail(STATUS_ARGUMENT, "%u clips of %d signals each are too many for one item", m.clips.count,
                    c->plan.outputs);
    code = code ? code : refuse_equal(m.clips);
    while (!code && wire_next(&m.clips, &kind_clip_schema, &clip)) {
        struct clip_place *const p = &c->clip[c->count++];
        code = open_clip(p, clip.path);
        code = code ? code : stem_folder_make(&p->folder, c->plan.model, m.out, clip.track);
        code = code ? code : stem_folder_open(&p->folder, &c->plan, format, "", it->token);
    }
    if (code)
        return code;
    if (asprintf(&c->spool.path, "%s/.wavemill-clips", c->clip[0].folder.path) < 0) {
        c->spool.path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    return output_file_open(&c->spool, it->token);
}

static int make_request(const struct item *it, struct item_clips *c)
{
    c->request_bytes = (uint32_t)sizeof c->plan + it->params_bytes;
    c->request = malloc(c->request_bytes);
    if (!c->request)
        return fail(STATUS_NOMEM, "out of memory");
    memcpy(c->request, &c->plan, sizeof c->plan);
    memcpy(c->request + sizeof c->plan, it->params, it->params_bytes);
    return STATUS_OK;
}

int clips_open(struct item *it)
{
    struct separate_settings settings;
    struct item_clips *const c = calloc(1, sizeof *c);
    struct method_model *const model = malloc(sizeof *model);
    if (!c || !model) {
        free(c);
        free(model);
        return fail(STATUS_NOMEM, "out of memory");
    }
    c->spool.fd = -1;
    for (int i = 0; i < BAG_NETWORKS_MOST; i++)
        c->weights[i] = -1;
    for (int i = 0; i < LIMIT_CLIPS; i++)
        c->clip[i] = (struct clip_place){.fd = -1, .folder = stem_folder_none()};
    it->clips = c;
    int code = params_clips(it->lease->params, it->lease->params_bytes, &settings);
    code = code ? code : plan_make(it->lease->places->home, &settings, &c->plan, model);
    if (!code && c->plan.networks == 0)
        code = fail(STATUS_ARGUMENT, "%s has no segments to put clips in: this is for networks", c->plan.model);
    code = code ? code : make_request(it, c);
    code = code ? code : open_all(it, c, &settings.format);
    code = code ? code : plan_open_weights(&c->plan, model, c->weights);
    free(model);
    return code;
}

static void give(struct task_request *r, int fds[TASK_FDS_MOST], enum task_role role, int fd)
{
    fds[TASK_FDS + r->extra] = fd;
    r->role[r->extra++] = (uint8_t)role;
}

const void *clips_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST])
{
    const struct item_clips *const c = it->clips;
    r->item_params_bytes = c->request_bytes;
    give(r, fds, TASK_ROLE_SPOOL, c->spool.fd);
    for (int i = 0; i < c->plan.networks; i++)
        give(r, fds, TASK_ROLE_WEIGHTS, c->weights[i]);
    for (uint32_t i = 0; i < c->count; i++) {
        give(r, fds, TASK_ROLE_CLIP, c->clip[i].fd);
        for (int o = 0; o < c->plan.outputs; o++)
            give(r, fds, TASK_ROLE_OUTPUT, c->clip[i].folder.output[o].fd);
    }
    return c->request;
}

int clips_check_unchanged(const struct item *it)
{
    struct stat now;
    for (uint32_t i = 0; i < it->clips->count; i++) {
        const struct clip_place *const p = &it->clips->clip[i];
        if (!p->there)
            continue;
        if (fstat(p->fd, &now))
            return fail(STATUS_IO, "cannot read: %s", strerror(errno));
        if (!item_same_file(&now, &p->stat))
            return fail(STATUS_IO, "clip %u changed while it was read", i);
    }
    return STATUS_OK;
}

int clips_settle(struct item *it)
{
    struct kind_clips_result r;
    struct kind_clip_result one;
    uint32_t i = 0;
    int code = wire_decode(&kind_clips_result_schema, it->result.data, it->result.bytes, &r);
    if (!code && r.clips.count != it->clips->count)
        code = fail(STATUS_INTERNAL, "separate_clips: %u results of %u clips", r.clips.count, it->clips->count);
    while (!code && wire_next(&r.clips, &kind_clip_result_schema, &one)) {
        if (one.separated.count)
            code = stem_folder_settle(&it->clips->clip[i].folder);
        i++;
    }
    return code;
}

void clips_release(struct item *it)
{
    struct item_clips *const c = it->clips;
    if (!c)
        return;
    output_file_drop(&c->spool); /* before the folder that it is in */
    free(c->spool.path);
    for (uint32_t i = 0; i < c->count; i++) {
        item_close(&c->clip[i].fd);
        stem_folder_drop(&c->clip[i].folder);
    }
    for (int i = 0; i < BAG_NETWORKS_MOST; i++)
        item_close(&c->weights[i]);
    free(c->request);
    free(c);
    it->clips = NULL;
}
