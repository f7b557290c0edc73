/* What goes to stderr: log lines and progress. */
#include "log.h"
#include "progress.h"
#include "test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Runs `what` with stderr in a file and gives back the text. */
static char *captured(void (*what)(void))
{
    static char text[65536];
    fflush(stderr);
    const int old = dup(STDERR_FILENO), fd = open("err", O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    what();
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(old);
    close(fd);
    return text;
}

static void say_things(void)
{
    char longest[3000];
    memset(longest, 'y', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    log_init("prog", LOG_INFO_);
    log_error("bad \x1b[31mname\nsecond");
    log_debug("not this");
    log_info("%s", longest);
    log_warn("last");
    setenv("WAVEMILL_LOG", "debug", 1);
    log_init("prog", LOG_ERROR_);
    log_debug("now this");
}

TEST(log_lines)
{
    const char *text = captured(say_things);
    CHECK(strstr(text, "error prog[") && strstr(text, "bad ?[31mname?second\n"));
    CHECK(!strstr(text, "not this") && strstr(text, "now this\n") && strstr(text, "last\n"));
    int lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    CHECK(lines == 4);
}

static enum progress_kind shown_kind;

static void show_progress(void)
{
    struct progress p;
    progress_init(&p, shown_kind, "analyze");
    p.job = 7;
    progress_show(&p, 1, 10);
    progress_show(&p, 2, 10); /* too soon: not shown */
    progress_clear(&p);
    progress_end(&p, 10, 10, "done");
}

TEST(progress_kinds)
{
    shown_kind = PROGRESS_JSON;
    const char *text = captured(show_progress);
    CHECK(strstr(text, "{\"job\": 7, \"stage\": \"analyze\", \"done\": 1, \"total\": 10,"));
    CHECK(strstr(text, "\"state\": \"done\"}\n") && !strstr(text, "\"done\": 2,"));
    shown_kind = PROGRESS_BAR;
    text = captured(show_progress);
    CHECK(strstr(text, "analyze [##......................] 1/10") && strstr(text, "\x1b[K"));
    shown_kind = PROGRESS_AUTO; /* stderr is a file: nothing */
    CHECK(*captured(show_progress) == '\0');
    shown_kind = PROGRESS_NONE;
    CHECK(*captured(show_progress) == '\0');
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static enum log_level asked;

static void say_each_level(void)
{
    log_init("levels", asked);
    log_error("0 said");
    log_warn("1 said");
    log_info("2 said");
    log_debug("3 said");
}

TEST(log_levels)
{
    static const struct {
        enum log_level level;
        const char *variable;
        int lines;
    } cases[] = {{LOG_ERROR_, NULL, 1},    {LOG_WARN_, NULL, 2},     {LOG_INFO_, NULL, 3},    {LOG_DEBUG_, NULL, 4},
                 {LOG_ERROR_, "debug", 4}, {LOG_DEBUG_, "error", 1}, {LOG_DEBUG_, "warn", 2}, {LOG_ERROR_, "info", 3},
                 {LOG_WARN_, "loud", 2},   {LOG_WARN_, "", 2}}; /* no level: not heeded */
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (cases[c].variable)
            setenv("WAVEMILL_LOG", cases[c].variable, 1);
        else
            unsetenv("WAVEMILL_LOG");
        asked = cases[c].level;
        const char *text = captured(say_each_level);
        CHECK(count(text, " said\n") == cases[c].lines && count(text, "\n") == cases[c].lines);
        int year, month, day, hour, minute, pid;
        double second;
        char level[8], program[16];
        const int fields = /* NOLINTNEXTLINE(cert-err34-c): numbers of our own */
            sscanf(text, "%4d-%2d-%2dT%2d:%2d:%6lfZ %7s %15[a-z][%d]: 0 said", &year, &month, &day, &hour, &minute,
                   &second, level, program, &pid);
        CHECK(fields == 9 && year >= 2024 && month <= 12 && second < 61 && pid == (int)getpid());
        CHECK(strcmp(level, "error") == 0 && strcmp(program, "levels") == 0);
    }
}

static size_t say_bytes;

static void say_long(void)
{
    char text[2048];
    memset(text, 'z', sizeof text);
    text[say_bytes] = '\0';
    log_init("p", LOG_WARN_);
    log_warn("%s", text);
}

/* Around the longest line: always one line, always ended, never more than 1,024 bytes. */
TEST(log_lines_have_an_end)
{
    size_t longest = 0;
    for (say_bytes = 0; say_bytes < 1100; say_bytes += say_bytes < 900 ? 100 : 1) {
        const char *text = captured(say_long);
        const size_t n = strlen(text);
        CHECK(n > 0 && n <= 1024 && text[n - 1] == '\n' && count(text, "\n") == 1);
        longest = n > longest ? n : longest;
    }
    CHECK(longest >= 1000);
}

static void say_all_bytes(void)
{
    char text[256];
    for (int i = 1; i < 256; i++)
        text[i - 1] = (char)i;
    text[255] = '\0';
    log_init("p", LOG_WARN_);
    log_warn("%s", text);
}

TEST(log_keeps_control_characters_out)
{
    const char *text = captured(say_all_bytes);
    const size_t n = strlen(text);
    CHECK(count(text, "\n") == 1);
    for (size_t i = 0; i + 1 < n; i++)
        CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
    CHECK(strstr(text, "~?\x80\x81") && strstr(text, "\xfe\xff\n")); /* UTF-8 passes */
}

static void say_into_nothing(void)
{
    close(STDERR_FILENO);
    log_error("nobody hears this");
}

TEST(log_without_stderr)
{
    CHECK(*captured(say_into_nothing) == '\0');
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

struct line {
    uint64_t job, done, total;
    double rate, eta_s; /* -1: null */
    char stage[32], state[32];
};

/* Reads one JSON line strictly; the text behind it, or NULL. */
static const char *parse_line(const char *text, struct line *out)
{
    char eta[32];
    int end = 0; /* NOLINTNEXTLINE(cert-err34-c): numbers of our own */
    if (sscanf(text,
               "{\"job\": %" SCNu64 ", \"stage\": \"%31[a-z]\", \"done\": %" SCNu64 ", \"total\": %" SCNu64
               ", \"rate\": %lf, \"eta_s\": %31[^,], \"state\": \"%31[a-z]\"}%n",
               &out->job, out->stage, &out->done, &out->total, &out->rate, eta, out->state, &end) != 7 ||
        text[end] != '\n')
        return NULL;
    char *eta_end = eta;
    out->eta_s = strcmp(eta, "null") == 0 ? -1 : strtod(eta, &eta_end);
    return strcmp(eta, "null") == 0 || *eta_end == '\0' ? text + end + 1 : NULL;
}

static void show_rates(void)
{
    struct progress p;
    progress_init(&p, PROGRESS_JSON, "separate");
    p.job = UINT64_MAX;
    progress_show(&p, 0, 100); /* nothing done: no rate, no end in sight */
    for (int i = 1; i <= 70; i++) {
        pause_ms(10);
        progress_show(&p, (uint64_t)i, 100);
    }
    progress_end(&p, 120, 100, "failed"); /* more done than there was */
}

TEST(progress_json)
{
    const char *text = captured(show_rates);
    struct line l = {0}, first;
    const char *next = parse_line(text, &first);
    REQUIRE(next);
    CHECK(first.job == UINT64_MAX && first.done == 0 && first.total == 100 && first.eta_s == -1 && first.rate == 0);
    CHECK(strcmp(first.stage, "separate") == 0 && strcmp(first.state, "running") == 0);
    int lines = 1;
    uint64_t before = 0;
    double rate_most = 0;
    while (*next) {
        next = parse_line(next, &l);
        REQUIRE(next);
        lines++;
        CHECK(l.done > before || l.done == 120);
        before = l.done;
        if (strcmp(l.state, "running") == 0) {
            rate_most = l.rate > rate_most ? l.rate : rate_most;
            CHECK(l.rate > 0 && l.eta_s >= 0); /* both from the same second: they agree, but for their rounding */
            CHECK_AT_MOST(fabs(l.eta_s * l.rate - (double)(100 - l.done)), 0.06 * l.rate + 0.06 * l.eta_s + 0.1);
        }
    }
    CHECK(lines >= 3 && lines <= 6 + 60); /* five a second, on a machine that may be slow */
    CHECK(rate_most <= 101);              /* 10 ms each, at least */
    CHECK(l.done == 120 && l.eta_s == -1 && strcmp(l.state, "failed") == 0);
}

static void show_often(void)
{
    struct progress p;
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    progress_init(&p, PROGRESS_JSON, "a");
    do {
        progress_show(&p, 1, 2);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < began.tv_sec * 1000 + began.tv_nsec / 1000000 + 500);
}

TEST(progress_is_not_chatty)
{
    const int lines = count(captured(show_often), "\n");
    CHECK(lines >= 1 && lines <= 3); /* at 0, 200 and 400 ms */
}

static void show_bars(void)
{
    static const uint64_t steps[][2] = {{0, 10}, {5, 10}, {10, 10}, {20, 10}, {0, 0}, {3, 0}};
    struct progress p;
    progress_init(&p, PROGRESS_BAR, "bars");
    pause_ms(5);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        progress_show(&p, steps[i][0], steps[i][1]);
        progress_clear(&p);
    }
    progress_clear(&p); /* nothing stands there any more: nothing is written */
    p.began_ms -= 100000;
    progress_show(&p, 10, 100); /* ten in 100 seconds: 15 minutes more */
    progress_end(&p, 10, 100, "done");
}

TEST(progress_bars)
{
    const char *text = captured(show_bars);
    CHECK(strstr(text, "bars [........................] 0/10  0/s"));
    CHECK(strstr(text, "bars [############............] 5/10"));
    CHECK(strstr(text, "bars [########################] 10/10"));
    CHECK(strstr(text, "bars [########################] 20/10"));
    CHECK(strstr(text, "bars [........................] 0/0") && strstr(text, "bars [........................] 3/0"));
    CHECK(strstr(text, "bars [##......................] 10/100  0/s  ETA 15:0"));
    CHECK(count(text, "\r\x1b[K") == 14 && count(text, "\n") == 0);
}

/* On a terminal AUTO means a bar. */
TEST(progress_on_a_terminal)
{
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    const int old = dup(STDERR_FILENO), end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    REQUIRE(end >= 0);
    dup2(end, STDERR_FILENO);
    struct progress p;
    progress_init(&p, PROGRESS_AUTO, "tty");
    progress_show(&p, 1, 2);
    progress_end(&p, 2, 2, "done");
    dup2(old, STDERR_FILENO);
    char text[256] = {0};
    CHECK(p.kind == PROGRESS_BAR && read(terminal, text, sizeof text - 1) > 0);
    CHECK(strstr(text, "tty [############............] 1/2"));
    close(end);
    close(terminal);
}
