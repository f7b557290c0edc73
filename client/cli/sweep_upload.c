#include "sweep_upload.h"

#include "paths.h"
#include "sweep_end.h"
#include "sweep_layout.h"
#include "sweep_records.h"
#include "sweep_sent.h"
#include "sweep_show.h"
#include "sweep_warnings.h"
#include "train_fetch.h"
#include "train_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ATTEMPTS: that bring nothing, one after the other, as of train_upload.c. */
enum { WAIT_MS = 500, ATTEMPTS = 10, FOLDER_BYTES = PATHS_MAX + 128 };

struct run {
    const struct sweep_upload *u;
    struct client *c;
    const struct halving *h;
    const char *folder;
    struct sweep_sent sent;
    double *scores; /* [rounds][trials] */
    uint64_t job;
    struct sweep_warnings warnings;
    struct progress progress;
    uint64_t done, all; /* items; all: where none is lost */
    bool was_cancelled;
};

static struct sweep_trial *trial_of(const struct run *r, size_t item)
{
    return &r->u->plan->trials[r->sent.trial[item]];
}

/* ---- sounds ---- */

static struct sweep_pack *pack_of(struct run *r, const char *preset)
{
    for (int i = 0; i < r->sent.packs; i++)
        if (strcmp(r->sent.pack[i].preset, preset) == 0)
            return &r->sent.pack[i];
    return NULL;
}

/* Those that it was begun with, or it is another sweep. */
static int send_packs(struct run *r)
{
    int code = STATUS_OK;
    for (size_t i = 0; i < r->u->items->packs && !code; i++) {
        uint8_t object[LIMIT_OBJECT];
        const char *const preset = r->u->items->preset[i];
        struct sweep_pack *p = pack_of(r, preset);
        code = client_put_file(r->c, r->u->items->pack[i], object);
        if (code)
            return code;
        if (p && memcmp(p->object, object, sizeof object) != 0)
            return fail(STATUS_ARGUMENT, "the sounds are others than those that %s was begun with: another --name",
                        r->u->target->name);
        if (!p && r->sent.packs == SWEEP_PRESETS_MOST) /* others than the plan's are told there */
            return fail(STATUS_DAMAGED, "what %s has sent has sounds of %d presets, and none of %s", r->u->target->name,
                        r->sent.packs, preset);
        p = p ? p : &r->sent.pack[r->sent.packs++];
        snprintf(p->preset, sizeof p->preset, "%s", preset);
        memcpy(p->object, object, sizeof object);
    }
    return code;
}

/* ---- a round's job ---- */

/* Of a round that is over: begun again for it, its trial would cost the job of the round that goes on. One with a
 * record behind it failed later. */
static bool failed_before(const struct run *r, int64_t trial, int64_t round)
{
    char why[LIMIT_MESSAGE + 1];
    if (round >= r->sent.round)
        return false;
    sweep_failure_read(r->folder, trial, why, sizeof why);
    for (int64_t behind = round + 1; why[0] && behind < r->h->rounds; behind++) {
        struct sweep_record record;
        if (sweep_record_read(r->folder, trial, behind, &record))
            continue;
        sweep_record_free(&record);
        return false;
    }
    return why[0];
}

/* Those in the round of which it is not known what came of it. */
static int list_lacking(struct run *r, int64_t round, int64_t *list, size_t *count)
{
    bool member[HALVING_TRIALS_MOST];
    const int code = sweep_records_scores(r->folder, r->h, round, r->scores);
    if (code)
        return code;
    halving_members(r->h, r->scores, round, member);
    *count = 0;
    for (int64_t k = 0; k < r->h->trials; k++) {
        struct sweep_record record;
        const int known = member[k] ? sweep_record_read(r->folder, k, round, &record) : STATUS_OK;
        if (known && known != STATUS_NOT_FOUND)
            return known;
        if (known && !failed_before(r, k, round))
            list[(*count)++] = k;
        else if (member[k] && !known)
            sweep_record_free(&record);
    }
    return STATUS_OK;
}

/* A job of those that lack a record, under a key of its own. What they have behind this round came of other states. */
static int begin_round(struct run *r, int64_t round)
{
    int code = train_upload_key(r->sent.key);
    code = code ? code : list_lacking(r, round, r->sent.trial, &r->sent.count);
    r->sent.round = round;
    for (size_t i = 0; i < r->sent.count && !code; i++)
        code = sweep_records_forget(r->folder, r->h, r->sent.trial[i], round);
    code = code ? code : cli_booking(r->c, r->u->device_bytes, &r->sent.booked_bytes);
    return code ? code : sweep_sent_write(r->folder, &r->sent);
}

/* What the round before has paused with. */
static int find_state(const struct run *r, int64_t trial, uint8_t out[LIMIT_OBJECT])
{
    struct sweep_record record;
    struct kind_trained_file f;
    int code = sweep_record_read(r->folder, trial, r->sent.round - 1, &record);
    if (code)
        return code;
    struct wire_list files = record.result.files;
    code = fail(STATUS_FORMAT, "trial %lld has no state", (long long)trial);
    while (wire_next(&files, &kind_trained_file_schema, &f))
        if (f.name.bytes == strlen(TRAIN_STATE_FILE) && !memcmp(f.name.data, TRAIN_STATE_FILE, f.name.bytes) &&
            f.object.bytes == LIMIT_OBJECT) {
            memcpy(out, f.object.data, LIMIT_OBJECT);
            code = STATUS_OK;
        }
    sweep_record_free(&record);
    return code;
}

static int make_item(struct run *r, size_t i, struct wire_buffer *params, struct client_item *out)
{
    uint8_t state[LIMIT_OBJECT];
    const struct sweep_trial *const t = trial_of(r, i);
    const int64_t trial = r->sent.trial[i], round = r->sent.round;
    const struct sweep_pack *const pack = pack_of(r, t->preset);
    struct kind_train_item m = t->item;
    m.preset = wire_str(t->preset);
    if (t->precision[0])
        m.precision = wire_str(t->precision);
    m.previews_at_end = true;
    m.until = round == r->h->rounds - 1 ? 0 : (uint64_t)sweep_plan_steps(r->u->plan, (size_t)trial, round);
    int code = pack ? STATUS_OK : fail(STATUS_DAMAGED, "there are no sounds for preset %s", t->preset);
    if (!code && round > 0) {
        code = find_state(r, trial, state);
        m.state = (struct wire_slice){state, sizeof state};
    }
    code = code ? code : wire_encode(&kind_train_item_schema, &m, params);
    *out = (struct client_item){.path = r->u->items->paths[trial],
                                .params = {params->data, (uint32_t)params->bytes},
                                .object = pack ? pack->object : NULL};
    return code;
}

static int submit(struct run *r, struct message_accepted *out)
{
    const size_t n = r->sent.count;
    const struct client_job job = {.kind = KIND_TRAIN_OBJECTS,
                                   .name = r->u->target->name,
                                   .max_attempts = ATTEMPTS,
                                   .device_bytes = r->sent.booked_bytes,
                                   .key = {(const uint8_t *)r->sent.key, (uint32_t)strlen(r->sent.key)}};
    struct client_item *const items = calloc(n + 1, sizeof *items);
    struct wire_buffer *const params = calloc(n + 1, sizeof *params);
    int code = items && params ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !code; i++)
        code = make_item(r, i, &params[i], &items[i]);
    code = code ? code : client_submit_items(r->c, &job, items, n, out);
    for (size_t i = 0; params && i < n; i++)
        wire_free(&params[i]);
    free(params);
    free(items);
    return code;
}

static int say_again(const struct run *r, const char *why)
{
    fprintf(stderr, "wavemill sweep: the job of round %lld %s: what is left of it is sent again\n",
            (long long)r->sent.round + 1, why);
    return STATUS_OK;
}

static int begin_again(struct run *r, const char *why, struct message_accepted *a)
{
    say_again(r, why);
    *a = (struct message_accepted){0}; /* nothing stays of the one before */
    const int code = begin_round(r, r->sent.round);
    return code ? code : submit(r, a);
}

/* Of a job that was sent before: is there still what was sent? */
static int take_up(struct run *r, struct message_accepted *a)
{
    struct message_job m;
    int code = submit(r, a);
    if (code && client_refusal(r->c) == ERROR_CONFLICT) /* a record before it was made again: other states */
        return begin_again(r, "is of other states", a);
    if (code)
        return code;
    if (!a->known) { /* of those that are done there is nothing to do */
        code = client_cancel(r->c, a->job, &m);
        return code ? code : begin_again(r, "is forgotten", a);
    }
    code = client_show(r->c, a->job, &m);
    if (!code && m.state == JOB_CANCELLED)
        return begin_again(r, "was cancelled", a);
    return code || !m.dead ? code : client_retry(r->c, a->job, NULL, 0, &m);
}

/* Not a part of what is sent: under one key that is always the same. */
static int set_priority(struct run *r)
{
    struct message_job m;
    const int64_t priority = r->u->common->priority;
    return priority ? client_priority(r->c, r->job, priority, &m) : STATUS_OK;
}

/* ---- what comes of it ---- */

static int keep(struct run *r, size_t item, struct wire_slice result)
{
    struct wire_buffer own = {0};
    struct kind_sweep_result m; /* begins as that of a training */
    char why[LIMIT_MESSAGE + 1];
    const int64_t trial = r->sent.trial[item];
    int code = wire_decode(&kind_sweep_result_schema, result.data, result.bytes, &m);
    if (code)
        return code;
    m.trial = (uint64_t)trial;
    m.round = (uint64_t)r->sent.round;
    m.stopped = false;
    m.score = sweep_score(&m, r->u->plan->judge);
    code = wire_encode(&kind_sweep_result_schema, &m, &own);
    code = code ? code
                : sweep_record_write(r->folder, trial, r->sent.round,
                                     (struct wire_slice){own.data, (uint32_t)own.bytes}, (uint64_t)trial);
    wire_free(&own);
    if (code)
        return code;
    sweep_failure_read(r->folder, trial, why, sizeof why);
    if (why[0]) /* it was tried again */
        sweep_failure_keep(r->folder, trial, "");
    if (!r->u->common->quiet)
        sweep_show_progress(r->h, trial_of(r, item), &m);
    return code;
}

/* Its name in the round, as items of a sweep have it. */
static const char *name_of(const struct run *r, size_t item)
{
    return r->u->items->names[r->sent.round * r->h->trials + r->sent.trial[item]];
}

static int take_outcome(struct run *r, const struct message_outcome *o)
{
    char message[LIMIT_MESSAGE + 1];
    if (o->index >= r->sent.count)
        return fail(STATUS_FORMAT, "scheduler: an outcome of item %llu", (unsigned long long)o->index);
    if (o->retried)
        return STATUS_OK;
    r->done++;
    if (o->state == ITEM_DONE)
        return keep(r, (size_t)o->index, o->result);
    wire_copy(o->message, message, sizeof message);
    if (o->state == ITEM_DEAD) {
        output_failure(r->u->common, name_of(r, (size_t)o->index), o->failure, message);
        sweep_failure_keep(r->folder, r->sent.trial[o->index], message);
    }
    return STATUS_OK;
}

static int show_warnings(struct run *r)
{
    char **const names = calloc(r->sent.count + 1, sizeof *names);
    if (!names)
        return fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < r->sent.count; i++)
        names[i] = r->u->items->names[r->sent.round * r->h->trials + r->sent.trial[i]];
    const int code = sweep_warnings_show(&r->warnings, r->c, r->job, names, r->sent.count);
    free((void *)names);
    return code;
}

static int watch(struct run *r)
{
    uint64_t cursor = 0;
    bool over = false;
    int code = STATUS_OK;
    r->warnings = (struct sweep_warnings){0};
    while (!code && !over) {
        struct client_page page;
        struct message_outcome o;
        code = client_watch(r->c, r->job, cursor, WAIT_MS, &page);
        if (code)
            return code;
        if (page.outcomes.count)
            progress_clear(&r->progress);
        while (!code && client_next(&page, &o))
            code = take_outcome(r, &o);
        cursor = page.cursor;
        over = page.over;
        r->was_cancelled = page.job.state == JOB_CANCELLED;
        client_page_release(&page);
        code = code ? code : show_warnings(r);
        progress_show(&r->progress, r->done, r->all);
    }
    return code;
}

static int run_round(struct run *r, int64_t round)
{
    struct message_accepted a = {0};
    int64_t left[HALVING_TRIALS_MOST];
    size_t count;
    int code = list_lacking(r, round, left, &count);
    if (code || count == 0)
        return code;
    if (r->sent.key[0] && r->sent.round == round && r->sent.count) {
        code = take_up(r, &a);
    } else {
        code = begin_round(r, round);
        code = code ? code : submit(r, &a);
    }
    r->job = r->progress.job = a.job;
    code = code ? code : set_priority(r);
    return code ? code : watch(r);
}

/* ---- the end ---- */

static bool is_there(const char *folder, const char *file)
{
    char path[FOLDER_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

/* Into its own folder, from where it goes to the library. One that has gone is there already. */
static int fetch(struct run *r, int64_t trial)
{
    char folder[FOLDER_BYTES];
    struct sweep_record record;
    snprintf(folder, sizeof folder, "%s/" SWEEP_TRIAL, r->folder, (int)trial);
    if (!is_there(folder, ".") || is_there(folder, "model.json"))
        return STATUS_OK;
    int code = sweep_record_read(r->folder, trial, r->h->rounds - 1, &record);
    if (code)
        return code;
    code = train_fetch(r->c, folder, (const struct kind_train_result *)&record.result);
    sweep_record_free(&record);
    if (code != STATUS_NOT_FOUND && code != STATUS_DAMAGED && code != STATUS_FORMAT)
        return code;
    char why[LIMIT_MESSAGE];
    snprintf(why, sizeof why, "%s", status_message());
    code = sweep_records_forget(r->folder, r->h, trial, r->h->rounds - 1);
    r->sent.key[0] = '\0'; /* its job would only tell the same again */
    r->sent.count = 0;
    code = code ? code : sweep_sent_write(r->folder, &r->sent);
    return code ? code
                : fail(STATUS_DAMAGED, "the model of trial %lld: %s: --resume trains its last round again",
                       (long long)trial, why);
}

static int end(struct run *r)
{
    const struct sweep_plan *const p = r->u->plan;
    const struct sweep_end all = {
        .folder = r->folder, .model = r->u->target->model, .keep = (int64_t)p->keep, .h = *r->h};
    int64_t order[HALVING_TRIALS_MOST], last[HALVING_TRIALS_MOST], models;
    int code = sweep_records_scores(r->folder, r->h, r->h->rounds, r->scores);
    r->job = 0; /* none stays */
    if (code)
        return code;
    halving_rank(r->h, r->scores, order, last);
    for (int64_t n = 0; n < (int64_t)p->keep && !code; n++)
        if (last[order[n]] == r->h->rounds - 1)
            code = fetch(r, order[n]);
    return code ? code : sweep_end(&all, (uint64_t)getpid(), &models);
}

/* ---- all of it ---- */

static int run_all(struct run *r)
{
    int code = cli_connect_for_work(r->u->common, &r->c);
    if (!code && r->u->resume) {
        const int known = sweep_sent_read(r->folder, r->h, &r->sent);
        code = known == STATUS_NOT_FOUND ? STATUS_OK : known; /* killed before anything was sent */
    }
    code = code ? code : send_packs(r);
    for (int64_t round = 0; round < r->h->rounds; round++)
        r->all += (uint64_t)halving_members_most(r->h, round);
    for (int64_t round = 0; round < r->h->rounds && !code && !r->was_cancelled; round++)
        code = run_round(r, round);
    return code || r->was_cancelled ? code : end(r);
}

static int say_end(const struct run *r, int code)
{
    const bool answered = r->c && client_refusal(r->c) && r->job;
    if (code == STATUS_CANCELLED && !r->job) {
        fprintf(stderr, "wavemill sweep: interrupted; --resume goes on with it\n");
        return EXIT_INTERRUPTED;
    }
    if (code == STATUS_CANCELLED) {
        fprintf(stderr,
                "wavemill sweep: interrupted; job %llu, round %lld of %s, stays: --resume waits for it and goes on, "
                "`wavemill cancel %llu` ends it; an hour after its end it is forgotten, and what was not fetched is "
                "trained again\n",
                (unsigned long long)r->job, (long long)r->sent.round + 1, r->u->target->name,
                (unsigned long long)r->job);
        return EXIT_INTERRUPTED;
    }
    if (code) {
        const int exit_code = cli_failed("sweep", code);
        return answered || code == STATUS_ARGUMENT || code == STATUS_DAMAGED ? EXIT_SOME_FAILED : exit_code;
    }
    if (r->was_cancelled)
        fprintf(stderr, "wavemill sweep: job %llu was cancelled: --resume goes on with %s\n",
                (unsigned long long)r->job, r->u->target->name);
    return r->was_cancelled ? EXIT_SOME_FAILED : EXIT_DONE;
}

int sweep_upload_run(const struct sweep_upload *u)
{
    struct run *const r = calloc(1, sizeof *r);
    if (!r)
        return cli_failed("sweep", fail(STATUS_NOMEM, "out of memory"));
    *r = (struct run){.u = u, .h = &u->plan->h, .folder = u->target->folder};
    const int lock = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->scores = calloc((size_t)(r->h->trials * r->h->rounds), sizeof *r->scores);
    int code = r->scores ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB))
        code = errno == EWOULDBLOCK ? fail(STATUS_ARGUMENT, "another command is at %s", u->target->name)
                                    : fail(STATUS_IO, "cannot lock %.200s: %s", r->folder, strerror(errno));
    progress_init(&r->progress, u->common->progress, "sweep");
    code = code ? code : run_all(r);
    progress_end(&r->progress, r->done, r->all, code == STATUS_CANCELLED ? "interrupted" : code ? "failed" : "done");
    const int exit_code = say_end(r, code);
    client_close(&r->c);
    if (lock >= 0)
        close(lock);
    free(r->scores);
    free(r);
    return exit_code;
}
