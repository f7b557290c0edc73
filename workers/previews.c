#include "previews.h"

#include "audio_write.h"
#include "log.h"
#include "networks.h"
#include "npy.h"
#include "vae_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Static_assert((int)VAE_PREVIEWS == (int)TRAIN_PREVIEW_KINDS, "one output each");

/* What is being made now. */
struct making {
    struct previews *p;
    struct vae_trainer *trainer;
    struct vae_examples *examples;
    const struct vae_config *config;
    double progress;
    int64_t step, sounds;
    bool ends;
    float *maps; /* [2*sounds][frames][mels], in dB */
    float *map, *samples;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t map_values(const struct making *m)
{
    return m->config->frames * m->config->mels;
}

/* ---- one file ---- */

static int begin_file(const struct making *m, int output, int *fd)
{
    const struct job *const j = m->p->job;
    if (m->ends)
        *fd = task_extra(j->request, j->fds, TASK_ROLE_OUTPUT, output);
    else
        *fd = memfd_create("preview", MFD_CLOEXEC);
    return *fd >= 0  ? STATUS_OK
           : m->ends ? fail(STATUS_INTERNAL, "previews: a descriptor is missing")
                     : fail(STATUS_NOMEM, "previews: %s", strerror(errno));
}

static int end_file(const struct making *m, int output, int fd, int code, const char *line)
{
    if (m->ends)
        return code;
    code = code ? code : job_hand(m->p->job, output, fd, line);
    close(fd);
    return code;
}

static int hand_text(struct job *j, int output, const char *text)
{
    const int fd = text ? memfd_create("text", MFD_CLOEXEC) : -1;
    if (fd < 0)
        return text ? fail(STATUS_NOMEM, "previews: %s", strerror(errno)) : fail(STATUS_NOMEM, "out of memory");
    int code = job_write_at(fd, text, strlen(text), 0);
    code = code ? code : job_hand(j, output, fd, "");
    close(fd);
    return code;
}

static int encode(const struct making *m, int fd)
{
    const struct audio_format format = {.sample = AUDIO_INT16};
    const int64_t count = (m->config->frames - 1) * m->config->audio.hop;
    struct audio_writer *w = NULL;
    audio_clip(AUDIO_CLIP_RESCALE, audio_clip_divisor(AUDIO_CLIP_RESCALE, audio_peak(0, m->samples, (size_t)count)),
               m->samples, (size_t)count);
    int code = audio_write_open(fd, &format, (int)m->config->audio.rate_hz, 1, count, &w);
    code = code ? code : audio_write(w, m->samples, count);
    const int closed = w ? audio_write_close(&w) : STATUS_OK;
    return code ? code : closed;
}

static int write_sound(const struct making *m, int64_t n, enum vae_preview kind)
{
    const int output = TRAIN_FILES + TRAIN_PREVIEW_KINDS * (int)n + (int)kind;
    int fd = -1;
    int code = vae_audio_of(m->config, m->map, m->p->seed, m->p->ex, m->samples);
    code = code ? code : begin_file(m, output, &fd);
    return code ? code : end_file(m, output, fd, encode(m, fd), "");
}

static int write_maps(const struct making *m)
{
    const int64_t shape[3] = {2 * m->sounds, m->config->frames, m->config->mels};
    char header[NPY_HEADER_BYTES], line[TASK_MESSAGE];
    int fd = -1;
    int code = npy_rows_header(3, shape, header);
    code = code ? code : begin_file(m, TRAIN_MAPS, &fd);
    if (code)
        return code;
    code = job_write_at(fd, header, sizeof header, 0);
    code =
        code ? code : job_write_at(fd, m->maps, (size_t)(shape[0] * map_values(m)) * sizeof *m->maps, NPY_HEADER_BYTES);
    snprintf(line, sizeof line, "train previews {\"step\":%lld,\"sounds\":%lld}", (long long)m->step,
             (long long)m->sounds);
    return end_file(m, TRAIN_MAPS, fd, code, line);
}

/* ---- all of them ---- */

static int make_one(const struct making *m, int64_t n, enum vae_preview kind)
{
    int code = vae_preview_map(m->trainer, m->examples, kind, n, m->p->seed, m->map);
    float *const picture = kind == VAE_PREVIEW_PRIOR ? NULL : m->maps + (kind * m->sounds + n) * map_values(m);
    for (int64_t i = 0; i < map_values(m) && !code && picture; i++)
        picture[i] = (float)((double)m->map[i] * m->config->audio.deviation_db + m->config->audio.mean_db);
    if (!code && (kind != VAE_PREVIEW_ORIGINAL || m->ends || !m->p->has_originals))
        code = write_sound(m, n, kind);
    job_beat(m->p->job, m->progress);
    networks_pass_turn(m->p->job->networks, m->p->alive); /* somebody else's */
    return code;
}

/* The picture comes last: when it is there, all are. */
static int make_all(struct making *m)
{
    const struct vae_config *const c = m->config;
    const int64_t there = vae_examples_validation(m->examples);
    int code = STATUS_OK;
    m->sounds = m->p->sounds < there ? m->p->sounds : there;
    if (c->frames < 2 || m->sounds < 1) /* no sound lasts that short */
        return STATUS_OK;
    m->maps = malloc((size_t)(2 * m->sounds * map_values(m)) * sizeof *m->maps);
    m->map = malloc((size_t)map_values(m) * sizeof *m->map);
    m->samples = malloc((size_t)((c->frames - 1) * c->audio.hop) * sizeof *m->samples);
    if (!m->maps || !m->map || !m->samples)
        code = fail(STATUS_NOMEM, "previews: out of memory");
    for (int64_t n = 0; n < m->sounds; n++)
        for (int kind = 0; kind < VAE_PREVIEWS && !code; kind++)
            code = make_one(m, n, (enum vae_preview)kind);
    code = code ? code : write_maps(m);
    m->p->has_originals |= !code;
    free(m->maps);
    free(m->map);
    free(m->samples);
    return code;
}

static bool is_due(struct previews *p, const struct vae_fit_view *v)
{
    const int64_t now = now_ms();
    if (!p->validations) { /* counted on from an earlier attempt */
        p->validations = v->metric_count > 0 ? v->metric_count - 1 : 0;
        p->last_ms = now;
    }
    p->validations++;
    if (p->at_end)
        return false;
    const bool due = p->every ? p->validations % p->every == 0 : v->best && now - p->last_ms >= PREVIEW_S * 1000;
    if (due)
        p->last_ms = now;
    return due;
}

/* Whoever looks at a training that goes on finds its configuration and its curves, whole. */
static int hand_curves(struct previews *p, const struct vae_fit_view *v)
{
    char *const metrics = vae_metrics_text(v->metrics, v->metric_count), *config = NULL;
    int code = STATUS_OK;
    if (!p->has_config) {
        code = vae_config_text(v->config, &config);
        code = code ? code : hand_text(p->job, TRAIN_CONFIG, config);
        p->has_config = !code;
    }
    code = code ? code : hand_text(p->job, TRAIN_METRICS, metrics);
    free(metrics);
    free(config);
    return code;
}

int previews_look(struct previews *p, const struct vae_fit_view *v)
{
    if (p->nowhere)
        return STATUS_OK;
    int code = hand_curves(p, v);
    if (code)
        log_warn("the curves are not kept on the way: %s", status_message());
    if (!is_due(p, v))
        return STATUS_OK;
    struct making m = {.p = p,
                       .trainer = v->trainer,
                       .examples = v->examples,
                       .config = v->config,
                       .step = v->step,
                       .progress = (double)v->step / (double)v->steps};
    code = make_all(&m);
    if (code == STATUS_DEVICE)
        return code;
    if (code)
        log_warn("no previews at step %lld: %s", (long long)v->step, status_message());
    return STATUS_OK;
}

int previews_end(struct previews *p, struct vae_trainer *t, struct vae_examples *e, const struct vae_config *c)
{
    struct making m = {.p = p, .trainer = t, .examples = e, .config = c, .progress = 1, .ends = true};
    return make_all(&m);
}
