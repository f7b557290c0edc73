#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fifo {
    struct pool_work *head, **tail;
};

struct pool {
    pthread_t *threads;
    int started;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct fifo todo, done;
    bool stop;
    int event_fd;
};

static void push(struct fifo *f, struct pool_work *w)
{
    w->next = NULL;
    *f->tail = w;
    f->tail = &w->next;
}

static struct pool_work *pop(struct fifo *f)
{
    struct pool_work *w = f->head;
    if (w) {
        f->head = w->next;
        if (!f->head)
            f->tail = &f->head;
    }
    return w;
}

static void *pool_main(void *arg)
{
    struct pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_work *w = pop(&p->todo);
        if (!w && p->stop)
            break;
        if (!w) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        w->run(w);
        pthread_mutex_lock(&p->lock);
        push(&p->done, w);
        const uint64_t one = 1;
        const ssize_t ignored = write(p->event_fd, &one, sizeof one); /* can only fail when already readable */
        (void)ignored;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_create(int threads, struct pool **out)
{
    struct pool *p = calloc(1, sizeof *p);
    if (!p)
        return fail(STATUS_NOMEM, "pool: out of memory");
    p->todo.tail = &p->todo.head;
    p->done.tail = &p->done.head;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->threads = calloc((size_t)threads, sizeof *p->threads);
    int code = p->event_fd < 0 || !p->threads ? fail(STATUS_NOMEM, "pool: %s", strerror(errno)) : STATUS_OK;
    for (; p->started < threads && !code; p->started++)
        if (pthread_create(&p->threads[p->started], NULL, pool_main, p)) {
            code = fail(STATUS_NOMEM, "pool: cannot start thread %d", p->started + 1);
            break;
        }
    if (code)
        pool_destroy(&p);
    else
        *out = p;
    return code;
}

void pool_destroy(struct pool **pool)
{
    struct pool *p = *pool;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    if (p->event_fd >= 0)
        close(p->event_fd);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
    *pool = NULL;
}

int pool_event_fd(const struct pool *p)
{
    return p->event_fd;
}

void pool_submit(struct pool *p, struct pool_work *w)
{
    pthread_mutex_lock(&p->lock);
    push(&p->todo, w);
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

struct pool_work *pool_finished(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct pool_work *w = pop(&p->done);
    if (!w) {
        uint64_t count;
        const ssize_t ignored = read(p->event_fd, &count, sizeof count);
        (void)ignored;
    }
    pthread_mutex_unlock(&p->lock);
    return w;
}
