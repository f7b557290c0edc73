#include "samples.h"

#include "npy.h"
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>

struct signal {
    struct source source;
    int64_t channels;
    int first;          /* channel of the file that is the array's first; SOURCE_MIX */
    struct rate *rates; /* [channels]; NULL: the rate stays */
    float *mono;        /* a block of one channel, as it is decoded */
    float *changed;     /* at the other rate */
    float *frames;      /* of several channels, as they are written */
};

static int out_of_memory(void)
{
    return fail(STATUS_NOMEM, "samples: out of memory");
}

static int open_rates(struct signal *s, struct exec *ex, int64_t from, const struct samples_wish *wish)
{
    const int64_t block = s->source.block_frames;
    int code = STATUS_OK;
    s->rates = calloc((size_t)s->channels, sizeof *s->rates);
    if (!s->rates)
        return out_of_memory();
    for (int64_t c = 0; c < s->channels && !code; c++)
        code = rate_open(&s->rates[c], ex, from, wish->rate_hz, wish->method, block);
    if (!code && !(s->changed = malloc((size_t)rate_room(&s->rates[0], block) * sizeof *s->changed)))
        code = out_of_memory();
    return code;
}

static int open_signal(struct signal *s, struct job *j, struct audio *a, const struct samples_wish *wish)
{
    const struct audio_info *const info = audio_info(a);
    const bool is_changed = wish->rate_hz && wish->rate_hz != info->rate_hz;
    int code = source_open(&s->source, j->exec, a, job_block_samples(j), wish->rate_hz);
    if (code)
        return code;
    s->channels = wish->each_channel ? info->channels : 1;
    s->first = wish->each_channel ? 0 : SOURCE_MIX;
    s->mono = malloc((size_t)s->source.block_frames * sizeof *s->mono);
    if (!s->mono)
        return out_of_memory();
    if (is_changed && (code = open_rates(s, j->exec, info->rate_hz, wish)))
        return code;
    const int64_t room = is_changed ? rate_room(&s->rates[0], s->source.block_frames) : s->source.block_frames;
    if (s->channels > 1 && !(s->frames = malloc((size_t)(room * s->channels) * sizeof *s->frames)))
        return out_of_memory();
    return STATUS_OK;
}

static void close_signal(struct signal *s)
{
    for (int64_t c = 0; s->rates && c < s->channels; c++)
        rate_close(&s->rates[c]);
    free(s->rates);
    free(s->mono);
    free(s->changed);
    free(s->frames);
    source_close(&s->source);
}

/* One channel of the source's block: *got values at *out. */
static int take_channel(struct signal *s, int64_t c, const float **out, int64_t *got)
{
    struct level l;
    int code = source_copy(&s->source, s->first + (int)c, s->mono, &l);
    *out = s->mono;
    *got = s->source.got;
    if (code || !s->rates)
        return code;
    code = rate_feed(&s->rates[c], s->mono, s->source.got, s->source.ended, s->changed, got);
    const int64_t offset[2] = {0, *got};
    const struct ragged x = {.data = s->changed, .channels = 1, .offset = offset, .rows = 1, .total = *got};
    code = code ? code : level(s->source.exec, &x, &l);
    if (!code && l.first_not_finite >= 0)
        code = fail(STATUS_ARGUMENT, "at the other rate the signal is too large for float32");
    *out = s->changed;
    return code;
}

/* The block as it is written: *got frames at *out. */
static int take_block(struct signal *s, const float **out, int64_t *got)
{
    int code = take_channel(s, 0, out, got);
    if (code || s->channels == 1)
        return code;
    const int64_t frames = *got;
    for (int64_t c = 0; c < s->channels && !code; c++) {
        if (c > 0)
            code = take_channel(s, c, out, got);
        if (!code && *got != frames)
            code = fail(STATUS_INTERNAL, "samples: channels of %" PRId64 " and %" PRId64 " samples", frames, *got);
        for (int64_t i = 0; i < frames && !code; i++)
            s->frames[i * s->channels + c] = (*out)[i];
    }
    *out = s->frames;
    return code;
}

int samples_write(struct job *j, struct audio *a, const struct samples_wish *wish, int64_t *channels, int64_t *samples)
{
    struct signal s = {0};
    const int fd = j->fds[TASK_FD_ARRAY];
    char header[NPY_HEADER_BYTES];
    int64_t total = 0;
    int code = open_signal(&s, j, a, wish);
    const size_t frame_bytes = (size_t)s.channels * sizeof(float);
    while (!code && !s.source.ended) {
        const float *frames;
        int64_t got = 0;
        code = source_read(&s.source);
        code = code ? code : take_block(&s, &frames, &got);
        if (!code)
            code =
                job_write_at(fd, frames, (size_t)got * frame_bytes, NPY_HEADER_BYTES + (uint64_t)total * frame_bytes);
        total += got;
        job_beat(j, 0);
    }
    if (!code)
        code = npy_signal_header(s.channels, total, header);
    if (!code)
        code = job_write_at(fd, header, sizeof header, 0);
    j->decode_s = s.source.seconds;
    *channels = s.channels;
    *samples = total;
    close_signal(&s);
    return code;
}
