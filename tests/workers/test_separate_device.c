/* Whole separations on a device, the emulator, that runs out of memory on the way, or that another attempt does not
 * have: every stem is of one place, and the result names it. */
#include "full_device.h"
#include "job.h"
#include "kinds.h"
#include "ops.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name

/* Of the song; a stride is 826 frames. */
enum { FRAMES = 2000, SEGMENTS = 3 };

static uint8_t saved[1 << 20];
static size_t saved_bytes;
static bool resumes;

int WRAP(job_save)(struct job *j, const void *data, size_t bytes, double progress);
size_t WRAP(job_resume_bytes)(const struct job *j);
bool WRAP(job_resume)(const struct job *j, void *data, size_t bytes);

/* The first that is saved, of the song's beginning. */
int WRAP(job_save)(struct job *j, const void *data, size_t bytes, double progress)
{
    (void)j, (void)progress;
    REQUIRE(bytes <= sizeof saved);
    if (!saved_bytes)
        memcpy(saved, data, bytes);
    saved_bytes = saved_bytes ? saved_bytes : bytes;
    return STATUS_OK;
}

size_t WRAP(job_resume_bytes)(const struct job *j)
{
    (void)j;
    return resumes ? saved_bytes : 0;
}

bool WRAP(job_resume)(const struct job *j, void *data, size_t bytes)
{
    (void)j;
    memcpy(data, saved, bytes);
    return resumes;
}

struct outcome {
    uint8_t file[STEMS][32768];
    ssize_t bytes[STEMS];
    char backend[32], on_device[64];
    double resumed_from;
};

static void read_outcome(const int *fds, uint32_t bytes, struct outcome *o)
{
    static uint8_t result[65536];
    struct kind_separate_result r;
    REQUIRE(bytes <= sizeof result && pread(fds[TASK_FD_RESULT], result, bytes, 0) == (ssize_t)bytes);
    CHECK_OK(wire_decode(&kind_separate_result_schema, result, bytes, &r));
    wire_copy(r.backend, o->backend, sizeof o->backend);
    wire_copy(r.on_device, o->on_device, sizeof o->on_device);
    o->resumed_from = r.resumed_from;
    for (int i = 0; i < STEMS; i++)
        o->bytes[i] = pread(fds[TASK_FDS + 1 + i], o->file[i], sizeof o->file[i], 0);
}

/* The song by job_separate. The spool stays where it is. */
static struct outcome *do_job(struct networks *n, struct offload *offload, int weights)
{
    static uint8_t space[256 + sizeof(struct plan)];
    struct exec *by_isa[ISA_AVX512 + 1] = {NULL};
    struct wire_buffer b = {0};
    struct plan what;
    int pair[2], fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    struct outcome *const o = calloc(1, sizeof *o);
    const struct kind_separate_params p = {
        .model = wire_str("tiny"), .format = wire_str("wav/float32"), .overlap = NAN, .segment_s = NAN};
    full_plan(&what, 1);
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &b));
    REQUIRE(o && b.bytes <= 256 && sound_noise("song.wav", FRAMES, 2, 44100, 7));
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    memcpy(space, b.data, b.bytes);
    memcpy(space + b.bytes, &what, sizeof what);
    struct task_request request = {.magic = TASK_MAGIC,
                                   .kind = TASK_SEPARATE,
                                   .params_bytes = (uint32_t)b.bytes,
                                   .item_params_bytes = sizeof what,
                                   .extra = STEMS + 2,
                                   .role = {[0] = TASK_ROLE_SPOOL, [STEMS + 1] = TASK_ROLE_WEIGHTS}};
    fds[0] = open("song.wav", O_RDONLY | O_CLOEXEC);
    fds[1] = memfd_create("result", MFD_CLOEXEC);
    fds[TASK_FDS] = open("spool", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < STEMS; i++) {
        request.role[1 + i] = TASK_ROLE_OUTPUT;
        fds[TASK_FDS + 1 + i] = memfd_create("stem", MFD_CLOEXEC);
    }
    fds[TASK_FDS + STEMS + 1] = weights;
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                         &by_isa[isa_best()]));
    struct task_reply reply = {0};
    struct job j = {.request = &request,
                    .params = space,
                    .item_params = space + b.bytes,
                    .socket = pair[1],
                    .exec = by_isa[isa_best()],
                    .by_isa = by_isa,
                    .networks = n,
                    .offload = offload,
                    .reply = &reply};
    memcpy(j.fds, fds, sizeof fds);
    CHECK_OK(job_separate(&j));
    read_outcome(fds, reply.result_bytes, o);
    for (int i = 0; i <= ISA_AVX512; i++)
        exec_destroy(&by_isa[i]);
    for (int i = 0; i < TASK_FDS + STEMS + 1; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    close(pair[0]);
    close(pair[1]);
    wire_free(&b);
    return o;
}

static bool same_files(const struct outcome *a, const struct outcome *b)
{
    bool equal = true;
    for (int i = 0; i < STEMS; i++)
        equal = equal && a->bytes[i] > FRAMES * 8 && a->bytes[i] == b->bytes[i] &&
                memcmp(a->file[i], b->file[i], (size_t)a->bytes[i]) == 0;
    return equal;
}

struct rig {
    struct networks *cpu, *device;
    struct offload *offload;
    int weights;
    struct outcome *outcome;
};

static struct rig open_rig(void)
{
    struct rig r = {.cpu = full_make(false), .weights = full_network("a", false)};
    struct exec_options o = full_device_options();
    CHECK_OK(offload_create(&o, &r.offload));
    REQUIRE(r.offload);
    o.shared = offload_exec(r.offload);
    CHECK_OK(networks_create(2, SIZE_MAX, &o, &r.device));
    REQUIRE(r.device);
    return r;
}

static void close_rig(struct rig *r)
{
    networks_destroy(&r->cpu);
    networks_destroy(&r->device);
    offload_destroy(&r->offload);
    close(r->weights);
}

static void do_two(void *context)
{
    struct rig *const r = context;
    for (int i = 0; i < 2; i++) {
        free(r->outcome);
        full_runs = SEGMENTS - 1;
        r->outcome = do_job(r->device, r->offload, r->weights);
    }
}

/* A device that is full on the way: the CPU has all of the song, with its own bytes, and the result says so; the log
 * says it once for all songs. */
TEST(a_device_that_is_full_on_the_way)
{
    struct rig r = open_rig();
    struct outcome *const cpu = do_job(r.cpu, NULL, r.weights), *const device = do_job(r.device, r.offload, r.weights);
    CHECK(strcmp(device->on_device, "htdemucs/fp32") == 0 && strcmp(device->backend, "emulated") == 0);
    CHECK(strcmp(cpu->backend, "cpu") == 0 && !cpu->on_device[0] && !same_files(cpu, device));
    CHECK(full_times_said("the cpu computes: planted", do_two, &r) == 1);
    CHECK(full_refused == 2 && strcmp(r.outcome->backend, "cpu") == 0 && !r.outcome->on_device[0]);
    CHECK(same_files(cpu, r.outcome));
    free(cpu);
    free(device);
    free(r.outcome);
    close_rig(&r);
}

/* What a device had begun is gone on from on a device only. */
TEST(an_attempt_goes_on_where_it_began)
{
    struct rig r = open_rig();
    struct outcome *const cpu = do_job(r.cpu, NULL, r.weights);
    saved_bytes = 0;
    struct outcome *const device = do_job(r.device, r.offload, r.weights);
    CHECK(saved_bytes > 0);
    resumes = true;
    struct outcome *const on = do_job(r.device, r.offload, r.weights);
    CHECK(on->resumed_from > 0 && on->resumed_from < 1 && same_files(device, on));
    struct outcome *const anew = do_job(r.cpu, NULL, r.weights);
    CHECK(isnan(anew->resumed_from) && same_files(cpu, anew));
    free(cpu);
    free(device);
    free(on);
    free(anew);
    close_rig(&r);
}
