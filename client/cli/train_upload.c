#include "train_upload.h"

#include "train_fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ATTEMPTS: that bring nothing, one after the other; with the waits between them about two minutes. */
enum { WAIT_MS = 500, ATTEMPTS = 10 };

int train_upload_key(char key[LIMIT_KEY + 1])
{
    uint64_t drawn;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return fail(STATUS_INTERNAL, "no random numbers: %s", strerror(errno));
    snprintf(key, LIMIT_KEY + 1, "%016llx", (unsigned long long)drawn);
    return STATUS_OK;
}

/* ---- sending ---- */

static int submit(struct batch *b, const struct train_upload *u, const uint8_t object[LIMIT_OBJECT],
                  struct message_accepted *out)
{
    struct wire_buffer params = {0};
    const struct client_job job = {.kind = KIND_TRAIN_OBJECTS,
                                   .name = u->model,
                                   .max_attempts = ATTEMPTS,
                                   .device_bytes = u->begun->booked_bytes,
                                   .key = {(const uint8_t *)u->begun->upload, (uint32_t)strlen(u->begun->upload)}};
    int code = wire_encode(&kind_train_item_schema, u->begun->item, &params);
    const struct client_item item = {
        .path = b->files->paths[0], .params = {params.data, (uint32_t)params.bytes}, .object = object};
    code = code ? code : client_submit_items(b->client, &job, &item, 1, out);
    wire_free(&params);
    if (code && client_refusal(b->client) == ERROR_CONFLICT)
        return fail(STATUS_ARGUMENT,
                    "the sounds are others than those that %s was begun with: `wavemill models remove %s` forgets it",
                    u->model, u->model);
    return code;
}

/* As `train` books: by the workers that there are now. That is kept before it is sent, since a job that comes again
 * under its key with another number would be another one. */
static int book(struct batch *b, const struct train_upload *u)
{
    const uint64_t before = u->begun->booked_bytes;
    const int code = cli_booking(b->client, b->device_bytes, &u->begun->booked_bytes);
    return code || u->begun->booked_bytes == before ? code : train_begun_write(u->folder, u->begun);
}

/* Under a key of its own, with what can be booked now. */
static int begin_anew(struct batch *b, const struct train_upload *u, const uint8_t object[LIMIT_OBJECT],
                      struct message_accepted *a)
{
    int code = train_upload_key(u->begun->upload);
    *a = (struct message_accepted){0}; /* nothing stays of the one before */
    code = code ? code : train_begun_write(u->folder, u->begun);
    code = code ? code : book(b, u);
    return code ? code : submit(b, u, object, a);
}

/* Submitted again, it is a new job, with the booking of the old one: that one is not what is wanted. */
static int replace(struct batch *b, const struct train_upload *u, const uint8_t object[LIMIT_OBJECT],
                   struct message_accepted *a)
{
    struct message_job m;
    const int code = client_cancel(b->client, a->job, &m);
    if (code)
        return code;
    fprintf(stderr, "wavemill train: the scheduler has forgotten the job of %s: it is begun anew\n", u->model);
    return begin_anew(b, u, object, a);
}

/* A job that was there: one that failed is tried again, one that was cancelled is another one from now on. */
static int take_up(struct batch *b, const struct train_upload *u, const uint8_t object[LIMIT_OBJECT],
                   struct message_accepted *a)
{
    struct message_job m;
    int code = client_show(b->client, a->job, &m);
    if (code)
        return code;
    if (m.state == JOB_CANCELLED) {
        fprintf(stderr, "wavemill train: job %llu was cancelled: %s is begun anew\n", (unsigned long long)a->job,
                u->model);
        return begin_anew(b, u, object, a);
    }
    if (!m.dead)
        return STATUS_OK;
    fprintf(stderr, "wavemill train: job %llu failed: %s is tried again, from its beginning\n",
            (unsigned long long)a->job, u->model);
    return client_retry(b->client, a->job, NULL, 0, &m);
}

static int send(struct batch *b, const struct train_upload *u)
{
    uint8_t object[LIMIT_OBJECT];
    struct message_accepted a = {0};
    struct message_job m;
    int code = u->detach ? cli_connect(b->common, false, &b->client) : cli_connect_for_work(b->common, &b->client);
    code = code ? code : client_put_file(b->client, b->files->paths[0], object);
    code = code || u->resume ? code : book(b, u);
    code = code ? code : submit(b, u, object, &a);
    if (!code && a.known)
        code = take_up(b, u, object, &a);
    else if (!code && u->resume)
        code = replace(b, u, object, &a);
    b->job = a.job;
    return code || !b->common->priority ? code : client_priority(b->client, b->job, b->common->priority, &m);
}

/* ---- what comes ---- */

static int take_model(struct batch *b, const struct train_upload *u, struct wire_slice result)
{
    struct kind_train_result r;
    int code = wire_decode(&kind_train_result_schema, result.data, result.bytes, &r);
    code = code ? code : status_context(train_fetch(b->client, u->folder, &r), "%s cannot be fetched", u->model);
    if (code)
        return code;
    b->done++;
    return b->show(b, b->files->paths[0], result);
}

static int take_page(struct batch *b, const struct train_upload *u, uint64_t *cursor, struct progress *p, bool *over)
{
    struct client_page page;
    struct message_outcome o;
    int code = client_watch(b->client, b->job, *cursor, WAIT_MS, &page);
    if (code)
        return code;
    if (page.outcomes.count)
        progress_clear(p);
    while (!code && client_next(&page, &o)) {
        if (o.retried)
            continue;
        if (o.state == ITEM_DONE) {
            code = take_model(b, u, o.result);
            continue;
        }
        char message[LIMIT_MESSAGE + 1];
        wire_copy(o.message, message, sizeof message);
        const int shown = b->during(b, b->client);
        b->failed++;
        output_failure(b->common, b->files->paths[0], o.failure, message);
        code = shown;
    }
    fflush(stdout);
    *cursor = page.cursor;
    *over = page.over;
    b->was_cancelled = page.job.state == JOB_CANCELLED;
    progress_show(p, (uint64_t)(1000 * (page.over ? 1 : page.job.progress > 0 ? page.job.progress : 0)), 1000);
    client_page_release(&page);
    return code;
}

static int watch(struct batch *b, const struct train_upload *u, struct progress *p)
{
    uint64_t cursor = 0;
    bool over = false;
    int code = STATUS_OK;
    while (!code && !over) {
        code = take_page(b, u, &cursor, p, &over);
        if (!code && !over)
            code = b->during(b, b->client);
    }
    return code;
}

static int tell_job(const struct batch *b, const struct train_upload *u)
{
    if (b->common->format == OUTPUT_JSON) {
        json_t *const line =
            json_pack("{s:i, s:I, s:s}", "schema", OUTPUT_SCHEMA, "job", (json_int_t)b->job, "model", u->model);
        output_json_line(line);
    } else if (!b->common->quiet) {
        printf("job %llu: %s; --resume --name %s waits for it and fetches it\n", (unsigned long long)b->job, u->model,
               u->model);
    }
    return EXIT_DONE;
}

int train_upload_run(struct batch *b, const struct train_upload *u)
{
    struct progress p;
    progress_init(&p, b->common->progress, "train");
    int code = send(b, u);
    p.job = b->job;
    if (!code && u->detach) {
        client_close(&b->client);
        return tell_job(b, u);
    }
    code = code ? code : watch(b, u, &p);
    progress_end(&p, b->done, 1, code == STATUS_CANCELLED ? "interrupted" : code ? "failed" : "done");
    const bool answered = b->client && client_refusal(b->client) && b->job;
    client_close(&b->client);
    if (code == STATUS_CANCELLED && b->job) {
        fprintf(stderr,
                "wavemill train: interrupted; job %llu of %s stays: --resume waits for it and fetches it, `wavemill "
                "cancel %llu` ends it\n",
                (unsigned long long)b->job, u->model, (unsigned long long)b->job);
        return EXIT_INTERRUPTED;
    }
    if (code)
        return answered ? (cli_failed("train", code), EXIT_SOME_FAILED) : cli_failed("train", code);
    if (b->was_cancelled)
        fprintf(stderr, "wavemill train: job %llu was cancelled: --resume begins %s anew\n", (unsigned long long)b->job,
                u->model);
    return b->failed || b->was_cancelled ? EXIT_SOME_FAILED : EXIT_DONE;
}
