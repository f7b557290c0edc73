/* A training for which it does not matter whose disk is where: its states are checkpoints of the queue, and what it
 * makes lies in memory until it goes to the scheduler as objects (supervisor_stems.c). The disk of its worker has
 * nothing of it but the pack that was fetched. */
#include "item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Of a training that pauses there is no model, but what the next one goes on from. */
static const char MODEL_FILE[] = "model.safetensors", STATE_FILE[] = TRAIN_STATE_FILE;

bool training_is_remote(const struct item *it, const struct kind_train_item *m)
{
    return it->lease->to_objects || m->out.bytes == 0;
}

/* A file without a place: its path is only what it will be called. */
static int open_file(struct output_file *f, const char *name)
{
    f->path = strdup(name);
    f->fd = f->path ? memfd_create("trained", MFD_CLOEXEC) : -1;
    return f->fd >= 0 ? STATUS_OK : fail(STATUS_NOMEM, "train: no memory for %s: %s", name, strerror(errno));
}

int training_open_remote(struct item *it, const struct kind_train_item *m)
{
    struct item_training *const t = it->training;
    if (m->out.bytes)
        return fail(STATUS_ARGUMENT, "train: what an item of this kind makes are objects, it has no folder");
    const int wanted = TRAIN_FILES + TRAIN_PREVIEW_KINDS * (int)(m->previews ? m->previews : TRAIN_PREVIEWS);
    it->puts.wanted = true;
    int code = open_file(&it->array, m->until ? STATE_FILE : MODEL_FILE);
    for (; t->files < wanted && !code; t->files += !code) {
        char name[LIMIT_TRAINED_NAME];
        training_file_name(t->files, name);
        code = open_file(&t->file[t->files], name);
    }
    return code;
}

/* One that the child had nothing for is none: there were fewer sounds than previews. */
static int add_file(struct item *it, const struct output_file *f, struct wire_buffer *files)
{
    struct stat s;
    if (fstat(f->fd, &s))
        return fail(STATUS_IO, "train: cannot look at %s: %s", f->path, strerror(errno));
    if (s.st_size == 0)
        return STATUS_OK;
    struct item_put *const p = &it->puts.list[it->puts.count];
    p->fd = f->fd;
    const int code = hash_file(f->fd, &p->name, &p->bytes);
    if (code)
        return code;
    it->puts.count++;
    const struct kind_trained_file told = {
        .name = wire_str(f->path), .object = {p->name.bytes, HASH_BYTES}, .bytes = p->bytes};
    return wire_encode(&kind_trained_file_schema, &told, files);
}

int training_name(struct item *it)
{
    struct kind_train_result r;
    struct wire_buffer files = {0};
    int code = wire_decode(&kind_train_result_schema, it->result.data, it->result.bytes, &r);
    code = code ? code : item_puts_begin(it, it->training->files + 1);
    it->puts.count = 0;
    for (int i = 0; i < it->training->files && !code; i++)
        code = add_file(it, &it->training->file[i], &files);
    code = code ? code : add_file(it, &it->array, &files);
    r.files = wire_list_of(&files, (uint32_t)it->puts.count);
    code = code ? code : item_set_result(it, &kind_train_result_schema, &r);
    wire_free(&files);
    return code;
}
