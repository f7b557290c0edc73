/* What can go wrong while writing: samples, descriptors, disks, missing codecs, and sizes beyond 4 GiB. The linker puts
 * the functions here in front of the C library's and libsndfile's (--wrap). */
#include "audio_write_rig.h"
#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
#define REAL(name) __real_##name
#define WRAP(name) __wrap_##name

ssize_t REAL(pwrite)(int fd, const void *data, size_t bytes, off_t at);
ssize_t WRAP(pwrite)(int fd, const void *data, size_t bytes, off_t at);
int REAL(sf_command)(SNDFILE *file, int command, void *data, int bytes);
int WRAP(sf_command)(SNDFILE *file, int command, void *data, int bytes);

static long calls, fail_at;              /* the call that fails; 0: none */
static int fail_errno;                   /* 0: that call writes nothing, and says so */
static bool dribbles;                    /* every other call is interrupted, each writes seven bytes at most */
static int64_t hole_from = -1, hole_end; /* what starts in here is not written: a hole */
static int hidden_format;

ssize_t WRAP(pwrite)(int fd, const void *data, size_t bytes, off_t at)
{
    calls++;
    if (fail_at && calls >= fail_at) { /* a full disk stays full */
        errno = fail_errno;
        return fail_errno ? -1 : 0;
    }
    if (dribbles && calls % 2) {
        errno = EINTR;
        return -1;
    }
    if (hole_from >= 0 && at >= hole_from && at < hole_end)
        return (ssize_t)bytes;
    return REAL(pwrite)(fd, data, dribbles && bytes > 7 ? 7 : bytes, at);
}

int WRAP(sf_command)(SNDFILE *file, int command, void *data, int bytes)
{
    const int result = REAL(sf_command)(file, command, data, bytes);
    if (command == SFC_GET_FORMAT_MAJOR && hidden_format && ((SF_FORMAT_INFO *)data)->format == hidden_format)
        ((SF_FORMAT_INFO *)data)->format = 0;
    return result;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static float x[RIG_SAMPLES], y[RIG_SAMPLES];

static int file(void)
{
    const int fd = open("x", O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0);
    return fd;
}

TEST(bad_samples_are_named)
{
    static const struct {
        float value;
        int64_t at; /* frame */
        int channel;
        const char *message;
    } cases[] = {{NAN, 0, 0, "frame 0, channel 0: not a number"},
                 {-NAN, 9999, 1, "frame 9999, channel 1: not a number"},
                 {INFINITY, 5000, 1, "frame 5000, channel 1: infinity"},
                 {-INFINITY, 4096, 0, "frame 4096, channel 0: infinity"}};
    for (int f = 0; f < rig_formats_count; f++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            const struct audio_format format = rig_format(rig_formats[f]);
            const int fd = file();
            struct audio_writer *w = NULL;
            int code = STATUS_OK;
            rig_tones(x, 10000, 2);
            x[cases[c].at * 2 + cases[c].channel] = cases[c].value;
            CHECK_OK(audio_write_open(fd, &format, 44100, 2, 10000, &w));
            REQUIRE(w);
            for (int64_t done = 0; done < 10000 && !code; done += 1000)
                code = audio_write(w, x + 2 * done, 1000);
            CHECK_CODE(code, STATUS_ARGUMENT);
            CHECK(strstr(status_message(), cases[c].message));
            CHECK_CODE(fail(STATUS_IO, "something else in between"), STATUS_IO);
            CHECK_CODE(audio_write(w, x + 2 * 6000, 10), STATUS_ARGUMENT); /* fine ones, too late */
            CHECK(strstr(status_message(), cases[c].message));
            CHECK_CODE(audio_write_close(&w), STATUS_ARGUMENT);
            CHECK(w == NULL && strstr(status_message(), cases[c].message));
            close(fd);
        }
}

/* The largest float is a sample; so is the smallest. */
TEST(any_finite_sample_is_taken)
{
    const float ends[] = {3.4028235e38f, -3.4028235e38f, 1e-45f, -1e-45f};
    for (int f = 0; f < 5; f++) { /* lossless */
        const int fd = file();
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, ends, 2, 2, 1));
        CHECK(rig_read(fd, y, 10) == 2 && y[0] >= 0.9999f && y[1] <= -1 && fabsf(y[2]) < 1e-9f);
        close(fd);
    }
}

TEST(descriptors)
{
    const struct audio_format f = {0};
    struct audio_writer *w = NULL;
    int ends[2] = {-1, -1};
    CHECK(pipe(ends) == 0);
    close(file());
    const struct {
        int fd, code;
        const char *reason;
    } cases[] = {{open("x", O_RDONLY), STATUS_IO, "not open for writing"},
                 {open("/dev/full", O_RDWR), STATUS_ARGUMENT, "not a regular file"},
                 {open(".", O_RDONLY), STATUS_ARGUMENT, "not a regular file"},
                 {ends[1], STATUS_ARGUMENT, "not a regular file"},
                 {-1, STATUS_IO, "Bad file descriptor"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CHECK_CODE(audio_write_open(cases[c].fd, &f, 44100, 2, 10, &w), cases[c].code);
        CHECK(w == NULL && strstr(status_message(), cases[c].reason));
        if (cases[c].fd >= 0)
            close(cases[c].fd);
    }
    close(ends[0]);
    CHECK_OK(audio_write_close(&w)); /* nothing */
}

/* What stood in the file goes; where its descriptor points stays; write-only and memfd do. */
TEST(files_that_were_used_before)
{
    static const char old[200000] = "old";
    rig_tones(x, 1000, 2);
    for (int f = 0; f < rig_formats_count; f++) {
        size_t want = 0, got = 0;
        int fd = file();
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, 1000, 1000, 0));
        unsigned char *first = rig_bytes(fd, &want);
        close(fd);
        fd = open("x", O_WRONLY);
        CHECK(write(fd, old, sizeof old) == sizeof old && lseek(fd, 17, SEEK_SET) == 17);
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, 1000, 1000, 0));
        CHECK(lseek(fd, 0, SEEK_CUR) == 17);
        close(fd);
        fd = open("x", O_RDONLY);
        unsigned char *second = rig_bytes(fd, &got);
        CHECK(want == got && compare_bits(first, second, want));
        free(second);
        close(fd);
        fd = memfd_create("stem", 0);
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, 1000, 1000, 0));
        second = rig_bytes(fd, &got);
        CHECK(want == got && compare_bits(first, second, want));
        free(second);
        free(first);
        close(fd);
    }
}

/* The disk fills at each write in turn, the last ones while closing: it is always said. */
TEST(a_disk_that_fills)
{
    static const int errors[] = {ENOSPC, EDQUOT, 0};
    rig_tones(x, RIG_FRAMES, 2);
    for (int f = 0; f < rig_formats_count; f++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            int code = STATUS_IO;
            long n = 1;
            fail_errno = errors[e];
            for (; n < 1000; n += n < 20 || f < 5 ? 1 : 7) {
                const int fd = file();
                calls = 0;
                fail_at = n;
                code = rig_write(fd, rig_formats[f], 44100, 2, x, RIG_FRAMES, RIG_FRAMES, 3000);
                fail_at = 0;
                close(fd);
                if (calls < n)
                    break;
                CHECK_CODE(code, STATUS_IO);
                CHECK(strstr(status_message(), "cannot write after") &&
                      strstr(status_message(), strerror(errors[e] ? errors[e] : EIO)));
            }
            CHECK_CODE(code, STATUS_OK); /* once it has room enough */
            CHECK(n >= 3);
        }
}

/* It is said while writing, not after hours of work for nothing. */
TEST(a_full_disk_ends_the_work)
{
    uint64_t seed = 8;
    for (int i = 0; i < 2 * RIG_FRAMES; i++) /* noise, so that Vorbis fills a page */
        x[i] = 0.5f * test_noise(&seed);
    for (int f = 0; f < rig_formats_count; f++) {
        const struct audio_format format = rig_format(rig_formats[f]);
        const int fd = file();
        struct audio_writer *w = NULL;
        CHECK_OK(audio_write_open(fd, &format, 44100, 2, -1, &w));
        REQUIRE(w);
        CHECK_OK(audio_write(w, x, RIG_FRAMES));
        fail_errno = ENOSPC;
        fail_at = calls = 1;
        CHECK_CODE(audio_write(w, x, RIG_FRAMES), STATUS_IO);
        fail_at = 0; /* somebody made room: the file is spoilt all the same */
        CHECK_CODE(audio_write(w, x, RIG_FRAMES), STATUS_IO);
        CHECK_CODE(audio_write_close(&w), STATUS_IO);
        CHECK(strstr(status_message(), "No space left"));
        close(fd);
    }
}

/* The same by the system's own hand. */
TEST(a_limit_on_file_size)
{
    REQUIRE(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    rig_tones(x, RIG_FRAMES, 2);
    for (int f = 0; f < rig_formats_count; f++) {
        struct stat s;
        int fd = file();
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, RIG_FRAMES, RIG_FRAMES, 0));
        REQUIRE(fstat(fd, &s) == 0);
        close(fd);
        const rlim_t limits[] = {0, 10, 1000, (rlim_t)s.st_size / 2, (rlim_t)s.st_size - 1, (rlim_t)s.st_size};
        for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
            struct rlimit limit;
            REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
            limit.rlim_cur = limits[l];
            fd = file();
            REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
            const int code = rig_write(fd, rig_formats[f], 44100, 2, x, RIG_FRAMES, RIG_FRAMES, 0);
            const bool said = strstr(status_message(), "File too large");
            limit.rlim_cur = limit.rlim_max;
            REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
            CHECK_CODE(code, limits[l] < (rlim_t)s.st_size ? STATUS_IO : STATUS_OK);
            CHECK(said || !code);
            close(fd);
        }
    }
}

TEST(short_and_interrupted_writes)
{
    rig_tones(x, 5000, 2);
    for (int f = 0; f < rig_formats_count; f++) {
        size_t want = 0, got = 0;
        int fd = file();
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, 5000, 5000, 0));
        unsigned char *first = rig_bytes(fd, &want);
        close(fd);
        fd = file();
        dribbles = true;
        CHECK_OK(rig_write(fd, rig_formats[f], 44100, 2, x, 5000, 5000, 0));
        dribbles = false;
        unsigned char *second = rig_bytes(fd, &got);
        CHECK(want == got && compare_bits(first, second, want));
        free(first);
        free(second);
        close(fd);
    }
}

TEST(missing_codecs_are_refused)
{
    static const struct {
        int hidden;
        const char *format;
    } cases[] = {{SF_FORMAT_MPEG, "mp3"}, {SF_FORMAT_FLAC, "flac"}, {SF_FORMAT_OGG, "ogg"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct audio_format f = rig_format(cases[c].format), wav = {0};
        hidden_format = cases[c].hidden;
        CHECK_CODE(audio_format_check(&f, 44100, 2), STATUS_UNSUPPORTED);
        CHECK(strstr(status_message(), cases[c].format) && strstr(status_message(), "built without it"));
        CHECK_OK(audio_format_check(&wav, 44100, 2));
        hidden_format = 0;
        CHECK_OK(audio_format_check(&f, 44100, 2));
    }
}

TEST(announced_lengths)
{
    const struct audio_format f = {0};
    struct audio_writer *w = NULL;
    const int fd = file();
    rig_tones(x, 200, 1);
    CHECK_OK(audio_write_open(fd, &f, 8000, 1, 100, &w));
    CHECK_OK(audio_write(w, x, 60));
    CHECK_OK(audio_write(w, x, 0));
    CHECK_CODE(audio_write(w, x, 41), STATUS_SHAPE);
    CHECK(strstr(status_message(), "100 frames"));
    CHECK_CODE(audio_write_close(&w), STATUS_SHAPE);
    CHECK_OK(audio_write_open(fd, &f, 8000, 1, -1, &w));
    CHECK_CODE(audio_write(w, x, -1), STATUS_ARGUMENT);
    CHECK_CODE(audio_write_close(&w), STATUS_ARGUMENT);
    CHECK_OK(rig_write(fd, "wav", 8000, 1, x, 60, 100, 7)); /* fewer than announced */
    CHECK(rig_read(fd, y, 200) == 60 && lseek(fd, 0, SEEK_END) == 44 + 120);
    CHECK_OK(rig_write(fd, "wav", 8000, 1, x, 60, -1, 7));
    CHECK(rig_read(fd, y, 200) == 60 && lseek(fd, 0, SEEK_END) == 44 + 36 + 120);
    close(fd);
}

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* On both sides of the largest RIFF. */
TEST(where_rf64_begins)
{
    static const struct {
        enum audio_sample sample;
        int channels;
        int64_t most;    /* announced */
        bool room;       /* for RF64's sizes */
        uint64_t frames; /* written */
        const char *magic;
    } cases[] = {{AUDIO_INT16, 1, 100, false, 100, "RIFF"},
                 {AUDIO_INT16, 1, 0x7fffff6d, false, 0x7fffff6d, "RIFF"}, /* 36 + 2n <= 0xfffffeff */
                 {AUDIO_INT16, 1, 0x7fffff6e, true, 0x7fffff6e, "RF64"},
                 {AUDIO_INT16, 1, -1, true, 0x7fffff5b, "RIFF"}, /* 72 + 2n */
                 {AUDIO_INT16, 1, -1, true, 0x7fffff5c, "RF64"},
                 {AUDIO_FLOAT32, 2, INT64_MAX, true, 10, "RIFF"},
                 {AUDIO_FLOAT32, 2, -1, true, 1000000000000, "RF64"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct audio_wav wav = {cases[c].sample, 44100, cases[c].channels, false};
        unsigned char h[AUDIO_WAV_HEADER_MOST];
        const size_t bytes = audio_wav_plan(&wav, cases[c].most);
        CHECK(wav.room_for_more == cases[c].room);
        CHECK(audio_wav_header(&wav, cases[c].frames, h) == bytes);
        CHECK(memcmp(h, cases[c].magic, 4) == 0);
        const uint64_t data = cases[c].frames * (uint64_t)(audio_wav_sample_bytes(wav.sample) * wav.channels);
        const bool big = memcmp(h, "RF64", 4) == 0;
        CHECK(little(h + 4, 4) == (big ? 0xffffffff : data + bytes - 8));
        CHECK(little(h + bytes - 4, 4) == (big ? 0xffffffff : data));
        CHECK(!big || (little(h + 20, 8) == data + bytes - 8 && little(h + 28, 8) == data &&
                       little(h + 36, 8) == cases[c].frames));
    }
}

/* 4.3 GB of float32, of which the middle is a hole. libsndfile finds its way to the end. */
TEST(beyond_4_gib)
{
    enum { CHANNELS = 8, PIECE = RIG_FRAMES };
    const int64_t pieces = 6720, frames = pieces * PIECE;
    const struct audio_format f = {AUDIO_WAV, AUDIO_FLOAT32, AUDIO_ROUND_NEAREST, 0};
    const int fd = file();
    struct audio_writer *w = NULL;
    struct audio_claim claim;
    rig_tones(x, PIECE, CHANNELS);
    hole_from = 1 << 20;
    hole_end = frames * CHANNELS * 4 - (1 << 20);
    CHECK_OK(audio_write_open(fd, &f, 96000, CHANNELS, -1, &w));
    int code = STATUS_OK;
    for (int64_t p = 0; p < pieces && !code; p++)
        code = audio_write(w, x, PIECE);
    CHECK_OK(code);
    CHECK_OK(audio_write_close(&w));
    hole_from = -1;
    struct stat s;
    REQUIRE(fstat(fd, &s) == 0);
    CHECK(s.st_size == 92 + frames * CHANNELS * 4 && s.st_size > (int64_t)1 << 32 && s.st_blocks < 16384);
    audio_claim(fd, (uint64_t)s.st_size, &claim);
    CHECK(claim.what == CLAIM_BYTES && claim.claimed_bytes == (uint64_t)s.st_size - 92 &&
          claim.present_bytes == claim.claimed_bytes);
    SF_INFO info = {0};
    SNDFILE *in = sf_open("x", SFM_READ, &info);
    REQUIRE(in);
    CHECK(info.frames == frames && info.channels == CHANNELS && (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_RF64);
    CHECK(sf_readf_float(in, y, 1000) == 1000 && compare_bits(x, y, 1000 * CHANNELS * sizeof *x));
    CHECK(sf_seek(in, frames - 1000, SEEK_SET) == frames - 1000 && sf_readf_float(in, y, 2000) == 1000);
    CHECK(compare_bits(x + (size_t)(PIECE - 1000) * CHANNELS, y, 1000 * CHANNELS * sizeof *x));
    sf_close(in);
    close(fd);
}
