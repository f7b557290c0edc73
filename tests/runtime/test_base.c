#include "arena.h"
#include "exec.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

TEST(status_names_and_classes)
{
    static const struct {
        int code;
        const char *name;
        enum failure_class failure;
    } cases[] = {
        {STATUS_OK, "ok", FAILURE_NONE},           {STATUS_ARGUMENT, "argument", FAILURE_INPUT},
        {STATUS_NOMEM, "nomem", FAILURE_RESOURCE}, {STATUS_DEVICE, "device", FAILURE_DEVICE},
        {STATUS_IO, "io", FAILURE_TRANSIENT},      {STATUS_UNSUPPORTED, "unsupported", FAILURE_INPUT},
        {-999, "unknown", FAILURE_INTERNAL},       {7, "unknown", FAILURE_INTERNAL},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CHECK(strcmp(status_name(cases[c].code), cases[c].name) == 0);
        CHECK(status_class(cases[c].code) == cases[c].failure);
    }
    CHECK(strcmp(failure_name(FAILURE_CRASH), "CRASH") == 0);
    CHECK(strcmp(failure_name(-1), "UNKNOWN") == 0);
}

TEST(status_context_prepends)
{
    CHECK(fail(STATUS_FORMAT, "bad %s", "header") == STATUS_FORMAT);
    CHECK(status_context(STATUS_FORMAT, "song.wav") == STATUS_FORMAT);
    CHECK(strcmp(status_message(), "song.wav: bad header") == 0);
    CHECK(strncmp(status_where(), "test_base.c:", 12) == 0);
    CHECK(status_context(STATUS_OK, "nothing") == STATUS_OK);
    CHECK(strcmp(status_message(), "song.wav: bad header") == 0);
    char longest[2000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    fail(STATUS_FORMAT, "%s", longest);
    status_context(STATUS_FORMAT, "%s", longest);
    CHECK(strlen(status_message()) < 512);
}

TEST(arena_aligns_fills_and_fails)
{
    struct arena a;
    CHECK_OK(arena_create(&a, 1000));
    CHECK(a.bytes == 1024);
    void *p = NULL, *q = NULL;
    CHECK_OK(arena_alloc(&a, 1, &p));
    const size_t mark = arena_mark(&a);
    CHECK_OK(arena_alloc(&a, 900, &q));
    CHECK((uintptr_t)p % ARENA_ALIGN == 0 && (uintptr_t)q % ARENA_ALIGN == 0);
    CHECK((char *)q - (char *)p == 64);
    void *none = p;
    CHECK_CODE(arena_alloc(&a, 64, &none), STATUS_NOMEM);
    CHECK(none == p);
    CHECK_CODE(arena_alloc(&a, SIZE_MAX, &none), STATUS_NOMEM);
    arena_reset(&a, mark);
    CHECK_OK(arena_alloc(&a, 64, &q));
    CHECK(a.high == 964);
    a.fail_at = a.calls + 1;
    CHECK_CODE(arena_alloc(&a, 1, &none), STATUS_NOMEM);
    arena_destroy(&a);
    CHECK_CODE(arena_create(&a, SIZE_MAX), STATUS_NOMEM);
}

static int count_up(void *context, int64_t i)
{
    atomic_int *seen = context;
    atomic_fetch_add(&seen[i], 1);
    return i % 100 == 77 ? fail(STATUS_FORMAT, "index %lld", (long long)i) : STATUS_OK;
}

TEST(exec_parallel_runs_each_index_once)
{
    static atomic_int seen[1000];
    for (int threads = 1; threads <= 4; threads++) {
        memset(seen, 0, sizeof seen);
        struct exec *ex = NULL;
        CHECK_OK(exec_create(&(struct exec_options){.threads = threads}, &ex));
        CHECK(exec_threads(ex) == threads);
        CHECK_CODE(exec_parallel(ex, 1000, count_up, seen), STATUS_FORMAT);
        CHECK(strcmp(status_message(), "index 77") == 0);
        for (int i = 0; i < 1000; i++)
            CHECK(seen[i] == 1);
        CHECK_OK(exec_parallel(ex, 0, count_up, seen));
        CHECK_OK(exec_parallel(ex, 5, count_up, seen));
        exec_destroy(&ex);
        CHECK(ex == NULL);
    }
}

TEST(exec_refuses_bad_options)
{
    struct exec *ex = NULL;
    CHECK_CODE(exec_create(&(struct exec_options){.threads = 0}, &ex), STATUS_ARGUMENT);
    CHECK_CODE(exec_create(&(struct exec_options){.threads = 4000}, &ex), STATUS_ARGUMENT);
    CHECK_CODE(exec_create(&(struct exec_options){.threads = 1, .backend = BACKEND_CUDA}, &ex), STATUS_UNSUPPORTED);
    CHECK_CODE(exec_create(&(struct exec_options){.threads = 1, .arena_bytes = SIZE_MAX}, &ex), STATUS_NOMEM);
    CHECK(ex == NULL);
    exec_destroy(&ex);
}

struct square {
    int32_t n;
};

static int plans_made;

static size_t square_bytes(const void *params)
{
    return sizeof(int32_t) * (size_t)((const struct square *)params)->n;
}

static int square_init(void *plan, const void *params)
{
    const int32_t n = ((const struct square *)params)->n;
    plans_made++;
    if (n > 100)
        return fail(STATUS_ARGUMENT, "too many");
    for (int32_t i = 0; i < n; i++)
        ((int32_t *)plan)[i] = i * i;
    return STATUS_OK;
}

TEST(exec_plan_is_cached_by_parameters)
{
    static const struct plan_kind kind = {"square", sizeof(struct square), square_bytes, square_init, false, NULL};
    struct exec *ex = NULL;
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1}, &ex));
    const void *a = NULL, *b = NULL, *c = NULL;
    CHECK_OK(exec_plan(ex, &kind, &(struct square){5}, &a));
    CHECK_OK(exec_plan(ex, &kind, &(struct square){6}, &b));
    CHECK_OK(exec_plan(ex, &kind, &(struct square){5}, &c));
    CHECK(a == c && a != b && plans_made == 2);
    CHECK(((const int32_t *)a)[4] == 16);
    CHECK_CODE(exec_plan(ex, &kind, &(struct square){101}, &b), STATUS_ARGUMENT);
    exec_destroy(&ex);
}

TEST(every_code_has_a_name_and_a_class)
{
    for (int code = 0; code >= STATUS_UNSUPPORTED; code--) {
        CHECK(strcmp(status_name(code), "unknown") != 0);
        for (int other = 0; other > code; other--)
            CHECK(strcmp(status_name(code), status_name(other)) != 0);
        /* only success and a caller's wish to stop are no failure; two classes are the scheduler's own */
        CHECK((status_class(code) == FAILURE_NONE) == (code == STATUS_OK || code == STATUS_CANCELLED));
        CHECK(status_class(code) < FAILURE_CRASH);
    }
    CHECK(strcmp(status_name(STATUS_UNSUPPORTED - 1), "unknown") == 0);
    CHECK(status_class(STATUS_UNSUPPORTED - 1) == FAILURE_INTERNAL);
    for (int f = FAILURE_NONE; f <= FAILURE_TIMEOUT; f++)
        CHECK(strcmp(failure_name(f), "UNKNOWN") != 0);
    CHECK(strcmp(failure_name(FAILURE_TIMEOUT + 1), "UNKNOWN") == 0);
}

static void *other_thread(void *context)
{
    const char *message = status_message();
    CHECK(*message == '\0');
    fail(STATUS_IO, "there");
    return context;
}

TEST(messages_belong_to_their_thread)
{
    fail(STATUS_FORMAT, "here");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    pthread_join(thread, NULL);
    CHECK(strcmp(status_message(), "here") == 0);
}

TEST(arena_in_the_callers_block)
{
    _Alignas(64) static char block[256];
    struct arena a;
    void *p = NULL;
    arena_init(&a, block + 1, 200); /* not aligned: the first allocation skips to where it is */
    CHECK_OK(arena_alloc(&a, 10, &p));
    CHECK((char *)p == block + 64 && a.used == 73);
    CHECK_CODE(arena_alloc(&a, 200, &p), STATUS_NOMEM);
    arena_reset(&a, 0);
    CHECK_OK(arena_alloc(&a, 137, &p)); /* to the last byte */
    CHECK_CODE(arena_alloc(&a, 1, &p), STATUS_NOMEM);
    arena_destroy(&a);
    CHECK(a.base == NULL); /* and the block is not freed */
    CHECK_OK(arena_create(&a, 0));
    CHECK_OK(arena_alloc(&a, 0, &p));
    arena_destroy(&a);
}

TEST(exec_says_what_it_is)
{
    static const char anything;
    const struct ops *table = (const struct ops *)&anything; /* only handed through */
    struct exec *ex = NULL;
    CHECK_OK(
        exec_create(&(struct exec_options){.threads = 3, .isa = ISA_AVX2, .arena_bytes = 4096, .ops = table}, &ex));
    CHECK(exec_ops(ex) == table && exec_backend(ex) == BACKEND_CPU && exec_isa(ex) == ISA_AVX2);
    CHECK(exec_threads(ex) == 3 && exec_arena(ex)->bytes == 4096);
    exec_destroy(&ex);
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1}, &ex));
    CHECK(exec_arena(ex)->bytes == EXEC_ARENA_BYTES);
    exec_destroy(&ex);
    CHECK(strcmp(backend_name(BACKEND_EMULATED), "emulated") == 0 && strcmp(backend_name(-1), "unknown") == 0);
    CHECK(strcmp(isa_name(ISA_AVX512), "avx512") == 0 && strcmp(isa_name(3), "unknown") == 0);
}
