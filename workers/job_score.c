/* A track's separated stems against the true ones: every file is decoded twice, and no more than a window of each is in
 * memory at a time. */
#include "job.h"
#include "params.h"
#include "score_track.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of all stems together, with filters: 270 MB, and a minute until the equations are solved. */
enum { BSS_CHANNELS_MOST = 16 };

struct scoring {
    struct job *job;
    struct kind_score_params params;
    struct score_track track;
    int stems;
    void *work;
    struct score_pieces *pieces; /* NULL: without BSS Eval */
    struct score_plain plain[LIMIT_STEMS];
    bool silent[2 * LIMIT_STEMS];
    int64_t frames;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): as score.h wants it */
static void beat(void *job)
{
    job_beat(job, 0.5);
}

/* ---- the files ---- */

static int name_files(struct scoring *s)
{
    const struct job *const j = s->job;
    struct kind_score_item item;
    struct kind_score_pair pair;
    const int code = wire_decode(&kind_score_item_schema, j->item_params, j->request->item_params_bytes, &item);
    if (code)
        return code;
    while (s->stems < LIMIT_STEMS && wire_next(&item.stems, &kind_score_pair_schema, &pair)) {
        const int i = s->stems++;
        struct score_track_file *const f = &s->track.file[2 * i];
        f[0].fd = task_extra(j->request, j->fds, TASK_ROLE_REFERENCE, i);
        f[1].fd = task_extra(j->request, j->fds, TASK_ROLE_ESTIMATE, i);
        f[0].side = "reference";
        f[1].side = "estimate";
        wire_copy(pair.reference, f[0].name, sizeof f[0].name);
        wire_copy(pair.estimate, f[1].name, sizeof f[1].name);
        if (f[0].fd < 0 || f[1].fd < 0)
            return fail(STATUS_INTERNAL, "score: a stem came without its files");
    }
    s->track.count = 2 * s->stems;
    return s->stems ? STATUS_OK : fail(STATUS_ARGUMENT, "the track has no stems");
}

static int begin_bss(struct scoring *s)
{
    const struct score_bss_params p = {.sources = s->stems, .taps = SCORE_TAPS};
    if (s->params.no_bss)
        return STATUS_OK;
    if (s->stems * s->track.channels > BSS_CHANNELS_MOST)
        return fail(STATUS_ARGUMENT,
                    "BSS Eval of %d stems of %d channels: allowed %d channels in all; --no-bss does without it",
                    s->stems, s->track.channels, BSS_CHANNELS_MOST);
    const size_t bytes = score_pieces_bytes(&p, s->track.channels);
    if (!bytes)
        return STATUS_INTERNAL;
    s->work = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!s->work)
        return fail(STATUS_NOMEM, "score: out of memory");
    const int code = score_pieces_begin(&p, s->track.channels, s->work, &s->pieces);
    if (!code)
        score_pieces_keep_alive(s->pieces, beat, s->job);
    return code;
}

/* ---- the passes ---- */

static void listen(bool *silent, const struct score_signal *x)
{
    for (int64_t i = 0; i < x->samples * x->channels && *silent; i++)
        *silent = x->data[i] == 0;
}

/* What is new in the windows. */
static int take_plain(struct scoring *s, int pass)
{
    int code = STATUS_OK;
    for (int i = 0; i < s->stems && s->track.got && !code; i++) {
        const struct score_signal r = score_track_reference(&s->track, i, s->track.had);
        const struct score_signal e = score_track_estimate(&s->track, i, s->track.had);
        listen(&s->silent[2 * i], &r);
        listen(&s->silent[2 * i + 1], &e);
        code = (pass ? score_plain_second : score_plain_first)(&s->plain[i], &r, &e);
    }
    return code;
}

static int take_bss(struct scoring *s)
{
    struct score_signal reference[LIMIT_STEMS], estimate[LIMIT_STEMS];
    for (int i = 0; i < s->stems; i++) {
        reference[i] = score_track_reference(&s->track, i, 0);
        estimate[i] = score_track_estimate(&s->track, i, 0);
    }
    return s->pieces ? score_pieces_take(s->pieces, reference, estimate, s->track.first, s->track.got == 0) : STATUS_OK;
}

static int run_pass(struct scoring *s, int pass)
{
    struct score_track *const t = &s->track;
    int code = STATUS_OK;
    do {
        code = score_track_read(t, s->pieces ? score_pieces_keep(s->pieces) : t->first + t->had + t->got);
        code = code ? code : take_plain(s, pass);
        code = code ? code : take_bss(s);
        const double part = s->frames ? (double)(t->first + t->had) / (double)s->frames : 0;
        job_beat(s->job, pass ? 0.5 + 0.5 * part : 0); /* how long they are is not known in the first */
    } while (!code && t->got);
    s->frames = audio_info(t->file[0].audio)->frames;
    return code;
}

/* ---- the result ---- */

static double *member(struct kind_scores *s, int i)
{
    double *const all[] = {&s->sdr_mdx, &s->si_sdr, &s->bss_sdr, &s->bss_isr, &s->bss_sir, &s->bss_sar};
    return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}

/* One channel: bss_eval_sources, more: bss_eval_images. */
static struct kind_scores scores_of(const struct scoring *s, int stem, const struct score_bss *bss)
{
    struct kind_scores out = {.sdr_mdx = score_plain_sdr_mdx(&s->plain[stem]),
                              .si_sdr = score_plain_si_sdr(&s->plain[stem]),
                              .bss_sdr = NAN,
                              .bss_isr = NAN,
                              .bss_sir = NAN,
                              .bss_sar = NAN};
    if (!s->pieces)
        return out;
    out.bss_sdr = s->track.channels == 1 ? bss->sdr_filt : bss->sdr;
    out.bss_isr = s->track.channels == 1 ? NAN : bss->isr;
    out.bss_sir = bss->sir;
    out.bss_sar = bss->sar;
    return out;
}

/* Means of what is defined and finite. */
static struct kind_scores mean_of(struct kind_scores *each, int count)
{
    struct kind_scores mean = {.name = wire_str(NULL)};
    double *to;
    for (int m = 0; (to = member(&mean, m)); m++) {
        int n = 0;
        *to = 0;
        for (int i = 0; i < count; i++)
            if (isfinite(*member(&each[i], m))) {
                *to += *member(&each[i], m);
                n++;
            }
        *to = n ? *to / n : NAN;
    }
    return mean;
}

/* One line where silence leaves measures undefined. */
static int warn_of_silence(const struct scoring *s, struct wire_buffer *warnings, struct kind_provenance *from)
{
    char text[LIMIT_STEM_NAME + 128];
    int code = STATUS_OK;
    for (int i = 0; i < 2 * s->stems && !code; i++) {
        const struct score_track_file *const f = &s->track.file[i];
        if (!s->silent[i])
            continue;
        (void)snprintf(text, sizeof text, "%s %s is silent: its SI-SDR%s undefined", f->side,
                       wire_is_utf8(f->name, strlen(f->name)) ? f->name : "file",
                       s->pieces ? ", and BSS Eval of the track, are" : " is");
        code = wire_append_str(warnings, text);
        from->warnings = wire_list_of(warnings, from->warnings.count + 1);
        break;
    }
    return code;
}

static int write_result(struct scoring *s)
{
    struct score_bss bss[LIMIT_STEMS] = {{0}};
    struct kind_scores each[LIMIT_STEMS] = {{.sdr_mdx = NAN}}, mean;
    struct kind_score_item item;
    struct kind_score_pair pair;
    struct kind_provenance from = {.seconds = NAN};
    struct wire_buffer stems = {0}, means = {0}, warnings = {0};
    if (s->pieces)
        score_pieces_end(s->pieces, bss);
    s->job->decode_s = s->track.decode_s;
    int code = job_provenance(s->job, s->track.file[0].audio, &warnings, &from);
    code = code ? code : warn_of_silence(s, &warnings, &from);
    code = code ? code
                : wire_decode(&kind_score_item_schema, s->job->item_params, s->job->request->item_params_bytes, &item);
    for (int i = 0; i < s->stems && !code && wire_next(&item.stems, &kind_score_pair_schema, &pair); i++) {
        each[i] = scores_of(s, i, &bss[i]);
        each[i].name = pair.name;
        code = wire_encode(&kind_scores_schema, &each[i], &stems);
    }
    if (!code) {
        mean = mean_of(each, s->stems);
        code = wire_encode(&kind_scores_schema, &mean, &means);
    }
    if (!code) {
        struct kind_score_result result = {.stems = wire_list_of(&stems, (uint32_t)s->stems),
                                           .mean = wire_list_of(&means, 1)};
        if (s->pieces)
            result.bss = wire_str(s->track.channels == 1 ? "sources" : "images");
        memcpy(&result, &from, sizeof from); /* every result begins with its provenance */
        code = job_write_result(s->job, &kind_score_result_schema, &result);
    }
    wire_free(&stems);
    wire_free(&means);
    wire_free(&warnings);
    return code;
}

int job_score(struct job *j)
{
    struct scoring *const s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "score: out of memory");
    s->job = j;
    for (int i = 0; i < 2 * LIMIT_STEMS; i++)
        s->silent[i] = true;
    int code = params_score(j->params, j->request->params_bytes, &s->params);
    code = code ? code : name_files(s);
    code = code ? code : score_track_open(&s->track);
    code = code ? code : begin_bss(s);
    code = code ? code : run_pass(s, 0);
    code = code ? code : score_track_rewind(&s->track);
    code = code ? code : run_pass(s, 1);
    code = code ? code : write_result(s);
    score_track_close(&s->track);
    free(s->work);
    free(s);
    return code;
}
