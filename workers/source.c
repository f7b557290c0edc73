#include "source.h"

#include "ops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK_FRAMES_MIN = 1024 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int source_open(struct source *s, struct exec *ex, struct audio *audio, int64_t block_samples, int64_t rate_hz)
{
    const struct audio_info *const info = audio_info(audio);
    int64_t frames = block_samples / (info->channels > 2 ? info->channels : 2);
    if (rate_hz > info->rate_hz) /* blocks of the same size behind the change */
        frames = frames * info->rate_hz / rate_hz;
    frames = frames < BLOCK_FRAMES_MIN ? BLOCK_FRAMES_MIN : frames;
    *s = (struct source){.audio = audio, .exec = ex, .block_frames = frames};
    s->block = malloc((size_t)frames * (size_t)info->channels * sizeof *s->block);
    return s->block ? STATUS_OK : fail(STATUS_NOMEM, "source: out of memory");
}

void source_close(struct source *s)
{
    free(s->block);
    s->block = NULL;
}

int source_read(struct source *s)
{
    s->start += s->got;
    s->got = 0;
    const double began = now_s();
    const int code = audio_read(s->audio, s->block, s->block_frames, &s->got);
    s->seconds += now_s() - began;
    s->ended = code || s->got == 0;
    return code;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through the ragged batch */
int source_copy(const struct source *s, int channel, float *out, struct level *l)
{
    const int channels = audio_info(s->audio)->channels;
    const int64_t offset[2] = {0, s->got};
    const struct piece piece = {s->start, s->start == 0, false};
    const struct ragged in = {
        .data = s->block, .channels = channels, .offset = offset, .piece = &piece, .rows = 1, .total = s->got};
    struct ragged y = {.data = out, .channels = 1, .offset = offset, .piece = &piece, .rows = 1, .total = s->got};
    int code = STATUS_OK;
    if (channel == SOURCE_MIX)
        code = mixdown(s->exec, &in, &y);
    else
        for (int64_t i = 0; i < s->got; i++)
            out[i] = s->block[i * channels + channel];
    code = code ? code : level(s->exec, &y, l); /* a mean is not finite where a channel is not */
    if (!code && l->first_not_finite >= 0)
        return fail(STATUS_FORMAT, "sample %" PRId64 " is not a finite number", l->first_not_finite);
    return code;
}
