/* What is written, read back: by our reader, which is libsndfile's, and byte by byte. */
#include "audio_write_rig.h"
#include "compare.h"
#include "demucs_pcm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static float x[RIG_SAMPLES], y[RIG_SAMPLES + 4096];

static int file(void)
{
    const int fd = open("x", O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0);
    return fd;
}

/* The contract's equations, in double. */
static double quantised(double v, int bits, bool demucs)
{
    const double full = ldexp(1, bits - 1);
    if (demucs) /* the product is a float there, as in demucs */
        return trunc((double)(float)(fmin(fmax(v, -1), 1) * (full - 1))) / full;
    return fmin(fmax(rint(v * full), -full), full - 1) / full;
}

TEST(integers_and_floats_are_exact)
{
    static const struct {
        const char *format;
        int bits;
        bool demucs;
    } cases[] = {{"wav", 16, false},
                 {"wav/int24", 24, false},
                 {"wav/float32", 0, false},
                 {"wav/demucs", 16, true},
                 {"wav/int24/demucs", 24, true},
                 {"wav/float32/demucs", 0, true},
                 {"flac", 16, false},
                 {"flac/int24", 24, false},
                 {"flac/demucs", 16, true},
                 {"flac/int24/demucs", 24, true}};
    static const struct {
        int rate_hz, channels, frames;
    } shapes[] = {{8000, 1, 20000}, {44100, 2, 20000}, {96000, 8, 20000},
                  {44100, 1, 1},    {48000, 3, 4096},  {22050, 1, 4097}};
    uint64_t seed = 1;
    for (int i = 0; i < RIG_SAMPLES; i++)
        x[i] = 1.3f * test_noise(&seed);
    memcpy(x, (const float[]){0, -0.0f, 1, -1, 0.99999997f, 0.5f / 32768, 1.5f / 32768, -0.5f / 32768}, 8 * sizeof *x);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int64_t n = (int64_t)shapes[s].frames * shapes[s].channels;
            const int fd = file();
            int64_t wrong = 0;
            CHECK_OK(rig_write(fd, cases[c].format, shapes[s].rate_hz, shapes[s].channels, x, shapes[s].frames,
                               shapes[s].frames, 0));
            CHECK(rig_read(fd, y, RIG_FRAMES) == shapes[s].frames);
            for (int64_t i = 0; i < n; i++) {
                const float want = cases[c].bits     ? (float)quantised(x[i], cases[c].bits, cases[c].demucs)
                                   : cases[c].demucs ? fminf(fmaxf(x[i], -1), 1)
                                                     : x[i];
                wrong += !(y[i] == want);
            }
            CHECK(wrong == 0);
            if (wrong)
                printf("    %s, %d channels: %lld samples\n", cases[c].format, shapes[s].channels, (long long)wrong);
            close(fd);
        }
}

/* As long as what went in, at its place, and of its loudness: LAME takes up to 5 % away at low bit rates, Vorbis adds
 * a little. The limits are about half as much again as these tones give. */
TEST(lossy_is_near)
{
    static const struct {
        const char *format;
        int rate_hz, channels;
        double limit; /* relative L2 of what is left after the gain */
    } cases[] = {{"mp3", 44100, 1, 2e-3},     {"mp3", 44100, 2, 2e-3},        {"mp3", 48000, 2, 2e-3},
                 {"mp3/128", 44100, 2, 1e-2}, {"mp3/64", 22050, 2, 1e-2},     {"mp3", 8000, 1, 2e-2},
                 {"mp3", 8000, 2, 2e-2},      {"mp3/demucs", 44100, 2, 2e-3}, {"ogg", 44100, 1, 4e-2},
                 {"ogg", 44100, 2, 4e-2},     {"ogg", 8000, 1, 4e-2},         {"ogg", 96000, 2, 4e-2},
                 {"ogg", 44100, 8, 4e-2},     {"ogg/demucs", 48000, 5, 4e-2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t n = (int64_t)RIG_FRAMES * cases[c].channels;
        const int fd = file();
        double xx = 0, xy = 0, rest = 0;
        rig_tones(x, RIG_FRAMES, cases[c].channels);
        CHECK_OK(rig_write(fd, cases[c].format, cases[c].rate_hz, cases[c].channels, x, RIG_FRAMES, -1, 0));
        CHECK(rig_read(fd, y, RIG_FRAMES + 400) == RIG_FRAMES);
        for (int64_t i = 0; i < n; i++) {
            xx += (double)x[i] * x[i];
            xy += (double)x[i] * y[i];
        }
        for (int64_t i = 0; i < n; i++)
            rest += pow(y[i] - xy / xx * x[i], 2);
        CHECK_AT_MOST(fabs(xy / xx - 0.975), 0.04);
        CHECK_AT_MOST(sqrt(rest / xx), cases[c].limit);
        if (!(sqrt(rest / xx) <= cases[c].limit))
            printf("    %s at %d Hz, %d channels\n", cases[c].format, cases[c].rate_hz, cases[c].channels);
        close(fd);
    }
}

/* Recordings of 16 and 24 bits come back as they were. */
TEST(recordings_come_back)
{
    static const struct {
        const char *name, *format;
        int rate_hz, channels;
    } cases[] = {{"speech_mono_8k.wav", "wav", 8000, 1},
                 {"speech_mono_8k.wav", "flac", 8000, 1},
                 {"oneshot_snare_stereo_48k_24bit.wav", "wav/int24", 48000, 2},
                 {"oneshot_snare_stereo_48k_24bit.wav", "flac/int24", 48000, 2},
                 {"oneshot_shaker_mono_44k_float.wav", "wav/float32", 44100, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int in = open(test_data(cases[c].name), O_RDONLY), fd = file();
        struct audio *a = NULL;
        int64_t frames = 0;
        REQUIRE(audio_open(in, &a) == STATUS_OK && audio_info(a)->channels == cases[c].channels);
        CHECK_OK(audio_read(a, x, RIG_FRAMES, &frames));
        CHECK(frames > 1000);
        CHECK_OK(rig_write(fd, cases[c].format, cases[c].rate_hz, cases[c].channels, x, frames, frames, 777));
        CHECK(rig_read(fd, y, RIG_FRAMES) == frames);
        CHECK(compare_bits(x, y, (size_t)(frames * cases[c].channels) * sizeof *x));
        audio_close(&a);
        close(in);
        close(fd);
    }
}

/* Two writings of the same, cut differently: an Ogg stream's serial number would differ, and Vorbis's blocks. */
TEST(equal_bytes_however_cut)
{
    static const int64_t pieces[] = {1, 4096, 5000, 0};
    rig_tones(x, RIG_FRAMES, 2);
    for (int f = 0; f < rig_formats_count; f++) {
        size_t want = 0, got = 0;
        int fd = file();
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, RIG_FRAMES, RIG_FRAMES, RIG_FRAMES));
        unsigned char *first = rig_bytes(fd, &want);
        close(fd);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            fd = file();
            CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, RIG_FRAMES, RIG_FRAMES, pieces[p]));
            unsigned char *again = rig_bytes(fd, &got);
            const bool equal = want == got && compare_bits(first, again, want);
            CHECK(equal);
            if (!equal)
                printf("    %s in pieces of %lld\n", rig_formats[f], (long long)pieces[p]);
            free(again);
            close(fd);
        }
        free(first);
    }
}

/* demucs's own files, headers and all. */
TEST(demucs_files)
{
    for (size_t c = 0; c < sizeof demucs_files / sizeof *demucs_files; c++) {
        enum audio_clip mode = AUDIO_CLIP_NONE;
        float v[DEMUCS_SAMPLES];
        memcpy(v, demucs_inputs[demucs_files[c].input], sizeof v);
        CHECK_OK(audio_clip_parse(demucs_files[c].clip, &mode));
        CHECK(strcmp(audio_clip_name(mode), demucs_files[c].clip) == 0);
        const float peak = audio_peak(audio_peak(0, v, 5), v + 5, DEMUCS_SAMPLES - 5);
        const float divisor = audio_clip_divisor(mode, peak);
        audio_clip(mode, divisor, v, 7);
        audio_clip(mode, divisor, v + 7, DEMUCS_SAMPLES - 7);
        const int64_t frames = DEMUCS_SAMPLES / DEMUCS_CHANNELS;
        const int fd = file();
        size_t bytes = 0;
        CHECK_OK(rig_write(fd, demucs_files[c].format, DEMUCS_RATE_HZ, DEMUCS_CHANNELS, v, frames, frames, 3));
        unsigned char *all = rig_bytes(fd, &bytes);
        const bool equal = (int)bytes == demucs_files[c].bytes && compare_bits(all, demucs_files[c].file, bytes);
        CHECK(equal);
        if (!equal)
            printf("    input %d, %s, %s\n", demucs_files[c].input, demucs_files[c].clip, demucs_files[c].format);
        free(all);
        close(fd);
    }
    enum audio_clip mode;
    CHECK_CODE(audio_clip_parse("tanh", &mode), STATUS_ARGUMENT);
    CHECK(audio_clip_divisor(AUDIO_CLIP_RESCALE, 0.99f) == 1 && audio_clip_divisor(AUDIO_CLIP_CLAMP, 5) == 1);
}

TEST(short_files)
{
    for (int f = 0; f < rig_formats_count; f++)
        for (int64_t frames = 0; frames <= 1; frames++) {
            const int fd = file();
            size_t bytes = 0;
            rig_tones(x, 1, 2);
            CHECK_OK(rig_write(fd, rig_formats[f], 48000, 2, x, frames, -1, 1));
            CHECK(rig_read(fd, y, RIG_FRAMES) == (frames ? 1 : -1));
            CHECK(frames || strstr(status_message(), "no samples")); /* a file, but without sound */
            free(rig_bytes(fd, &bytes));
            CHECK(bytes >= 44);
            close(fd);
        }
}

/* An odd number of bytes is padded, and the sizes say so. */
TEST(odd_lengths_are_padded)
{
    const int fd = file();
    size_t bytes = 0;
    rig_tones(x, 3, 1);
    CHECK_OK(rig_write(fd, "wav/int24", 8000, 1, x, 3, 3, 3));
    unsigned char *all = rig_bytes(fd, &bytes);
    CHECK(bytes == 44 + 10 && all[4] == 46 && all[40] == 9 && all[53] == 0);
    CHECK(rig_read(fd, y, 10) == 3);
    free(all);
    close(fd);
}

/* The bit rate of the first frame's header, ISO 11172-3 and 13818-3, layer III. */
static int first_bitrate(int fd)
{
    static const int kbps[2][15] = {{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
                                    {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}};
    unsigned char head[4] = {0};
    if (pread(fd, head, 4, 0) != 4 || head[0] != 0xff || (head[1] & 0xe6) != 0xe2 || head[2] >> 4 == 15)
        return -1;
    return kbps[(head[1] & 0x18) == 0x18][head[2] >> 4];
}

TEST(mp3_bitrates)
{
    static const struct {
        int rate_hz;
        int kbps[15];
    } cases[] = {{44100, {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}},
                 {32000, {320}},
                 {48000, {128, 320}},
                 {22050, {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}},
                 {16000, {160}},
                 {24000, {64}},
                 {11025, {8, 16, 24, 32, 40, 48, 56, 64}},
                 {12000, {64}},
                 {8000, {8, 64}}};
    char text[AUDIO_FORMAT_BYTES];
    rig_tones(x, 3000, 2);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int i = 0; cases[c].kbps[i]; i++) {
            const int fd = file(), want = cases[c].kbps[i];
            audio_format_name(&(struct audio_format){AUDIO_MP3, AUDIO_INT16, AUDIO_ROUND_NEAREST, want}, text);
            CHECK_OK(rig_write(fd, text, cases[c].rate_hz, 2, x, 3000, 3000, 3000));
            CHECK(first_bitrate(fd) == want);
            if (!cases[c].kbps[i + 1]) { /* nothing said is the highest */
                CHECK_OK(rig_write(fd, "mp3", cases[c].rate_hz, 2, x, 3000, 3000, 3000));
                CHECK(first_bitrate(fd) == (cases[c].rate_hz >= 32000 ? 320 : cases[c].rate_hz >= 16000 ? 160 : 64));
            }
            close(fd);
        }
}

TEST(formats_as_text)
{
    static const struct {
        const char *text, *name; /* NULL: refused, with this in the message */
        const char *reason;
    } cases[] = {{"wav", "wav/int16", "wav"},
                 {"wav/int16", "wav/int16", "wav"},
                 {"wav/float32/demucs", "wav/float32/demucs", "wav"},
                 {"wav/demucs/int24", "wav/int24/demucs", "wav"},
                 {"flac", "flac/int16", "flac"},
                 {"flac/int24", "flac/int24", "flac"},
                 {"mp3", "mp3", "mp3"},
                 {"mp3/192", "mp3/192", "mp3"},
                 {"mp3/144/demucs", "mp3/144/demucs", "mp3"},
                 {"ogg", "ogg", "ogg"},
                 {"ogg/demucs", "ogg/demucs", "ogg"},
                 {"", NULL, "not one of"},
                 {"WAV", NULL, "not one of"},
                 {"wave", NULL, "not one of"},
                 {"aiff", NULL, "not one of"},
                 {"wav/", NULL, "neither"},
                 {"wav/int8", NULL, "neither"},
                 {"wav/int16/int24", NULL, "twice"},
                 {"wav/demucs/demucs", NULL, "twice"},
                 {"mp3/128/192", NULL, "twice"},
                 {"mp3/0", NULL, "neither"},
                 {"mp3/-8", NULL, "neither"},
                 {"mp3/1234567890123", NULL, "neither"},
                 {"mp3/100", NULL, "no bit rate"},
                 {"wav/128", NULL, "for mp3"},
                 {"ogg/128", NULL, "for mp3"},
                 {"flac/float32", NULL, "integers only"},
                 {"mp3/float32", NULL, "for wav"},
                 {"mp3/int24", NULL, "wav and flac"},
                 {"ogg/float32", NULL, "for wav"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct audio_format f = {AUDIO_OGG, AUDIO_INT24, AUDIO_ROUND_DEMUCS, 1}, again = {0};
        char name[AUDIO_FORMAT_BYTES];
        const int code = audio_format_parse(cases[c].text, &f);
        CHECK_CODE(code, cases[c].name ? STATUS_OK : STATUS_ARGUMENT);
        if (!cases[c].name)
            CHECK(strstr(status_message(), cases[c].reason) && f.bitrate_kbps == 1);
        if (code || !cases[c].name)
            continue;
        audio_format_name(&f, name);
        CHECK(strcmp(name, cases[c].name) == 0 && strcmp(audio_format_extension(&f), cases[c].reason) == 0);
        CHECK_OK(audio_format_parse(name, &again));
        CHECK(f.container == again.container && f.sample == again.sample && f.rounding == again.rounding &&
              f.bitrate_kbps == again.bitrate_kbps);
    }
}

TEST(what_a_format_cannot_hold)
{
    static const struct {
        const char *format;
        int rate_hz, channels;
        const char *reason; /* NULL: it can */
    } cases[] = {{"wav", 44100, 0, "1 to 1024 channels"},
                 {"wav", 44100, 1025, "1 to 1024 channels"},
                 {"wav", 44100, 1024, NULL},
                 {"wav", 0, 1, "Hz"},
                 {"wav", -8000, 1, "Hz"},
                 {"wav/float32", 2000000, 1000, "a second"},
                 {"flac", 44100, 9, "1 to 8 channels"},
                 {"flac", 655360, 1, "655350"},
                 {"flac", 65537, 1, "multiples of 10"},
                 {"flac", 192000, 8, NULL},
                 {"mp3", 44100, 3, "1 to 2 channels"},
                 {"mp3", 96000, 2, "not 96000"},
                 {"mp3", 44101, 2, "not 44101"},
                 {"mp3/320", 8000, 1, "no bit rate of 320"},
                 {"mp3/144", 44100, 1, "no bit rate of 144"},
                 {"mp3/128", 8000, 1, "no bit rate of 128"},
                 {"ogg", 200001, 1, "200000 Hz"},
                 {"ogg", 44100, 256, "1 to 255 channels"},
                 {"ogg", 200000, 1, NULL}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct audio_format f = rig_format(cases[c].format);
        struct audio_writer *w = NULL;
        const int fd = file(), want = cases[c].reason ? STATUS_ARGUMENT : STATUS_OK;
        CHECK(write(fd, "old", 3) == 3);
        CHECK_CODE(audio_format_check(&f, cases[c].rate_hz, cases[c].channels), want);
        CHECK_CODE(audio_write_open(fd, &f, cases[c].rate_hz, cases[c].channels, 10, &w), want);
        CHECK(!cases[c].reason || strstr(status_message(), cases[c].reason));
        CHECK((w == NULL) == (cases[c].reason != NULL));
        CHECK(w || lseek(fd, 0, SEEK_END) == 3); /* refused before the file was touched */
        CHECK_OK(audio_write_close(&w));
        close(fd);
    }
    const struct audio_format odd[] = {{(enum audio_container)4, 0, 0, 0},
                                       {0, (enum audio_sample)3, 0, 0},
                                       {0, 0, (enum audio_rounding)2, 0},
                                       {AUDIO_MP3, 0, 0, -320}};
    for (int i = 0; i < 4; i++)
        CHECK_CODE(audio_format_check(&odd[i], 44100, 2), STATUS_ARGUMENT);
}
