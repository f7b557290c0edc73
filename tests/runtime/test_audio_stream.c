/* AU streams as ffmpeg writes them into a pipe, and as it never would. */
#include "audio.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1 << 18, STREAM_MOST = 3 << 20 };

struct au {
    uint32_t skip, encoding, rate, channels;
    int samples; /* floats in all */
    size_t cut;  /* bytes to leave away at the end */
};

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* The stream's bytes; sample i is i / 2. */
static size_t build(const struct au *p, unsigned char *out)
{
    memset(out, 0, p->skip + 24);
    memcpy(out, ".snd", 4);
    put32(out + 4, p->skip);
    put32(out + 8, 0xffffffffu);
    put32(out + 12, p->encoding);
    put32(out + 16, p->rate);
    put32(out + 20, p->channels);
    for (int i = 0; i < p->samples; i++) {
        const float v = (float)i * 0.5f;
        uint32_t bits;
        memcpy(&bits, &v, 4);
        put32(out + p->skip + 4 * (size_t)i, bits);
    }
    return p->skip + 4 * (size_t)p->samples - p->cut;
}

/* A descriptor to read these bytes from; a process writes them, `step` at a time. */
static int pour(const unsigned char *bytes, size_t count, size_t step, useconds_t pause, pid_t *writer)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    *writer = fork();
    if (*writer == 0) {
        signal(SIGPIPE, SIG_IGN);
        close(ends[0]);
        for (size_t at = 0; at < count; at += step) {
            if (write(ends[1], bytes + at, count - at < step ? count - at : step) < 0)
                break;
            if (pause)
                usleep(pause);
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

/* Reads a stream to its end in blocks of `block` frames; the last code. */
static int drain(int fd, int64_t block, float *out, int64_t *frames, struct audio_info *info)
{
    struct audio *a = NULL;
    int64_t got = 0;
    *frames = 0;
    int code = audio_open_stream(fd, &a);
    if (code) {
        CHECK(a == NULL);
        return code;
    }
    while (!(code = audio_read(a, out + *frames * audio_info(a)->channels, block, &got)) && got > 0)
        *frames += got;
    CHECK(audio_info(a)->frames == *frames);
    if (!code) /* the end stays the end */
        CHECK(audio_read(a, out, 1, &got) == STATUS_OK && got == 0);
    *info = *audio_info(a);
    audio_close(&a);
    return code;
}

static int feed(const struct au *p, size_t step, int64_t block, float *out, int64_t *frames, struct audio_info *info)
{
    unsigned char *all = malloc(STREAM_MOST);
    const size_t bytes = build(p, all);
    pid_t writer;
    const int fd = pour(all, bytes, step, 0, &writer);
    const int code = drain(fd, block, out, frames, info);
    close(fd);
    waitpid(writer, NULL, 0);
    free(all);
    return code;
}

static void check_samples(const float *out, int64_t count)
{
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++)
        bad += out[i] != (float)i * 0.5f;
    CHECK(bad == 0);
}

TEST(au_streams)
{
    static float out[MOST];
    static const struct {
        struct au p;
        int code;
        int64_t frames;
        const char *reason;
    } cases[] = {{{24, 6, 44100, 2, 50000, 0}, STATUS_OK, 25000, "as ffmpeg writes it"},
                 {{100, 6, 8000, 1, 3, 0}, STATUS_OK, 3, "with an annotation"},
                 {{40001, 6, 8000, 1, 3, 0}, STATUS_OK, 3, "with an annotation of several blocks"},
                 {{1 << 20, 6, 8000, 1, 3, 0}, STATUS_OK, 3, "with the longest annotation"},
                 {{(1 << 20) + 1, 6, 8000, 1, 3, 0}, STATUS_FORMAT, 0, "with a longer one"},
                 {{24, 6, 48000, 8, 800, 0}, STATUS_OK, 100, "eight channels"},
                 {{24, 6, 48000, 1024, 10240, 0}, STATUS_OK, 10, "as many channels as we take"},
                 {{24, 6, 48000, 1025, 10250, 0}, STATUS_FORMAT, 0, "one more"},
                 {{24, 6, 100000000, 2, 2, 0}, STATUS_OK, 1, "the highest rate"},
                 {{24, 6, 100000001, 2, 2, 0}, STATUS_FORMAT, 0, "a higher one"},
                 {{24, 6, 1, 1, 1, 0}, STATUS_OK, 1, "one sample at 1 Hz"},
                 {{24, 6, 48000, 2, 100, 3}, STATUS_OK, 49, "the last frame is cut"},
                 {{24, 6, 48000, 2, 2, 1}, STATUS_FORMAT, 0, "the only frame is cut"},
                 {{24, 6, 48000, 2, 0, 0}, STATUS_FORMAT, 0, "no samples"},
                 {{24, 6, 48000, 2, 0, 24}, STATUS_FORMAT, 0, "nothing at all"},
                 {{24, 3, 48000, 2, 100, 0}, STATUS_FORMAT, 0, "not floats"},
                 {{24, 7, 48000, 2, 100, 0}, STATUS_FORMAT, 0, "doubles"},
                 {{23, 6, 48000, 2, 100, 0}, STATUS_FORMAT, 0, "a header shorter than itself"},
                 {{24, 6, 0, 2, 100, 0}, STATUS_FORMAT, 0, "no rate"},
                 {{24, 6, 48000, 0, 100, 0}, STATUS_FORMAT, 0, "no channels"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int64_t frames = 0;
        struct audio_info info = {0};
        const int code = feed(&cases[c].p, 1000, 777, out, &frames, &info);
        CHECK(code == cases[c].code);
        if (code != cases[c].code)
            printf("    %s: %s %s\n", cases[c].reason, status_name(code), status_message());
        if (code)
            continue;
        CHECK(frames == cases[c].frames && info.channels == (int)cases[c].p.channels &&
              info.rate_hz == (int)cases[c].p.rate && strcmp(info.codec, "ffmpeg") == 0);
        check_samples(out, frames * info.channels);
    }
}

/* Cut behind each byte in turn. */
TEST(cut_everywhere)
{
    static const struct au p = {37, 6, 44100, 3, 15, 0}; /* an annotation of odd length, five frames of 12 bytes */
    unsigned char all[200];
    float out[16];
    const size_t bytes = build(&p, all);
    for (size_t n = 0; n <= bytes; n++) {
        int ends[2];
        int64_t frames = 0;
        struct audio_info info;
        CHECK(pipe(ends) == 0 && write(ends[1], all, n) == (ssize_t)n);
        close(ends[1]);
        const int64_t whole = n < p.skip ? 0 : (int64_t)(n - p.skip) / 12;
        CHECK_CODE(drain(ends[0], 2, out, &frames, &info), whole ? STATUS_OK : STATUS_FORMAT);
        CHECK(frames == whole);
        CHECK(whole || n != 0 || strstr(status_message(), "no audio"));
        check_samples(out, frames * 3);
        close(ends[0]);
    }
}

/* However the writer's pieces and the reader's blocks lie to the frames. */
TEST(short_reads_and_channels)
{
    static float out[MOST];
    for (uint32_t channels = 1; channels <= 8; channels++)
        for (size_t step = 1; step <= 4099; step = step < 16 ? step + 3 : step * 4 + 3) {
            const struct au p = {28, 6, 44100, channels, 500 * (int)channels, 0};
            int64_t frames = 0;
            struct audio_info info = {0};
            CHECK_OK(feed(&p, step, 1 + (int64_t)(step % 97), out, &frames, &info));
            CHECK(frames == 500 && info.channels == (int)channels);
            check_samples(out, 500 * channels);
        }
}

/* Bits pass as they are: infinities, NaN and numbers over full scale are for others to judge. */
TEST(bits_pass)
{
    static const uint32_t bits[] = {0x7fc00001, 0x7f800000, 0xff800000, 0x80000000, 0x00000001, 0x4b189680};
    unsigned char all[24 + sizeof bits];
    uint32_t got[6];
    float out[8];
    build(&(struct au){24, 6, 8000, 1, 6, 0}, all);
    for (int i = 0; i < 6; i++)
        put32(all + 24 + 4 * i, bits[i]);
    int ends[2];
    int64_t frames = 0;
    struct audio_info info;
    CHECK(pipe(ends) == 0 && write(ends[1], all, sizeof all) == sizeof all);
    close(ends[1]);
    CHECK_OK(drain(ends[0], 8, out, &frames, &info));
    memcpy(got, out, sizeof got);
    CHECK(frames == 6 && memcmp(got, bits, sizeof bits) == 0);
    close(ends[0]);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal_number)
{
    (void)signal_number;
    alarms = alarms + 1;
}

/* Signals that interrupt a read are no end and no error. */
TEST(interrupted_reads_go_on)
{
    static const struct au p = {24, 6, 8000, 2, 40, 0};
    unsigned char all[300];
    float out[64];
    int64_t frames = 0;
    struct audio_info info;
    pid_t writer;
    const size_t bytes = build(&p, all);
    const int fd = pour(all, bytes, 10, 3000, &writer);
    const struct sigaction action = {.sa_handler = count_alarm}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    CHECK_OK(drain(fd, 3, out, &frames, &info));
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(frames == 20 && alarms > 5);
    check_samples(out, 40);
    close(fd);
    while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
        ;
}

TEST(unreadable_descriptors)
{
    struct audio *a = NULL;
    const int folder = open(".", O_RDONLY);
    CHECK_CODE(audio_open_stream(folder, &a), STATUS_IO);
    CHECK_CODE(audio_open_stream(-1, &a), STATUS_IO);
    CHECK(a == NULL);
    /* it becomes unreadable between the header and the samples, or inside the annotation */
    unsigned char all[300];
    float out[8];
    int64_t got;
    const size_t bytes = build(&(struct au){24, 6, 8000, 1, 20, 0}, all);
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], all, bytes) == (ssize_t)bytes);
    close(ends[1]);
    CHECK_OK(audio_open_stream(ends[0], &a));
    CHECK_OK(audio_read(a, out, 4, &got));
    CHECK(got == 4 && dup2(folder, ends[0]) == ends[0]);
    CHECK_CODE(audio_read(a, out, 4, &got), STATUS_IO);
    CHECK(audio_info(a)->frames == 4);
    audio_close(&a);
    audio_close(&a);
    close(ends[0]);
    close(folder);
}

/* Random streams: no crash, and no more frames than there are bytes for. */
TEST(random_streams)
{
    uint64_t seed = 9;
    static float out[MOST];
    for (int m = 0; m < 3000; m++) {
        unsigned char all[400];
        const struct au p = {24 + (uint32_t)(test_random(&seed) % 9), 6, 8000, 1 + (uint32_t)(m % 4), 40, 0};
        const size_t bytes = build(&p, all);
        const size_t n = test_random(&seed) % (bytes + 1);
        for (uint64_t k = 0; k < test_random(&seed) % 3; k++)
            all[test_random(&seed) % (m % 2 ? 24 : bytes)] = (unsigned char)test_random(&seed);
        int ends[2];
        int64_t frames = 0;
        struct audio_info info;
        CHECK(pipe(ends) == 0 && write(ends[1], all, n) == (ssize_t)n);
        close(ends[1]);
        const int code = drain(ends[0], 11, out, &frames, &info);
        CHECK(code == STATUS_OK || code == STATUS_FORMAT);
        CHECK(frames * 4 <= (int64_t)n);
        close(ends[0]);
    }
}
