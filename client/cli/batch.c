#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 4096, UPLOAD_CHUNK = 16, WAIT_MS = 500 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A file that cannot be read is left to the worker that gets its path, to fail it as any other. */
int batch_put_file(struct client *c, const char *path, uint8_t hash[LIMIT_OBJECT], bool *is_there)
{
    const int code = client_put_file(c, path, hash);
    *is_there = code == STATUS_OK;
    return code == STATUS_IO || code == STATUS_NOT_FOUND || code == STATUS_FORMAT ? STATUS_OK : code;
}

static int add_chunk(struct batch *b, struct client *c, uint64_t job, size_t from, size_t to)
{
    static struct client_item items[CHUNK];
    static char *paths[CHUNK];
    static uint8_t objects[UPLOAD_CHUNK][LIMIT_OBJECT];
    bool is_there;
    int code = STATUS_OK;
    for (size_t i = from; i < to; i++) {
        paths[i - from] = cli_absolute(b->files->paths[i]);
        items[i - from] = (struct client_item){.path = paths[i - from]};
        if (!paths[i - from])
            code = fail(STATUS_NOMEM, "out of memory");
        if (b->ready && !code)
            code = b->ready(b, c, i);
        if (b->item_params)
            items[i - from].params = b->item_params[i];
        if (b->upload && !code && !(code = batch_put_file(c, paths[i - from], objects[i - from], &is_there)) &&
            is_there)
            items[i - from].object = objects[i - from];
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
    const char *path = b->names ? b->names[o->index] : b->files->paths[o->index];
    if (o->retried) { /* somebody has it tried again: what was said of it before counts no more */
        b->failed -= b->failed > 0;
        return STATUS_OK;
    }
    if (o->state == ITEM_DONE) {
        b->done++;
        return b->show(b, path, o->result);
    }
    char message[LIMIT_MESSAGE + 1];
    wire_copy(o->message, message, sizeof message);
    if (b->excuse && o->state == ITEM_DEAD && b->excuse(b, (size_t)o->index)) {
        b->done++;
        return STATUS_OK;
    }
    b->failed++;
    if (b->failed_for_good)
        b->failed_for_good(b, (size_t)o->index);
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
    b->was_cancelled = page.job.state == JOB_CANCELLED;
    client_page_release(&page);
    progress_show(p, b->done + b->failed, b->files->count);
    return code;
}

static int drive(struct batch *b, struct client *c, uint64_t *job, struct progress *p)
{
    struct client_job spec = {.kind = b->kind,
                              .name = b->name ? b->name : b->command,
                              .params = b->params,
                              .priority = b->common->priority,
                              .wave = b->wave,
                              .cancel_on_disconnect = true};
    uint64_t cursor = 0;
    bool over = false;
    int code = cli_booking(c, b->device_bytes, &spec.device_bytes);
    code = code ? code : client_submit(c, &spec, job);
    b->client = c;
    p->job = b->job = *job;
    const size_t chunk =
        b->upload || b->ready ? UPLOAD_CHUNK : CHUNK; /* those that are there are computed while others go up */
    for (size_t i = 0; i < b->files->count && !code; i += chunk) {
        const size_t to = i + chunk < b->files->count ? i + chunk : b->files->count;
        code = add_chunk(b, c, *job, i, to);
        if (!code && to < b->files->count)
            code = show_page(b, c, *job, 0, &cursor, p, &over);
    }
    if (!code)
        code = client_seal(c, *job);
    if (code && client_refusal(c) == ERROR_STATE) { /* no item is taken any more */
        b->was_cancelled = true;
        return STATUS_OK;
    }
    while (!code && !over) {
        code = show_page(b, c, *job, WAIT_MS, &cursor, p, &over);
        if (!code && !over && b->during)
            code = b->during(b, c);
    }
    return code;
}

/* The whole list at once: it is known, and a repetition under the same key must send the same. */
static int submit_only(struct batch *b)
{
    const size_t n = b->files->count;
    struct client_item *const items = calloc(n + 1, sizeof *items);
    char **const paths = calloc(n + 1, sizeof *paths);
    uint8_t(*const objects)[LIMIT_OBJECT] = b->upload ? calloc(n + 1, sizeof *objects) : NULL;
    int code = items && paths && (objects || !b->upload) ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !code; i++) {
        paths[i] = cli_absolute(b->files->paths[i]);
        items[i] = (struct client_item){.path = paths[i]};
        if (b->item_params)
            items[i].params = b->item_params[i];
        if (!paths[i])
            code = fail(STATUS_NOMEM, "out of memory");
    }
    const int exit_code =
        code ? cli_failed("submit", code) : submit_jobs(b->common, b->kind, b->params, items, n, objects, b);
    for (size_t i = 0; paths && i < n; i++)
        free(paths[i]);
    free(objects);
    free(paths);
    free(items);
    return exit_code;
}

int batch_run(struct batch *b)
{
    if (cli_submission)
        return submit_only(b);
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
        fprintf(stderr, "wavemill %s: interrupted after %llu of %zu files; %s\n", b->command,
                (unsigned long long)(b->done + b->failed), b->files->count,
                b->stays ? b->stays : "what was finished is in the store");
        return EXIT_INTERRUPTED;
    }
    if (no_device)
        fprintf(stderr, "wavemill %s: %s\n", b->command, status_message());
    else if (code)
        return cli_failed(b->command, code);
    else if (b->was_cancelled)
        fprintf(stderr, "wavemill %s: the job was cancelled: %llu of %zu files were not measured\n", b->command,
                (unsigned long long)(b->files->count - b->done - b->failed), b->files->count);
    return no_device ? EXIT_NO_DEVICE : b->failed || b->was_cancelled ? EXIT_SOME_FAILED : EXIT_DONE;
}
