#include "item.h"

#include "log.h"
#include "objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct item *item_of(struct pool_work *w)
{
    return (struct item *)((char *)w - offsetof(struct item, work));
}

/* Names of files are bytes, and a text may be cut within a letter; messages are UTF-8. */
void item_make_utf8(char *text)
{
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        n = 1;
        while (n < 4 && n < left && !wire_is_utf8(text, n))
            n++;
        if (!wire_is_utf8(text, n)) {
            *text = '?';
            n = 1;
        }
    }
}

void item_fail(struct item *it, int code)
{
    it->code = code;
    it->failure = status_class(code);
    snprintf(it->message, sizeof it->message, "%s", status_message());
    item_make_utf8(it->message);
    it->stage = STAGE_OVER;
}

void item_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void item_release(struct item *it)
{
    item_close(&it->input);
    item_close(&it->result_fd);
    output_file_drop(&it->array);
    separation_release(it);
    track_release(it);
    clips_release(it);
    training_release(it);
    free(it->puts.list);
    it->puts = (struct item_puts){0};
    sweep_release(it);
    item_close(&it->checkpoint_fd);
    item_close(&it->save_fd);
    const int ignored = ffmpeg_end(&it->ffmpeg, false);
    (void)ignored;
}

bool item_same_work(const struct item *a, const struct item *b)
{
    return a->lease->feature && a->has_key && b->has_key && memcmp(&a->key, &b->key, sizeof a->key) == 0;
}

void item_begins_anew(struct item *it)
{
    it->has_checkpoint = false;
    snprintf(it->anew, sizeof it->anew, "begun anew: its checkpoint: %s", status_message());
    item_make_utf8(it->anew);
    if (training_has_folder(it)) /* its states are there: the checkpoint only told the queue that there are some */
        it->anew[0] = '\0';
    else
        log_warn("an item is %s", it->anew);
}

/* ---- prepare ---- */

static const char *type_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISBLK(mode)  ? "a block device"
                            : "not a file";
}

static int path_failed(void)
{
    const int e = errno;
    const enum status code = e == ENOENT || e == ENOTDIR                                    ? STATUS_NOT_FOUND
                             : e == EACCES || e == EPERM || e == ELOOP || e == ENAMETOOLONG ? STATUS_ARGUMENT
                                                                                            : STATUS_IO;
    return fail(code, "cannot open: %s", strerror(e));
}

int item_look(const char *path, struct stat *s)
{
    if (path[0] != '/')
        return fail(STATUS_ARGUMENT, "cannot open: the path is not absolute");
    if (stat(path, s))
        return path_failed();
    if (!S_ISREG(s->st_mode))
        return fail(STATUS_ARGUMENT, "cannot open: it is %s, not a regular file", type_name(s->st_mode));
    return STATUS_OK;
}

bool item_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int item_check_unchanged(const struct item *it)
{
    struct stat now;
    if (it->has_object) /* known by its bytes */
        return STATUS_OK;
    if (fstat(it->input, &now))
        return fail(STATUS_IO, "cannot read: %s", strerror(errno));
    return item_same_file(&now, &it->stat) ? STATUS_OK : fail(STATUS_IO, "it changed while it was read");
}

int item_open_file(const char *path, int *fd, struct stat *s)
{
    struct stat now;
    /* NONBLOCK: if the path has become a FIFO since it was looked at, open must not wait for a writer. */
    *fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0)
        return path_failed();
    if (fstat(*fd, &now))
        return fail(STATUS_IO, "cannot read: %s", strerror(errno));
    if (!S_ISREG(now.st_mode))
        return fail(STATUS_ARGUMENT, "cannot open: it is %s, not a regular file", type_name(now.st_mode));
    *s = now;
    if (now.st_size == 0)
        return fail(STATUS_FORMAT, "the file is empty");
    return STATUS_OK;
}

/* A file that changed within the clock's last tick may change again without its times telling. */
static bool is_settled(const struct stat *s)
{
    enum { TICK_NS = 20 * 1000 * 1000 };
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t age = (int64_t)(now.tv_sec - s->st_ctim.tv_sec) * 1000000000 + (now.tv_nsec - s->st_ctim.tv_nsec);
    return age > TICK_NS;
}

static int know_by_hash(struct item *it)
{
    const bool settled = is_settled(&it->stat);
    int code = hash_file(it->input, &it->key.file, NULL);
    if (!code)
        code = item_check_unchanged(it);
    it->put_stat = !code && settled;
    return code;
}

struct store_key item_refusal_key(const struct item *it)
{
    struct store_key key = it->key;
    uint8_t parts[2 + sizeof key.params + sizeof it->lease->places->decoders] = {(uint8_t)(key.kind >> 8),
                                                                                 (uint8_t)key.kind};
    memcpy(parts + 2, key.params, sizeof key.params);
    memcpy(parts + 2 + sizeof key.params, it->lease->places->decoders, sizeof it->lease->places->decoders);
    hash_short(parts, sizeof parts, key.params);
    key.kind = FEATURE_REFUSAL;
    return key;
}

/* The same decoders have refused the same bytes before: the same words again, without reading them. */
static int recall_refusal(struct item *it)
{
    const struct store_key key = item_refusal_key(it);
    struct store_value value;
    struct message_error m;
    char text[TASK_MESSAGE];
    if (store_get(it->lease->places->store, &key, &value))
        return STATUS_NOT_FOUND;
    int code = wire_decode(&error_schema, value.record.result, value.record.result_bytes, &m);
    if (!code) {
        wire_copy(m.message, text, sizeof text);
        code = m.code <= -STATUS_UNSUPPORTED ? fail((enum status)(-(int)m.code), "%s", text) : STATUS_NOT_FOUND;
    } else {
        code = STATUS_NOT_FOUND;
    }
    store_release(&value);
    return code == STATUS_OK ? STATUS_NOT_FOUND : code;
}

/* Served from the store, or STATUS_NOT_FOUND. */
static int ask_store(struct item *it)
{
    struct store_value value;
    const struct lease *l = it->lease;
    if (l->force || !l->feature)
        return STATUS_NOT_FOUND;
    int code = store_get(l->places->store, &it->key, &value);
    if (code == STATUS_DAMAGED || code == STATUS_VERSION)
        return STATUS_NOT_FOUND; /* quarantined, or made by another version: computed again */
    if (code == STATUS_NOT_FOUND)
        return recall_refusal(it);
    if (code)
        return code;
    code = item_serve(it, &value.record);
    store_release(&value);
    if (code == STATUS_DAMAGED || (code == STATUS_NOT_FOUND && it->lease->task == TASK_FEATURES)) {
        log_warn("an array is gone from the objects or damaged, it will be computed again: %s", status_message());
        return STATUS_NOT_FOUND;
    }
    return code;
}

int item_open_object(struct item *it, const struct hash *name, int *fd, uint64_t *bytes)
{
    const struct places *p = it->lease->places;
    const int code = objects_open(p->fetched, name, true, fd, bytes);
    if (code == STATUS_DAMAGED && p->is_remote && objects_put_aside(p->fetched, name))
        return STATUS_IO;
    if (code == STATUS_NOT_FOUND ||
        code == STATUS_DAMAGED) { /* a damaged one of the scheduler: it will say so itself */
        it->missing = *name;
        return fail(STATUS_BUSY, "the object has to be fetched");
    }
    if (!code && p->is_remote && objects_touch(p->fetched, name))
        log_warn("%s", status_message());
    return code;
}

static int prepare_object(struct item *it)
{
    uint64_t bytes = 0;
    it->key.file = it->object;
    it->has_key = true;
    int code = ask_store(it);
    if (code != STATUS_NOT_FOUND)
        return code;
    code = item_open_object(it, &it->object, &it->input, &bytes);
    if (!code && bytes == 0)
        code = fail(STATUS_FORMAT, "the file is empty");
    return code ? code : item_open_outputs(it);
}

static int prepare_file(struct item *it)
{
    const struct lease *l = it->lease;
    it->key.kind = (uint16_t)l->feature;
    memcpy(it->key.params, l->params_hash, sizeof it->key.params);
    if (it->has_object)
        return prepare_object(it);
    int code = item_look(it->path, &it->stat);
    it->has_stat = !code;
    if (code == STATUS_NOT_FOUND && l->places->is_remote)
        return fail(STATUS_NOT_FOUND, "this worker is on another machine, where there is no such path: submit with "
                                      "--upload");
    if (code)
        return code;
    if (!l->verify && store_find_stat(l->places->store, &it->stat, &it->key.file) == STATUS_OK) {
        it->has_key = true;
        code = ask_store(it);
        if (code != STATUS_NOT_FOUND)
            return code;
    }
    const struct stat seen = it->stat;
    if ((code = item_open_file(it->path, &it->input, &it->stat)))
        return code;
    if (!it->has_key || !item_same_file(&seen, &it->stat)) {
        if ((code = know_by_hash(it)))
            return code;
        it->has_key = true;
        code = ask_store(it);
        if (code != STATUS_NOT_FOUND)
            return code;
    }
    return item_open_outputs(it);
}

int item_open_outputs(struct item *it)
{
    if (it->result_fd < 0) /* else an object was waited for */
        it->result_fd = memfd_create("result", MFD_CLOEXEC);
    if (it->result_fd < 0)
        return fail(STATUS_NOMEM, "memfd: %s", strerror(errno));
    switch (it->lease->task) {
    case TASK_FEATURES:
        return output_file_open(&it->array, it->token);
    case TASK_SEPARATE:
        return separation_open(it);
    case TASK_SCORE:
        return track_open(it);
    case TASK_SEPARATE_CLIPS:
        return clips_open(it);
    case TASK_TRAIN:
        return training_open(it);
    case TASK_SWEEP:
        return sweep_open(it);
    case TASK_ANALYZE:
    case TASK_INSPECT:
    case TASK_NOOP:
        break;
    }
    return STATUS_OK;
}

/* Is its path that of the one file that it is about? */
static bool has_input(enum task_kind task)
{
    return task != TASK_NOOP && task != TASK_SCORE && task != TASK_SEPARATE_CLIPS;
}

void item_prepare(struct pool_work *w)
{
    struct item *it = item_of(w);
    const struct lease *l = it->lease;
    int code = l->code ? fail((enum status)l->code, "%s", l->message) : STATUS_OK;
    if (l->places->closing)
        code = fail(STATUS_CANCELLED, "the worker ends");
    uint64_t bytes;
    if (!code && it->has_checkpoint && it->checkpoint_fd < 0)
        code = item_open_object(it, &it->checkpoint, &it->checkpoint_fd, &bytes);
    if (code && code != STATUS_BUSY && it->has_checkpoint && !l->code && !l->places->closing) {
        item_begins_anew(it);
        code = STATUS_OK;
    }
    if (!code)
        code = has_input(l->task) ? prepare_file(it) : item_open_outputs(it);
    if (code == STATUS_BUSY)
        it->stage = STAGE_FETCHING;
    else if (code)
        item_fail(it, code);
    else
        it->stage = it->in_store ? STAGE_OVER : STAGE_WAITING;
    if (it->stage == STAGE_OVER)
        item_release(it);
}
