#include "exec.h"
#include "fake_device.h"
#include "module.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* Host memory fails by number too: calls come here through the linker's --wrap. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
#define REAL(name) __real_##name
#define WRAP(name) __wrap_##name

static long host_calls, host_fail_at;

void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t n, size_t bytes);
void *REAL(aligned_alloc)(size_t align, size_t bytes);
void *WRAP(malloc)(size_t bytes);
void *WRAP(calloc)(size_t n, size_t bytes);
void *WRAP(aligned_alloc)(size_t align, size_t bytes);

static bool host_fails(void)
{
    return host_fail_at && ++host_calls == host_fail_at;
}

void *WRAP(malloc)(size_t bytes)
{
    return host_fails() ? NULL : REAL(malloc)(bytes);
}

void *WRAP(calloc)(size_t n, size_t bytes)
{
    return host_fails() ? NULL : REAL(calloc)(n, bytes);
}

void *WRAP(aligned_alloc)(size_t align, size_t bytes)
{
    return host_fails() ? NULL : REAL(aligned_alloc)(align, bytes);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static const void *const no_rows[MODULE_OPS_ROWS];
static struct module fake_module = {
    .abi = MODULE_ABI, .version = WAVEMILL_VERSION, .targets = "fake", .device = &fake_device_api};

enum { ARENA = 4096 };

static struct exec_options on_fake(void)
{
    fake_module.ops = (const struct ops *)no_rows;
    return (struct exec_options){.backend = BACKEND_EMULATED,
                                 .threads = 1,
                                 .arena_bytes = 64,
                                 .module = &fake_module,
                                 .device_arena_bytes = ARENA};
}

static void nothing_is_left(void)
{
    CHECK(fake_device.devices == 0 && fake_device.streams == 0 && fake_device.blocks == 0);
}

struct ramp {
    const void *device;
    int32_t n, values[5];
};

static size_t ramp_bytes(const void *params)
{
    return sizeof(struct ramp) + sizeof(int32_t) * (size_t) * (const int32_t *)params;
}

static int ramp_init(void *plan, const void *params)
{
    struct ramp *r = plan;
    memset(r, 0, sizeof *r);
    r->n = *(const int32_t *)params;
    for (int32_t i = 0; i < 5; i++)
        r->values[i] = i * r->n;
    return r->n < 0 ? fail(STATUS_ARGUMENT, "a ramp of %d", r->n) : STATUS_OK;
}

static const struct plan_kind ramp = {"ramp", sizeof(int32_t), ramp_bytes, ramp_init, true, NULL};
static const struct plan_kind host_ramp = {"host ramp", sizeof(int32_t), ramp_bytes, ramp_init, false, NULL};

TEST(an_exec_has_what_its_device_gives)
{
    struct exec *ex = NULL;
    struct exec_options o = on_fake();
    o.memory_limit = 10000;
    CHECK_OK(exec_create(&o, &ex));
    CHECK(exec_backend(ex) == BACKEND_EMULATED && exec_ops(ex) == fake_module.ops);
    CHECK(exec_device(ex) && exec_stream(ex) && exec_device_api(ex) == &fake_device_api);
    CHECK(fake_device.limit == 10000);
    void *a = NULL, *b = NULL;
    struct arena *scratch = exec_device_arena(ex);
    CHECK_OK(arena_alloc(scratch, 100, &a));
    CHECK_OK(arena_alloc(scratch, ARENA - 128, &b));
    CHECK((uintptr_t)a % 256 == 0 && (char *)b - (char *)a == 128);
    CHECK_CODE(arena_alloc(scratch, 1, &a), STATUS_NOMEM);
    exec_destroy(&ex);
    nothing_is_left();
}

TEST(the_cpu_has_no_device)
{
    struct exec *ex = NULL;
    const void *plan = NULL;
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .arena_bytes = 64}, &ex));
    CHECK(!exec_device(ex) && !exec_stream(ex) && !exec_device_api(ex) && !exec_device_arena(ex));
    CHECK_CODE(exec_plan(ex, &ramp, &(int32_t){3}, &plan), STATUS_INTERNAL);
    CHECK_OK(exec_plan(ex, &host_ramp, &(int32_t){3}, &plan));
    exec_destroy(&ex);
}

TEST(a_plan_has_a_copy_on_the_device)
{
    struct exec *ex = NULL;
    const struct exec_options o = on_fake();
    CHECK_OK(exec_create(&o, &ex));
    const void *first = NULL, *again = NULL, *other = NULL;
    CHECK_OK(exec_plan(ex, &ramp, &(int32_t){3}, &first));
    CHECK(fake_device.waits == 1 && fake_device.copies == 1);
    const struct ramp *h = first, *d = h->device;
    REQUIRE(d);
    CHECK(d != h && d->device == d && d->n == 3 && d->values[4] == 12);
    CHECK(memcmp(h, d, sizeof *h) == 0);
    CHECK_OK(exec_plan(ex, &ramp, &(int32_t){3}, &again));
    CHECK(first == again && fake_device.copies == 1);
    CHECK_OK(exec_plan(ex, &host_ramp, &(int32_t){3}, &other));
    CHECK(((const struct ramp *)other)->device == NULL && fake_device.copies == 1);
    CHECK_CODE(exec_plan(ex, &ramp, &(int32_t){-1}, &again), STATUS_ARGUMENT);
    exec_destroy(&ex);
    nothing_is_left();
}

TEST(execs_share_a_device_and_the_last_closes_it)
{
    struct exec *a = NULL, *b = NULL, *c = NULL;
    struct exec_options o = on_fake();
    CHECK_OK(exec_create(&o, &a));
    o.shared = a;
    CHECK_OK(exec_create(&o, &b));
    o.shared = b;
    CHECK_OK(exec_create(&o, &c));
    CHECK(fake_device.devices == 1 && fake_device.streams == 3);
    CHECK(exec_device(a) == exec_device(c) && exec_stream(a) != exec_stream(c));
    exec_destroy(&a);
    CHECK(fake_device.devices == 1 && fake_device.streams == 2);
    o.device = 1;
    CHECK_CODE(exec_create(&o, &a), STATUS_ARGUMENT);
    o.device = 0;
    o.backend = BACKEND_CUDA;
    CHECK_CODE(exec_create(&o, &a), STATUS_ARGUMENT);
    exec_destroy(&c);
    exec_destroy(&b);
    nothing_is_left();
}

TEST(a_device_without_room_or_without_name_is_refused)
{
    struct exec *ex = NULL;
    struct exec_options o = on_fake();
    o.memory_limit = ARENA - 1;
    CHECK_CODE(exec_create(&o, &ex), STATUS_NOMEM);
    o.memory_limit = ARENA + 10;
    const void *plan = NULL;
    CHECK_OK(exec_create(&o, &ex));
    CHECK_CODE(exec_plan(ex, &ramp, &(int32_t){3}, &plan), STATUS_NOMEM);
    CHECK(strncmp(status_message(), "ramp plan: ", 11) == 0);
    CHECK_OK(exec_plan(ex, &host_ramp, &(int32_t){3}, &plan)); /* still of use */
    exec_destroy(&ex);
    o.device = 7;
    CHECK_CODE(exec_create(&o, &ex), STATUS_UNSUPPORTED);
    CHECK(strncmp(status_message(), "emulated 7: ", 12) == 0);
    o.module = NULL;
    CHECK_CODE(exec_create(&o, &ex), STATUS_UNSUPPORTED);
    CHECK(!ex);
    nothing_is_left();
}

/* Two execs, two plans. */
static int use(void)
{
    struct exec *a = NULL, *b = NULL;
    const void *plan;
    struct exec_options o = on_fake();
    int code = exec_create(&o, &a);
    o.shared = a;
    code = code ? code : exec_create(&o, &b);
    code = code ? code : exec_plan(b, &ramp, &(int32_t){3}, &plan);
    code = code ? code : exec_plan(b, &ramp, &(int32_t){4}, &plan);
    exec_destroy(&a);
    exec_destroy(&b);
    nothing_is_left();
    return code;
}

/* The number of calls is what one fault-free run counts: the last ones are those of the end, where nothing is told. */
TEST(each_call_of_the_device_fails_in_turn)
{
    enum { AT_THE_END = 2 }; /* a wait for each stream */
    CHECK_OK(use());
    const long calls = fake_device.calls;
    CHECK(calls == 1 + 2 + 2 + 2 * 3 + AT_THE_END);
    static const int codes[] = {STATUS_NOMEM, STATUS_INTERNAL, STATUS_DEVICE};
    for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
        for (long at = 1; at <= calls; at++) {
            fake_device.calls = 0;
            fake_device.fail_at = at;
            fake_device.fail_code = codes[c];
            CHECK_CODE(use(), at <= calls - AT_THE_END ? codes[c] : STATUS_OK);
        }
}

TEST(each_host_allocation_fails_in_turn)
{
    long at = 1;
    for (int code = STATUS_NOMEM; code; at++) {
        host_calls = 0;
        host_fail_at = at;
        code = use();
        const bool reached = host_calls >= at;
        host_fail_at = 0;
        CHECK_CODE(code, reached ? STATUS_NOMEM : STATUS_OK);
        REQUIRE(at < 100);
    }
    CHECK(at > 15);
}
