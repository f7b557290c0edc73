#include "hash.h"
#include "npy.h"
#include "paths.h"
#include "test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Values of Python's hashlib.blake2b(data, digest_size=32). */
TEST(hashes_have_known_values)
{
    enum { MOST = 262145 };
    static unsigned char zeros[MOST], count[256000];
    for (size_t i = 0; i < sizeof count; i++)
        count[i] = (unsigned char)i;
    const struct {
        const void *data;
        size_t bytes;
        const char *hex;
    } cases[] = {
        {"", 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {"abc", 3, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
        {"The quick brown fox jumps over the lazy dog", 43,
         "01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9"},
        {count, sizeof count, "5d074c3f889bcba3b3a253496ee73cba18832b6d3c67d2b739dc202c78ed2581"},
        {zeros, MOST - 1, "8ddb61928ec76e4ee904cd79ed977ab6f5d9187f1102975060a6ba6ce10e5481"}, /* a block of a file */
        {zeros, MOST, "c160b0a58648340aec289e82c0b34f6c56b6cf50c80e43f209ecaed390c98350"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct hash h, again;
        char hex[HASH_HEX];
        uint64_t bytes = 1;
        hash_bytes(cases[c].data, cases[c].bytes, &h);
        hash_hex(&h, hex);
        CHECK(strcmp(hex, cases[c].hex) == 0);
        CHECK_OK(hash_parse(hex, &again));
        CHECK(memcmp(&h, &again, sizeof h) == 0);
        const int fd = open("x", O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK(write(fd, cases[c].data, cases[c].bytes) == (ssize_t)cases[c].bytes);
        CHECK_OK(hash_file(fd, &again, &bytes)); /* from its start, whatever the position */
        CHECK(memcmp(&h, &again, sizeof h) == 0 && bytes == cases[c].bytes);
        CHECK_OK(hash_file(fd, &again, NULL));
        close(fd);
    }
    struct hash h;
    uint8_t small[16];
    uint64_t bytes = 7;
    CHECK_CODE(hash_file(-1, &h, &bytes), STATUS_IO);
    CHECK_CODE(hash_file_sha256(-1, &h, &bytes), STATUS_IO);
    CHECK(bytes == 7);
    char hex[HASH_HEX];
    const int fd = open("abc", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, "abc", 3) == 3);
    CHECK_OK(hash_file_sha256(fd, &h, &bytes)); /* FIPS 180-2, appendix B.1 */
    hash_hex(&h, hex);
    CHECK(bytes == 3 && strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0);
    close(fd);
    hash_short("abc", 3, small); /* BLAKE2b-128, which is not a cut BLAKE2b-256 */
    CHECK(memcmp(small, "\xcf\x4a\xb7\x91\xc6\x2b\x8d\x2b\x21\x09\xc9\x02\x75\x28\x78\x16", 16) == 0);
}

TEST(hashes_are_parsed)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", true},
                 {"BDDD813C634239723171EF3FEE98579B94964E3BB1CB3E427262C8C068D52319", true},
                 {"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d5231", false},
                 {"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d523190", false},
                 {"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d5231g", false},
                 {"bddd813c634239723171ef3fee98579b 4964e3bb1cb3e427262c8c068d52319", false},
                 {"0xdd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", false},
                 {"", false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct hash h;
        CHECK_CODE(hash_parse(cases[c].text, &h), cases[c].good ? STATUS_OK : STATUS_ARGUMENT);
        CHECK(!cases[c].good || h.bytes[0] == 0xbd);
    }
}

/* RFC 3720, B.4, and the check value. */
TEST(crc32c_has_known_values)
{
    unsigned char data[32];
    CHECK(crc32c(0, "", 0) == 0);
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283u);
    for (size_t cut = 0; cut <= 9; cut++)
        CHECK(crc32c(crc32c(0, "123456789", cut), &"123456789"[cut], 9 - cut) == 0xe3069283u);
    memset(data, 0, 32);
    CHECK(crc32c(0, data, 32) == 0x8a9136aau);
    memset(data, 0xff, 32);
    CHECK(crc32c(0, data, 32) == 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)i;
    CHECK(crc32c(0, data, 32) == 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)(31 - i);
    CHECK(crc32c(0, data, 32) == 0x113fdb5cu);
}

/* The header as numpy.lib.format reads it: magic, version, length, a dict, blanks, a line's end. */
TEST(npy_headers_are_read_back)
{
    static const struct {
        enum dtype dtype;
        int64_t bins, frames;
        const char *descr;
    } cases[] = {{DTYPE_F32, 0, 0, "<f4"},
                 {DTYPE_F32, 1, 1, "<f4"},
                 {DTYPE_C64, 1025, 431, "<c8"},
                 {DTYPE_F32, 128, INT64_MAX, "<f4"},
                 {DTYPE_C64, INT64_MAX, INT64_MAX, "<c8"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char head[NPY_HEADER_BYTES + 1] = {0}, descr[8] = {0}, order[8] = {0};
        int64_t bins = -1, frames = -1;
        int end = 0;
        CHECK_OK(npy_header(cases[c].dtype, cases[c].bins, cases[c].frames, head));
        CHECK(memcmp(head, "\x93NUMPY\x01\x00", 8) == 0 && strlen(head + 10) == NPY_HEADER_BYTES - 10);
        CHECK((unsigned char)head[8] + 256 * head[9] + 10 == NPY_HEADER_BYTES && NPY_HEADER_BYTES % 64 == 0);
        /* NOLINTNEXTLINE(cert-err34-c): numbers of our own */
        const int fields = sscanf(
            head + 10, "{'descr': '%7[^']', 'fortran_order': %7[a-zA-Z], 'shape': (%" SCNd64 ", %" SCNd64 "), }%n",
            descr, order, &bins, &frames, &end);
        CHECK(fields == 4 && strcmp(descr, cases[c].descr) == 0 && strcmp(order, "True") == 0);
        CHECK(bins == cases[c].bins && frames == cases[c].frames && end > 0);
        CHECK(strspn(head + 10 + end, " ") == (size_t)(NPY_HEADER_BYTES - 10 - end - 1));
        CHECK(head[NPY_HEADER_BYTES - 1] == '\n');
    }
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
    CHECK_CODE(npy_header(DTYPE_F32, 1, -1, head), STATUS_ARGUMENT);
    CHECK_OK(npy_signal_header(1, 7, head));
    CHECK(memcmp(head + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }  ", 58) == 0);
    CHECK_OK(npy_signal_header(2, 0, head));
    CHECK(memcmp(head, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", 68) ==
          0);
    CHECK_OK(npy_signal_header(INT64_MAX, INT64_MAX, head));
    CHECK(memchr(head + 10, '}', 110) && head[NPY_HEADER_BYTES - 1] == '\n');
    CHECK_CODE(npy_signal_header(0, 1, head), STATUS_ARGUMENT);
    CHECK_CODE(npy_signal_header(1, -1, head), STATUS_ARGUMENT);
    CHECK(npy_item_bytes(DTYPE_C64) == 8 && npy_item_bytes(DTYPE_I24) == 0);
    CHECK(strcmp(npy_dtype_name(DTYPE_C64), "complex64") == 0 && strcmp(npy_dtype_name(DTYPE_I16), "unknown") == 0);
}

TEST(npy_rows_are_read_back)
{
    static const struct {
        int rank;
        int64_t shape[NPY_RANK_MOST];
        const char *dict;
    } cases[] = {{1, {7}, "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }"},
                 {3, {8, 64, 128}, "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 64, 128), }"},
                 {4, {INT64_C(1) << 32, INT64_C(1) << 32, INT64_C(1) << 32, INT64_C(1) << 32}, "{'descr': '<f4'"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char head[NPY_HEADER_BYTES];
        int64_t shape[NPY_RANK_MOST] = {0};
        size_t at = 0;
        CHECK_OK(npy_rows_header(cases[c].rank, cases[c].shape, head));
        CHECK(memcmp(head + 10, cases[c].dict, strlen(cases[c].dict)) == 0 && head[NPY_HEADER_BYTES - 1] == '\n');
        CHECK_OK(npy_rows_read(head, sizeof head, cases[c].rank, shape, &at));
        CHECK(at == NPY_HEADER_BYTES && memcmp(shape, cases[c].shape, sizeof shape) == 0);
        CHECK_CODE(npy_rows_read(head, sizeof head, cases[c].rank % NPY_RANK_MOST + 1, shape, &at), STATUS_FORMAT);
        CHECK_CODE(npy_rows_read(head, sizeof head - 1, cases[c].rank, shape, &at), STATUS_FORMAT);
    }
    char head[NPY_HEADER_BYTES];
    CHECK_CODE(npy_rows_header(0, cases[0].shape, head), STATUS_ARGUMENT);
    CHECK_CODE(npy_rows_header(5, cases[0].shape, head), STATUS_ARGUMENT);
    CHECK_CODE(npy_rows_header(1, &(int64_t){-1}, head), STATUS_ARGUMENT);
    CHECK_CODE(npy_rows_header(1, &(int64_t){INT64_MAX}, head), STATUS_ARGUMENT);
}

/* What another program may have written there. */
TEST(npy_rows_of_others)
{
    static const struct {
        const char *reason, *dict;
        enum status code;
    } cases[] = {{"spaces as Python may print them", "{ 'shape':(2,3) , 'fortran_order' :False, 'descr': '<f4'}", 0},
                 {"doubles", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", STATUS_FORMAT},
                 {"columns first", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", STATUS_FORMAT},
                 {"no shape", "{'descr': '<f4', 'fortran_order': False}", STATUS_FORMAT},
                 {"negative", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", STATUS_FORMAT},
                 {"beyond a number", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3), }",
                  STATUS_FORMAT},
                 {"five", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1), }", STATUS_FORMAT},
                 {"a shape without end", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", STATUS_FORMAT},
                 {"nothing", "", STATUS_FORMAT}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char file[256] = "\x93NUMPY\x01\x00";
        int64_t shape[2];
        size_t at = 0;
        const size_t n = strlen(cases[c].dict);
        file[8] = (char)n;
        memcpy(file + 10, cases[c].dict, n);
        printf("    %s\n", cases[c].reason);
        CHECK_CODE(npy_rows_read(file, 10 + n, 2, shape, &at), cases[c].code);
        CHECK(cases[c].code || (shape[0] == 2 && shape[1] == 3 && at == 10 + n));
        file[3] = 'x';
        CHECK_CODE(npy_rows_read(file, 10 + n, 2, shape, &at), STATUS_FORMAT);
    }
    CHECK_CODE(npy_rows_read("", 0, 2, (int64_t[2]){0}, &(size_t){0}), STATUS_FORMAT);
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

TEST(paths_fall_back)
{
    char here[4096], want[5000];
    struct paths p;
    folders(here, sizeof here);
    snprintf(want, sizeof want, "%s/.local/share/wavemill", here);
    setenv("HOME", here, 1);
    setenv("WAVEMILL_HOME", "", 1);                /* set, but empty: as if it were not */
    setenv("XDG_DATA_HOME", "relative/folder", 1); /* the XDG rules: not absolute, so not used */
    CHECK_OK(paths_find(NULL, &p));
    CHECK(strcmp(p.home, want) == 0);
    CHECK_OK(paths_find("", &p));
    CHECK(strcmp(p.home, want) == 0);
    setenv("XDG_DATA_HOME", "", 1);
    CHECK_OK(paths_find(NULL, &p));
    CHECK(strcmp(p.home, want) == 0);
    setenv("HOME", "", 1);
    CHECK_CODE(paths_find(NULL, &p), STATUS_ARGUMENT);
    static const char *const bad[] = {"/nowhere/at/all", "", "file", NULL}; /* for sockets: /tmp then */
    fclose(fopen("file", "w"));
    for (size_t i = 0; i < 4; i++) {
        if (bad[i])
            setenv("XDG_RUNTIME_DIR", bad[i], 1);
        else
            unsetenv("XDG_RUNTIME_DIR");
        CHECK_OK(paths_find("home", &p));
        snprintf(want, sizeof want, "/tmp/wavemill-%u/", (unsigned)geteuid());
        CHECK(strncmp(p.run, want, strlen(want)) == 0 && strlen(p.run) == strlen(want) + 8);
        rmdir(p.run);
    }
}

/* The folder's length decides, to the byte: a socket's path ends at 107 characters. */
TEST(paths_fit_a_socket)
{
    char here[4096];
    struct paths p;
    folders(here, sizeof here);
    for (size_t length = 60; length < 90; length++) {
        char run[128];
        const size_t n = strlen(here);
        REQUIRE(n + 2 < length);
        memset(run, 'r', sizeof run);
        memcpy(run, here, n);
        run[n] = '/';
        run[length] = '\0';
        mkdir(run, 0700);
        setenv("XDG_RUNTIME_DIR", run, 1);
        const size_t socket_bytes = length + strlen("/wavemill-01234567/client.sock");
        const int code = paths_find("home", &p);
        CHECK(code == (socket_bytes <= PATHS_SOCKET_MAX ? STATUS_OK : STATUS_ARGUMENT) ||
              socket_bytes == PATHS_SOCKET_MAX); /* on the border either will do */
        CHECK(code || strlen(p.client_socket) - strlen("ipc://") == socket_bytes);
        CHECK(code || strlen(p.worker_socket) == strlen(p.client_socket));
    }
}

TEST(folders_are_made)
{
    struct stat s;
    char long_name[PATHS_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    long_name[PATHS_MAX] = '\0';
    CHECK_OK(paths_make("a/b/c"));
    CHECK(stat("a/b/c", &s) == 0 && (s.st_mode & 0777) == 0700);
    CHECK_OK(paths_make("a/b/c"));
    CHECK_OK(paths_make("a//d/"));
    CHECK(stat("a/d", &s) == 0 && S_ISDIR(s.st_mode));
    CHECK_OK(paths_make("/"));
    CHECK_OK(paths_make("."));
    CHECK_CODE(paths_make(""), STATUS_ARGUMENT);
    CHECK_CODE(paths_make(long_name), STATUS_ARGUMENT);
    CHECK_CODE(paths_make("/proc/nothing"), STATUS_IO);
    fclose(fopen("file", "w"));
    CHECK_CODE(paths_make("file"), STATUS_IO);
    CHECK_CODE(paths_make("file/x"), STATUS_IO);
    CHECK(symlink("nowhere", "broken") == 0);
    CHECK_CODE(paths_make("broken"), STATUS_IO);
    CHECK(symlink("a", "link") == 0);
    CHECK_OK(paths_make("link/e"));
    CHECK(stat("a/e", &s) == 0);
}

/* Whoever owns the run folder owns the queue. */
TEST(run_folders_of_others_are_refused)
{
    char here[4096];
    struct paths p;
    folders(here, sizeof here);
    CHECK_OK(paths_find("home", &p));
    CHECK(rmdir(p.run) == 0);
    fclose(fopen(p.run, "w")); /* a file in its place */
    CHECK_CODE(paths_find("home", &p), STATUS_IO);
    CHECK(strstr(status_message(), "is not a folder"));
    CHECK(unlink(p.run) == 0);
    CHECK_OK(paths_find("home", &p));
    if (geteuid() == 0) { /* only root can give a folder away */
        CHECK(chown(p.run, 65534, 65534) == 0);
        CHECK_CODE(paths_find("home", &p), STATUS_IO);
        CHECK(strstr(status_message(), "belongs to user 65534"));
        CHECK(chown(p.run, 0, 0) == 0);
    }
    static const mode_t open_modes[] = {0701, 0710, 0777, 01777};
    for (size_t i = 0; i < 4; i++) {
        struct stat s;
        CHECK(chmod(p.run, open_modes[i]) == 0);
        CHECK_OK(paths_find("home", &p));
        CHECK(stat(p.run, &s) == 0 && (s.st_mode & 077) == 0);
    }
}

TEST(homes_that_cannot_be)
{
    char here[4096];
    struct paths p;
    folders(here, sizeof here);
    mkdir("home", 0700);
    fclose(fopen("home/features", "w"));
    CHECK_CODE(paths_find("home", &p), STATUS_IO);
    CHECK(unlink("home/features") == 0);
    fclose(fopen("home/objects", "w"));
    CHECK_CODE(paths_find("home", &p), STATUS_IO);
    CHECK_CODE(paths_find("/proc/nothing", &p), STATUS_IO);
    char folder[8];
    CHECK_OK(paths_program_folder(folder, sizeof folder)); /* cut, but ended */
    CHECK(memchr(folder, '\0', sizeof folder) != NULL);
}
