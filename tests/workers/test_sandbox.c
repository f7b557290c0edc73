/* What a process can still do in the sandbox, tried in a process of its own each time. */
#include "audio_write.h"
#include "sandbox.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int tools[2], file;
static enum sandbox_reach reach = SANDBOX_CPU;

/* Runs `probe` inside; the state that waitpid gives. Exit code 100 + status when the sandbox itself fails. */
static int inside(int (*probe)(void))
{
    int state = 0;
    REQUIRE(pipe(tools) == 0);
    file = memfd_create("file", 0);
    REQUIRE(write(file, "contents", 8) == 8);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        int code = sandbox_give_up_privileges();
        code = code || reach == SANDBOX_CPU ? code : sandbox_keep_to_gpu();
        code = code ? code : sandbox_close(reach);
        _exit(code ? 100 - code : probe());
    }
    REQUIRE(waitpid(pid, &state, 0) == pid);
    close(tools[0]);
    close(tools[1]);
    close(file);
    return state;
}

static bool is_fine(int state)
{
    return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

static bool is_killed(int state)
{
    return WIFSIGNALED(state) && WTERMSIG(state) == SIGSYS;
}

static int refused(long result)
{
    return result == -1 && errno == EPERM ? 0 : 1;
}

static int try_open(void)
{
    return refused(open("/etc/passwd", O_RDONLY)) || refused(open("/tmp", O_RDWR | O_TMPFILE, 0600)) ||
           refused(creat("made", 0600));
}

static int try_socket(void)
{
    int pair[2];
    return refused(socket(AF_INET, SOCK_STREAM, 0)) || refused(socket(AF_UNIX, SOCK_STREAM, 0)) ||
           refused(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int try_paths(void)
{
    struct stat s;
    return refused(stat("/etc/passwd", &s)) || refused(unlink("file")) || refused(rename("a", "b")) ||
           refused(chdir("/")) || refused(kill(getppid(), 0));
}

static int try_libc_fork(void)
{
    return refused(fork());
}

static void *nothing(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) == EPERM ? 0 : 1;
}

TEST(refused_calls)
{
    CHECK(is_fine(inside(try_open)));
    CHECK(is_fine(inside(try_socket)));
    CHECK(is_fine(inside(try_paths)));
    CHECK(is_fine(inside(try_libc_fork)));
    CHECK(is_fine(inside(try_thread)));
}

static int try_open_for_gpu(void)
{
    /* By Landlock, or where the kernel has none by the filter. */
    const int fd = open("/etc/passwd", O_RDONLY);
    return fd < 0 && (errno == EACCES || errno == EPERM) && creat("made", 0600) < 0 && open(".", O_RDONLY) < 0 &&
                   open("/dev/null", O_RDWR) < 0
               ? 0
               : 1;
}

static int try_thread_for_gpu(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL);
}

/* Requests of the driver reach the kernel, which says that a memory file has none; those of terminals do not. */
static int try_requests(void)
{
    static const unsigned long driver[] = {0xc020462aUL, 0x30000001UL, 40, 76},
                               others[] = {0x5412, 0x541b, 0x8912, 0x100};
    for (int i = 0; i < 4; i++)
        if (ioctl(file, driver[i], 0) != -1 || errno == EPERM || refused(ioctl(file, others[i], 0)))
            return 1;
    return 0;
}

TEST(a_gpu_needs_more_but_not_all)
{
    reach = SANDBOX_GPU;
    CHECK(is_fine(inside(try_open_for_gpu)));
    CHECK(is_fine(inside(try_thread_for_gpu)));
    CHECK(is_fine(inside(try_requests)));
    CHECK(is_fine(inside(try_socket)));
    CHECK(is_fine(inside(try_paths)));
    CHECK(is_fine(inside(try_libc_fork)));
}

static int try_exec(void)
{
    char *const argv[] = {"/bin/true", NULL};
    execv(argv[0], argv);
    return 1;
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL) + 2;
}

#ifdef SYS_fork
static int try_raw_fork(void)
{
    syscall(SYS_fork);
    return 1;
}
#endif

TEST(deadly_calls)
{
    CHECK(is_killed(inside(try_exec)));
    CHECK(is_killed(inside(try_ptrace)));
#ifdef SYS_fork
    CHECK(is_killed(inside(try_raw_fork)));
#endif
}

static int use_descriptors(void)
{
    char text[16] = {0};
    struct stat s;
    const bool ok = write(tools[1], "hello", 5) == 5 && read(tools[0], text, 5) == 5 && strcmp(text, "hello") == 0 &&
                    pread(file, text, 8, 0) == 8 && memcmp(text, "contents", 8) == 0 && pwrite(file, "C", 1, 0) == 1 &&
                    lseek(file, 0, SEEK_END) == 8 && fstat(file, &s) == 0 && s.st_size == 8 &&
                    ftruncate(file, 0) == 0 && close(file) == 0;
    return ok ? 0 : 1;
}

static int use_memory(void)
{
    enum { BYTES = 4 << 20 };
    char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, BYTES);
    if (madvise(p, BYTES, MADV_DONTNEED) || mprotect(p, BYTES, PROT_READ) || munmap(p, BYTES))
        return 2;
    for (size_t bytes = 16; bytes < (size_t)64 << 20; bytes *= 3) {
        char *q = malloc(bytes);
        if (!q)
            return 3;
        memset(q, 1, bytes);
        char *const more = realloc(q, bytes * 2);
        free(more ? more : q);
        if (!more)
            return 4;
    }
    return 0;
}

static int use_time(void)
{
    struct timespec now, wait = {0, 1000000};
    if (clock_gettime(CLOCK_MONOTONIC, &now) || nanosleep(&wait, NULL))
        return 1;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
}

/* Encoders need nothing but the file they write into: no clock of their own, no path, no lock. */
static int use_encoders(void)
{
    static const char *const formats[] = {"wav", "wav/int24", "wav/float32", "flac", "flac/int24", "mp3", "ogg"};
    static float x[2 * 10000];
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct audio_format f;
        struct audio_writer *w = NULL;
        if (audio_format_parse(formats[i], &f) || audio_write_open(file, &f, 44100, 2, -1, &w) ||
            audio_write(w, x, 10000) || audio_write_close(&w))
            return 1 + (int)i;
    }
    return 0;
}

TEST(allowed_calls)
{
    CHECK(is_fine(inside(use_encoders)));
    CHECK(is_fine(inside(use_descriptors)));
    CHECK(is_fine(inside(use_memory)));
    CHECK(is_fine(inside(use_time)));
}

/* Threads that were there before are inside too, and work. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *thread_inside(void *arg)
{
    pthread_mutex_lock(&lock);
    while (turn != 1)
        pthread_cond_wait(&changed, &lock);
    void *p = malloc(10 << 20);
    const bool ok = p && refused(open("/etc/passwd", O_RDONLY)) == 0;
    free(p);
    *(int *)arg = ok;
    turn = 2;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

TEST(threads_go_along)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        int ok = 0;
        if (sandbox_give_up_privileges() || pthread_create(&t, NULL, thread_inside, &ok) || sandbox_close(SANDBOX_CPU))
            _exit(2);
        pthread_mutex_lock(&lock);
        turn = 1;
        pthread_cond_broadcast(&changed);
        while (turn != 2)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        _exit(pthread_join(t, NULL) || !ok);
    }
    int state = 0;
    REQUIRE(waitpid(pid, &state, 0) == pid);
    CHECK(is_fine(state));
}

/* Lines of /proc/self/status that begin with Cap and hold more than zeros. */
static int capabilities_left(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    int left = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Cap", 3) == 0 && strspn(strchr(line, ':') + 1, "\t 0\n") != strlen(strchr(line, ':') + 1))
            left += strncmp(line, "CapBnd", 6) != 0 || geteuid() == 0; /* only root may empty the bounding set */
    if (f)
        fclose(f);
    return f ? left : -1;
}

TEST(capabilities_are_gone)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        _exit(sandbox_give_up_privileges() ? 99 : capabilities_left());
    int state = 0;
    REQUIRE(waitpid(pid, &state, 0) == pid);
    CHECK(is_fine(state));
}

TEST(it_dies_with_its_parent)
{
    int link[2];
    char one;
    REQUIRE(pipe(link) == 0);
    fflush(stdout);
    const pid_t parent = fork();
    if (parent == 0) {
        int ready[2];
        if (pipe(ready))
            _exit(1);
        if (fork() == 0) {
            close(link[0]);
            if (sandbox_give_up_privileges() || write(ready[1], "x", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
        _exit(read(ready[0], &one, 1) == 1 ? 0 : 1);
    }
    int state = 0;
    close(link[1]);
    REQUIRE(waitpid(parent, &state, 0) == parent);
    CHECK(is_fine(state));
    CHECK(read(link[0], &one, 1) == 0); /* the last holder of the other end is gone */
}
