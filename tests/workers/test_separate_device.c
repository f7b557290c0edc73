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
enum { FRAMES = 2000, SEGMENTS = 3, CLIPS = 3, CLIP_FRAMES = 500, CLIP_BYTES = 8192 };

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

/* Bytes of the result. `space` holds the parameters, then the item's own. */
static uint32_t run(struct networks *n, struct offload *offload, const struct task_request *request,
                    const uint8_t *space, const int *fds)
{
    struct exec *by_isa[ISA_AVX512 + 1] = {NULL};
    struct task_reply reply = {0};
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                         &by_isa[isa_best()]));
    struct job j = {.request = request,
                    .params = space,
                    .item_params = space + request->params_bytes,
                    .socket = pair[1],
                    .exec = by_isa[isa_best()],
                    .by_isa = by_isa,
                    .networks = n,
                    .offload = offload,
                    .reply = &reply};
    memcpy(j.fds, fds, sizeof j.fds);
    CHECK_OK(request->kind == TASK_SEPARATE ? job_separate(&j) : job_separate_clips(&j));
    for (int i = 0; i <= ISA_AVX512; i++)
        exec_destroy(&by_isa[i]);
    close(pair[0]);
    close(pair[1]);
    return reply.result_bytes;
}

/* The song by job_separate. The spool stays where it is. */
static struct outcome *do_job(struct networks *n, struct offload *offload, int weights)
{
    static uint8_t space[256 + sizeof(struct plan)];
    struct wire_buffer b = {0};
    struct plan what;
    int fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    struct outcome *const o = calloc(1, sizeof *o);
    const struct kind_separate_params p = {
        .model = wire_str("tiny"), .format = wire_str("wav/float32"), .overlap = NAN, .segment_s = NAN};
    full_plan(&what, 1);
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &b));
    REQUIRE(o && b.bytes <= 256 && sound_noise("song.wav", FRAMES, 2, 44100, 7));
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
    read_outcome(fds, run(n, offload, &request, space, fds), o);
    for (int i = 0; i < TASK_FDS + STEMS + 1; i++)
        if (fds[i] >= 0)
            close(fds[i]);
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

/* ---- clips ---- */

struct clips_outcome {
    uint8_t file[CLIPS * STEMS][CLIP_BYTES];
    ssize_t bytes[CLIPS * STEMS];
    int made, on_device, segments;
};

static void read_clips(const int *fds, uint32_t bytes, struct clips_outcome *o)
{
    static uint8_t result[65536];
    struct kind_clips_result r;
    struct kind_clip_result one;
    struct kind_separate_result s;
    char backend[32];
    REQUIRE(bytes <= sizeof result && pread(fds[TASK_FD_RESULT], result, bytes, 0) == (ssize_t)bytes);
    CHECK_OK(wire_decode(&kind_clips_result_schema, result, bytes, &r));
    wire_copy(r.backend, backend, sizeof backend);
    o->segments = (int)r.segments;
    while (wire_next(&r.clips, &kind_clip_result_schema, &one))
        if (wire_next(&one.separated, &kind_separate_result_schema, &s)) {
            o->made++;
            o->on_device += s.on_device.bytes > 0;
            CHECK(s.backend.bytes == strlen(backend) && memcmp(s.backend.data, backend, s.backend.bytes) == 0);
        }
    for (int i = 0; i < CLIPS * STEMS; i++)
        o->bytes[i] = pread(fds[TASK_FDS + 1 + CLIPS + i], o->file[i], sizeof o->file[i], 0);
}

/* Params, plan and the list of clips, one behind the other. */
static void write_clips_request(uint8_t *space, size_t capacity, struct task_request *request)
{
    struct wire_buffer params = {0}, list = {0}, item = {0};
    struct plan what;
    const struct kind_separate_params p = {
        .model = wire_str("tiny"), .format = wire_str("wav/float32"), .overlap = NAN, .segment_s = NAN};
    full_plan(&what, 1);
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &params));
    for (int i = 0; i < CLIPS; i++)
        CHECK_OK(wire_encode(&kind_clip_schema,
                             &(struct kind_clip){.path = wire_str("/clip"), .track = wire_str("clip")}, &list));
    CHECK_OK(wire_encode(&kind_clips_item_schema,
                         &(struct kind_clips_item){.out = wire_str("/out"), .clips = wire_list_of(&list, CLIPS)},
                         &item));
    REQUIRE(params.bytes + sizeof what + item.bytes <= capacity);
    memcpy(space, params.data, params.bytes);
    memcpy(space + params.bytes, &what, sizeof what);
    memcpy(space + params.bytes + sizeof what, item.data, item.bytes);
    request->params_bytes = (uint32_t)params.bytes;
    request->item_params_bytes = (uint32_t)(sizeof what + item.bytes);
    wire_free(&params);
    wire_free(&list);
    wire_free(&item);
}

static struct clips_outcome *do_clips(struct networks *n, struct offload *offload, int weights)
{
    static uint8_t space[1024 + sizeof(struct plan)];
    struct clips_outcome *const o = calloc(1, sizeof *o);
    int fds[TASK_FDS_MOST] = {-1, -1, -1, -1}, extra = TASK_FDS;
    struct task_request request = {.magic = TASK_MAGIC, .kind = TASK_SEPARATE_CLIPS};
    write_clips_request(space, sizeof space, &request);
    fds[TASK_FD_RESULT] = memfd_create("result", MFD_CLOEXEC);
    request.role[request.extra++] = TASK_ROLE_SPOOL;
    fds[extra++] = memfd_create("spool", MFD_CLOEXEC);
    for (int i = 0; i < CLIPS; i++) {
        char name[16];
        snprintf(name, sizeof name, "clip%d.wav", i);
        REQUIRE(o && sound_noise(name, CLIP_FRAMES, 2, 44100, (uint64_t)i + 1));
        request.role[request.extra++] = TASK_ROLE_CLIP;
        fds[extra++] = open(name, O_RDONLY | O_CLOEXEC);
    }
    for (int i = 0; i < CLIPS * STEMS; i++) {
        request.role[request.extra++] = TASK_ROLE_OUTPUT;
        fds[extra++] = memfd_create("stem", MFD_CLOEXEC);
    }
    request.role[request.extra++] = TASK_ROLE_WEIGHTS;
    fds[extra] = weights;
    read_clips(fds, run(n, offload, &request, space, fds), o);
    for (int i = 0; i < extra; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return o;
}

static bool same_clips(const struct clips_outcome *a, const struct clips_outcome *b)
{
    bool equal = true;
    for (int i = 0; i < CLIPS * STEMS; i++)
        equal = equal && a->bytes[i] > CLIP_FRAMES * 8 && a->bytes[i] == b->bytes[i] &&
                memcmp(a->file[i], b->file[i], (size_t)a->bytes[i]) == 0;
    return equal;
}

/* The same for clips: those that the device has done already are done again. */
TEST(a_device_that_is_full_on_the_way_of_clips)
{
    struct rig r = open_rig();
    struct clips_outcome *const cpu = do_clips(r.cpu, NULL, r.weights);
    struct clips_outcome *const device = do_clips(r.device, r.offload, r.weights);
    CHECK(cpu->made == CLIPS && cpu->on_device == 0 && cpu->segments == 2);
    CHECK(device->made == CLIPS && device->on_device == CLIPS && !same_clips(cpu, device));
    full_runs = 1;
    struct clips_outcome *const full = do_clips(r.device, r.offload, r.weights);
    CHECK(full_refused == 1 && full->made == CLIPS && full->on_device == 0 && full->segments == 2);
    CHECK(same_clips(cpu, full));
    free(cpu);
    free(device);
    free(full);
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
