/* Drills: what a worker must survive, on demand. */
#include "job.h"
#include "kinds.h"
#include "log.h"
#include "networks.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

/* Takes memory until the supervisor's limit ends the process. */
static int allocate(struct job *j)
{
    enum { STEP = 16 << 20 };
    struct block {
        struct block *before;
        char filler[STEP];
    } *last = NULL;
    for (;;) {
        struct block *block = malloc(sizeof *block);
        if (!block)
            break;
        memset(block->filler, 1, STEP);
        block->before = last;
        last = block;
        job_beat(j, 0);
        sleep_ms(1);
    }
    while (last) {
        struct block *block = last;
        last = block->before;
        free(block);
    }
    return fail(STATUS_NOMEM, "noop: out of memory");
}

static int try_to_open(void)
{
    const int fd = open("/etc/passwd", O_RDONLY);
    if (fd < 0 && errno == EPERM)
        return STATUS_OK;
    if (fd >= 0)
        close(fd);
    return fail(STATUS_INTERNAL, "noop: the sandbox let a file be opened");
}

/* Each thread of the pool has one of these: none is done before all have met. */
static int try_in_pool(void *barrier, int64_t unused)
{
    (void)unused;
    pthread_barrier_wait(barrier);
    return try_to_open();
}

/* Here, and on the threads that the networks have for themselves, which began before the filter was closed. */
static int open_everywhere(struct job *j)
{
    pthread_barrier_t barrier;
    int code = try_to_open();
    if (code)
        return code;
    struct exec *const ex = networks_begin_turn(j->networks, NULL);
    const int threads = exec_threads(ex);
    if (pthread_barrier_init(&barrier, NULL, (unsigned)threads)) {
        networks_end_turn(j->networks);
        return fail(STATUS_NOMEM, "noop: no barrier");
    }
    code = exec_parallel(ex, threads, try_in_pool, &barrier);
    pthread_barrier_destroy(&barrier);
    networks_end_turn(j->networks);
    return code;
}

static int act(struct job *j, uint64_t action)
{
    switch ((enum noop_action)action) {
    case NOOP_SUCCEED:
        return STATUS_OK;
    case NOOP_FAIL:
        return fail(STATUS_FORMAT, "noop: failed as it was told to");
    case NOOP_CRASH:
        signal(SIGSEGV, SIG_DFL);
        return raise(SIGSEGV) ? STATUS_INTERNAL : STATUS_OK;
    case NOOP_HANG:
        for (;;)
            sleep_ms(1000);
    case NOOP_ALLOCATE:
        return allocate(j);
    case NOOP_OPEN:
        return open_everywhere(j);
    case NOOP_LOSE_DEVICE:
        return fail(STATUS_DEVICE, "noop: lost as it was told to");
    }
    return fail(STATUS_ARGUMENT, "noop: no action %llu", (unsigned long long)action);
}

/* Sleeps, from where an earlier attempt was; *from is where that was, NaN without one. */
static int sleep_through(struct job *j, const struct kind_noop_params *p, double *from)
{
    enum { TOLD_MS = 1000 };
    uint64_t slept = 0;
    *from = NAN;
    if (job_resume(j, &slept, sizeof slept) && slept <= p->sleep_ms)
        *from = p->sleep_ms ? (double)slept / (double)p->sleep_ms : 0;
    else
        slept = 0;
    const uint64_t began = slept;
    while (slept < p->sleep_ms) {
        const uint64_t left = p->sleep_ms - slept;
        const uint64_t step = p->checkpoint_ms && p->checkpoint_ms < left ? p->checkpoint_ms : left;
        sleep_ms(step);
        slept += step;
        const double progress = (double)slept / (double)p->sleep_ms;
        const int code = slept < p->sleep_ms ? job_save(j, &slept, sizeof slept, progress) : STATUS_OK;
        if (code)
            return code;
        job_beat(j, progress);
    }
    if (slept - began >= TOLD_MS)
        log_warn("noop: slept %llu ms", (unsigned long long)(slept - began));
    return STATUS_OK;
}

int job_noop(struct job *j)
{
    double resumed_from;
    struct kind_noop_params params = {0};
    struct kind_noop_item item = {0};
    int code = STATUS_OK;
    if (j->request->params_bytes)
        code = wire_decode(&kind_noop_params_schema, j->params, j->request->params_bytes, &params);
    if (!code && j->request->item_params_bytes)
        code = wire_decode(&kind_noop_item_schema, j->item_params, j->request->item_params_bytes, &item);
    if (code)
        return code;
    code = sleep_through(j, &params, &resumed_from);
    if (!code)
        code = act(j, item.action);
    if (code)
        return code;
    const struct kind_noop_result r = {.seconds = NAN, .payload = item.payload, .resumed_from = resumed_from};
    return job_write_result(j, &kind_noop_result_schema, &r);
}
