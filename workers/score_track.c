#include "score_track.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK_SAMPLES = 131072, BLOCK_FRAMES_MIN = 2048 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int open_audio(struct score_track_file *f)
{
    int code = audio_open(f->fd, &f->audio);
    if (code == STATUS_UNSUPPORTED) { /* which would have the supervisor ask ffmpeg, for one file of many */
        char why[200];
        (void)snprintf(why, sizeof why, "%s", status_message());
        code = fail(STATUS_FORMAT, "%s; scores are of what libsndfile reads: WAV, FLAC, AIFF, Ogg, MP3", why);
    }
    return status_context(code, "%s %s", f->side, f->name);
}

static int open_all(struct score_track *t)
{
    const struct score_track_file *const first = &t->file[0];
    int code = STATUS_OK;
    for (int i = 0; i < t->count && !code; i++) {
        struct score_track_file *const f = &t->file[i];
        code = open_audio(f);
        if (code)
            return code;
        const struct audio_info *const a = audio_info(f->audio), *const b = audio_info(first->audio);
        if (a->rate_hz != b->rate_hz)
            return fail(STATUS_SHAPE, "%s %s has %d Hz, %s %s %d Hz", f->side, f->name, a->rate_hz, first->side,
                        first->name, b->rate_hz);
        if (a->channels != b->channels)
            return fail(STATUS_SHAPE, "%s %s has %d channels, %s %s %d", f->side, f->name, a->channels, first->side,
                        first->name, b->channels);
    }
    return STATUS_OK;
}

int score_track_open(struct score_track *t)
{
    int code = open_all(t);
    if (code)
        return code;
    t->channels = audio_info(t->file[0].audio)->channels;
    if (t->channels > SCORE_CHANNELS_MOST)
        return fail(STATUS_ARGUMENT, "%s %s has %d channels, allowed %d", t->file[0].side, t->file[0].name, t->channels,
                    SCORE_CHANNELS_MOST);
    t->block = BLOCK_SAMPLES / t->channels < BLOCK_FRAMES_MIN ? BLOCK_FRAMES_MIN : BLOCK_SAMPLES / t->channels;
    const size_t frames = (size_t)(SCORE_TRACK_KEEP + t->block);
    for (int i = 0; i < t->count; i++) {
        t->file[i].window = malloc(frames * (size_t)t->channels * sizeof(float));
        if (!t->file[i].window)
            return fail(STATUS_NOMEM, "score: out of memory");
    }
    return STATUS_OK;
}

void score_track_close(struct score_track *t)
{
    for (int i = 0; i < t->count; i++) {
        audio_close(&t->file[i].audio);
        free(t->file[i].window);
        t->file[i].window = NULL;
    }
}

int score_track_rewind(struct score_track *t)
{
    for (int i = 0; i < t->count; i++)
        audio_close(&t->file[i].audio);
    t->first = t->had = t->got = 0;
    return open_all(t);
}

/* Frames up to `most` into out, fewer only at the end. */
static int read_full(const struct score_track *t, const struct score_track_file *f, float *out, int64_t *got)
{
    int64_t n = 1;
    int code = STATUS_OK;
    for (*got = 0; *got < t->block && n && !code; *got += n) {
        n = 0;
        code = audio_read(f->audio, out + *got * t->channels, t->block - *got, &n);
    }
    for (int64_t i = 0; i < *got * t->channels && !code; i++)
        if (!isfinite(out[i]))
            code =
                fail(STATUS_FORMAT, "sample %" PRId64 " is not a finite number", t->first + t->had + i / t->channels);
    return status_context(code, "%s %s", f->side, f->name);
}

/* Counts the frames of a file to its end. */
static int length_of(const struct score_track *t, const struct score_track_file *f, int64_t *frames)
{
    int64_t got = 1;
    int code = STATUS_OK;
    while (got && !code)
        code = audio_read(f->audio, f->window, t->block, &got);
    *frames = audio_info(f->audio)->frames;
    return status_context(code, "%s %s", f->side, f->name);
}

static int refuse_length(const struct score_track *t, const struct score_track_file *f)
{
    const struct score_track_file *const first = &t->file[0];
    int64_t frames, others;
    int code = length_of(t, f, &frames);
    code = code ? code : length_of(t, first, &others);
    return code ? code
                : fail(STATUS_SHAPE, "%s %s has %" PRId64 " samples, %s %s %" PRId64, f->side, f->name, frames,
                       first->side, first->name, others);
}

int score_track_read(struct score_track *t, int64_t keep)
{
    const int64_t had = t->first + t->had + t->got - keep, channels = t->channels;
    if (keep < t->first || had < 0 || had > SCORE_TRACK_KEEP)
        return fail(STATUS_INTERNAL, "score: %" PRId64 " frames are to be kept", had);
    const double began = now_s();
    int code = STATUS_OK;
    int64_t got = 0;
    for (int i = 0; i < t->count; i++)
        memmove(t->file[i].window, t->file[i].window + (keep - t->first) * channels,
                (size_t)(had * channels) * sizeof(float));
    t->first = keep;
    t->had = had;
    t->got = 0;
    for (int i = 0; i < t->count && !code; i++) {
        code = read_full(t, &t->file[i], t->file[i].window + had * channels, &got);
        if (i == 0)
            t->got = got;
        if (!code && got != t->got)
            code = refuse_length(t, &t->file[i]);
    }
    t->decode_s += now_s() - began;
    return code;
}

static struct score_signal signal_of(const struct score_track *t, int file, int64_t skip)
{
    return (struct score_signal){t->file[file].window + skip * t->channels, t->had + t->got - skip, t->channels};
}

struct score_signal score_track_reference(const struct score_track *t, int stem, int64_t skip)
{
    return signal_of(t, 2 * stem, skip);
}

struct score_signal score_track_estimate(const struct score_track *t, int stem, int64_t skip)
{
    return signal_of(t, 2 * stem + 1, skip);
}
