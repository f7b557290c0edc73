/* What an item's end gives: a result, an array, a record for the store; from the child, from the store, or from an
 * equal item. */
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
#include <time.h>
#include <unistd.h>

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
        p->hash = it->has_key ? (struct wire_slice){it->key.file.bytes, HASH_BYTES} : wire_str(NULL);
        p->from_store = from_store;
        if (from_store)
            p->decode_s = p->copy_in_s = p->device_s = p->copy_out_s = NAN; /* of another time */
        else
            p->seconds = it->seconds;
    }
    if (it->lease->task == TASK_SEPARATE)
        stems_describe(it, (struct kind_separate_result *)space);
    if (it->lease->task == TASK_SWEEP)
        sweep_describe(it, (struct kind_sweep_result *)space);
    struct kind_score_item track = {0};
    if (it->lease->task == TASK_SCORE && it->params_bytes &&
        wire_decode(&kind_score_item_schema, it->params, it->params_bytes, &track) == STATUS_OK)
        ((struct kind_score_result *)space)->track = track.track;
    if (brief && it->lease->task == TASK_ANALYZE)
        ((struct kind_analyze_result *)space)->series = (struct wire_list){0};
    it->result.bytes = 0;
    return wire_encode(schema, space, &it->result);
}

int item_set_result(struct item *it, const struct wire_schema *schema, const void *result)
{
    struct wire_buffer whole = {0};
    const int code = wire_encode(schema, result, &whole);
    wire_free(code ? &whole : &it->result);
    if (!code)
        it->result = whole;
    return code;
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
                      : write_full(it->array.fd, block, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    }
    close(from);
    return code;
}

/* Writes a stored array to its .npy file, as the child would have. */
static int write_stored_array(struct item *it, const struct record *r)
{
    char header[NPY_HEADER_BYTES];
    uint64_t bytes = 0;
    int code =
        feature_npy_header((enum feature_kind)r->kind, (enum dtype)r->dtype, r->bins, (int64_t)r->frames, header);
    if (code || r->place == RECORD_NO_ARRAY || npy_array_bytes((enum dtype)r->dtype, r->bins, r->frames, &bytes) ||
        bytes != r->array_bytes)
        return fail(STATUS_DAMAGED, "store: a record of an impossible array");
    code = output_file_open(&it->array, it->token);
    if (!code)
        code = write_full(it->array.fd, header, sizeof header);
    if (!code)
        code = r->place == RECORD_OBJECT ? copy_object(it, r) : write_full(it->array.fd, r->array, r->array_bytes);
    if (!code)
        return output_file_settle(&it->array);
    output_file_drop(&it->array);
    return code;
}

int item_serve(struct item *it, const struct record *r)
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
        code = item_serve(it, &r);
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
    if (npy_array_bytes((enum dtype)it->reply.dtype, r->bins, r->frames, &r->array_bytes) || fstat(it->array.fd, &s))
        return fail(STATUS_INTERNAL, "the compute child describes an impossible array");
    if ((uint64_t)s.st_size != NPY_HEADER_BYTES + r->array_bytes)
        return fail(STATUS_INTERNAL, "the array has %lld bytes, not %llu", (long long)s.st_size,
                    (unsigned long long)(NPY_HEADER_BYTES + r->array_bytes));
    if (!it->lease->stores)
        return STATUS_OK;
    if (r->array_bytes > RECORD_INLINE_MAX) {
        if (!places_have_room(it->lease->places))
            return STATUS_OK;
        if (objects_put_file(it->lease->places->objects, it->array.fd, NPY_HEADER_BYTES, r->array_bytes, &r->object))
            log_error("an array could not be stored: %s", status_message()); /* it is sound and goes out all the same */
        else
            r->place = RECORD_OBJECT;
        return STATUS_OK;
    }
    r->place = RECORD_INLINE;
    r->array = *inline_array = malloc(r->array_bytes ? r->array_bytes : 1);
    if (!r->array)
        return fail(STATUS_NOMEM, "out of memory");
    if (pread(it->array.fd, *inline_array, r->array_bytes, NPY_HEADER_BYTES) != (ssize_t)r->array_bytes)
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

static int check_unchanged(const struct item *it)
{
    return it->track ? track_check_unchanged(it) : it->clips ? clips_check_unchanged(it) : item_check_unchanged(it);
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
    if (!code && it->lease->feature)
        code = make_record(it, &(struct wire_slice){it->result.data, (uint32_t)it->result.bytes});
    if (!code && it->lease->task == TASK_FEATURES)
        code = output_file_settle(&it->array);
    if (!code && it->lease->task == TASK_SEPARATE)
        code = separation_settle(it);
    if (!code && it->lease->task == TASK_SEPARATE_CLIPS)
        code = clips_settle(it);
    if (!code && it->lease->task == TASK_TRAIN)
        code = training_settle(it);
    if (!code && it->lease->task == TASK_SWEEP)
        code = sweep_settle(it);
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
        it->key = item_refusal_key(it);
    }
    wire_free(&b);
}

void item_finish(struct pool_work *w)
{
    struct item *it = item_of(w);
    int code = STATUS_OK;
    ffmpeg_said(&it->ffmpeg, it->ffmpeg_said, sizeof it->ffmpeg_said);
    if (it->reply.event == TASK_FAILED) {
        /* What ffmpeg has to say is nearer to the cause than that its stream was short. */
        const int heard = ffmpeg_end(&it->ffmpeg, true);
        /* A child that was taken over could call success, or the end of its supervisor, a failure. */
        const int said = status_class(it->reply.code) == FAILURE_NONE ? STATUS_INTERNAL : it->reply.code;
        code = heard ? heard : fail((enum status)said, "%s", it->reply.message);
        if (it->wants_ffmpeg)
            code = status_context(code, "libsndfile: %.100s", it->refusal);
        /* Half of one file and half of another: whatever the decoder said, it is not true of the bytes that were
         * hashed. */
        if ((it->has_key || it->track || it->clips) && check_unchanged(it))
            code = STATUS_IO;
    } else {
        code = finish(it);
    }
    if (code) {
        it->put_record = false;
        item_fail(it, code);
        if (it->lease->feature && it->has_key && (code == STATUS_FORMAT || code == STATUS_UNSUPPORTED))
            remember_refusal(it);
    }
    const bool puts = !code && it->puts.wanted;
    it->stage = puts ? STAGE_PUTTING : STAGE_OVER;
    if (!puts)
        item_release(it);
}
