/* What a supervisor believes of its compute child, which decodes files of unknown origin and may have been taken over:
 * the reply on the socket, the result map and the array behind it.
 *
 *   input        control u8 (below), bytes u16 of the array's file, the reply's numbers, then the result map (u16
 *                bytes); with CONTROL_RAW the reply itself is raw bytes too
 *   properties   an item ends; one that succeeds has a result by its table, which names the hash that the
 *                supervisor computed; a failure has a class and a message in UTF-8; what goes into the store is a
 *                sound record whose array has the size that it claims, or a refusal; no descriptor, no file and no
 *                memory is left */
#include "fuzz.h"
#include "item.h"
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum control { CONTROL_RAW = 1, CONTROL_FEATURES = 2, CONTROL_BRIEF = 4, CONTROL_STORES = 8, CONTROL_KEY = 16 };
enum { ARRAY_MOST = 4096 };

static int sockets[2] = {-1, -1};
static int input_fd = -1;

/* Over a socket of the kind that the child has; false: it is refused there. */
static bool transfer(const void *data, size_t bytes, struct task_reply *out)
{
    if (sockets[0] < 0)
        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    FUZZ_CHECK(bytes && send(sockets[0], data, bytes, MSG_DONTWAIT) == (ssize_t)bytes);
    int fd;
    const bool is_taken = task_receive_reply(sockets[1], out, &fd) == STATUS_OK;
    FUZZ_CHECK(fd == -1); /* none was sent, so no checkpoint can have come */
    return is_taken;
}

static bool make_reply(struct fuzz_input *in, uint8_t control, struct task_reply *out)
{
    struct task_reply r;
    memset(&r, 0, sizeof r);
    if (control & CONTROL_RAW) {
        const struct wire_slice raw = fuzz_slice(in, sizeof r);
        memcpy(&r, raw.data, raw.bytes);
        if (fuzz_byte(in) < 250)
            r.magic = TASK_MAGIC;
        return transfer(&r, 1 + fuzz_number(in, 2) % sizeof r, out) || transfer(&r, sizeof r, out);
    }
    r.magic = TASK_MAGIC;
    r.event = fuzz_byte(in) % 6;
    r.code = (int8_t)fuzz_byte(in);
    r.result_bytes = (uint32_t)fuzz_number(in, 2);
    r.dtype = fuzz_byte(in);
    r.bins = (uint32_t)fuzz_number(in, 4);
    r.frames = fuzz_number(in, 8);
    const struct wire_slice text = fuzz_slice(in, fuzz_byte(in));
    memcpy(r.message, text.data, text.bytes < sizeof r.message ? text.bytes : sizeof r.message);
    return transfer(&r, sizeof r, out);
}

static int memory_file(const void *data, size_t bytes)
{
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && (!bytes || write(fd, data, bytes) == (ssize_t)bytes));
    return fd;
}

/* As prepare leaves an item that the child is to compute. */
static void prepare(struct item *it, struct lease *l, struct fuzz_input *in, size_t array_bytes)
{
    static char out[300], part[320];
    static const char array[ARRAY_MOST];
    snprintf(out, sizeof out, "%s/out.npy", fuzz_folder());
    snprintf(part, sizeof part, "%s/.out.npy.part", fuzz_folder());
    if (input_fd < 0)
        input_fd = memory_file("x", 1);
    const uint16_t map_bytes = (uint16_t)fuzz_number(in, 2);
    const struct wire_slice map = fuzz_slice(in, map_bytes);
    *it = (struct item){.lease = l, .input = dup(input_fd), .array.fd = -1, .ffmpeg = {.output = -1, .message = -1}};
    FUZZ_CHECK(it->input >= 0 && fstat(it->input, &it->stat) == 0);
    it->result_fd = memory_file(map.data, map.bytes);
    if (l->task != TASK_FEATURES)
        return;
    it->array.path = strdup(out);
    it->array.temporary = strdup(part);
    FILE *const f = fopen(part, "w+");
    FUZZ_CHECK(f && it->array.path && it->array.temporary && fwrite(array, 1, array_bytes, f) == array_bytes &&
               !fflush(f));
    it->array.fd = dup(fileno(f));
    FUZZ_CHECK(it->array.fd >= 0 && !fclose(f));
}

static void check_record(const struct item *it)
{
    _Alignas(16) char space[1024];
    struct record r;
    FUZZ_CHECK(it->record && record_decode(it->record, it->record_bytes, &r) == STATUS_OK);
    if (it->code) {
        FUZZ_CHECK(r.kind == FEATURE_REFUSAL && it->key.kind == FEATURE_REFUSAL);
        FUZZ_CHECK(it->code == STATUS_FORMAT || it->code == STATUS_UNSUPPORTED);
        FUZZ_CHECK(wire_decode(&error_schema, r.result, r.result_bytes, space) == STATUS_OK);
        return;
    }
    FUZZ_CHECK(it->lease->stores &&
               wire_decode(it->lease->result_schema, r.result, r.result_bytes, space) == STATUS_OK);
    if (it->lease->task == TASK_FEATURES) {
        FUZZ_CHECK(r.place == RECORD_INLINE && npy_item_bytes((enum dtype)r.dtype));
        FUZZ_CHECK(r.array_bytes == npy_item_bytes((enum dtype)r.dtype) * r.bins * r.frames);
    }
}

static void check_item(const struct item *it)
{
    _Alignas(16) char space[1024];
    FUZZ_CHECK(it->stage == STAGE_OVER && it->input < 0 && it->result_fd < 0 && it->array.fd < 0 &&
               !it->array.temporary);
    if (it->put_record)
        check_record(it);
    if (it->code) {
        FUZZ_CHECK(it->failure != FAILURE_NONE && wire_is_utf8(it->message, strlen(it->message)));
        FUZZ_CHECK(it->failure <= FAILURE_INTERNAL); /* the other classes are not a child's to give */
        return;
    }
    FUZZ_CHECK(it->reply.event != TASK_FAILED);
    FUZZ_CHECK(wire_decode(it->lease->result_schema, it->result.data, it->result.bytes, space) == STATUS_OK);
    const struct kind_provenance *const p = (const struct kind_provenance *)space;
    if (it->has_key)
        FUZZ_CHECK(p->hash.bytes == HASH_BYTES && memcmp(p->hash.data, &it->key.file, HASH_BYTES) == 0);
    else
        FUZZ_CHECK(!p->hash.data);
    fuzz_accept();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    const uint8_t control = fuzz_byte(&in);
    const size_t array_bytes = fuzz_number(&in, 2) % ARRAY_MOST;
    const bool features = control & CONTROL_FEATURES;
    struct places places = {.objects = fuzz_folder()};
    struct lease l = {.task = features ? TASK_FEATURES : TASK_ANALYZE,
                      .result_schema = features ? &kind_features_result_schema : &kind_analyze_result_schema,
                      .feature = features ? FEATURE_MFCC : FEATURE_SUMMARY,
                      .stores = control & CONTROL_STORES,
                      .brief = !features && control & CONTROL_BRIEF,
                      .places = &places};
    struct task_reply reply;
    struct item it;
    if (!make_reply(&in, control, &reply) || reply.event == TASK_STARTED || reply.event == TASK_PROGRESS)
        return 0;
    prepare(&it, &l, &in, array_bytes);
    it.reply = reply;
    it.has_key = control & CONTROL_KEY;
    it.wants_ffmpeg = reply.wants_ffmpeg;
    item_finish(&it.work);
    check_item(&it);
    if (it.array.path)
        (void)!unlink(it.array.path);
    free(it.array.path);
    free(it.record);
    wire_free(&it.result);
    return 0;
}

static void append(uint8_t *b, size_t *n, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        b[(*n)++] = (uint8_t)(v >> 8 * i);
}

static void seed(const char *name, uint8_t control, const struct wire_schema *schema, const void *result)
{
    uint8_t b[600];
    size_t n = 0;
    struct wire_buffer map = {0};
    FUZZ_CHECK(wire_encode(schema, result, &map) == STATUS_OK && map.bytes < 500);
    append(b, &n, control, 1);
    append(b, &n, NPY_HEADER_BYTES + 16, 2);
    append(b, &n, TASK_DONE, 1);
    append(b, &n, 0, 1);
    append(b, &n, map.bytes, 2);
    append(b, &n, DTYPE_F32, 1);
    append(b, &n, 2, 4);
    append(b, &n, 2, 8);
    append(b, &n, 0, 1);
    append(b, &n, map.bytes, 2);
    memcpy(b + n, map.data, map.bytes);
    fuzz_seed(name, b, n + map.bytes);
    wire_free(&map);
}

void fuzz_seeds(void)
{
    const struct kind_analyze_result a = {.codec = wire_str("mp3"), .rms = 0.5, .rate_hz = 44100};
    const struct kind_features_result f = {.feature = wire_str("mfcc"), .bins = 2, .frames = 2};
    seed("analyze", CONTROL_STORES | CONTROL_KEY, &kind_analyze_result_schema, &a);
    seed("brief", CONTROL_BRIEF, &kind_analyze_result_schema, &a);
    seed("features", CONTROL_FEATURES | CONTROL_STORES | CONTROL_KEY, &kind_features_result_schema, &f);
}
