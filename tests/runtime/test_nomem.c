/* Every allocation fails once, in turn: the call says STATUS_NOMEM, leaks nothing (LeakSanitizer looks), and the next
 * try works. The linker puts the functions here in front of the C library's (--wrap). */
#include "arena.h"
#include "audio.h"
#include "audio_write.h"
#include "exec.h"
#include "kinds.h"
#include "objects.h"
#include "pack.h"
#include "store_rig.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
#define REAL(name) __real_##name
#define WRAP(name) __wrap_##name

void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t count, size_t bytes);
void *REAL(realloc)(void *old, size_t bytes);
void *REAL(aligned_alloc)(size_t align, size_t bytes);
int REAL(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *context);
void *WRAP(malloc)(size_t bytes);
void *WRAP(calloc)(size_t count, size_t bytes);
void *WRAP(realloc)(void *old, size_t bytes);
void *WRAP(aligned_alloc)(size_t align, size_t bytes);
int WRAP(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *context);

static long calls, fail_at; /* fail_at 0: never */

static bool denied(void)
{
    return ++calls == fail_at;
}

void *WRAP(malloc)(size_t bytes)
{
    return denied() ? NULL : REAL(malloc)(bytes);
}

void *WRAP(calloc)(size_t count, size_t bytes)
{
    return denied() ? NULL : REAL(calloc)(count, bytes);
}

void *WRAP(realloc)(void *old, size_t bytes)
{
    return denied() ? NULL : REAL(realloc)(old, bytes);
}

void *WRAP(aligned_alloc)(size_t align, size_t bytes)
{
    return denied() ? NULL : REAL(aligned_alloc)(align, bytes);
}

int WRAP(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *context)
{
    return denied() ? EAGAIN : REAL(pthread_create)(thread, attributes, body, context);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* Calls `body` until it meets no failure any more; it leaves nothing behind, whatever it returns. */
static void each_failure(int (*body)(void), long least)
{
    for (long n = 1; n < 1000; n++) {
        calls = 0;
        fail_at = n;
        const int code = body();
        const bool failed = calls >= n;
        fail_at = 0;
        if (!failed) {
            CHECK_CODE(code, STATUS_OK);
            CHECK(n > least); /* so many places were tried */
            return;
        }
        CHECK_CODE(code, STATUS_NOMEM);
        CHECK(*status_message());
    }
    CHECK(!"it allocates without end");
}

static int encode(void)
{
    struct wire_buffer b = {0}, list = {0};
    static const char text[1000] = "x";
    const struct kind_provenance p = {.codec = wire_str("wav"), .hash = {(const uint8_t *)text, 32}};
    int code = wire_append_uint(&list, 5);
    if (!code)
        code = wire_append_str(&list, "a string");
    if (!code)
        code = wire_encode(&kind_provenance_schema, &p, &b);
    for (int i = 0; i < 3 && !code; i++) /* grows from 256 to 4,096 */
        code = wire_append(&b, text, sizeof text);
    wire_free(&b);
    wire_free(&list);
    return code;
}

static int append_late(void) /* the growth fails inside of each function in turn */
{
    static const char filler[256];
    struct wire_buffer b = {0};
    int code = wire_append(&b, filler, 256);
    if (!code)
        code = wire_append_str(&b, "text");
    b.bytes = b.capacity;
    if (!code)
        code = wire_append_uint(&b, 7);
    b.bytes = b.capacity - 1;
    if (!code)
        code = wire_encode(&kind_noop_params_schema, &(struct kind_noop_params){.sleep_ms = 9}, &b);
    wire_free(&b);
    return code;
}

TEST(wire)
{
    each_failure(encode, 3);
    each_failure(append_late, 3);
}

static size_t plan_bytes(const void *params)
{
    return *(const size_t *)params;
}

static int plan_init(void *plan, const void *params)
{
    memset(plan, 1, *(const size_t *)params);
    return STATUS_OK;
}

static int use_exec(void)
{
    static const struct plan_kind kind = {"test", sizeof(size_t), plan_bytes, plan_init, false, NULL};
    struct exec *ex = NULL;
    const void *plan = NULL;
    int code = exec_create(&(struct exec_options){.threads = 4, .arena_bytes = 64}, &ex);
    if (!code)
        code = exec_plan(ex, &kind, &(size_t){100}, &plan);
    if (!code)
        code = exec_plan(ex, &kind, &(size_t){200}, &plan);
    exec_destroy(&ex);
    return code;
}

TEST(exec)
{
    each_failure(use_exec, 8); /* itself, arena, threads, three of them, two plans of three */
}

static int hash_it(void)
{
    struct hash h;
    const int fd = open("in", O_RDONLY);
    const int code = hash_file(fd, &h, NULL);
    close(fd);
    return code;
}

static int keep_it(void)
{
    struct hash h;
    int got = -1;
    uint64_t bytes;
    const int fd = open("in", O_RDONLY);
    int code = objects_put_file("o", fd, 0, 5, &h);
    if (!code)
        code = objects_open("o", &h, true, &got, &bytes);
    if (got >= 0)
        close(got);
    close(fd);
    return code;
}

TEST(files)
{
    const int fd = open("in", O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, "hello", 5) == 5 && mkdir("o", 0700) == 0);
    close(fd);
    each_failure(hash_it, 0);
    each_failure(keep_it, 2);
}

static int pack_it(void)
{
    static const float samples[4] = {0, 1, 0, -1};
    struct pack_writer *w = NULL;
    struct pack *p = NULL;
    int code = pack_create("a.pack", 8000, &w), fd = -1;
    for (int i = 0; i < 100 && !code; i++) /* its table grows twice */
        code = pack_add(w, &(struct pack_item){.label = "a"}, samples, 4);
    if (!code)
        code = pack_finish(&w);
    pack_abandon(&w);
    if (!code && (fd = open("a.pack", O_RDONLY | O_CLOEXEC)) >= 0)
        code = pack_open(fd, "a.pack", &p);
    CHECK(code || (p && pack_count(p) == 100));
    pack_close(&p);
    if (fd >= 0)
        close(fd);
    return code;
}

TEST(pack)
{
    each_failure(pack_it, 4);
}

static struct store *store;

static int open_it(void)
{
    struct store *s = NULL;
    const int code = store_open("f", &(struct store_options){0}, &s);
    store_close(&s);
    return code;
}

static int get_it(void)
{
    struct store_value v;
    const struct store_key k = rig_key(1);
    const int code = store_get(store, &k, &v);
    if (!code)
        store_release(&v);
    return code;
}

static int get_damaged(void)
{
    struct store_value v;
    const struct store_key k = rig_key(1);
    const int code = store_get(store, &k, &v);
    return code == STATUS_DAMAGED ? STATUS_OK : code;
}

static void ignore(void *context, const char *line)
{
    (void)context, (void)line;
}

static int fsck_it(void)
{
    struct store_check check;
    return store_fsck(store, ignore, NULL, &check);
}

TEST(feature_store)
{
    store = rig_open("f", 0);
    CHECK_OK(rig_put(store, 1, 100));
    each_failure(get_it, 0);
    store_close(&store);
    each_failure(open_it, 0);
    rig_damage("feature", 100);
    store = rig_open("f", 0);
    each_failure(get_damaged, 1); /* the copy, then the copy for quarantine */
    CHECK_CODE(get_it(), STATUS_NOT_FOUND);
    CHECK_OK(rig_put(store, 1, 100));
    store_close(&store);
    rig_damage("feature", 100);
    store = rig_open("f", 0);
    each_failure(fsck_it, 1); /* the key to remember, then the copy */
    struct store_stats st;
    CHECK_OK(store_stats(store, &st));
    CHECK(st.records == 0 && st.quarantined == 2);
    store_close(&store);
}

static int decode_file(void)
{
    struct audio *a = NULL;
    float out[16];
    int64_t got;
    const int fd = open("x.wav", O_RDONLY);
    int code = audio_open(fd, &a);
    if (!code)
        code = audio_read(a, out, 16, &got);
    audio_close(&a);
    close(fd);
    return code;
}

static int decode_stream(void)
{
    struct audio *a = NULL;
    float out[16];
    int64_t got;
    const int fd = open("x.au", O_RDONLY);
    int code = audio_open_stream(fd, &a);
    if (!code)
        code = audio_read(a, out, 16, &got);
    audio_close(&a);
    close(fd);
    return code;
}

static int encode_file(enum audio_container container)
{
    const struct audio_format f = {.container = container};
    const float x[16] = {0.5f};
    struct audio_writer *w = NULL;
    const int fd = open("made", O_WRONLY | O_CREAT, 0600);
    int code = audio_write_open(fd, &f, 8000, 1, 16, &w);
    if (!code)
        code = audio_write(w, x, 16);
    const int closed = audio_write_close(&w);
    close(fd);
    return code ? code : closed;
}

static int encode_wav(void)
{
    return encode_file(AUDIO_WAV);
}

static int encode_ogg(void)
{
    return encode_file(AUDIO_OGG);
}

TEST(audio_write)
{
    each_failure(encode_wav, 3);
    each_failure(encode_ogg, 4);
}

TEST(audio)
{
    SF_INFO info = {.channels = 1, .samplerate = 8000, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *wav = sf_open("x.wav", SFM_WRITE, &info);
    const float samples[16] = {0.5f};
    CHECK(sf_writef_float(wav, samples, 16) == 16 && sf_close(wav) == 0);
    const int fd = open("x.au", O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, ".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\x06\0\0\x1f\x40\0\0\0\x01\0\0\0\0", 28) == 28);
    close(fd);
    each_failure(decode_file, 0);
    each_failure(decode_stream, 1);
}
