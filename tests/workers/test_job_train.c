/* Where a training goes on from, and where to, when something ends it: vae_fit is a stand-in that fails as it is told.
 */
#include "device.h"
#include "exec_memory.h"
#include "full_device.h"
#include "job.h"
#include "kinds.h"
#include "pack.h"
#include "test.h"
#include "vae_fit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name

enum { RATE = 22050, SAMPLES = 1000, CALLS = 4 };

int WRAP(vae_fit)(const struct vae_fit_options *o, const struct vae_sound *sounds, int64_t count, struct exec *ex,
                  struct exec *cpu, const void *state, size_t state_bytes, const struct vae_fit_hooks *hooks,
                  struct vae_fit_result *out, struct vae_metric *metrics, int64_t *metric_count,
                  struct vae_trainer **trainer);

/* What it does at each call, and what it was called with. */
static struct {
    int (*ends)(struct exec *ex, const struct vae_fit_hooks *hooks);
    char saves[32]; /* before that; "": nothing */
} fits[CALLS];
static struct {
    bool on_device;
    char state[32]; /* "": none */
} seen[CALLS];
static int calls;

int WRAP(vae_fit)(const struct vae_fit_options *o, const struct vae_sound *sounds, int64_t count, struct exec *ex,
                  struct exec *cpu, const void *state, size_t state_bytes, const struct vae_fit_hooks *hooks,
                  struct vae_fit_result *out, struct vae_metric *metrics, int64_t *metric_count,
                  struct vae_trainer **trainer)
{
    (void)o, (void)sounds, (void)cpu, (void)out, (void)metrics;
    REQUIRE(calls < CALLS && count == 2 && state_bytes < sizeof seen->state);
    *trainer = NULL;
    *metric_count = 0;
    seen[calls].on_device = exec_device(ex) != NULL;
    memcpy(seen[calls].state, state ? state : "", state_bytes);
    const int n = calls++;
    if (fits[n].saves[0])
        CHECK_OK(hooks->save(hooks->context, fits[n].saves, strlen(fits[n].saves), 0));
    return fits[n].ends(ex, hooks);
}

static int cancelled(struct exec *ex, const struct vae_fit_hooks *hooks)
{
    (void)ex, (void)hooks;
    return fail(STATUS_CANCELLED, "enough was seen");
}

static int device_is_full(struct exec *ex, const struct vae_fit_hooks *hooks)
{
    struct exec_memory m = {0};
    (void)hooks;
    REQUIRE(exec_device(ex));
    return exec_memory_allocate(ex, (size_t)1 << 50, &m);
}

static int host_is_full(struct exec *ex, const struct vae_fit_hooks *hooks)
{
    (void)ex, (void)hooks;
    return fail(STATUS_NOMEM, "fit: out of memory");
}

static int refused(struct exec *ex, const struct vae_fit_hooks *hooks)
{
    (void)ex;
    hooks->refused(hooks->context);
    return fail(STATUS_ARGUMENT, "the checkpoint is of other settings");
}

static int rate_is_too_high(struct exec *ex, const struct vae_fit_hooks *hooks)
{
    (void)ex, (void)hooks;
    return fail(STATUS_ARGUMENT, "the loss is not finite: the rate is too high");
}

static int make_pack(void)
{
    float samples[SAMPLES] = {0};
    struct pack_writer *w = NULL;
    CHECK_OK(pack_create("sounds.pack", RATE, &w));
    REQUIRE(w);
    for (int i = 0; i < 2; i++) {
        const struct pack_item item = {.file = {.bytes = {(uint8_t)i}}, .part = (enum pack_part)i, .label = ""};
        samples[0] = (float)i;
        CHECK_OK(pack_add(w, &item, samples, SAMPLES));
    }
    CHECK_OK(pack_finish(&w));
    return open("sounds.pack", O_RDONLY | O_CLOEXEC);
}

static int memory(const char *text)
{
    const int fd = memfd_create("test", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

/* A training without a folder, that is to go on from `before`. */
static int train(const char *before)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    struct wire_buffer params = {0};
    struct task_reply reply = {0};
    int sockets[2];
    const struct kind_train_item item = {.preset = wire_str("tiny"),
                                         .batch = 4,
                                         .steps = 10,
                                         .rate = NAN,
                                         .beta = NAN,
                                         .free_nats = NAN,
                                         .weight_decay = NAN,
                                         .dropout = NAN};
    CHECK_OK(wire_encode(&kind_train_item_schema, &item, &params));
    CHECK_OK(networks_create(2, (size_t)4 << 30, &device, &n));
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    const struct task_request request = {.item_params_bytes = (uint32_t)params.bytes, .flags = TASK_RESUME};
    struct job j = {
        .request = &request, .item_params = params.data, .socket = sockets[0], .networks = n, .reply = &reply};
    for (int i = 0; i < TASK_FDS_MOST; i++)
        j.fds[i] = -1;
    j.fds[TASK_FD_INPUT] = make_pack();
    j.fds[TASK_FD_ARRAY] = memory("");
    j.fds[TASK_FD_CHECKPOINT] = memory(before);
    REQUIRE(n && j.fds[TASK_FD_INPUT] >= 0);
    calls = 0;
    const int code = job_train(&j);
    for (int i = 0; i < TASK_FDS; i++)
        if (j.fds[i] >= 0)
            close(j.fds[i]);
    close(sockets[0]);
    close(sockets[1]);
    wire_free(&params);
    networks_destroy(&n);
    return code;
}

#define SAW(n, device, from) CHECK(calls > (n) && seen[n].on_device == (device) && strcmp(seen[n].state, from) == 0)

/* A full device ends the attempt there: the CPU goes on from what that has saved, or else from where it began. */
TEST(the_cpu_goes_on_from_the_last_state)
{
    static const struct {
        const char *saves, *goes_on_from, *why;
    } cases[] = {{"saved in this attempt", "saved in this attempt", "the newest"},
                 {"", "of an earlier attempt", "nothing was saved"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(seen, 0, sizeof seen);
        fits[0].ends = device_is_full;
        snprintf(fits[0].saves, sizeof fits[0].saves, "%s", cases[i].saves);
        fits[1].ends = cancelled;
        CHECK_CODE(train("of an earlier attempt"), STATUS_CANCELLED);
        SAW(0, true, "of an earlier attempt");
        SAW(1, false, cases[i].goes_on_from);
        if (calls != 2)
            test_report(false, __FILE__, __LINE__, "%s: %d calls", cases[i].why, calls);
    }
}

/* Of the host's memory the CPU would want more: the training ends, and says whose memory it was. */
TEST(a_full_host_is_no_full_device)
{
    memset(seen, 0, sizeof seen);
    fits[0].ends = host_is_full;
    fits[0].saves[0] = '\0';
    CHECK_CODE(train("of an earlier attempt"), STATUS_NOMEM);
    CHECK(calls == 1 && strstr(status_message(), "the host's memory") &&
          strstr(status_message(), "fit: out of memory"));
    SAW(0, true, "of an earlier attempt");
}

/* Only a state that was refused is done without; the same code for another reason ends the training. */
TEST(only_a_refused_state_is_begun_anew)
{
    memset(seen, 0, sizeof seen);
    fits[0].saves[0] = '\0';
    fits[0].ends = refused;
    fits[1].ends = cancelled;
    CHECK_CODE(train("of other settings"), STATUS_CANCELLED);
    CHECK(calls == 2);
    SAW(0, true, "of other settings");
    SAW(1, true, "");
    fits[0].ends = rate_is_too_high;
    CHECK_CODE(train("after three bad steps"), STATUS_ARGUMENT);
    CHECK(calls == 1 && strstr(status_message(), "the rate is too high"));
}
