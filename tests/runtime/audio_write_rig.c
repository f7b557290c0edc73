#include "audio_write_rig.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const rig_formats[] = {"wav/int16", "wav/int24", "wav/float32", "flac/int16", "flac/int24", "mp3", "ogg"};
const int rig_formats_count = sizeof rig_formats / sizeof *rig_formats;

struct audio_format rig_format(const char *text)
{
    struct audio_format f = {0};
    CHECK_OK(audio_format_parse(text, &f));
    return f;
}

void rig_tones(float *x, int64_t frames, int channels)
{
    for (int64_t t = 0; t < frames; t++)
        for (int c = 0; c < channels; c++)
            x[t * channels + c] =
                (float)(0.4 * sin(0.05 * (1 + 0.1 * c) * (double)t) + 0.3 * cos(0.021 * (double)(t + 9 * c)));
}

int rig_write(int fd, const char *format, int rate_hz, int channels, const float *x, int64_t frames, int64_t announced,
              int64_t piece)
{
    const struct audio_format f = rig_format(format);
    struct audio_writer *w = NULL;
    uint64_t seed = 3;
    int code = audio_write_open(fd, &f, rate_hz, channels, announced, &w);
    for (int64_t done = 0; done < frames && !code;) {
        const int64_t want = piece ? piece : (int64_t)(test_random(&seed) % 9000), left = frames - done;
        const int64_t part = want < left ? want : left;
        code = audio_write(w, x + done * channels, part);
        done += part;
    }
    const int closed = audio_write_close(&w);
    CHECK(w == NULL && (closed == code || code == STATUS_OK || closed == STATUS_OK));
    return code ? code : closed;
}

int64_t rig_read(int fd, float *out, int64_t most)
{
    struct audio *a = NULL;
    int64_t frames = 0, got = 0;
    int code = audio_open(fd, &a);
    while (!code && !(code = audio_read(a, out + frames * audio_info(a)->channels, most - frames, &got)) && got > 0)
        frames += got;
    CHECK(code || *audio_info(a)->warning == '\0');
    audio_close(&a);
    return code ? -1 : frames;
}

unsigned char *rig_bytes(int fd, size_t *bytes)
{
    struct stat s;
    REQUIRE(fstat(fd, &s) == 0);
    unsigned char *all = malloc((size_t)s.st_size + 1);
    REQUIRE(all && pread(fd, all, (size_t)s.st_size, 0) == s.st_size);
    *bytes = (size_t)s.st_size;
    return all;
}
