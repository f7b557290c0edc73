#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TESTS = 256 };

static struct {
    const char *name;
    void (*function)(void);
} tests[MAX_TESTS];
static int test_count;
static int failures;

void test_register(const char *name, void (*function)(void))
{
    if (test_count == MAX_TESTS)
        abort();
    tests[test_count].name = name;
    tests[test_count++].function = function;
}

void test_report(bool ok, const char *file, int line, const char *format, ...)
{
    if (ok)
        return;
    failures++;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("    %s:%d: %s\n", file, line, text);
    fflush(stdout);
}

_Noreturn void test_stop(void)
{
    fflush(stdout);
    exit(1);
}

static const char *joined(const char *variable, const char *name)
{
    static char path[4][4096];
    static int turn;
    char *out = path[turn++ % 4];
    const char *folder = getenv(variable);
    snprintf(out, sizeof path[0], "%s/%s", folder ? folder : ".", name);
    return out;
}

const char *test_data(const char *name)
{
    return joined("WAVEMILL_TEST_DATA", name);
}

const char *test_bin(const char *name)
{
    return joined("WAVEMILL_BIN", name);
}

uint64_t test_random(uint64_t *state) /* splitmix64, Steele et al. 2014 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double test_uniform(uint64_t *state)
{
    return (double)(test_random(state) >> 11) * 0x1p-53;
}

float test_noise(uint64_t *state)
{
    return (float)(2 * test_uniform(state) - 1);
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static int run_one(int t)
{
    char folder[] = "/tmp/wavemill-test-XXXXXX";
    if (!mkdtemp(folder)) {
        perror("mkdtemp");
        return 1;
    }
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        if (chdir(folder))
            _exit(3);
        tests[t].function();
        fflush(stdout);
        exit(failures != 0); /* not _exit: the leak check runs at exit */
    }
    int state = 0;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    const bool ok = WIFEXITED(state) && WEXITSTATUS(state) == 0;
    if (WIFSIGNALED(state))
        printf("    killed by signal %d (%s)\n", WTERMSIG(state), strsignal(WTERMSIG(state)));
    printf("%s %s\n", ok ? "pass" : "FAIL", tests[t].name);
    fflush(stdout);
    return !ok;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (int t = 0; t < test_count; t++)
            puts(tests[t].name);
        return 0;
    }
    int failed = 0, run = 0;
    for (int t = 0; t < test_count; t++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strcmp(argv[a], tests[t].name) == 0;
        if (wanted) {
            run++;
            failed += run_one(t);
        }
    }
    printf("%d tests, %d failed\n", run, failed);
    return failed != 0 || run == 0;
}
