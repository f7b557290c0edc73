#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 4096, WAIT_MS = 500 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int add_chunk(struct batch *b, struct client *c, uint64_t job, size_t from, size_t to)
{
    static struct client_item items[CHUNK];
    static char *paths[CHUNK];
    int code = STATUS_OK;
    for (size_t i = from; i < to; i++) {
        paths[i - from] = cli_absolute(b->files->paths[i]);
        items[i - from] = (struct client_item){.path = paths[i - from]};
        if (b->item_params)
            items[i - from].params = b->item_params[i];
        if (!paths[i - from])
            code = fail(STATUS_NOMEM, "out of memory");
    }
    if (!code)
        code = client_add(c, job, items, to - from);
    for (size_t i = from; i < to; i++)
        free(paths[i - from]);
    return code;
}

static int show_outcome(struct batch *b, const struct message_outcome *o)
{
    if (o->index >= b->files->count)
        return fail(STATUS_FORMAT, "scheduler: an outcome of item %llu", (unsigned long long)o->index);
    const char *path = b->files->paths[o->index];
    if (o->state == ITEM_DONE) {
        b->done++;
        return b->show(b, path, o->result);
    }
    char message[LIMIT_MESSAGE + 1];
    wire_copy(o->message, message, sizeof message);
    b->failed++;
    output_failure(b->common, path, o->failure, o->state == ITEM_CANCELLED ? "cancelled" : message);
    return STATUS_OK;
}

/* Prints what is there; waits for something when told to. */
static int show_page(struct batch *b, struct client *c, uint64_t job, int64_t wait_ms, uint64_t *cursor,
                     struct progress *p, bool *over)
{
    struct client_page page;
    struct message_outcome o;
    int code = client_watch(c, job, *cursor, wait_ms, &page);
    if (code)
        return code;
    if (page.outcomes.count)
        progress_clear(p);
    while (!code && client_next(&page, &o))
        code = show_outcome(b, &o);
    fflush(stdout);
    if (!code && ferror(stdout)) /* a signal ends a write that waits for a slow reader */
        code = cli_interrupted ? fail(STATUS_CANCELLED, "interrupted") : fail(STATUS_IO, "cannot write to stdout");
    *cursor = page.cursor;
    *over = page.over;
    client_page_release(&page);
    progress_show(p, b->done + b->failed, b->files->count);
    return code;
}

static int drive(struct batch *b, struct client *c, uint64_t *job, struct progress *p)
{
    const struct client_job spec = {.kind = b->kind,
                                    .name = b->command,
                                    .params = b->params,
                                    .priority = b->priority,
                                    .cancel_on_disconnect = true};
    uint64_t cursor = 0;
    bool over = false;
    int code = client_submit(c, &spec, job);
    p->job = *job;
    for (size_t i = 0; i < b->files->count && !code; i += CHUNK) {
        const size_t to = i + CHUNK < b->files->count ? i + CHUNK : b->files->count;
        code = add_chunk(b, c, *job, i, to);
        if (!code && to < b->files->count)
            code = show_page(b, c, *job, 0, &cursor, p, &over);
    }
    if (!code)
        code = client_seal(c, *job);
    while (!code && !over)
        code = show_page(b, c, *job, WAIT_MS, &cursor, p, &over);
    return code;
}

int batch_run(struct batch *b)
{
    const double began = now_s();
    struct client *c = NULL;
    struct progress p;
    uint64_t job = 0;
    progress_init(&p, b->common->progress, b->command);
    int code = cli_connect_for_work(b->common, &c);
    const bool no_device = code == STATUS_UNSUPPORTED;
    if (!code)
        code = drive(b, c, &job, &p);
    if (code == STATUS_CANCELLED && job) {
        struct message_job ignored;
        const sig_atomic_t signal_number = cli_interrupted;
        cli_interrupted = 0; /* one more answer, then go; a second Ctrl-C ends the wait */
        const int told = client_cancel(c, job, &ignored);
        (void)told; /* the end of the session cancels it as well */
        cli_interrupted = signal_number;
    }
    b->seconds = now_s() - began;
    progress_end(&p, b->done + b->failed, b->files->count,
                 code == STATUS_CANCELLED ? "interrupted"
                 : code                   ? "failed"
                                          : "done");
    client_close(&c);
    if (code == STATUS_CANCELLED) {
        fprintf(stderr, "wavemill %s: interrupted after %llu of %zu files; what was finished is in the store\n",
                b->command, (unsigned long long)(b->done + b->failed), b->files->count);
        return EXIT_INTERRUPTED;
    }
    if (no_device)
        fprintf(stderr, "wavemill %s: %s\n", b->command, status_message());
    else if (code)
        return cli_failed(b->command, code);
    return no_device ? EXIT_NO_DEVICE : b->failed ? EXIT_SOME_FAILED : EXIT_DONE;
}
