/* A command that starts a scheduler while another process does: stand-ins for `wavemill` say on the ready descriptor
 * what the real one would, and the test holds the lock of the scheduler that was quicker. */
#include "start.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, SHORT_MS = 1200 };

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static struct paths here(void)
{
    struct paths p = {.home = ""};
    REQUIRE(getcwd(p.home, sizeof p.home));
    snprintf(p.run, sizeof p.run, "%s", p.home);
    return p;
}

/* Its n-th start does what stands in `says`, words to write and codes behind "exit", after a line in "starts". */
static void make_program(const char *first, const char *later)
{
    FILE *const f = fopen("program", "we");
    REQUIRE(f);
    const bool written = fprintf(f,
                                 "#!/bin/sh\ncd \"$WAVEMILL_HOME\" || exit 1\necho >> starts\n"
                                 "if [ $(wc -l < starts) -eq 1 ]; then %s\nelse %s\nfi\n",
                                 first, later) > 0;
    CHECK(fclose(f) == 0 && written && chmod("program", 0700) == 0);
}

static int starts(void)
{
    struct stat s;
    return stat("starts", &s) == 0 ? (int)s.st_size : 0;
}

static struct client_options options(const struct paths *p)
{
    static char program[PATHS_MAX + 16];
    snprintf(program, sizeof program, "%s/program", p->home);
    return (struct client_options){.program = program};
}

#define LOSES "printf 'Banother scheduler writes it' >&3"
#define RUNS "printf R >&3"

/* The scheduler that was quicker: it has its lock only once the other was told that it lost. */
static void *winner(void *fd)
{
    while (starts() == 0)
        sleep_ms(1);
    sleep_ms(100);
    *(int *)fd = open("scheduler.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(*(int *)fd >= 0 && flock(*(int *)fd, LOCK_EX) == 0);
    return NULL;
}

TEST(who_was_slower_waits_for_the_winner)
{
    const struct paths p = here();
    const struct client_options o = options(&p);
    pthread_t id;
    int fd = -1;
    make_program(LOSES, LOSES);
    CHECK(!start_is_running(&p));
    REQUIRE(pthread_create(&id, NULL, winner, &fd) == 0);
    CHECK_OK(start_serve(&p, &o, PATIENCE_MS));
    CHECK(start_is_running(&p) && starts() >= 1); /* there is one to attach to */
    pthread_join(id, NULL);
    close(fd);
}

TEST(a_winner_that_ends_is_followed)
{
    const struct paths p = here();
    const struct client_options o = options(&p);
    make_program(LOSES, RUNS);
    CHECK_OK(start_serve(&p, &o, PATIENCE_MS));
    CHECK(starts() == 2);
}

static void *interrupt(void *flag)
{
    while (starts() == 0)
        sleep_ms(1);
    *(volatile sig_atomic_t *)flag = 1;
    return NULL;
}

TEST(what_is_no_race_fails)
{
    static const struct {
        const char *program;
        int code;
        const char *says;
        int starts; /* exactly, 0: more than one */
    } cases[] = {{"printf 'Ethe disk is full' >&3", STATUS_IO, "the disk is full", 1},
                 {"exit 3", STATUS_IO, "ended before it was ready", 1},
                 {LOSES, STATUS_IO, "another scheduler writes it", 0}};
    const struct paths p = here();
    const struct client_options o = options(&p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unlink("starts");
        make_program(cases[i].program, cases[i].program);
        const int code = start_serve(&p, &o, SHORT_MS);
        if (code != cases[i].code || !strstr(status_message(), cases[i].says) ||
            (cases[i].starts ? starts() != cases[i].starts : starts() < 2))
            test_report(false, __FILE__, __LINE__, "%s: %s, %s, %d starts", cases[i].program, status_name(code),
                        status_message(), starts());
    }
    static volatile sig_atomic_t interrupted;
    struct client_options stopped = o;
    pthread_t id;
    unlink("starts");
    stopped.interrupted = &interrupted;
    REQUIRE(pthread_create(&id, NULL, interrupt, (void *)&interrupted) == 0);
    CHECK_CODE(start_serve(&p, &stopped, PATIENCE_MS), STATUS_CANCELLED);
    pthread_join(id, NULL);
}
