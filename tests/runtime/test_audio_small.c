/* Small files, made here: every format that libsndfile writes, what their headers claim, and thousands of bent ones. */
#include "audio.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FRAMES = 700, CHANNELS_MOST = 8, FILE_MOST = 1 << 17, OUT_FRAMES = 1 << 16 };

/* libsndfile forgets libvorbis's tables when the headers of an Ogg file are bent; the compute child is disposable. */
const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
const char *__lsan_default_suppressions(void)  /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
{
    return "leak:vorbis_info_init\nleak:libvorbis\nleak:libsndfile\n";
}

static const struct format {
    int format;
    const char *codec;
    int channels;
    bool knows_its_length; /* a cut is noticed: by the claim in its header, or by its last page */
} formats[] = {{SF_FORMAT_WAV | SF_FORMAT_PCM_U8, "wav/pcm_u8", 1, true},
               {SF_FORMAT_WAV | SF_FORMAT_PCM_16, "wav/pcm_16", 2, true},
               {SF_FORMAT_WAV | SF_FORMAT_PCM_24, "wav/pcm_24", 3, true},
               {SF_FORMAT_WAV | SF_FORMAT_PCM_32, "wav/pcm_32", 1, true},
               {SF_FORMAT_WAV | SF_FORMAT_FLOAT, "wav/float", 8, true},
               {SF_FORMAT_WAV | SF_FORMAT_DOUBLE, "wav/double", 1, true},
               {SF_FORMAT_WAV | SF_FORMAT_ULAW, "wav/ulaw", 1, true},
               {SF_FORMAT_WAV | SF_FORMAT_ALAW, "wav/alaw", 2, true},
               {SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, "wav", 1, true},
               {SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, "wav/pcm_16", 6, true},
               {SF_FORMAT_RF64 | SF_FORMAT_PCM_24, "rf64/pcm_24", 2, true},
               {SF_FORMAT_AIFF | SF_FORMAT_PCM_S8, "aiff/pcm_s8", 1, true},
               {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, "aiff/pcm_16", 2, true},
               {SF_FORMAT_AIFF | SF_FORMAT_FLOAT, "aiff/float", 1, true},
               {SF_FORMAT_FLAC | SF_FORMAT_PCM_S8, "flac/pcm_s8", 1, true},
               {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, "flac/pcm_16", 2, true},
               {SF_FORMAT_FLAC | SF_FORMAT_PCM_24, "flac/pcm_24", 8, true},
               {SF_FORMAT_OGG | SF_FORMAT_VORBIS, "ogg/vorbis", 2, true},
               {SF_FORMAT_OGG | SF_FORMAT_OPUS, "ogg/opus", 1, true},
               {SF_FORMAT_AU | SF_FORMAT_PCM_16, "au/pcm_16", 2, false},
               {SF_FORMAT_AU | SF_FORMAT_FLOAT, "au/float", 1, false},
               {SF_FORMAT_CAF | SF_FORMAT_PCM_16, "caf/pcm_16", 1, false},
               {SF_FORMAT_W64 | SF_FORMAT_PCM_16, "w64/pcm_16", 2, false},
               {SF_FORMAT_NIST | SF_FORMAT_PCM_16, "other/pcm_16", 1, false},
#ifdef SF_FORMAT_MPEG /* libsndfile 1.1 and later */
               {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, "mp3", 2, true}
#endif
};
enum { FORMATS = sizeof formats / sizeof *formats };

static unsigned char *slurp(const char *path, size_t *bytes)
{
    unsigned char *all = malloc(FILE_MOST);
    const int fd = open(path, O_RDONLY);
    const ssize_t n = read(fd, all, FILE_MOST);
    REQUIRE(n >= 0 && n < FILE_MOST);
    close(fd);
    *bytes = (size_t)n;
    return all;
}

/* A file of noise in this format; NULL where this libsndfile cannot write it. */
static unsigned char *make(const struct format *f, int64_t frames, size_t *bytes)
{
    SF_INFO info = {.channels = f->channels, .samplerate = 48000, .format = f->format};
    static float noise[FRAMES * CHANNELS_MOST];
    uint64_t seed = 77;
    if (!sf_format_check(&info))
        return NULL;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        noise[i] = 0.9f * test_noise(&seed);
    SNDFILE *file = sf_open("made", SFM_WRITE, &info);
    REQUIRE(file && sf_writef_float(file, noise, frames) == frames);
    sf_close(file);
    return slurp("made", bytes);
}

/* A memory file with these bytes. */
static int hold(const void *data, size_t bytes)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("audio", MFD_CLOEXEC);
    REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    return fd;
}

static float out[OUT_FRAMES * CHANNELS_MOST];

/* Opens and reads to the end; the last code. */
static int read_fd(int fd, int64_t block, int64_t *frames, struct audio_info *info)
{
    struct audio *a = NULL;
    int64_t got = 0;
    *frames = 0;
    int code = audio_open(fd, &a);
    if (code) {
        CHECK(a == NULL && *status_message());
        return code;
    }
    const int channels = audio_info(a)->channels;
    while (!code && *frames < OUT_FRAMES) {
        const int64_t most = (int64_t)(sizeof out / sizeof *out) / channels - block;
        code = audio_read(a, out + (*frames < most ? *frames : 0) * channels, block, &got);
        if (got == 0 || code)
            break;
        *frames += got;
    }
    *info = *audio_info(a);
    audio_close(&a);
    return code;
}

TEST(every_format_equals_libsndfile)
{
    static const int64_t blocks[] = {1, 7, 4096};
    static float want[OUT_FRAMES * CHANNELS_MOST];
    int seen = 0;
    for (size_t i = 0; i < FORMATS; i++) {
        size_t bytes = 0;
        free(make(&formats[i], FRAMES, &bytes));
        SF_INFO sf = {0};
        SNDFILE *file = sf_open("made", SFM_READ, &sf);
        if (!file || sf.channels != formats[i].channels) {
            sf_close(file);
            continue;
        }
        const int64_t expected = sf_readf_float(file, want, OUT_FRAMES);
        sf_close(file);
        CHECK(expected >= FRAMES);
        for (size_t b = 0; b < 3; b++) {
            struct audio_info info = {0};
            int64_t frames;
            const int fd = open("made", O_RDONLY);
            CHECK_OK(read_fd(fd, blocks[b], &frames, &info));
            close(fd);
            CHECK(frames == expected && info.channels == formats[i].channels && info.rate_hz == 48000);
            CHECK(strncmp(info.codec, formats[i].codec, strlen(formats[i].codec)) == 0);
            CHECK(memcmp(want, out, (size_t)(frames * info.channels) * sizeof *out) == 0);
            if (*info.warning)
                printf("    %s: %s\n", info.codec, info.warning);
            CHECK(*info.warning == '\0');
        }
        seen++;
    }
    CHECK(seen >= FORMATS - 2); /* an old libsndfile may lack MP3 and Opus */
}

/* Cut behind each byte in turn: never a crash, and what passes for whole has been given a warning. */
TEST(cut_everywhere)
{
    for (size_t i = 0; i < FORMATS; i++) {
        size_t bytes = 0;
        unsigned char *all = make(&formats[i], 300, &bytes);
        if (!all)
            continue;
        for (size_t n = 0; n < bytes; n += n < 600 || bytes - n < 300 ? 1 : 23) {
            struct audio_info info = {0};
            int64_t frames;
            const int code = read_fd(hold(all, n), 512, &frames, &info);
            CHECK(code == STATUS_OK || code == STATUS_FORMAT || code == STATUS_UNSUPPORTED);
            const bool noticed = code != STATUS_OK || *info.warning;
            CHECK(noticed || !formats[i].knows_its_length);
            if (!noticed && formats[i].knows_its_length)
                printf("    %s: %zu of %zu bytes, %lld frames\n", info.codec, n, bytes, (long long)frames);
        }
        free(all);
    }
}

/* ---- headers that lie ---- */

/* FLAC's number of samples: the low 36 bits of the eight bytes at 18. */
TEST(flac_counts_that_lie)
{
    static const struct {
        uint64_t count;
        int code;
        const char *reason;
    } cases[] = {{FRAMES, STATUS_OK, "the truth"},
                 {0, STATUS_OK, "unknown, as from a pipe"},
                 {FRAMES + 1, STATUS_FORMAT, "one more than there are"},
                 {48000ull * 36000, STATUS_FORMAT, "ten hours"}};
    size_t bytes = 0;
    unsigned char *all = make(&formats[15], FRAMES, &bytes);
    REQUIRE(all && memcmp(all, "fLaC", 4) == 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct audio_info info;
        int64_t frames;
        all[21] = (unsigned char)((all[21] & 0xf0) | (cases[c].count >> 32));
        for (int i = 0; i < 4; i++)
            all[22 + i] = (unsigned char)(cases[c].count >> (24 - 8 * i));
        const int code = read_fd(hold(all, bytes), 4096, &frames, &info);
        CHECK(code == cases[c].code && (code || frames == FRAMES));
        if (code != cases[c].code)
            printf("    %s: %s, %s\n", cases[c].reason, status_name(code), status_message());
    }
    free(all);
}

TEST(wav_headers_that_lie)
{
    static const struct {
        size_t at;
        int width;
        uint32_t value;
        bool good;
        const char *reason;
    } cases[] = {{40, 4, FRAMES * 4, true, "the truth"},
                 {40, 4, 0xffffffff, true, "written into a pipe"},
                 {4, 4, 0xffffffff, true, "its outer size too"},
                 {4, 4, 0, true, "an outer size of nothing: never believed"},
                 {40, 4, 48000u * 4 * 3600 * 6, false, "six hours"},
                 {22, 2, 0, false, "no channels"},
                 {22, 2, 5000, false, "thousands of channels"},
                 {24, 4, 0, false, "no rate"},
                 {24, 4, 0xffffffff, false, "a negative rate"},
                 {34, 2, 0, false, "samples of no bits"},
                 {34, 2, 500, false, "samples of 500 bits"},
                 {20, 2, 0x1234, false, "a format that nobody knows"},
                 {36, 4, 0x61616161, false, "no data at all"}};
    size_t bytes = 0;
    unsigned char *all = make(&formats[1], FRAMES, &bytes);
    REQUIRE(all && memcmp(all + 36, "data", 4) == 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        unsigned char bent[FRAMES * 4 + 44];
        struct audio_info info;
        int64_t frames;
        REQUIRE(bytes <= sizeof bent);
        memcpy(bent, all, bytes);
        for (int i = 0; i < cases[c].width; i++)
            bent[cases[c].at + (size_t)i] = (unsigned char)(cases[c].value >> 8 * i);
        const int code = read_fd(hold(bent, bytes), 4096, &frames, &info);
        const bool right = cases[c].good ? code == STATUS_OK && frames == FRAMES : status_class(code) == FAILURE_INPUT;
        CHECK(right);
        if (!right)
            printf("    %s: %s, %lld frames, %s\n", cases[c].reason, status_name(code), (long long)frames,
                   code ? status_message() : info.warning);
    }
    free(all);
}

/* Up to one in a hundred may be missing: used, and said. */
TEST(a_little_is_forgiven)
{
    size_t bytes = 0;
    unsigned char *all = make(&formats[1], FRAMES, &bytes);
    struct audio_info info;
    int64_t frames;
    CHECK_OK(read_fd(hold(all, bytes - 8), 4096, &frames, &info));
    CHECK(frames == FRAMES - 2 && strstr(info.warning, "last 8 bytes"));
    CHECK_CODE(read_fd(hold(all, bytes - 40), 4096, &frames, &info), STATUS_FORMAT);
    CHECK(strstr(status_message(), "truncated: its header claims 2800 bytes of audio, the file holds 2760"));
    free(all);
}

TEST(nothing_inside)
{
    struct audio_info info;
    int64_t frames;
    for (size_t i = 0; i < FORMATS; i++) {
        size_t bytes = 0;
        unsigned char *all = make(&formats[i], 0, &bytes);
        if (!all)
            continue;
        const int code = read_fd(hold(all, bytes), 64, &frames, &info);
        CHECK(code == STATUS_FORMAT || code == STATUS_UNSUPPORTED || frames > 0); /* a codec's own delay */
        free(all);
    }
}

/* The descriptor stops being readable: before the header, between header and samples. */
TEST(read_errors)
{
    size_t bytes = 0;
    unsigned char *all = make(&formats[1], FRAMES, &bytes);
    struct audio *a = NULL;
    int64_t got;
    const int write_only = open("made", O_WRONLY), folder = open(".", O_RDONLY);
    CHECK_CODE(audio_open(write_only, &a), STATUS_IO);
    CHECK(a == NULL && strstr(status_message(), "cannot read"));
    CHECK(audio_open(folder, &a) == STATUS_IO || status_class(audio_open(folder, &a)) == FAILURE_INPUT);
    const int fd = open("made", O_RDONLY);
    CHECK_OK(audio_open(fd, &a));
    CHECK(dup2(write_only, fd) == fd);
    CHECK_CODE(audio_read(a, out, 4096, &got), STATUS_IO);
    audio_close(&a);
    close(fd);
    close(write_only);
    close(folder);
    free(all);
}

/* The position of the descriptor is nobody's business, and is left alone. */
TEST(position_is_left_alone)
{
    size_t bytes = 0;
    unsigned char *all = make(&formats[1], FRAMES, &bytes);
    struct audio_info info;
    int64_t frames;
    const int fd = hold(all, bytes);
    CHECK(lseek(fd, 17, SEEK_SET) == 17);
    CHECK_OK(read_fd(fd, 100, &frames, &info));
    CHECK(frames == FRAMES && lseek(fd, 0, SEEK_CUR) == 17);
    free(all);
}

/* 20,000 small files with bent bytes, cut ends and doubled middles: no crash, no endless loop, and a code that the
 * queue understands. The decoders are the distribution's; the sanitizers watch what we do with what they say. */
TEST(bent_small_files)
{
    enum { EACH = 20000 / (FORMATS - 2) + 1 };
    uint64_t seed = 2024;
    int done = 0, whole = 0;
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO); /* mpg123 tells what it thinks of each */
    close(null);
    for (size_t i = 0; i < FORMATS; i++) {
        size_t bytes = 0;
        unsigned char *all = make(&formats[i], 60, &bytes), *bent = malloc(2 * FILE_MOST);
        for (int m = 0; all && m < EACH; m++, done++) {
            size_t n = bytes;
            memcpy(bent, all, n);
            const size_t reach = m % 2 && n > 120 ? 120 : n; /* every other time in the headers */
            for (int k = 0; k < 1 + m % 5; k++)
                bent[test_random(&seed) % reach] = (unsigned char)(m % 3                    ? test_random(&seed)
                                                                   : test_random(&seed) % 2 ? 0xff
                                                                                            : 0);
            if (m % 7 == 3)
                n -= test_random(&seed) % n;
            if (m % 7 == 5) { /* a middle twice */
                const size_t from = test_random(&seed) % n, more = test_random(&seed) % (n - from);
                memmove(bent + from + more, bent + from, n - from);
                n += more;
            }
            struct audio_info info = {0};
            int64_t frames;
            const int code = read_fd(hold(bent, n), 997, &frames, &info);
            CHECK(code == STATUS_OK || code == STATUS_FORMAT || code == STATUS_UNSUPPORTED);
            CHECK(memchr(info.warning, '\0', sizeof info.warning) && memchr(info.codec, '\0', sizeof info.codec));
            whole += code == STATUS_OK;
        }
        free(all);
        free(bent);
    }
    CHECK(done >= 20000 && whole > 1000);
}
