/* wavemill-compute - the disposable child of a worker: decodes and computes what its supervisor hands over.
 *
 * Started by wavemill-worker with the task socket as descriptor 3; of no use by hand. Each thread takes requests from
 * the socket by itself and answers on it. Ends when the socket ends, or when its device is lost (TASK_EXIT_DEVICE). */
#include "device_choice.h"
#include "job.h"
#include "log.h"
#include "networks.h"
#include "offload.h"
#include "ops.h"
#include "sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Beside a device half of the threads wait for it while the others decode. */
enum { TASK_SOCKET = 3, THREADS_MAX = 256, THREADS_WITH_DEVICE = 2, EXIT_CANNOT_START = 5 };

/* What one thread computes with. */
struct hands {
    struct exec *by_isa[ISA_AVX512 + 1];
    struct offload *offload;   /* NULL: the CPU is all there is; one for all threads */
    struct networks *networks; /* one for all threads */
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int run_job(struct job *j)
{
    switch ((enum task_kind)j->request->kind) {
    case TASK_ANALYZE:
        return job_analyze(j);
    case TASK_FEATURES:
        return job_features(j);
    case TASK_INSPECT:
        return job_inspect(j);
    case TASK_NOOP:
        return job_noop(j);
    case TASK_SEPARATE:
        return job_separate(j);
    case TASK_SCORE:
        return job_score(j);
    case TASK_SEPARATE_CLIPS:
        return job_separate_clips(j);
    case TASK_TRAIN:
    case TASK_SWEEP:
        return job_train(j);
    }
    return fail(STATUS_UNSUPPORTED, "no task of kind %u", j->request->kind);
}

static int serve_one(struct hands *hands, void *buffer)
{
    struct job j = {.socket = TASK_SOCKET,
                    .exec = hands->by_isa[isa_best()],
                    .by_isa = hands->by_isa,
                    .offload = hands->offload,
                    .networks = hands->networks};
    int code = task_receive_request(TASK_SOCKET, buffer, &j.request, &j.params, j.fds);
    if (code)
        return code;
    j.item_params = j.params + j.request->params_bytes;
    struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_STARTED, .id = j.request->id};
    j.reply = &reply;
    log_tag(j.request->id);
    code = task_send_reply(TASK_SOCKET, &reply);
    if (!code) {
        const double began = now_s();
        const int result = run_job(&j);
        reply.seconds = now_s() - began;
        reply.event = result ? TASK_FAILED : TASK_DONE;
        reply.code = result;
        reply.wants_ffmpeg = result == STATUS_UNSUPPORTED && !(j.request->flags & TASK_STREAM);
        if (result)
            snprintf(reply.message, sizeof reply.message, "%s", status_message());
        code = task_send_reply(TASK_SOCKET, &reply);
        if (status_class(result) == FAILURE_DEVICE)
            _exit(TASK_EXIT_DEVICE); /* the other threads hang on the same context */
    }
    log_tag(0);
    for (int i = 0; i < TASK_FDS_MOST; i++)
        if (j.fds[i] >= 0)
            close(j.fds[i]);
    return code;
}

/* The filter is closed when all threads are through with what starting takes. */
static pthread_barrier_t begun, closed;

static void work(struct hands *hands)
{
    void *buffer = malloc(sizeof(struct task_request) + TASK_PARAMS_MAX);
    int code = buffer ? STATUS_OK : STATUS_NOMEM;
    while (!code)
        code = serve_one(hands, buffer);
    free(buffer);
    if (code != STATUS_NOT_FOUND)
        log_error("task conversation ended: %s", status_message());
}

static void *thread_main(void *arg)
{
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&closed);
    work(arg);
    return NULL;
}

/* The device, for all threads. Without memory for it they compute on the CPU. */
static int open_device(struct device_choice *choice, uint64_t limit, struct exec_options *options, struct offload **out)
{
    struct exec_options o = {.backend = choice->backend, .threads = 1, .memory_limit = limit};
    if (choice->backend == BACKEND_CPU)
        return STATUS_OK;
    int code = device_choice_resolve(choice);
    o.module = choice->module;
    o.device = choice->index;
    code = code ? code : offload_create(&o, out);
    o.shared = code ? NULL : offload_exec(*out);
    *options = o;
    if (code != STATUS_NOMEM)
        return code;
    log_warn("the cpu computes: %s", status_message());
    return STATUS_OK;
}

static int open_hands(struct hands *hands, int threads, struct offload *offload, struct networks *networks)
{
    int code = STATUS_OK;
    for (int i = 0; i < threads && !code; i++) {
        hands[i].offload = offload;
        hands[i].networks = networks;
        code = exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                           &hands[i].by_isa[isa_best()]);
    }
    return code;
}

static void close_hands(struct hands *hands, int threads)
{
    for (int i = 0; i < threads; i++)
        for (int isa = 0; isa <= ISA_AVX512; isa++)
            exec_destroy(&hands[i].by_isa[isa]);
}

/* Threads and the filter around them; then this thread is one of them, until there is nothing more to do. */
static int run(const struct device_choice *choice, struct hands *hands, int threads)
{
    const bool gpu = choice->backend == BACKEND_CUDA;
    pthread_t ids[THREADS_MAX * THREADS_WITH_DEVICE];
    int started = 0;
    int code = STATUS_OK;
    pthread_barrier_init(&begun, NULL, (unsigned)threads);
    pthread_barrier_init(&closed, NULL, (unsigned)threads);
    for (; started < threads - 1 && !code; started++)
        if (pthread_create(&ids[started], NULL, thread_main, &hands[started + 1])) {
            code = fail(STATUS_NOMEM, "cannot start thread %d", started + 1);
            break;
        }
    if (!code) {
        pthread_barrier_wait(&begun);
        code = sandbox_close(gpu ? SANDBOX_GPU : SANDBOX_CPU);
    }
    if (code)
        return code;
    pthread_barrier_wait(&closed);
    work(&hands[0]);
    for (int i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static struct hands hands[THREADS_MAX * THREADS_WITH_DEVICE];
    struct offload *offload = NULL;
    struct networks *networks = NULL;
    struct device_choice choice = {.index = -1};
    struct exec_options device = {.threads = 1};
    log_init("wavemill-compute", LOG_WARN_);
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    const uint64_t limit = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const uint64_t memory = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    if (threads < 1 || threads > THREADS_MAX ||
        (argc > 2 && (device_choice_parse(argv[2], &choice) || choice.automatic))) {
        log_error("usage: wavemill-compute THREADS [DEVICE [BYTES [MEMORY]]], started by wavemill-worker");
        return 2;
    }
    /* Buffers of one file are there for the next: to give pages back and clear them anew costs more than decoding WAV.
     */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    int code = sandbox_give_up_privileges();
    if (!code)
        code = open_device(&choice, limit, &device, &offload);
    if (!code && choice.backend == BACKEND_CUDA) /* holds for threads that start from now on */
        code = sandbox_keep_to_gpu();
    if (!code) /* a fifth is for all that is not a network */
        code = networks_create(threads, memory ? (size_t)(memory - memory / 5) : SIZE_MAX, offload ? &device : NULL,
                               &networks);
    threads *= offload ? THREADS_WITH_DEVICE : 1;
    if (!code)
        code = open_hands(hands, threads, offload, networks);
    log_init("wavemill-compute", LOG_INFO_); /* what jobs say from here on is kept with their items */
    if (!code)
        code = run(&choice, hands, threads);
    if (code) {
        log_error("%s", status_message());
        _exit(status_class(code) == FAILURE_DEVICE ? TASK_EXIT_DEVICE : EXIT_CANNOT_START);
    }
    close_hands(hands, threads);
    offload_destroy(&offload);
    networks_destroy(&networks);
    return 0;
}
