/* wavemill-compute - the disposable child of a worker: decodes and computes what its supervisor hands over.
 *
 * Started by wavemill-worker with the task socket as descriptor 3; of no use by hand. Each thread takes requests from
 * the socket by itself and answers on it. Ends when the socket ends. */
#include "job.h"
#include "log.h"
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

enum { TASK_SOCKET = 3 };

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
    case TASK_NOOP:
        return job_noop(j);
    }
    return fail(STATUS_UNSUPPORTED, "no task of kind %u", j->request->kind);
}

static int serve_one(struct exec **by_isa, void *buffer)
{
    struct job j = {.socket = TASK_SOCKET, .exec = by_isa[isa_best()], .by_isa = by_isa};
    int code = task_receive_request(TASK_SOCKET, buffer, &j.request, &j.params, j.fds);
    if (code)
        return code;
    j.item_params = j.params + j.request->params_bytes;
    struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_STARTED, .id = j.request->id};
    j.reply = &reply;
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
    }
    for (int i = 0; i < TASK_FDS; i++)
        if (j.fds[i] >= 0)
            close(j.fds[i]);
    return code;
}

/* The filter is closed when all threads are through with what starting takes. */
static pthread_barrier_t begun, closed;

static void work(struct exec **by_isa)
{
    void *buffer = malloc(sizeof(struct task_request) + TASK_PARAMS_MAX);
    int code = buffer ? STATUS_OK : STATUS_NOMEM;
    while (!code)
        code = serve_one(by_isa, buffer);
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

int main(int argc, char **argv)
{
    enum { THREADS_MAX = 256 };
    log_init("wavemill-compute", LOG_WARN_);
    const int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    if (threads < 1 || threads > THREADS_MAX) {
        log_error("usage: wavemill-compute THREADS, started by wavemill-worker");
        return 2;
    }
    /* Buffers of one file are there for the next: to give pages back and clear them anew costs more than decoding WAV.
     */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    int code = sandbox_give_up_privileges();
    static struct exec *ex[THREADS_MAX][ISA_AVX512 + 1]; /* [thread][isa] */
    pthread_t ids[THREADS_MAX];
    int started = 0;
    for (int i = 0; i < threads && !code; i++)
        code = exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                           &ex[i][isa_best()]);
    pthread_barrier_init(&begun, NULL, (unsigned)threads);
    pthread_barrier_init(&closed, NULL, (unsigned)threads);
    for (; started < threads - 1 && !code; started++)
        if (pthread_create(&ids[started], NULL, thread_main, ex[started + 1])) {
            code = fail(STATUS_NOMEM, "cannot start thread %d", started + 1);
            break;
        }
    if (!code) {
        pthread_barrier_wait(&begun);
        code = sandbox_close();
    }
    if (code) {
        log_error("%s", status_message());
        _exit(5);
    }
    pthread_barrier_wait(&closed);
    work(ex[0]);
    for (int i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < threads; i++)
        for (int isa = 0; isa <= ISA_AVX512; isa++)
            exec_destroy(&ex[i][isa]);
    return 0;
}
