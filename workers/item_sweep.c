/* What the supervisor does for an item of kind `sweep`: one trial in one round. Is the round's result there already, it
 * is that; has the trial fallen behind in a round before, it ends here; else it becomes a training that pauses where
 * the round ends, in the trial's own folder, with that folder's lock and states. Who goes on follows from the records
 * of the rounds before, which are all there: the queue begins no round before the last one is over. */
#include "item_sweep.h"
#include "log.h"
#include "sweep_end.h"
#include "sweep_layout.h"
#include "sweep_records.h"
#include "vae_fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)HALVING_TRIALS_MOST == (int)LIMIT_TRIALS && (int)HALVING_ETA_MOST == (int)LIMIT_TRIALS,
               "what travels can be ranked");
_Static_assert(offsetof(struct kind_sweep_item, until) == offsetof(struct kind_train_item, until),
               "it begins as a training");

static int copy_path(const char *what, struct wire_slice path, char out[LIMIT_PATH + 1])
{
    wire_copy(path, out, LIMIT_PATH + 1);
    if (out[0] != '/' || memchr(path.data, 0, path.bytes) || path.bytes > LIMIT_PATH - 64)
        return fail(STATUS_ARGUMENT, "sweep: '%.80s' is no folder that a %s can be in", out, what);
    return STATUS_OK;
}

static int read_item(struct item *it)
{
    struct item_sweep *const s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "out of memory");
    it->sweep = s;
    int code = wire_decode(&kind_sweep_item_schema, it->params, it->params_bytes, &s->m);
    code = code ? code : halving_plan((int64_t)s->m.trials, (int64_t)s->m.halving, &s->h);
    code = code ? code : copy_path("sweep", s->m.out, s->folder);
    code = code ? code : copy_path("model", s->m.model, s->model);
    if (!code && ((int64_t)s->m.trial >= s->h.trials || (int64_t)s->m.round > s->h.rounds))
        code = fail(STATUS_ARGUMENT, "sweep: there is no trial %llu of %lld, or no round %llu of %lld",
                    (unsigned long long)s->m.trial, (long long)s->h.trials, (unsigned long long)s->m.round,
                    (long long)s->h.rounds);
    if (code) { /* nothing is written into a folder that is not known */
        free(s);
        it->sweep = NULL;
        return code;
    }
    s->is_last = (int64_t)s->m.round == s->h.rounds - 1;
    return STATUS_OK;
}

/* A result that has no numbers yet. */
static struct kind_sweep_result no_result(void)
{
    return (struct kind_sweep_result){.seconds = NAN,
                                      .decode_s = NAN,
                                      .copy_in_s = NAN,
                                      .device_s = NAN,
                                      .copy_out_s = NAN,
                                      .train_loss = NAN,
                                      .validation_loss = NAN,
                                      .reconstruction = NAN,
                                      .kl = NAN,
                                      .kl_of_active = NAN,
                                      .training_s = NAN,
                                      .resumed_from = NAN,
                                      .score = NAN};
}

/* It becomes the item's, which is over then. */
static int serve(struct item *it, const struct kind_sweep_result *r)
{
    it->result.bytes = 0;
    const int code = wire_encode(&kind_sweep_result_schema, r, &it->result);
    it->in_store = code == STATUS_OK;
    return code;
}

/* What another attempt, or an interrupted job, has done already; STATUS_NOT_FOUND: nothing. */
static int serve_record(struct item *it)
{
    const struct item_sweep *const s = it->sweep;
    struct sweep_record record;
    int code = sweep_record_read(s->folder, (int64_t)s->m.trial, (int64_t)s->m.round, &record);
    if (code)
        return code;
    record.result.from_store = true;
    code = serve(it, &record.result);
    sweep_record_free(&record);
    return code;
}

static int is_member(const struct item_sweep *s, bool *out)
{
    bool member[HALVING_TRIALS_MOST];
    const int64_t rounds = (int64_t)s->m.round;
    double *const scores = calloc((size_t)(s->h.trials * rounds) + 1, sizeof *scores);
    if (!scores)
        return fail(STATUS_NOMEM, "out of memory");
    const int code = sweep_records_scores(s->folder, &s->h, rounds, scores);
    if (!code) {
        halving_members(&s->h, scores, rounds, member);
        *out = member[s->m.trial];
    }
    free(scores);
    return code;
}

static int serve_stopped(struct item *it)
{
    struct kind_sweep_result r = no_result();
    r.trial = it->sweep->m.trial;
    r.round = it->sweep->m.round;
    r.stopped = true;
    r.seed = it->sweep->m.seed;
    return serve(it, &r);
}

/* Steps that the round ends at, as the child will understand steps and validations. */
static int find_pause(const struct item_sweep *s, uint64_t *out)
{
    char preset[LIMIT_FEATURE_NAME + 1];
    struct vae_fit_options o;
    wire_copy(s->m.preset, preset, sizeof preset);
    const int code = vae_fit_preset(preset, &o);
    if (code)
        return code;
    if (s->m.steps > INT32_MAX || s->m.validate_steps > INT32_MAX)
        return fail(STATUS_ARGUMENT, "sweep: %llu steps, a validation after every %llu", (unsigned long long)s->m.steps,
                    (unsigned long long)s->m.validate_steps);
    const int64_t steps = s->m.steps ? (int64_t)s->m.steps : o.recipe.steps;
    const int64_t validate = s->m.validate_steps ? (int64_t)s->m.validate_steps : o.validate_steps;
    *out = (uint64_t)halving_steps(&s->h, (int64_t)s->m.round, steps, validate);
    return STATUS_OK;
}

/* Its parameters become those of a training. */
static int become_training(struct item *it)
{
    struct item_sweep *const s = it->sweep;
    struct kind_sweep_item m = s->m;
    struct wire_buffer params = {0};
    char folder[LIMIT_PATH + 32];
    snprintf(folder, sizeof folder, "%s/" SWEEP_TRIAL, s->folder, (int)s->m.trial);
    m.out = wire_str(folder);
    m.until = 0;
    int code = s->is_last ? STATUS_OK : find_pause(s, &m.until);
    code = code ? code : wire_encode(&kind_train_item_schema, &m, &params);
    if (code) {
        wire_free(&params);
        return code;
    }
    s->own = it->params;
    it->params = params.data;
    it->params_bytes = (uint32_t)params.bytes;
    return STATUS_OK;
}

/* The item behind all rounds. */
static int conclude(struct item *it)
{
    const struct item_sweep *const s = it->sweep;
    const struct sweep_end end = {.folder = s->folder, .model = s->model, .keep = (int64_t)s->m.keep, .h = s->h};
    struct kind_sweep_result r = no_result();
    int64_t models = 0;
    const int code = sweep_end(&end, it->token, &models);
    r.round = (uint64_t)s->h.rounds;
    r.models = (uint64_t)models;
    return code ? code : serve(it, &r);
}

/* With the lock: whoever had it may have finished meanwhile. What is left of other runs goes, so that curves, states
 * and table are of one. */
static int begin(struct item *it)
{
    const struct item_sweep *const s = it->sweep;
    int code = training_open(it);
    if (code)
        return code;
    code = serve_record(it);
    return code == STATUS_NOT_FOUND ? sweep_records_forget(s->folder, &s->h, (int64_t)s->m.trial, (int64_t)s->m.round)
                                    : code;
}

int sweep_open(struct item *it)
{
    bool member = false;
    int code = read_item(it);
    if (code)
        return code;
    if ((int64_t)it->sweep->m.round == it->sweep->h.rounds)
        return conclude(it);
    code = serve_record(it);
    if (code != STATUS_NOT_FOUND)
        return code;
    code = is_member(it->sweep, &member);
    if (!code && !member)
        return serve_stopped(it);
    code = code ? code : become_training(it);
    code = code ? code : begin(it);
    if (code == STATUS_ARGUMENT || code == STATUS_IO) { /* whoever held its lock may just have finished it */
        char why[TASK_MESSAGE];
        snprintf(why, sizeof why, "%s", status_message());
        const int again = serve_record(it);
        code = again == STATUS_NOT_FOUND ? fail(code, "%s", why) : again;
    }
    return code;
}

void sweep_describe(const struct item *it, struct kind_sweep_result *out)
{
    const struct item_sweep *const s = it->sweep;
    out->trial = s->m.trial;
    out->round = s->m.round;
    out->stopped = false;
    out->score = sweep_score(out, s->m.judge);
}

/* The record is there before the states go: who comes behind a kill between the two finds one of them. */
int sweep_settle(struct item *it)
{
    const struct item_sweep *const s = it->sweep;
    int code = training_settle_files(it, s->is_last);
    code = code ? code
                : sweep_record_write(s->folder, (int64_t)s->m.trial, (int64_t)s->m.round,
                                     (struct wire_slice){it->result.data, (uint32_t)it->result.bytes}, it->token);
    return code || !s->is_last ? code : training_forget_states(it);
}

void sweep_release(struct item *it)
{
    struct item_sweep *const s = it->sweep;
    if (!s)
        return;
    if (it->code && it->code != STATUS_CANCELLED && !it->aborted && (int64_t)s->m.round < s->h.rounds)
        sweep_failure_keep(s->folder, (int64_t)s->m.trial, it->message);
    free(s->own);
    free(s);
    it->sweep = NULL;
}
