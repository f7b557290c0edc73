/* What can be written: names, and the limits of each format. */
#include "audio.h"
#include "audio_write.h"

#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const sample_names[] = {"int16", "int24", "float32"};

static const struct {
    const char *name;
    int major; /* libsndfile's number, where that writes it */
    int channels_most, rate_most_hz;
    bool lossy;
} containers[] = {[AUDIO_WAV] = {"wav", 0, AUDIO_CHANNELS_MAX, 100000000, false},
                  [AUDIO_FLAC] = {"flac", SF_FORMAT_FLAC, 8, 655350, false},
                  [AUDIO_MP3] = {"mp3", SF_FORMAT_MPEG, 2, 48000, true},
                  [AUDIO_OGG] = {"ogg", SF_FORMAT_OGG, 255, 200000, true}};

enum { CONTAINERS = sizeof containers / sizeof *containers, SAMPLES = sizeof sample_names / sizeof *sample_names };

/* MPEG-1, 2 and 2.5 each have three sample rates, and bit rates of their own. LAME offers those of layer III; for 2.5
 * the ones above 64 kbit/s are in no standard. */
static const struct mpeg {
    int rates_hz[3];
    int bitrates_kbps[15]; /* rising, then 0 */
} mpegs[] = {{{44100, 48000, 32000}, {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}},
             {{22050, 24000, 16000}, {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}},
             {{11025, 12000, 8000}, {8, 16, 24, 32, 40, 48, 56, 64}}};

static bool has_bitrate(const struct mpeg *m, int kbps)
{
    for (int i = 0; m->bitrates_kbps[i]; i++)
        if (m->bitrates_kbps[i] == kbps)
            return true;
    return false;
}

/* What holds whatever the signal: which samples and bit rates the container knows. */
static int check_combination(const struct audio_format *f)
{
    const char *name = containers[f->container].name;
    if (containers[f->container].lossy && f->sample != AUDIO_INT16)
        return fail(STATUS_ARGUMENT, "%s has no samples of its own: %s is for wav%s", name, sample_names[f->sample],
                    f->sample == AUDIO_INT24 ? " and flac" : "");
    if (f->container == AUDIO_FLAC && f->sample == AUDIO_FLOAT32)
        return fail(STATUS_ARGUMENT, "flac holds integers only: float32 is for wav");
    if (f->container != AUDIO_MP3 && f->bitrate_kbps)
        return fail(STATUS_ARGUMENT, "%s: a bit rate is for mp3", name);
    bool known = f->bitrate_kbps == 0;
    for (size_t i = 0; i < sizeof mpegs / sizeof *mpegs; i++)
        known |= has_bitrate(&mpegs[i], f->bitrate_kbps);
    return known ? STATUS_OK : fail(STATUS_ARGUMENT, "%d kbit/s is no bit rate of mp3", f->bitrate_kbps);
}

static bool read_bitrate(const char *text, size_t n, int *kbps)
{
    *kbps = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *kbps = *kbps * 10 + (text[i] - '0');
    }
    return n >= 1 && n <= 3 && *kbps > 0;
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return strlen(word) == n && strncmp(text, word, n) == 0;
}

/* One part after a slash. Each kind of part may come once. */
static bool read_part(const char *text, size_t n, struct audio_format *f, bool seen[3])
{
    enum { SAMPLE, ROUNDING, BITRATE } kind = BITRATE;
    for (int i = 0; i < SAMPLES; i++)
        if (is_word(text, n, sample_names[i])) {
            kind = SAMPLE;
            f->sample = (enum audio_sample)i;
        }
    if (is_word(text, n, "demucs")) {
        kind = ROUNDING;
        f->rounding = AUDIO_ROUND_DEMUCS;
    }
    if (kind == BITRATE && (n > 3 || !read_bitrate(text, n, &f->bitrate_kbps)))
        return false;
    const bool first = !seen[kind];
    seen[kind] = true;
    return first;
}

int audio_format_parse(const char *text, struct audio_format *out)
{
    struct audio_format f = {0};
    bool seen[3] = {false}, known = false;
    size_t n = strcspn(text, "/");
    for (int i = 0; i < CONTAINERS; i++)
        if (is_word(text, n, containers[i].name)) {
            f.container = (enum audio_container)i;
            known = true;
        }
    if (!known)
        return fail(STATUS_ARGUMENT, "format '%.40s': not one of wav, flac, mp3, ogg", text);
    for (const char *part = text + n; *part == '/'; part += n) {
        n = strcspn(++part, "/");
        if (!read_part(part, n, &f, seen))
            return fail(STATUS_ARGUMENT,
                        "format '%.40s': '%.*s' is neither int16, int24, float32 nor a bit rate, or is"
                        " there twice",
                        text, (int)(n < 40 ? n : 40), part);
    }
    const int code = check_combination(&f);
    if (!code)
        *out = f;
    return status_context(code, "format '%.40s'", text);
}

void audio_format_name(const struct audio_format *f, char out[AUDIO_FORMAT_BYTES])
{
    char bitrate[8] = "";
    if (f->bitrate_kbps)
        snprintf(bitrate, sizeof bitrate, "/%d", f->bitrate_kbps % 1000);
    snprintf(out, AUDIO_FORMAT_BYTES, "%s%s%s%s%s", containers[f->container].name,
             containers[f->container].lossy ? "" : "/", containers[f->container].lossy ? "" : sample_names[f->sample],
             bitrate, f->rounding == AUDIO_ROUND_DEMUCS ? "/demucs" : "");
}

const char *audio_format_extension(const struct audio_format *f)
{
    return containers[f->container].name;
}

/* Codecs are options of libsndfile's build: its own list says which it has. */
static bool is_built_in(int major)
{
    int count = 0;
    sf_command(NULL, SFC_GET_FORMAT_MAJOR_COUNT, &count, sizeof count);
    for (int i = 0; i < count; i++) {
        SF_FORMAT_INFO info = {.format = i};
        if (sf_command(NULL, SFC_GET_FORMAT_MAJOR, &info, sizeof info) == 0 && info.format == major)
            return true;
    }
    return false;
}

static int check_mp3(int rate_hz, int kbps)
{
    for (size_t i = 0; i < sizeof mpegs / sizeof *mpegs; i++)
        for (int r = 0; r < 3; r++)
            if (mpegs[i].rates_hz[r] == rate_hz)
                return kbps == 0 || has_bitrate(&mpegs[i], kbps)
                           ? STATUS_OK
                           : fail(STATUS_ARGUMENT, "mp3 at %d Hz has no bit rate of %d kbit/s", rate_hz, kbps);
    return fail(STATUS_ARGUMENT, "mp3 knows 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100 and 48000 Hz, not %d",
                rate_hz);
}

int audio_format_check(const struct audio_format *f, int rate_hz, int channels)
{
    if ((unsigned)f->container >= CONTAINERS || (unsigned)f->sample >= SAMPLES ||
        (unsigned)f->rounding > AUDIO_ROUND_DEMUCS)
        return fail(STATUS_ARGUMENT, "audio format %d, %d, %d", (int)f->container, (int)f->sample, (int)f->rounding);
    const char *name = containers[f->container].name;
    int code = check_combination(f);
    if (code)
        return code;
    if (channels < 1 || channels > containers[f->container].channels_most)
        return fail(STATUS_ARGUMENT, "%s holds 1 to %d channels, not %d", name, containers[f->container].channels_most,
                    channels);
    if (f->container == AUDIO_MP3 && (code = check_mp3(rate_hz, f->bitrate_kbps)))
        return code;
    if (rate_hz < 1 || rate_hz > containers[f->container].rate_most_hz)
        return fail(STATUS_ARGUMENT, "%s holds 1 to %d Hz, not %d", name, containers[f->container].rate_most_hz,
                    rate_hz);
    if (f->container == AUDIO_FLAC && rate_hz > 65535 && rate_hz % 10)
        return fail(STATUS_ARGUMENT, "flac above 65535 Hz knows multiples of 10 only, not %d", rate_hz);
    if (f->container == AUDIO_WAV &&
        (uint64_t)rate_hz * (uint64_t)(channels * audio_wav_sample_bytes(f->sample)) > UINT32_MAX)
        return fail(STATUS_ARGUMENT, "wav: %d channels at %d Hz are more bytes a second than its header can say",
                    channels, rate_hz);
    if (f->container != AUDIO_WAV && !is_built_in(containers[f->container].major))
        return fail(STATUS_UNSUPPORTED, "%s: this machine's libsndfile (%s) was built without it", name,
                    sf_version_string());
    return STATUS_OK;
}
