/* Short files that share segments of a network. Clips are decoded one after another; those that fit together run in
 * one segment; each is then measured and encoded as a file of its own. What cannot be taken here (bad bytes, too long)
 * is left out, with its reason: the others do not suffer. */
#include "audio.h"
#include "demucs_pack.h"
#include "job.h"
#include "separate_result.h"
#include "separators.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = SEPARATION_CHANNELS };

struct clip {
    struct audio *audio;
    struct mixture mixture;
    struct demucs_clip signal;
    float *x, *stems;
    char folder[3 * LIMIT_PATH], why[TASK_MESSAGE]; /* why: it was left out; "": not */
    struct wire_buffer map;                         /* its result, encoded */
};

struct clips {
    struct job *job;
    struct plan plan;
    struct separate_settings settings;
    bool check;
    int64_t rate_hz;
    struct demucs_bag bag;
    struct networks_place place;
    bool on_cpu; /* the device had no memory on the way */
    struct spool spool;
    int count, done;
    uint64_t segments;
    struct clip clip[LIMIT_CLIPS];
};

static void tell(void *context)
{
    const struct clips *const c = context;
    job_beat(c->job, (double)c->done / (double)c->count);
}

/* ---- one clip ---- */

/* Is it the clip's fault, and not the machine's? */
static bool is_its_own(int code)
{
    return code == STATUS_FORMAT || code == STATUS_UNSUPPORTED || code == STATUS_ARGUMENT || code == STATUS_SHAPE;
}

static int64_t frames_most(const struct clips *c)
{
    return demucs_bag_config(&c->bag)->segment / 2;
}

static int too_long(const struct clips *c)
{
    return fail(STATUS_ARGUMENT, "longer than half a segment of %s (%.1f s)", c->plan.model,
                (double)frames_most(c) / (double)c->rate_hz);
}

/* Its samples, in memory. */
static int decode(struct clips *c, struct clip *k, int fd)
{
    int code = audio_open(fd, &k->audio);
    if (code)
        return code;
    const struct audio_info *const info = audio_info(k->audio);
    if ((double)info->frames / info->rate_hz > (double)frames_most(c) / (double)c->rate_hz + 1)
        return too_long(c); /* as its header says, so that nothing long is decoded in vain */
    code = spool_begin(&c->spool, task_extra(c->job->request, c->job->fds, TASK_ROLE_SPOOL, 0), c->plan.outputs);
    code = code ? code : mixture_make(c->job, k->audio, c->rate_hz, &c->spool, &k->mixture);
    if (code)
        return code;
    if (k->mixture.frames == 0)
        return fail(STATUS_FORMAT, "there are no samples in it");
    if (k->mixture.frames > frames_most(c))
        return too_long(c);
    const size_t frames = (size_t)k->mixture.frames;
    k->x = malloc(frames * CHANNELS * sizeof *k->x);
    k->stems = malloc(frames * CHANNELS * (size_t)c->plan.stems * sizeof *k->stems);
    if (!k->x || !k->stems)
        return fail(STATUS_NOMEM, "separate_clips: out of memory");
    k->signal = (struct demucs_clip){.x = k->x,
                                     .frames = k->mixture.frames,
                                     .mean = (float)k->mixture.mean,
                                     .deviation = (float)k->mixture.std,
                                     .stems = k->stems};
    return spool_get_mixture(&c->spool, 0, k->x, k->mixture.frames);
}

/* A signal to be written: the sum of its stems. */
static double sum_of(const struct clips *c, const float *stems, int output)
{
    double sum = 0;
    for (int s = 0; s < c->plan.stems; s++)
        if (c->plan.output[output].stems >> s & 1)
            sum += (double)stems[s * CHANNELS];
    return sum;
}

/* 10*log10(|exact|^2/|exact - packed|^2) of each output; exact: the clip in a segment of its own. */
static int measure_snr(const struct clips *c, const struct clip *k, double snr_db[BAG_STEMS_MOST])
{
    struct demucs_clip alone = k->signal;
    const int64_t width = (int64_t)c->plan.stems * CHANNELS;
    float *const exact = malloc((size_t)(k->mixture.frames * width) * sizeof *exact);
    alone.stems = exact;
    const int code = exact ? demucs_pack_run(&c->bag, &alone, 1) : fail(STATUS_NOMEM, "separate_clips: out of memory");
    for (int o = 0; o < c->plan.outputs && !code; o++) {
        double signal = 0, noise = 0;
        for (int64_t i = 0; i < k->mixture.frames * CHANNELS; i++) {
            const int64_t at = i / CHANNELS * width + i % CHANNELS;
            const double want = sum_of(c, exact + at, o), off = sum_of(c, k->stems + at, o) - want;
            signal += want * want;
            noise += off * off;
        }
        snr_db[o] = signal > 0 && noise > 0 ? 10 * log10(signal / noise) : NAN;
    }
    free(exact);
    return code;
}

/* The n-th clip: its signals measured, encoded, and what is said of them. */
static int write_clip(struct clips *c, int n)
{
    struct clip *const k = &c->clip[n];
    struct separated separated = {0};
    struct separate_result result = {.warnings = {0}};
    double snr_db[BAG_STEMS_MOST];
    int fds[BAG_STEMS_MOST];
    for (int o = 0; o < c->plan.outputs; o++)
        fds[o] = task_extra(c->job->request, c->job->fds, TASK_ROLE_OUTPUT, n * c->plan.outputs + o);
    int code = c->check ? measure_snr(c, k, snr_db) : STATUS_OK;
    code = code ? code : spool_begin(&c->spool, c->spool.fd, c->plan.outputs);
    c->spool.frames = k->mixture.frames;
    code = code ? code : spool_put_mixture(&c->spool, 0, k->x, k->mixture.frames);
    code = code ? code : separated_open(&separated, &c->plan, &c->spool);
    code = code ? code : separated_take(&separated, k->stems, k->mixture.frames);
    if (!code)
        code = separated_encode(&separated, &c->settings, c->rate_hz, fds, c->job->networks, NULL, NULL);
    const struct separate_outcome o = {.plan = &c->plan,
                                       .settings = &c->settings,
                                       .separated = &separated,
                                       .mixture = &k->mixture,
                                       .resumed_from = NAN,
                                       .folder = k->folder,
                                       .snr_db = c->check ? snr_db : NULL};
    if (!code)
        code = separate_result_make(c->job, k->audio, &o, &result);
    if (!code) {
        code = wire_encode(&kind_separate_result_schema, &result.map, &k->map);
        separate_result_free(&result);
    }
    separated_close(&separated);
    return code;
}

static void forget_samples(struct clip *k)
{
    free(k->x);
    free(k->stems);
    k->x = k->stems = NULL;
    audio_close(&k->audio);
}

/* Takes a failure of this clip alone as the reason to leave it out. */
static int leave_out(struct clip *k, int code)
{
    if (!is_its_own(code))
        return code;
    snprintf(k->why, sizeof k->why, "%s", status_message());
    forget_samples(k);
    return STATUS_OK;
}

/* ---- all of them ---- */

/* The clips `which` in one segment. */
static int run_segment(struct clips *c, const int *which, int count)
{
    struct demucs_clip signals[LIMIT_CLIPS] = {{0}};
    for (int i = 0; i < count; i++)
        signals[i] = c->clip[which[i]].signal;
    int code = demucs_pack_run(&c->bag, signals, count);
    c->segments++;
    for (int i = 0; i < count && !code; i++) {
        code = write_clip(c, which[i]);
        forget_samples(&c->clip[which[i]]);
        c->done++;
        tell(c);
    }
    return code;
}

/* In their order, as many in a segment as go there. */
static int run_all(struct clips *c)
{
    struct demucs_clip signals[LIMIT_CLIPS] = {{0}};
    int which[LIMIT_CLIPS], waiting = 0, code = STATUS_OK;
    for (int n = 0; n < c->count && !code; n++) {
        struct clip *const k = &c->clip[n];
        code = leave_out(k, decode(c, k, task_extra(c->job->request, c->job->fds, TASK_ROLE_CLIP, n)));
        if (code || k->why[0])
            continue;
        signals[waiting] = k->signal;
        if (demucs_pack_fit(&c->bag, signals, waiting + 1) <= waiting) {
            code = run_segment(c, which, waiting);
            waiting = 0;
            signals[0] = k->signal;
        }
        which[waiting++] = n;
    }
    return code || !waiting ? code : run_segment(c, which, waiting);
}

static int read_request(struct clips *c)
{
    const struct task_request *const r = c->job->request;
    const int *const fds = c->job->fds;
    struct kind_clips_item m;
    struct kind_clip clip;
    if (r->item_params_bytes < sizeof c->plan)
        return fail(STATUS_INTERNAL, "separate_clips: a plan of %u bytes", r->item_params_bytes);
    memcpy(&c->plan, c->job->item_params, sizeof c->plan);
    const int code = wire_decode(&kind_clips_item_schema, c->job->item_params + sizeof c->plan,
                                 r->item_params_bytes - sizeof c->plan, &m);
    if (code)
        return code;
    c->check = m.check;
    while (wire_next(&m.clips, &kind_clip_schema, &clip))
        snprintf(c->clip[c->count++].folder, sizeof c->clip->folder, "%.*s/%s/%.*s", (int)m.out.bytes,
                 (const char *)m.out.data, c->plan.model, (int)clip.track.bytes, (const char *)clip.track.data);
    const int outputs = c->count * c->plan.outputs;
    bool whole = c->count > 0 && c->plan.outputs > 0 && c->plan.outputs <= BAG_STEMS_MOST && c->plan.networks > 0 &&
                 c->plan.networks <= BAG_NETWORKS_MOST && task_extra(r, fds, TASK_ROLE_SPOOL, 0) >= 0;
    whole = whole && task_extra(r, fds, TASK_ROLE_CLIP, c->count - 1) >= 0 &&
            task_extra(r, fds, TASK_ROLE_OUTPUT, outputs - 1) >= 0 &&
            task_extra(r, fds, TASK_ROLE_WEIGHTS, c->plan.networks - 1) >= 0;
    return whole ? STATUS_OK : fail(STATUS_INTERNAL, "separate_clips: the plan speaks of files that did not come");
}

static int open_bag(struct clips *c)
{
    int weights[BAG_NETWORKS_MOST];
    for (int i = 0; i < c->plan.networks; i++)
        weights[i] = task_extra(c->job->request, c->job->fds, TASK_ROLE_WEIGHTS, i);
    const struct separator_request r = {.plan = &c->plan,
                                        .params = &c->settings.params,
                                        .precision = c->settings.precision,
                                        .on_cpu = c->on_cpu,
                                        .weights = weights,
                                        .networks = c->job->networks,
                                        .exec = c->job->exec,
                                        .alive = tell,
                                        .place = &c->place,
                                        .context = c};
    const int code = separator_bag(&r, &c->bag);
    if (!code && c->place.on_device)
        job_ran_on_device(c->job, c->plan.method, precision_name(c->place.precision));
    c->rate_hz = code ? 0 : demucs_bag_config(&c->bag)->rate_hz;
    return code;
}

static int write_result(struct clips *c)
{
    struct wire_buffer list = {0};
    int code = STATUS_OK;
    for (int n = 0; n < c->count && !code; n++) {
        const struct clip *const k = &c->clip[n];
        const struct kind_clip_result one = {.separated = wire_list_of(&k->map, k->map.bytes > 0),
                                             .left_out = wire_str(k->why)};
        code = wire_encode(&kind_clip_result_schema, &one, &list);
    }
    const struct kind_clips_result r = {
        .seconds = NAN,
        .backend = wire_str(c->place.on_device ? offload_backend(c->job->offload) : backend_name(BACKEND_CPU)),
        .on_device = wire_str(c->job->stages.operations),
        .isa = wire_str(isa_name(exec_isa(c->job->exec))),
        .version = wire_str(WAVEMILL_VERSION),
        .decode_s = NAN,
        .copy_in_s = NAN,
        .device_s = NAN,
        .copy_out_s = NAN,
        .clips = wire_list_of(&list, (uint32_t)c->count),
        .segments = c->segments};
    code = code ? code : job_write_result(c->job, &kind_clips_result_schema, &r);
    wire_free(&list);
    return code;
}

/* Where the device runs out of memory on the way, the CPU begins anew, so that no clip is of both. */
static int run_somewhere(struct clips *c)
{
    const int code = run_all(c);
    if (code != STATUS_NOMEM || !c->place.on_device)
        return code;
    demucs_bag_give_back(&c->bag);
    c->bag.networks = 0;
    job_ran_on_device(c->job, NULL, NULL);
    c->on_cpu = true;
    c->done = 0;
    c->segments = 0;
    for (int n = 0; n < c->count; n++) {
        forget_samples(&c->clip[n]);
        wire_free(&c->clip[n].map);
        c->clip[n].why[0] = '\0';
    }
    const int opened = open_bag(c);
    return opened ? opened : run_all(c);
}

int job_separate_clips(struct job *j)
{
    struct clips *const c = calloc(1, sizeof *c);
    if (!c)
        return fail(STATUS_NOMEM, "separate_clips: out of memory");
    c->job = j;
    int code = params_clips(j->params, j->request->params_bytes, &c->settings);
    code = code ? code : read_request(c);
    code = code ? code : job_use_isa(j, c->settings.params.isa);
    code = code ? code : open_bag(c);
    if (!code)
        code = audio_format_check(&c->settings.format, (int)c->rate_hz, CHANNELS);
    code = code ? code : run_somewhere(c);
    code = code ? code : write_result(c);
    if (code == STATUS_UNSUPPORTED) { /* not by a decoder: ffmpeg could not help */
        char why[TASK_MESSAGE];
        snprintf(why, sizeof why, "%s", status_message());
        code = fail(STATUS_ARGUMENT, "%s", why);
    }
    demucs_bag_give_back(&c->bag);
    for (int n = 0; n < c->count; n++) {
        forget_samples(&c->clip[n]);
        wire_free(&c->clip[n].map);
    }
    free(c);
    return code;
}
