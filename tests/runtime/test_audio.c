#include "audio.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 4 << 20 };

/* libsndfile forgets libvorbis's tables when the headers of an Ogg file are bent; the compute child is disposable. */
const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
const char *__lsan_default_suppressions(void)  /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
{
    return "leak:vorbis_info_init\nleak:libvorbis\nleak:libsndfile\n";
}

/* The whole of an open file in blocks of `block` frames; returns the last code. */
static int read_all(struct audio *a, float *out, int64_t block, int64_t *frames)
{
    int64_t got;
    int code;
    *frames = 0;
    while (!(code = audio_read(a, out + *frames * audio_info(a)->channels, block, &got)) && got > 0)
        *frames += got;
    return code;
}

static int decode_file(const char *path, float *out, int64_t *frames)
{
    struct audio *a = NULL;
    const int fd = open(path, O_RDONLY);
    int code = fd < 0 ? STATUS_NOT_FOUND : audio_open(fd, &a);
    if (!code)
        code = read_all(a, out, 4096, frames);
    audio_close(&a);
    close(fd);
    return code;
}

TEST(files_equal_libsndfile)
{
    static const struct {
        const char *name, *codec;
        int channels;
    } cases[] = {{"bird_stereo_44k.ogg", "ogg/vorbis", 2},
                 {"drums_tabla_stereo_44k.flac", "flac/pcm_16", 2},
                 {"loop_electric_stereo_44k_24bit.aiff", "aiff/pcm_24", 2},
                 {"music_3ch_44k.flac", "flac/pcm_16", 3},
                 {"music_stereo_44k.mp3", "mp3", 2},
                 {"music_stereo_44k_8bit.flac", "flac/pcm_s8", 2},
                 {"music_stereo_96k_24bit.flac", "flac/pcm_24", 2},
                 {"oneshot_shaker_mono_44k_float.wav", "wav/float", 1},
                 {"oneshot_snare_stereo_48k_24bit.wav", "wav/pcm_24", 2},
                 {"piano_a3_stereo_44k.mp3", "mp3", 2},
                 {"speech_4ch_16k.flac", "flac/pcm_16", 4},
                 {"speech_mono_16k.ogg", "ogg/vorbis", 1},
                 {"speech_mono_8k.wav", "wav/pcm_16", 1},
                 {"speech_two_mono_16k_double.wav", "wav/double", 1}};
    static const int64_t blocks[] = {4096, 1, 7};
    float *want = malloc(MOST * sizeof *want), *got = malloc(MOST * sizeof *got);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        SF_INFO info = {0};
        SNDFILE *f = sf_open(test_data(cases[c].name), SFM_READ, &info);
        REQUIRE(f);
        const int64_t expected = sf_readf_float(f, want, MOST / info.channels);
        sf_close(f);
        for (size_t b = 0; b < 3; b++) {
            const int fd = open(test_data(cases[c].name), O_RDONLY);
            struct audio *a = NULL;
            int64_t frames;
            CHECK_OK(audio_open(fd, &a));
            REQUIRE(a);
            CHECK(strncmp(audio_info(a)->codec, cases[c].codec, strlen(cases[c].codec)) == 0);
            CHECK(audio_info(a)->channels == cases[c].channels && audio_info(a)->rate_hz == info.samplerate);
            CHECK_OK(read_all(a, got, blocks[b], &frames));
            CHECK(frames == expected && audio_info(a)->frames == expected);
            CHECK(*audio_info(a)->warning == '\0');
            CHECK(memcmp(want, got, (size_t)(frames * info.channels) * sizeof *got) == 0);
            audio_close(&a);
            close(fd);
        }
    }
    free(want);
    free(got);
}

static void put32(unsigned char *p, uint32_t v, bool little)
{
    for (int i = 0; i < 4; i++)
        p[little ? i : 3 - i] = (unsigned char)(v >> 8 * i);
}

/* A WAV of 1,000 mono samples whose header claims `claim` bytes of data. */
static void write_wav(const char *path, uint32_t claim, int samples, int channels)
{
    unsigned char head[44] = "RIFF....WAVEfmt \x10\0\0\0\x01\0";
    head[22] = (unsigned char)channels;
    put32(head + 4, 36 + claim, true);
    put32(head + 24, 44100, true);
    put32(head + 28, 88200, true);
    memcpy(head + 32, "\x02\0\x10\0data", 8);
    put32(head + 40, claim, true);
    FILE *f = fopen(path, "w");
    fwrite(head, 1, 44, f);
    for (int i = 0; i < samples; i++) {
        const int16_t v = (int16_t)(i * 31);
        fwrite(&v, 2, 1, f);
    }
    fclose(f);
}

static void cut_copy(const char *from, const char *to, double share)
{
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    REQUIRE(in && out);
    char *all = malloc(MOST);
    const size_t n = fread(all, 1, MOST, in);
    fwrite(all, 1, (size_t)((double)n * share), out);
    fclose(in);
    fclose(out);
    free(all);
}

TEST(what_was_promised_is_compared)
{
    static float out[MOST];
    int64_t n = 0;
    write_wav("good.wav", 2000, 1000, 1);
    CHECK_OK(decode_file("good.wav", out, &n));
    CHECK(n == 1000);
    static const struct {
        uint32_t claim;
        int samples, channels, code;
        const char *reason;
    } cases[] = {{2000, 500, 1, STATUS_FORMAT, "half of it"},
                 {3175200000u, 1000, 1, STATUS_FORMAT, "ten hours claimed"},
                 {0xffffffffu, 1000, 1, STATUS_OK, "written into a pipe"},
                 {0x7ffff024u, 1000, 1, STATUS_OK, "sox into a pipe"},
                 {2, 1, 1, STATUS_OK, "one sample"},
                 {0, 0, 1, STATUS_FORMAT, "a header only"},
                 {2000, 1000, 0, STATUS_FORMAT, "no channels"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        write_wav("x.wav", cases[c].claim, cases[c].samples, cases[c].channels);
        const int code = decode_file("x.wav", out, &n);
        CHECK(code == cases[c].code);
        if (code != cases[c].code)
            printf("    %s: %s %s\n", cases[c].reason, status_name(code), status_message());
    }
    static const char *const names[] = {"drums_tabla_stereo_44k.flac", "loop_electric_stereo_44k_24bit.aiff",
                                        "music_stereo_44k.mp3", "rain_mono_44k.ogg", "speech_mono_8k.wav"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cut_copy(test_data(names[i]), "cut", 0.6);
        CHECK_CODE(decode_file("cut", out, &n), STATUS_FORMAT);
        CHECK(strstr(status_message(), "runcated"));
    }
    fclose(fopen("empty", "w"));
    CHECK_CODE(decode_file("empty", out, &n), STATUS_FORMAT);
    FILE *f = fopen("text.wav", "w");
    fputs("this is not sound, however it is called\n", f);
    fclose(f);
    CHECK_CODE(decode_file("text.wav", out, &n), STATUS_UNSUPPORTED);
    CHECK_CODE(decode_file("missing", out, &n), STATUS_NOT_FOUND);
    struct audio *a = NULL;
    CHECK_CODE(audio_open(-1, &a), STATUS_IO);
    const int m4a = open(test_data("music_pluck_stereo_48k.m4a"), O_RDONLY); /* ffmpeg's to try */
    CHECK_CODE(audio_open(m4a, &a), STATUS_UNSUPPORTED);
    close(m4a);
    CHECK(a == NULL);
}

/* RF64 keeps the size of its data in ds64. */
TEST(rf64_claims_are_read)
{
    SF_INFO info = {.channels = 1, .samplerate = 8000, .format = SF_FORMAT_RF64 | SF_FORMAT_PCM_16};
    SNDFILE *f = sf_open("x.rf64", SFM_WRITE, &info);
    static float x[8000], out[MOST];
    CHECK(f && sf_writef_float(f, x, 8000) == 8000);
    sf_close(f);
    int64_t n = 0;
    CHECK_OK(decode_file("x.rf64", out, &n));
    CHECK(n == 8000);
    cut_copy("x.rf64", "cut", 0.5);
    CHECK_CODE(decode_file("cut", out, &n), STATUS_FORMAT);
}

/* Bent recordings must not crash the reader; what they give does not matter. (test_audio_small.c bends thousands.) */
TEST(bent_files_do_not_crash)
{
    static const char *const names[] = {"oneshot_shaker_mono_44k_float.wav", "oneshot_hihat_mono_96k.flac",
                                        "loop_electric_stereo_44k_24bit.aiff", "bird_stereo_44k.ogg",
                                        "piano_a3_stereo_44k.mp3"};
    static float out[MOST];
    uint64_t seed = 5;
    char *all = malloc(MOST);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        FILE *in = fopen(test_data(names[i]), "r");
        REQUIRE(in);
        const size_t n = fread(all, 1, 30000, in);
        fclose(in);
        for (int m = 0; m < 40; m++) {
            for (int k = 0; k < 1 + m % 4; k++)
                all[test_random(&seed) % (m % 2 ? 200 : n)] ^= (char)(1 << test_random(&seed) % 8);
            FILE *f = fopen("bent", "w");
            fwrite(all, 1, n, f);
            fclose(f);
            struct audio *a = NULL;
            const int fd = open("bent", O_RDONLY);
            int64_t frames = 0, got = 0;
            int code = audio_open(fd, &a);
            while (!code && !(code = audio_read(a, out, 1000, &got)) && got > 0 && frames < 1000000)
                frames += got;
            audio_close(&a);
            close(fd);
        }
    }
    free(all);
}
