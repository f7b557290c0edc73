/* Drills: what a worker must survive, on demand. */
#include "job.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
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
    case NOOP_OPEN: {
        const int fd = open("/etc/passwd", O_RDONLY);
        if (fd < 0 && errno == EPERM)
            return STATUS_OK;
        if (fd >= 0)
            close(fd);
        return fail(STATUS_INTERNAL, "noop: the sandbox let a file be opened");
    }
    case NOOP_LOSE_DEVICE:
        return fail(STATUS_DEVICE, "noop: lost as it was told to");
    }
    return fail(STATUS_ARGUMENT, "noop: no action %llu", (unsigned long long)action);
}

int job_noop(struct job *j)
{
    struct kind_noop_params params = {0};
    struct kind_noop_item item = {0};
    int code = STATUS_OK;
    if (j->request->params_bytes)
        code = wire_decode(&kind_noop_params_schema, j->params, j->request->params_bytes, &params);
    if (!code && j->request->item_params_bytes)
        code = wire_decode(&kind_noop_item_schema, j->item_params, j->request->item_params_bytes, &item);
    if (code)
        return code;
    sleep_ms(params.sleep_ms);
    if ((code = act(j, item.action)))
        return code;
    return job_write_result(j, &kind_noop_result_schema, &(struct kind_noop_result){.seconds = NAN});
}
