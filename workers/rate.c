#include "rate.h"

#include <samplerate.h>
#include <stdlib.h>
#include <string.h>

int rate_method_parse(const char *name, enum rate_method *out)
{
    static const char *const names[] = {"polyphase", "src-best", "src-medium", "src-fast"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum rate_method)i;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT, "resample '%.32s': there are polyphase, src-best, src-medium and src-fast", name);
}

int rate_open(struct rate *r, struct exec *ex, int64_t rate_in, int64_t rate_out, enum rate_method method, int64_t most)
{
    static const int converters[] = {0, SRC_SINC_BEST_QUALITY, SRC_SINC_MEDIUM_QUALITY, SRC_SINC_FASTEST};
    *r = (struct rate){.exec = ex, .p = {rate_in, rate_out}};
    if (method != RATE_POLYPHASE) {
        int error = 0;
        r->src = src_new(converters[method], 1, &error);
        if (!r->src)
            return fail(STATUS_NOMEM, "libsamplerate: %s", src_strerror(error));
        if (!src_is_valid_ratio((double)rate_out / (double)rate_in))
            return fail(STATUS_ARGUMENT, "libsamplerate does not go from %lld to %lld Hz", (long long)rate_in,
                        (long long)rate_out);
        return STATUS_OK;
    }
    const struct ragged nothing = {.channels = 1, .offset = (const int64_t[]){0, 0}, .rows = 1};
    struct ragged none = nothing;
    const int code = resample(ex, &r->p, &nothing, &none); /* whether it can, before memory is taken for it */
    if (code)
        return code;
    r->capacity = resample_overlap(&r->p) + most;
    r->in = malloc((size_t)r->capacity * sizeof *r->in);
    return r->in ? STATUS_OK : fail(STATUS_NOMEM, "resample: out of memory");
}

void rate_close(struct rate *r)
{
    if (r->src)
        src_delete(r->src);
    free(r->in);
    *r = (struct rate){0};
}

int64_t rate_room(const struct rate *r, int64_t n)
{
    enum { SRC_HELD = 1024 }; /* more than libsamplerate's longest filter holds back, in samples of the slower rate */
    const int64_t held = r->src ? SRC_HELD : resample_overlap(&r->p);
    return (n + held + 2) * r->p.rate_out / r->p.rate_in + SRC_HELD;
}

/* How many samples the whole signal of n gives. */
static int64_t length_of(const struct rate *r, int64_t n)
{
    return (n * r->p.rate_out + r->p.rate_in - 1) / r->p.rate_in;
}

static int feed_src(struct rate *r, const float *x, int64_t n, bool last, float *out, int64_t *got)
{
    const int64_t room = rate_room(r, n);
    SRC_DATA d = {.data_in = x,
                  .data_out = out,
                  .input_frames = (long)n,
                  .output_frames = (long)room,
                  .end_of_input = last,
                  .src_ratio = (double)r->p.rate_out / (double)r->p.rate_in};
    r->start += n;
    *got = 0;
    do {
        const int error = src_process(r->src, &d);
        if (error)
            return fail(STATUS_INTERNAL, "libsamplerate: %s", src_strerror(error));
        *got += d.output_frames_gen;
        d.data_in += d.input_frames_used;
        d.input_frames -= d.input_frames_used;
        d.data_out += d.output_frames_gen;
        d.output_frames -= d.output_frames_gen;
    } while (d.output_frames > 0 && (d.input_frames > 0 || (last && d.output_frames_gen > 0)));
    if (d.input_frames > 0)
        return fail(STATUS_INTERNAL, "libsamplerate gave more samples than the ratio says");
    const int64_t due = length_of(r, r->start) - r->next;
    if (*got > due)
        *got = due;
    for (; last && *got < due && *got < room; ++*got)
        out[*got] = 0;
    r->next += *got;
    return STATUS_OK;
}

int rate_feed(struct rate *r, const float *x, int64_t n, bool last, float *out, int64_t *got)
{
    if (r->src)
        return feed_src(r, x, n, last, out, got);
    if (n > r->capacity - r->samples)
        return fail(STATUS_INTERNAL, "resample: a block of %lld samples", (long long)n);
    if (n > 0)
        memcpy(r->in + r->samples, x, (size_t)n * sizeof *x);
    r->samples += n;
    const struct piece piece = {r->start, r->start == 0, last};
    const int64_t count = resample_count(&r->p, piece, r->samples), skip = r->next - resample_first(&r->p, piece);
    const int64_t in_offset[2] = {0, r->samples}, out_offset[2] = {0, count};
    const struct ragged in = {
        .data = r->in, .channels = 1, .offset = in_offset, .piece = &piece, .rows = 1, .total = r->samples};
    struct ragged y = {.data = out, .channels = 1, .offset = out_offset, .piece = &piece, .rows = 1, .total = count};
    const int code = resample(r->exec, &r->p, &in, &y);
    if (code)
        return code;
    *got = count > skip ? count - skip : 0;
    memmove(out, out + (*got ? skip : 0), (size_t)*got * sizeof *out);
    r->next += *got;
    /* What lies before the next output's filter is done with. */
    const struct resample_key k = resample_key(&r->p);
    int64_t keep = r->next * k.down / k.up - resample_taps(&k) / 2 + 1;
    keep = keep < r->start ? r->start : keep > r->start + r->samples ? r->start + r->samples : keep;
    memmove(r->in, r->in + (keep - r->start), (size_t)(r->start + r->samples - keep) * sizeof *r->in);
    r->samples -= keep - r->start;
    r->start = keep;
    return STATUS_OK;
}
