#include "item.h"

#include "log.h"
#include "npy.h"
#include "objects.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct item *item_of(struct pool_work *w)
{
    return (struct item *)((char *)w - offsetof(struct item, work));
}

/* Names of files are bytes, and a text may be cut within a letter; messages are UTF-8. */
static void make_utf8(char *text)
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
    make_utf8(it->message);
    it->stage = STAGE_OVER;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void item_release(struct item *it)
{
    close_fd(&it->input);
    close_fd(&it->result_fd);
    close_fd(&it->array_fd);
    if (it->temporary)
        unlink(it->temporary);
    free(it->temporary);
    it->temporary = NULL;
    const int ignored = ffmpeg_end(&it->ffmpeg, false);
    (void)ignored;
}

bool item_same_work(const struct item *a, const struct item *b)
{
    return a->has_key && b->has_key && memcmp(&a->key, &b->key, sizeof a->key) == 0;
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

static int look(struct item *it)
{
    if (it->path[0] != '/')
        return fail(STATUS_ARGUMENT, "cannot open: the path is not absolute");
    if (stat(it->path, &it->stat))
        return path_failed();
    if (!S_ISREG(it->stat.st_mode))
        return fail(STATUS_ARGUMENT, "cannot open: it is %s, not a regular file", type_name(it->stat.st_mode));
    it->has_stat = true;
    return STATUS_OK;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int check_unchanged(const struct item *it)
{
    struct stat now;
    if (fstat(it->input, &now))
        return fail(STATUS_IO, "cannot read: %s", strerror(errno));
    return same_file(&now, &it->stat) ? STATUS_OK : fail(STATUS_IO, "it changed while it was read");
}

static int open_input(struct item *it)
{
    struct stat now;
    /* NONBLOCK: if the path has become a FIFO since it was looked at, open must not wait for a writer. */
    it->input = open(it->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (it->input < 0)
        return path_failed();
    if (fstat(it->input, &now))
        return fail(STATUS_IO, "cannot read: %s", strerror(errno));
    if (!S_ISREG(now.st_mode))
        return fail(STATUS_ARGUMENT, "cannot open: it is %s, not a regular file", type_name(now.st_mode));
    it->stat = now;
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
        code = check_unchanged(it);
    it->put_stat = !code && settled;
    return code;
}

static int serve_record(struct item *it, const struct record *r);

static struct store_key refusal_key(const struct item *it)
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
    const struct store_key key = refusal_key(it);
    struct store_value value;
    struct message_error m;
    char text[TASK_MESSAGE];
    if (store_get(it->lease->places->store, &key, &value))
        return STATUS_NOT_FOUND;
    int code = wire_decode(&error_schema, value.record.result, value.record.result_bytes, &m);
    if (!code) {
        wire_copy(m.message, text, sizeof text);
        code = fail((enum status) - (int)m.code, "%s", text);
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
    if (l->force)
        return STATUS_NOT_FOUND;
    int code = store_get(l->places->store, &it->key, &value);
    if (code == STATUS_DAMAGED || code == STATUS_VERSION)
        return STATUS_NOT_FOUND; /* quarantined, or made by another version: computed again */
    if (code == STATUS_NOT_FOUND)
        return recall_refusal(it);
    if (code)
        return code;
    code = serve_record(it, &value.record);
    store_release(&value);
    if (code == STATUS_DAMAGED || (code == STATUS_NOT_FOUND && it->lease->task == TASK_FEATURES)) {
        log_warn("an array is gone from the objects or damaged, it will be computed again: %s", status_message());
        return STATUS_NOT_FOUND;
    }
    return code;
}

static int prepare_file(struct item *it)
{
    const struct lease *l = it->lease;
    it->key.kind = (uint16_t)l->feature;
    memcpy(it->key.params, l->params_hash, sizeof it->key.params);
    int code = look(it);
    if (code)
        return code;
    if (!l->verify && store_find_stat(l->places->store, &it->stat, &it->key.file) == STATUS_OK) {
        it->has_key = true;
        code = ask_store(it);
        if (code != STATUS_NOT_FOUND)
            return code;
    }
    const struct stat seen = it->stat;
    if ((code = open_input(it)))
        return code;
    if (!it->has_key || !same_file(&seen, &it->stat)) {
        if ((code = know_by_hash(it)))
            return code;
        it->has_key = true;
        code = ask_store(it);
        if (code != STATUS_NOT_FOUND)
            return code;
    }
    return item_open_outputs(it);
}

static int open_temporary(struct item *it)
{
    const char *slash = strrchr(it->out, '/');
    if (!slash)
        return fail(STATUS_ARGUMENT, "cannot write %s: the path is not absolute", it->out);
    struct stat s;
    if (stat(it->out, &s) == 0 && S_ISDIR(s.st_mode))
        return fail(STATUS_ARGUMENT, "cannot write %s: it is a directory", it->out);
    if (asprintf(&it->temporary, "%.*s/.%.64s.%d-%llu.part", (int)(slash - it->out), it->out, slash + 1, (int)getpid(),
                 (unsigned long long)it->token) < 0) {
        it->temporary = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    it->array_fd = open(it->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (it->array_fd >= 0)
        return STATUS_OK;
    const int e = errno;
    free(it->temporary);
    it->temporary = NULL;
    return fail(e == ENOSPC || e == EIO ? STATUS_IO : STATUS_ARGUMENT, "cannot write %s: %s", it->out, strerror(e));
}

int item_open_outputs(struct item *it)
{
    it->result_fd = memfd_create("result", MFD_CLOEXEC);
    if (it->result_fd < 0)
        return fail(STATUS_NOMEM, "memfd: %s", strerror(errno));
    return it->lease->task == TASK_FEATURES ? open_temporary(it) : STATUS_OK;
}

void item_prepare(struct pool_work *w)
{
    struct item *it = item_of(w);
    const struct lease *l = it->lease;
    int code = l->code ? fail((enum status)l->code, "%s", l->message) : STATUS_OK;
    if (l->places->closing)
        code = fail(STATUS_CANCELLED, "the worker ends");
    if (!code)
        code = l->task == TASK_NOOP ? item_open_outputs(it) : prepare_file(it);
    if (code)
        item_fail(it, code);
    else
        it->stage = it->in_store ? STAGE_OVER : STAGE_WAITING;
    if (it->stage == STAGE_OVER)
        item_release(it);
}

/* ---- results ---- */

/* Fills in what only the supervisor knows. All results begin with the fields of PROVENANCE_FIELDS. */
static int encode_result(struct item *it, const void *map, size_t bytes, bool from_store, bool brief)
{
    const struct wire_schema *schema = it->lease->result_schema;
    _Alignas(16) char space[1024];
    if (schema->bytes > sizeof space)
        return fail(STATUS_INTERNAL, "%s: result of %zu bytes", schema->name, schema->bytes);
    const int code = wire_decode(schema, map, bytes, space);
    if (code)
        return code;
    if (it->lease->task == TASK_NOOP) {
        ((struct kind_noop_result *)space)->seconds = it->seconds;
    } else {
        struct kind_provenance *p = (struct kind_provenance *)space;
        p->hash = (struct wire_slice){it->key.file.bytes, HASH_BYTES};
        p->from_store = from_store;
        if (from_store)
            p->decode_s = p->copy_in_s = p->device_s = p->copy_out_s = NAN; /* of another time */
        else
            p->seconds = it->seconds;
    }
    if (brief && it->lease->task == TASK_ANALYZE)
        ((struct kind_analyze_result *)space)->series = (struct wire_list){0};
    it->result.bytes = 0;
    return wire_encode(schema, space, &it->result);
}

static int write_full(int fd, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "cannot write the array: %s", strerror(errno));
        done += (size_t)n;
    }
    return STATUS_OK;
}

static int copy_object(const struct item *it, const struct record *r)
{
    int from = -1;
    uint64_t bytes = 0;
    int code = objects_open(it->lease->places->objects, &r->object, true, &from, &bytes);
    if (code)
        return code;
    if (bytes != r->array_bytes)
        code = fail(STATUS_DAMAGED, "objects: an array of %llu bytes, not %llu", (unsigned long long)bytes,
                    (unsigned long long)r->array_bytes);
    char block[65536];
    for (uint64_t at = 0; at < bytes && !code;) {
        const ssize_t n = pread(from, block, sizeof block, (off_t)at);
        code = n <= 0 ? fail(STATUS_IO, "cannot read an object: %s", strerror(errno))
                      : write_full(it->array_fd, block, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    }
    close(from);
    return code;
}

static int settle_array(struct item *it)
{
    close_fd(&it->array_fd);
    if (rename(it->temporary, it->out))
        return fail(STATUS_IO, "cannot write %s: %s", it->out, strerror(errno));
    free(it->temporary);
    it->temporary = NULL;
    return STATUS_OK;
}

/* Writes a stored array to its .npy file, as the child would have. */
static int write_stored_array(struct item *it, const struct record *r)
{
    char header[NPY_HEADER_BYTES];
    int code = npy_header((enum dtype)r->dtype, r->bins, (int64_t)r->frames, header);
    if (code)
        return fail(STATUS_DAMAGED, "store: a record of an impossible array");
    code = open_temporary(it);
    if (!code)
        code = write_full(it->array_fd, header, sizeof header);
    if (!code)
        code = r->place == RECORD_OBJECT ? copy_object(it, r) : write_full(it->array_fd, r->array, r->array_bytes);
    if (!code)
        return settle_array(it);
    close_fd(&it->array_fd);
    if (it->temporary)
        unlink(it->temporary);
    free(it->temporary);
    it->temporary = NULL;
    return code;
}

static int serve_record(struct item *it, const struct record *r)
{
    int code = it->lease->task == TASK_FEATURES ? write_stored_array(it, r) : STATUS_OK;
    if (!code)
        code = encode_result(it, r->result, r->result_bytes, true, it->lease->brief);
    it->in_store = code == STATUS_OK;
    return code;
}

void item_follow(struct pool_work *w)
{
    struct item *it = item_of(w);
    struct record r;
    item_release(it); /* outputs of its own computation, which will not be */
    int code = record_decode(it->leader->record, it->leader->record_bytes, &r);
    if (!code)
        code = serve_record(it, &r);
    if (code)
        item_fail(it, code);
    it->stage = STAGE_OVER;
}

/* ---- finish ---- */

static int read_result(const struct item *it, uint8_t *out)
{
    const uint32_t bytes = it->reply.result_bytes;
    if (bytes > LIMIT_RESULT || pread(it->result_fd, out, bytes, 0) != (ssize_t)bytes)
        return fail(STATUS_INTERNAL, "the compute child's result of %u bytes cannot be read", bytes);
    return STATUS_OK;
}

/* The array's bytes go into the record when they are few, else into an object. `inline_array` is the caller's to free.
 */
static int place_array(struct item *it, struct record *r, void **inline_array)
{
    struct stat s;
    r->dtype = (uint8_t)it->reply.dtype;
    r->bins = it->reply.bins;
    r->frames = it->reply.frames;
    const size_t item_bytes = npy_item_bytes((enum dtype)it->reply.dtype);
    if (item_bytes == 0 || r->frames > INT64_MAX / (item_bytes * (r->bins ? r->bins : 1)) || fstat(it->array_fd, &s))
        return fail(STATUS_INTERNAL, "the compute child describes an impossible array");
    r->array_bytes = item_bytes * r->bins * r->frames;
    if ((uint64_t)s.st_size != NPY_HEADER_BYTES + r->array_bytes)
        return fail(STATUS_INTERNAL, "the array has %lld bytes, not %llu", (long long)s.st_size,
                    (unsigned long long)(NPY_HEADER_BYTES + r->array_bytes));
    if (!it->lease->stores)
        return STATUS_OK;
    if (r->array_bytes > RECORD_INLINE_MAX) {
        if (!places_have_room(it->lease->places))
            return STATUS_OK;
        if (objects_put_file(it->lease->places->objects, it->array_fd, NPY_HEADER_BYTES, r->array_bytes, &r->object))
            log_error("an array could not be stored: %s", status_message()); /* it is sound and goes out all the same */
        else
            r->place = RECORD_OBJECT;
        return STATUS_OK;
    }
    r->place = RECORD_INLINE;
    r->array = *inline_array = malloc(r->array_bytes ? r->array_bytes : 1);
    if (!r->array)
        return fail(STATUS_NOMEM, "out of memory");
    if (pread(it->array_fd, *inline_array, r->array_bytes, NPY_HEADER_BYTES) != (ssize_t)r->array_bytes)
        return fail(STATUS_IO, "cannot read the array back: %s", strerror(errno));
    return STATUS_OK;
}

static int make_record(struct item *it, const struct wire_slice *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct record r = {.kind = (uint16_t)it->lease->feature,
                       .made_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                       .result = result->data,
                       .result_bytes = result->bytes};
    snprintf(r.code_version, sizeof r.code_version, "%s", WAVEMILL_VERSION);
    snprintf(r.device, sizeof r.device, "cpu");
    void *array = NULL;
    int code = it->lease->task == TASK_FEATURES ? place_array(it, &r, &array) : STATUS_OK;
    const bool is_whole = it->lease->task != TASK_FEATURES || r.place != RECORD_NO_ARRAY;
    if (!code && it->lease->stores && is_whole) {
        it->record_bytes = record_bytes(&r);
        it->record = malloc(it->record_bytes);
        if (it->record)
            record_encode(&r, it->record);
        else
            code = fail(STATUS_NOMEM, "out of memory");
        it->put_record = !code;
    }
    free(array);
    return code;
}

static int finish(struct item *it)
{
    uint8_t *map = malloc(LIMIT_RESULT);
    if (!map)
        return fail(STATUS_NOMEM, "out of memory");
    int code = read_result(it, map);
    if (!code && it->lease->task != TASK_NOOP)
        code = check_unchanged(it);
    if (!code)
        code = ffmpeg_end(&it->ffmpeg, false);
    if (!code)
        code = encode_result(it, map, it->reply.result_bytes, false, false);
    if (!code && it->lease->task != TASK_NOOP)
        code = make_record(it, &(struct wire_slice){it->result.data, (uint32_t)it->result.bytes});
    if (!code && it->lease->task == TASK_FEATURES)
        code = settle_array(it);
    if (!code && it->lease->brief)
        code = encode_result(it, map, it->reply.result_bytes, false, true);
    free(map);
    return code;
}

/* Keeps the reason why these bytes cannot be read. */
static void remember_refusal(struct item *it)
{
    const struct message_error m = {.code = (uint64_t)-it->code, .message = wire_str(it->message)};
    struct wire_buffer b = {0};
    struct record r = {.kind = FEATURE_REFUSAL};
    free(it->record);
    it->record = NULL;
    if (wire_encode(&error_schema, &m, &b) == STATUS_OK) {
        r.result = b.data;
        r.result_bytes = (uint32_t)b.bytes;
        snprintf(r.code_version, sizeof r.code_version, "%s", WAVEMILL_VERSION);
        snprintf(r.device, sizeof r.device, "cpu");
        it->record_bytes = record_bytes(&r);
        it->record = malloc(it->record_bytes);
        if (it->record)
            record_encode(&r, it->record);
        it->put_record = it->record != NULL;
        it->key = refusal_key(it);
    }
    wire_free(&b);
}

void item_finish(struct pool_work *w)
{
    struct item *it = item_of(w);
    int code = STATUS_OK;
    if (it->reply.event == TASK_FAILED) {
        /* What ffmpeg has to say is nearer to the cause than that its stream was short. */
        const int heard = ffmpeg_end(&it->ffmpeg, true);
        code = heard ? heard : fail((enum status)it->reply.code, "%s", it->reply.message);
        if (it->wants_ffmpeg)
            code = status_context(code, "libsndfile: %.100s", it->refusal);
        /* Half of one file and half of another: whatever the decoder said, it is not true of the bytes that were
         * hashed. */
        if (it->has_key && check_unchanged(it))
            code = STATUS_IO;
    } else {
        code = finish(it);
    }
    if (code) {
        it->put_record = false;
        item_fail(it, code);
        if (it->has_key && (code == STATUS_FORMAT || code == STATUS_UNSUPPORTED))
            remember_refusal(it);
    }
    it->stage = STAGE_OVER;
    item_release(it);
}
