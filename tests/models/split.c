#include "split.h"

#include "audio.h"
#include "subject.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct exec *split_exec(int threads)
{
    struct exec *ex = NULL;
    CHECK_OK(exec_create(
        &(struct exec_options){.isa = subject_isa(), .threads = threads, .ops = ops_cpu(subject_isa())}, &ex));
    REQUIRE(ex);
    return ex;
}

int split_emit(void *context, const float *stems, int64_t frames)
{
    struct split_out *const o = context;
    if (o->fail_from >= 0 && o->frames + frames > o->fail_from)
        return fail(STATUS_CANCELLED, "split: enough");
    REQUIRE(o->frames + frames <= o->room);
    const int64_t width = (int64_t)o->stem_count * SEPARATION_CHANNELS;
    memcpy(o->stems + o->frames * width, stems, (size_t)(frames * width) * sizeof *stems);
    o->frames += frames;
    return STATUS_OK;
}

int split_run(struct separation *s, const float *x, int64_t frames, int64_t block)
{
    uint64_t seed = 11;
    int code = STATUS_OK;
    for (int64_t at = 0; at < frames && !code;) {
        const int64_t want = block ? block : (int64_t)(test_random(&seed) % 30000), left = frames - at;
        const int64_t n = want < left ? want : left; /* may be 0 */
        code = separation_push(s, x + at * SEPARATION_CHANNELS, n);
        at += n;
    }
    return code ? code : separation_finish(s);
}

float *split_signal(int64_t frames)
{
    float *const x = malloc((size_t)(frames + 1) * SEPARATION_CHANNELS * sizeof *x);
    REQUIRE(x);
    uint64_t seed = 3;
    for (int64_t i = 0; i < frames; i++)
        for (int c = 0; c < SEPARATION_CHANNELS; c++) {
            const double tone = sin(0.03 * (double)i) + (c ? 0.5 : 1) * sin(0.171 * (double)i);
            x[2 * i + c] = (float)(0.2 * tone + (i % 7000 < 40 ? 0.5 : 0.02) * test_noise(&seed));
        }
    return x;
}

float *split_audio(const char *name, int64_t *frames)
{
    enum { MOST = 1 << 18 };
    struct audio *a = NULL;
    const int fd = open(test_data(name), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_OK(audio_open(fd, &a));
    REQUIRE(a && audio_info(a)->channels == SEPARATION_CHANNELS);
    float *const x = malloc((size_t)MOST * SEPARATION_CHANNELS * sizeof *x);
    REQUIRE(x);
    int64_t got = 1;
    for (*frames = 0; *frames < MOST && got > 0; *frames += got)
        CHECK_OK(audio_read(a, x + *frames * SEPARATION_CHANNELS, MOST - *frames, &got));
    audio_close(&a);
    (void)close(fd);
    return x;
}

float *split_take(const float *x, int64_t frames, int width, int at)
{
    float *const y = malloc((size_t)(frames + 1) * sizeof *y);
    REQUIRE(y);
    for (int64_t i = 0; i < frames; i++)
        y[i] = x[i * width + at];
    return y;
}
