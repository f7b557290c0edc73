/* A file taken apart into stems: decoded once into the spool, separated from there into the spool, encoded from there.
 */
#include "audio.h"
#include "job.h"
#include "log.h"
#include "mixture.h"
#include "separate_result.h"
#include "separated.h"
#include "separators.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK_FRAMES = 32768, SAVE_EVERY_MS = 1000 };

/* How much of the whole each part is taken for. */
static const double SEPARATED = 0.9;

/* What another attempt needs besides the method's own state, which follows. */
struct saved {
    uint8_t spool[SPOOL_NAME];
    int64_t pushed, emitted;
    int32_t on_device, precision; /* of networks */
    struct mixture mixture;
    struct separated_sums sums;
};

struct separating {
    struct job *job;
    struct plan plan;
    struct separate_settings settings;
    struct spool spool;
    struct mixture mixture;
    struct separated separated;
    struct separation *separation;
    struct networks_place place;
    bool on_cpu; /* networks: the device had no memory for them on the way */
    int64_t pushed, saved_ms;
    double resumed_from; /* NaN: it was begun here */
    float block[BLOCK_FRAMES * SEPARATION_CHANNELS];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static double progress_of(const struct separating *s)
{
    return s->mixture.frames ? SEPARATED * (double)s->separated.emitted / (double)s->mixture.frames : SEPARATED;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as separation.h wants it */
static int take_stems(void *context, const float *stems, int64_t frames)
{
    struct separating *const s = context;
    const int code = separated_take(&s->separated, stems, frames);
    job_beat(s->job, progress_of(s));
    return code;
}

static void still_alive(void *context)
{
    struct separating *const s = context;
    if (s->separation)
        job_beat(s->job, progress_of(s));
    else
        job_waits(s->job, progress_of(s));
}

/* ---- what is saved, and gone on from ---- */

static int save(struct separating *s)
{
    const struct separation_methods *const m = s->separation->methods;
    const int64_t now = now_ms();
    if (!m->save || (s->saved_ms && now - s->saved_ms < SAVE_EVERY_MS))
        return STATUS_OK;
    const size_t bytes = sizeof(struct saved) + m->state_bytes(s->separation);
    uint8_t *const data = calloc(1, bytes);
    if (!data)
        return fail(STATUS_NOMEM, "separate: out of memory");
    struct saved head = {.pushed = s->pushed,
                         .emitted = s->separated.emitted,
                         .on_device = s->place.on_device,
                         .precision = (int32_t)s->place.precision,
                         .mixture = s->mixture,
                         .sums = s->separated.sums};
    memcpy(head.spool, s->spool.name, sizeof head.spool);
    memcpy(data, &head, sizeof head);
    m->save(s->separation, data + sizeof head);
    int code = spool_sync(&s->spool);
    code = code ? code : job_save(s->job, data, bytes, progress_of(s));
    free(data);
    s->saved_ms = now;
    return code;
}

static bool same_mixture(const struct mixture *a, const struct mixture *b)
{
    return a->rate_hz == b->rate_hz && a->frames == b->frames && a->mean == b->mean && a->std == b->std &&
           a->peak == b->peak;
}

/* Opens the spool as an earlier attempt has left it, or empty. *data: what that one saved; NULL: nothing of use. */
static int open_spool(struct separating *s, int fd, uint8_t **data, size_t *bytes)
{
    struct saved head;
    *data = NULL;
    *bytes = job_resume_bytes(s->job);
    if (*bytes >= sizeof head && (*data = malloc(*bytes)) && job_resume(s->job, *data, *bytes)) {
        memcpy(&head, *data, sizeof head);
        if (head.emitted >= 0 && head.emitted <= head.pushed && head.pushed <= head.mixture.frames &&
            spool_reopen(&s->spool, fd, s->plan.outputs, head.spool, head.mixture.frames, head.emitted))
            return STATUS_OK;
    }
    free(*data);
    *data = NULL;
    return spool_begin(&s->spool, fd, s->plan.outputs);
}

/* With the mixture in the spool and the separation open: what the earlier attempt saved is taken over, if it is of this
 * very signal and of this place. */
static int go_on(struct separating *s, const uint8_t *data, size_t bytes)
{
    const struct separation_methods *const m = s->separation->methods;
    struct saved head = {.emitted = 0};
    s->resumed_from = NAN;
    if (data)
        memcpy(&head, data, sizeof head);
    const bool same_place = head.on_device == s->place.on_device && head.precision == (int32_t)s->place.precision;
    if (data && !same_place)
        log_warn("separate: what was saved is not used: it was computed %s", head.on_device ? "on a device" : "here");
    if (data && m->restore && same_place && same_mixture(&head.mixture, &s->mixture)) {
        if (m->restore(s->separation, data + sizeof head, bytes - sizeof head)) { /* of other weights: begun anew */
            log_warn("separate: what was saved is not used: %s", status_message());
        } else {
            s->pushed = head.pushed;
            s->separated.emitted = head.emitted;
            s->separated.sums = head.sums;
            s->resumed_from = (double)head.emitted / (double)head.mixture.frames;
        }
    }
    return spool_cut(&s->spool, s->separated.emitted);
}

/* ---- the three passes ---- */

/* Without a network the method itself runs on the exec that all threads share; networks take their turns by the
 * segment. */
static bool takes_turns(const struct separating *s)
{
    return s->plan.networks == 0 && !s->settings.params.isa.bytes;
}

static int push(struct separating *s, int64_t frames)
{
    if (!takes_turns(s))
        return separation_push(s->separation, s->block, frames);
    networks_begin_turn(s->job->networks, &(struct demucs_alive){still_alive, s});
    const int code = separation_push(s->separation, s->block, frames);
    networks_end_turn(s->job->networks);
    return code;
}

static int finish(struct separating *s)
{
    if (!takes_turns(s))
        return separation_finish(s->separation);
    networks_begin_turn(s->job->networks, &(struct demucs_alive){still_alive, s});
    const int code = separation_finish(s->separation);
    networks_end_turn(s->job->networks);
    return code;
}

static int separate(struct separating *s)
{
    int code = STATUS_OK;
    while (s->pushed < s->mixture.frames && !code) {
        const int64_t left = s->mixture.frames - s->pushed, n = left < BLOCK_FRAMES ? left : BLOCK_FRAMES;
        const int64_t before = s->separated.emitted;
        code = spool_get_mixture(&s->spool, s->pushed, s->block, n);
        code = code ? code : push(s, n);
        s->pushed += n;
        if (!code && s->separated.emitted > before)
            code = save(s);
        job_beat(s->job, progress_of(s));
    }
    code = code ? code : finish(s);
    if (!code && s->separated.emitted != s->mixture.frames)
        code = fail(STATUS_INTERNAL, "separate: %lld frames came out of %lld", (long long)s->separated.emitted,
                    (long long)s->mixture.frames);
    return code;
}

static void tell_encoded(void *context, double part)
{
    job_beat(context, SEPARATED + (1 - SEPARATED) * part);
}

static int encode(struct separating *s)
{
    int fds[BAG_STEMS_MOST];
    for (int o = 0; o < s->plan.outputs; o++)
        fds[o] = task_extra(s->job->request, s->job->fds, TASK_ROLE_OUTPUT, o);
    return separated_encode(&s->separated, &s->settings, s->mixture.rate_hz, fds, s->job->networks, tell_encoded,
                            s->job);
}

/* ---- the result ---- */

static int write_result(struct separating *s, const struct audio *a)
{
    struct separate_result r;
    const struct separate_outcome o = {.plan = &s->plan,
                                       .settings = &s->settings,
                                       .separated = &s->separated,
                                       .mixture = &s->mixture,
                                       .resumed_from = s->resumed_from};
    int code = separate_result_make(s->job, a, &o, &r);
    if (code)
        return code;
    code = job_write_result(s->job, &kind_separate_result_schema, &r.map);
    separate_result_free(&r);
    return code;
}

/* ---- all of it ---- */

/* The plan, and whether the supervisor has sent all that it speaks of. */
static int read_plan(struct separating *s)
{
    const struct task_request *const r = s->job->request;
    const int *const fds = s->job->fds;
    if (r->item_params_bytes != sizeof s->plan)
        return fail(STATUS_INTERNAL, "separate: a plan of %u bytes", r->item_params_bytes);
    memcpy(&s->plan, s->job->item_params, sizeof s->plan);
    bool whole = s->plan.outputs > 0 && s->plan.outputs <= BAG_STEMS_MOST && s->plan.networks <= BAG_NETWORKS_MOST &&
                 task_extra(r, fds, TASK_ROLE_SPOOL, 0) >= 0;
    for (int o = 0; o < s->plan.outputs && whole; o++)
        whole = task_extra(r, fds, TASK_ROLE_OUTPUT, o) >= 0;
    for (int i = 0; i < s->plan.networks && whole; i++)
        whole = task_extra(r, fds, TASK_ROLE_WEIGHTS, i) >= 0;
    return whole ? STATUS_OK : fail(STATUS_INTERNAL, "separate: the plan speaks of files that did not come");
}

/* Also in a turn: methods try their operations with nothing in them, and those mark and reset the exec's arena. */
static int open_in_turn(struct separating *s, const struct separator_request *r)
{
    if (!takes_turns(s))
        return separator_open(r, &s->separation);
    networks_begin_turn(s->job->networks, &(struct demucs_alive){still_alive, s});
    const int code = separator_open(r, &s->separation);
    networks_end_turn(s->job->networks);
    return code;
}

static int open_separation(struct separating *s)
{
    int weights[BAG_NETWORKS_MOST];
    for (int i = 0; i < s->plan.networks; i++)
        weights[i] = task_extra(s->job->request, s->job->fds, TASK_ROLE_WEIGHTS, i);
    const struct separator_request r = {.plan = &s->plan,
                                        .params = &s->settings.params,
                                        .precision = s->settings.precision,
                                        .on_cpu = s->on_cpu,
                                        .mixture = &s->mixture,
                                        .weights = weights,
                                        .networks = s->job->networks,
                                        .exec = takes_turns(s) ? networks_exec(s->job->networks) : s->job->exec,
                                        .emit = take_stems,
                                        .alive = still_alive,
                                        .place = &s->place,
                                        .context = s};
    int code = open_in_turn(s, &r);
    if (!code && s->place.on_device)
        job_ran_on_device(s->job, s->plan.method, precision_name(s->place.precision));
    if (!code && s->separation->stems != s->plan.stems)
        code = fail(STATUS_INTERNAL, "separate: %s gives %d stems, the plan has %d", s->plan.method,
                    s->separation->stems, s->plan.stems);
    return code;
}

/* Gone on from `data`; NULL: from the beginning. */
static int compute(struct separating *s, const uint8_t *data, size_t bytes)
{
    int code = open_separation(s);
    code = code ? code : go_on(s, data, bytes);
    return code ? code : separate(s);
}

/* Where the device runs out of memory on the way, the CPU begins anew, so that no stem is of both. */
static int compute_somewhere(struct separating *s, const uint8_t *data, size_t bytes)
{
    const int code = compute(s, data, bytes);
    if (code != STATUS_NOMEM || !s->place.on_device)
        return code;
    separation_destroy(&s->separation);
    job_ran_on_device(s->job, NULL, NULL);
    s->on_cpu = true;
    s->pushed = s->saved_ms = s->separated.emitted = 0;
    s->separated.sums = (struct separated_sums){.mixture_square = {0}};
    return compute(s, NULL, 0);
}

static int run(struct separating *s, struct audio *a)
{
    const struct method *const method = method_find(s->plan.method);
    const int64_t rate_hz = method && method->rate_hz ? method->rate_hz : audio_info(a)->rate_hz;
    uint8_t *data = NULL;
    size_t bytes = 0;
    int code = audio_format_check(&s->settings.format, (int)rate_hz, SEPARATION_CHANNELS);
    code = code ? code : open_spool(s, task_extra(s->job->request, s->job->fds, TASK_ROLE_SPOOL, 0), &data, &bytes);
    code = code ? code : mixture_make(s->job, a, rate_hz, &s->spool, &s->mixture);
    code = code ? code : separated_open(&s->separated, &s->plan, &s->spool);
    code = code ? code : compute_somewhere(s, data, bytes);
    free(data);
    code = code ? code : encode(s);
    code = code ? code : write_result(s, a);
    separation_destroy(&s->separation);
    separated_close(&s->separated);
    return code;
}

int job_separate(struct job *j)
{
    struct audio *a = NULL;
    struct separating *const s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "separate: out of memory");
    s->job = j;
    int code = params_separate(j->params, j->request->params_bytes, &s->settings);
    code = code ? code : read_plan(s);
    code = code ? code : job_use_isa(j, s->settings.params.isa);
    code = code ? code : job_open_audio(j, &a);
    code = code ? code : run(s, a);
    if (a && code == STATUS_UNSUPPORTED) { /* not by the decoder: ffmpeg could not help */
        char why[TASK_MESSAGE];
        snprintf(why, sizeof why, "%s", status_message());
        code = fail(STATUS_ARGUMENT, "%s", why);
    }
    audio_close(&a);
    free(s);
    return code;
}
