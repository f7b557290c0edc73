#include "sound.h"

#include "test.h"

#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool sound_write(const char *path, const float *samples, int64_t frames, int channels, int rate_hz)
{
    SF_INFO info = {.samplerate = rate_hz, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    if (!f)
        return false;
    sf_command(f, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it holds the time */
    const bool ok = frames == 0 || sf_writef_float(f, samples, frames) == frames;
    return sf_close(f) == 0 && ok;
}

bool sound_noise(const char *path, int64_t frames, int channels, int rate_hz, uint64_t seed)
{
    const size_t n = (size_t)frames * (size_t)channels;
    float *x = malloc(n * sizeof *x + 1);
    for (size_t i = 0; x && i < n; i++)
        x[i] = 0.5f * test_noise(&seed);
    const bool ok = x && sound_write(path, x, frames, channels, rate_hz);
    free(x);
    return ok;
}

bool sound_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    const bool ok = bytes == 0 || fwrite(data, 1, bytes, f) == bytes;
    return fclose(f) == 0 && ok;
}

bool sound_text(const char *path, const char *text)
{
    return sound_bytes(path, text, strlen(text));
}

bool sound_script(const char *path, const char *text)
{
    return sound_text(path, text) && chmod(path, 0755) == 0;
}

void sound_settle(void)
{
    usleep(30000);
}
