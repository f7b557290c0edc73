/* Networks of a compute process: who waits for memory and who does not, and the signs of life of a separation with
 * several networks. The network is the small one of tests/data. */
#include "job.h"
#include "kinds.h"
#include "networks.h"
#include "ops.h"
#include "separators.h"
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
#define REAL(name) __real_##name

enum { NETWORKS = 4, THREADS = 2 };

/* Copies of one network: other files, so other networks. */
static int copy_of_the_network(const char *name)
{
    char command[4400];
    snprintf(command, sizeof command, "cp '%s' %s", test_data("htdemucs_small/model.safetensors"), name);
    REQUIRE(system(command) == 0); /* NOLINT(cert-env33-c): the command is ours */
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/* One network; alive NULL: without waiting. */
static int take(struct networks *n, int fd, void (*alive)(void *context), void *context, const struct htdemucs **out)
{
    struct networks_place place;
    return networks_take(
        n, &(struct networks_wanted){.fds = &fd, .count = 1, .name = "one", .alive = alive, .context = context}, out,
        &place);
}

struct patience {
    struct networks *networks;
    const struct htdemucs *held; /* given back when it is asked for a sign of life; NULL: nothing */
    int calls;
};

static void alive(void *context)
{
    struct patience *const p = context;
    if (p->held)
        networks_release(p->networks, p->held);
    p->held = NULL;
    if (++p->calls < 4)
        return;
    printf("    waits for what will not come\n");
    fflush(stdout);
    _exit(1);
}

/* Memory for one of the two and not for both, which holds `first` then. What one takes is the implementation's matter.
 */
static struct networks *with_room_for_one(int a, int b, const struct htdemucs **first)
{
    for (size_t bytes = 1 << 20; bytes < (size_t)1 << 32; bytes += bytes / 16) {
        struct networks *n = NULL;
        const struct htdemucs *second;
        CHECK_OK(networks_create(THREADS, bytes, NULL, &n));
        if (n && take(n, a, NULL, NULL, first) == STATUS_OK) {
            CHECK_CODE(take(n, b, NULL, NULL, &second), STATUS_BUSY);
            return n;
        }
        networks_destroy(&n);
    }
    REQUIRE(!"no such size");
    return NULL;
}

TEST(who_holds_none_waits_until_memory_is_given_back)
{
    const int a = copy_of_the_network("a"), b = copy_of_the_network("b");
    const struct htdemucs *first, *second = NULL;
    struct networks *n = with_room_for_one(a, b, &first);
    struct patience p = {.networks = n, .held = first};
    CHECK_OK(take(n, b, alive, &p, &second));
    CHECK(p.calls == 1 && second && !p.held);
    networks_release(n, second);
    CHECK_OK(take(n, a, alive, &p, &first)); /* nobody holds the other: it goes, and nothing is waited for */
    CHECK(p.calls == 1);
    networks_release(n, first);
    networks_destroy(&n);
    close(a);
    close(b);
}

TEST(what_never_fits_is_not_waited_for)
{
    const int a = copy_of_the_network("a");
    const struct htdemucs *net = NULL;
    struct networks *n = NULL;
    struct patience p = {0};
    for (size_t bytes = 1 << 10; bytes <= 2 << 20; bytes <<= 11) { /* less than the file, and more */
        CHECK_OK(networks_create(THREADS, bytes, NULL, &n));
        CHECK_CODE(take(n, a, alive, &p, &net), STATUS_NOMEM);
        CHECK(p.calls == 0 && !net);
        networks_destroy(&n);
    }
    close(a);
}

static int ignore(void *context, const float *stems, int64_t frames)
{
    (void)context, (void)stems, (void)frames;
    return STATUS_OK;
}

/* A plan of `networks` copies, all of which count. */
static void make_plan(struct plan *plan, int networks)
{
    static const char *const stems[] = {"drums", "bass", "other", "vocals"};
    *plan = (struct plan){.method = "htdemucs", .model = "copies", .stems = 4, .networks = networks, .outputs = 1};
    for (int s = 0; s < 4; s++) {
        snprintf(plan->stem[s], sizeof plan->stem[s], "%s", stems[s]);
        for (int i = 0; i < networks; i++)
            plan->weight[i][s] = 1;
    }
    snprintf(plan->output[0].name, sizeof plan->output[0].name, "bass");
    plan->output[0].stems = 1 << 1;
}

/* A bag that waits holds nothing, so no two wait for each other; one that never fits as a whole does not wait, and
 * leaves nothing taken. */
TEST(a_bag_is_taken_as_a_whole)
{
    const int weights[2] = {copy_of_the_network("a"), copy_of_the_network("b")};
    const struct kind_separate_params params = {.overlap = NAN, .segment_s = NAN};
    const struct mixture mixture = {.rate_hz = 44100, .frames = 44100, .std = 1, .peak = 1};
    const struct htdemucs *first, *second;
    struct networks *n = with_room_for_one(weights[0], weights[1], &first);
    struct patience p = {.networks = n};
    struct networks_place place;
    struct exec *ex = NULL;
    struct separation *separation = NULL;
    struct demucs_bag bag;
    struct plan plan;
    make_plan(&plan, 2);
    networks_release(n, first);
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())}, &ex));
    const struct separator_request r = {.plan = &plan,
                                        .params = &params,
                                        .mixture = &mixture,
                                        .weights = weights,
                                        .networks = n,
                                        .exec = ex,
                                        .emit = ignore,
                                        .alive = alive,
                                        .place = &place,
                                        .context = &p};
    CHECK_CODE(separator_open(&r, &separation), STATUS_NOMEM);
    CHECK(p.calls == 0 && !separation);
    CHECK_OK(take(n, weights[1], NULL, NULL, &first)); /* nothing was kept */
    networks_release(n, first);
    /* While somebody holds one of the two it might fit later: it waits, and is told when that one is given back. */
    CHECK_OK(take(n, weights[0], NULL, NULL, &first));
    p.held = first;
    CHECK_CODE(separator_bag(&r, &bag), STATUS_NOMEM);
    CHECK(p.calls == 1 && !p.held);
    demucs_bag_give_back(&bag);
    /* Nor is more given back than was taken: who held the first holds it still. */
    CHECK_OK(take(n, weights[0], NULL, NULL, &first));
    CHECK_CODE(networks_take(n, &(struct networks_wanted){.fds = weights, .count = 2, .name = "two"}, &second, &place),
               STATUS_BUSY);
    CHECK_CODE(take(n, weights[1], NULL, NULL, &second), STATUS_BUSY);
    networks_release(n, first);
    exec_destroy(&ex);
    networks_destroy(&n);
    close(weights[0]);
    close(weights[1]);
}

/* ---- signs of life ---- */

static int beats;

void WRAP(job_beat)(struct job *j, double progress);
void REAL(job_beat)(struct job *j, double progress);

void WRAP(job_beat)(struct job *j, double progress)
{
    beats++;
    REAL(job_beat)(j, progress);
}

/* How often a separation of `frames` by so many networks says that it lives. */
static int beats_of(struct networks *n, int networks, const int weights[NETWORKS], int64_t frames)
{
    static uint8_t space[256 + sizeof(struct plan)];
    struct exec *by_isa[ISA_AVX512 + 1] = {NULL};
    struct wire_buffer b = {0};
    struct plan plan;
    int pair[2], fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    const struct kind_separate_params p = {
        .model = wire_str("htdemucs"), .format = wire_str("wav/float32"), .overlap = 0, .segment_s = NAN};
    make_plan(&plan, networks);
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &b));
    REQUIRE(b.bytes <= 256 && sound_noise("song.wav", (int)frames, 2, 44100, 7));
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    memcpy(space, b.data, b.bytes);
    memcpy(space + b.bytes, &plan, sizeof plan);
    struct task_request request = {.magic = TASK_MAGIC,
                                   .kind = TASK_SEPARATE,
                                   .params_bytes = (uint32_t)b.bytes,
                                   .item_params_bytes = sizeof plan,
                                   .extra = (uint32_t)(2 + networks),
                                   .role = {TASK_ROLE_SPOOL, TASK_ROLE_OUTPUT}};
    fds[0] = open("song.wav", O_RDONLY | O_CLOEXEC);
    fds[1] = memfd_create("result", MFD_CLOEXEC);
    fds[TASK_FDS] = open("spool", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fds[TASK_FDS + 1] = open("0.wav", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; i < networks; i++) {
        request.role[2 + i] = TASK_ROLE_WEIGHTS;
        fds[TASK_FDS + 2 + i] = weights[i];
    }
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
                    .reply = &reply};
    memcpy(j.fds, fds, sizeof fds);
    beats = 0;
    CHECK_OK(job_separate(&j));
    for (int i = 0; i <= ISA_AVX512; i++)
        exec_destroy(&by_isa[i]);
    const int own[] = {fds[0], fds[1], fds[TASK_FDS], fds[TASK_FDS + 1], pair[0], pair[1]};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        close(own[i]);
    wire_free(&b);
    return beats;
}

/* Each run of a network, which takes seconds with a large one, has a sign of its own: as many more networks, so many
 * more signs for each segment, though no more stems come out. */
TEST(every_run_of_a_network_is_a_sign_of_life)
{
    int weights[NETWORKS];
    static const char *const names[NETWORKS] = {"a", "b", "c", "d"};
    const struct htdemucs *net;
    struct networks *n = NULL;
    for (int i = 0; i < NETWORKS; i++)
        weights[i] = copy_of_the_network(names[i]);
    CHECK_OK(networks_create(THREADS, SIZE_MAX, NULL, &n));
    REQUIRE(take(n, weights[0], NULL, NULL, &net) == STATUS_OK);
    const int64_t segment = htdemucs_config(net)->segment, segments = 3;
    networks_release(n, net);
    const int one = beats_of(n, 1, weights, segments * segment),
              all = beats_of(n, NETWORKS, weights, segments * segment);
    printf("    %d signs with one network, %d with %d\n", one, all, NETWORKS);
    CHECK(all >= one + (NETWORKS - 1) * (int)segments);
    networks_destroy(&n);
    for (int i = 0; i < NETWORKS; i++)
        close(weights[i]);
}
