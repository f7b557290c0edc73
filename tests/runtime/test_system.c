#include "hash.h"
#include "log.h"
#include "npy.h"
#include "paths.h"
#include "progress.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(hashes_have_known_values)
{
    struct hash h, again;
    char hex[HASH_HEX];
    hash_bytes("abc", 3, &h);
    hash_hex(&h, hex); /* hashlib.blake2b(b"abc", digest_size=32) */
    CHECK(strcmp(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319") == 0);
    CHECK_OK(hash_parse(hex, &again));
    CHECK(memcmp(&h, &again, sizeof h) == 0);
    CHECK_CODE(hash_parse("12", &again), STATUS_ARGUMENT);
    hex[5] = 'z';
    CHECK_CODE(hash_parse(hex, &again), STATUS_ARGUMENT);
    const int fd = open("x", O_RDWR | O_CREAT, 0600);
    uint64_t bytes = 0;
    CHECK(write(fd, "abc", 3) == 3);
    CHECK_OK(hash_file(fd, &again, &bytes)); /* from its start, whatever the position */
    CHECK(memcmp(&h, &again, sizeof h) == 0 && bytes == 3);
    CHECK_CODE(hash_file(-1, &again, NULL), STATUS_IO);
    close(fd);
    uint8_t one[16], two[16];
    hash_short("a", 1, one);
    hash_short("b", 1, two);
    CHECK(memcmp(one, two, 16) != 0);
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283u); /* the check value of CRC-32C */
    CHECK(crc32c(crc32c(0, "1234", 4), "56789", 5) == 0xe3069283u);
}

TEST(npy_headers)
{
    char head[NPY_HEADER_BYTES];
    CHECK_OK(npy_header(DTYPE_F32, 128, 431, head));
    CHECK(memcmp(head, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': True, 'shape': (128, 431), }", 70) ==
          0);
    CHECK(head[NPY_HEADER_BYTES - 1] == '\n');
    CHECK_OK(npy_header(DTYPE_C64, INT64_MAX, INT64_MAX, head));
    CHECK(strstr(head + 10, "'<c8'") && head[NPY_HEADER_BYTES - 1] == '\n');
    CHECK_CODE(npy_header(DTYPE_I16, 1, 1, head), STATUS_ARGUMENT);
    CHECK_CODE(npy_header(DTYPE_F32, -1, 1, head), STATUS_ARGUMENT);
    CHECK(npy_item_bytes(DTYPE_C64) == 8 && npy_item_bytes(DTYPE_I24) == 0);
    CHECK(strcmp(npy_dtype_name(DTYPE_C64), "complex64") == 0 && strcmp(npy_dtype_name(DTYPE_I16), "unknown") == 0);
}

static void folders(char *here, size_t capacity)
{
    CHECK(getcwd(here, capacity) != NULL);
    mkdir("run", 0700);
    char run[4200];
    snprintf(run, sizeof run, "%s/run", here);
    setenv("XDG_RUNTIME_DIR", run, 1);
    unsetenv("WAVEMILL_HOME");
    unsetenv("XDG_DATA_HOME");
}

TEST(paths_follow_the_environment)
{
    char here[4096], want[5000];
    struct paths p;
    folders(here, sizeof here);
    setenv("HOME", here, 1);
    CHECK_OK(paths_find(NULL, &p));
    snprintf(want, sizeof want, "%s/.local/share/wavemill", here);
    CHECK(strcmp(p.home, want) == 0);
    snprintf(want, sizeof want, "%s/data", here);
    setenv("XDG_DATA_HOME", want, 1);
    CHECK_OK(paths_find(NULL, &p));
    CHECK(strncmp(p.home, want, strlen(want)) == 0 && strcmp(p.home + strlen(want), "/wavemill") == 0);
    snprintf(want, sizeof want, "%s/mine", here);
    setenv("WAVEMILL_HOME", want, 1);
    CHECK_OK(paths_find(NULL, &p));
    CHECK(strcmp(p.home, want) == 0 && access(p.features, W_OK) == 0 && access(p.objects, W_OK) == 0);
    /* HASH8 of the real path; a link to the home is the same home */
    struct hash h;
    char hex[HASH_HEX];
    hash_bytes(want, strlen(want), &h);
    hash_hex(&h, hex);
    hex[8] = '\0';
    CHECK(strstr(p.run, hex) && strncmp(p.client_socket, "ipc://", 6) == 0 && strstr(p.worker_socket, "/worker.sock"));
    CHECK(symlink("mine", "linked") == 0);
    struct paths q;
    CHECK_OK(paths_find("linked", &q));
    CHECK(strcmp(p.run, q.run) == 0);
    struct stat s;
    CHECK(stat(p.run, &s) == 0 && (s.st_mode & 0777) == 0700);
    chmod(p.run, 0755);
    CHECK_OK(paths_find(NULL, &p)); /* opened to others: closed again */
    CHECK(stat(p.run, &s) == 0 && (s.st_mode & 0777) == 0700);
}

TEST(paths_refuse)
{
    char here[4096], long_name[PATHS_MAX + 10];
    struct paths p;
    folders(here, sizeof here);
    unsetenv("HOME");
    CHECK_CODE(paths_find(NULL, &p), STATUS_ARGUMENT);
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    CHECK_CODE(paths_find(long_name, &p), STATUS_ARGUMENT);
    fclose(fopen("file", "w"));
    CHECK_CODE(paths_find("file", &p), STATUS_IO);
    CHECK_CODE(paths_find("file/below", &p), STATUS_IO);
    CHECK_OK(paths_find("home", &p));
    rmdir(p.run);
    CHECK(symlink("/tmp", p.run) == 0); /* a link in its place is somebody's trap */
    CHECK_CODE(paths_find("home", &p), STATUS_IO);
    char deep[300];
    memset(deep, 'd', 120);
    deep[120] = '\0';
    mkdir(deep, 0700);
    char run[4500];
    snprintf(run, sizeof run, "%s/%s", here, deep);
    setenv("XDG_RUNTIME_DIR", run, 1);
    CHECK_CODE(paths_find("home", &p), STATUS_ARGUMENT); /* over the 107 bytes of a socket's path */
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    CHECK_OK(paths_find("home", &p)); /* not absolute: /tmp/wavemill-UID */
    CHECK(strncmp(p.run, "/tmp/wavemill-", 14) == 0);
    rmdir(p.run);
    char folder[4096];
    CHECK_OK(paths_program_folder(folder, sizeof folder));
    CHECK(folder[0] == '/' && access(folder, X_OK) == 0);
}

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
