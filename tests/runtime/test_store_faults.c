/* What goes wrong around a store: threads, other processes, full maps, damage, later versions. */
#include "store_rig.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a process of its own; true when it returned true. A store is opened on this side of the fork only. */
static bool in_child(bool (*body)(void))
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        _exit(!body());
    int state = 1;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

static bool write_thirty_megabytes(void)
{
    struct store *s = rig_open("f", 0);
    int bad = 0;
    for (int i = 100; i < 160; i++)
        bad |= rig_put(s, i, 500000);
    store_close(&s);
    return !bad;
}

/* A store that is open with a small map, while another process makes the file larger. */
TEST(a_map_that_others_have_grown)
{
    mkdir("f", 0700);
    int go[2] = {-1, -1}, done[2] = {-1, -1};
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    const pid_t pid = fork();
    char byte = 0;
    if (pid == 0) {
        CHECK(read(go[0], &byte, 1) == 1);
        byte = write_thirty_megabytes() ? 'y' : 'n';
        _exit(write(done[1], &byte, 1) != 1);
    }
    struct store *s = rig_open("f", 1 << 20);
    struct store_stats st;
    struct store_check check;
    CHECK_OK(rig_put(s, 1, 100));
    CHECK_OK(store_stats(s, &st));
    CHECK(st.map_bytes == 1 << 20);
    CHECK(write(go[1], "g", 1) == 1 && read(done[0], &byte, 1) == 1 && byte == 'y');
    CHECK_OK(rig_get(s, 159, 500000)); /* a reader takes the new size over */
    CHECK_OK(rig_put(s, 2, 100));
    CHECK_OK(rig_get(s, 1, 100));
    CHECK_OK(store_stats(s, &st));
    CHECK(st.map_bytes >= 30000000 && st.records == 62 && st.files == 62);
    CHECK_OK(store_fsck(s, NULL, NULL, &check));
    CHECK(check.records == 62 && check.damaged == 0);
    store_close(&s);
    waitpid(pid, NULL, 0);
}

struct worker {
    struct store *s;
    int first, bad;
};

static void *work(void *context)
{
    struct worker *w = context;
    for (int i = 0; i < 25; i++) {
        w->bad |= rig_put(w->s, w->first + i, 40000);
        for (int k = 0; k <= i; k++)
            w->bad |= rig_get(w->s, w->first + k, 40000);
    }
    return NULL;
}

/* All calls from many threads at once, the map growing many times under their reads. */
TEST(threads_share_it)
{
    enum { THREADS = 6 };
    struct store *s = rig_open("f", 1 << 16);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){s, 1000 * t, 0};
        CHECK(pthread_create(&threads[t], NULL, work, &workers[t]) == 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        CHECK(workers[t].bad == 0);
    }
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 25 * THREADS);
    store_close(&s);
}

/* All or nothing: one record of a commit is impossible, so none is there. */
TEST(a_commit_is_whole)
{
    struct store *s = rig_open("f", 0);
    unsigned char bytes[256];
    const struct record r = {.kind = FEATURE_MEL};
    record_encode(&r, bytes);
    struct store_put puts[3] = {0};
    for (int i = 0; i < 3; i++)
        puts[i] = (struct store_put){
            .has_record = true, .key = rig_key(i), .record = bytes, .record_bytes = record_bytes(&r)};
    puts[2].record_bytes = (size_t)1 << 40; /* LMDB refuses it before it reads a byte */
    CHECK_CODE(store_commit(s, puts, 3), STATUS_IO);
    struct store_value v;
    for (int i = 0; i < 3; i++)
        CHECK_CODE(store_get(s, &puts[i].key, &v), STATUS_NOT_FOUND);
    CHECK_OK(store_commit(s, puts, 2));
    CHECK_OK(store_commit(s, NULL, 0));
    CHECK_OK(store_get(s, &puts[1].key, &v));
    store_release(&v);
    CHECK(v.bytes == NULL);
    store_release(&v);
    store_close(&s);
}

/* Quarantine needs room of its own; a map without any grows for it too. */
TEST(quarantine_in_a_full_map)
{
    enum { BYTES = 600000 };
    struct store *s = rig_open("f", 1 << 20);
    CHECK_OK(rig_put(s, 1, BYTES));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.map_bytes == 1 << 20);
    store_close(&s);
    rig_damage("feature", 5000);
    s = rig_open("f", 1 << 20);
    CHECK_CODE(rig_get(s, 1, BYTES), STATUS_DAMAGED);
    CHECK_CODE(rig_get(s, 1, BYTES), STATUS_NOT_FOUND);
    CHECK_OK(store_stats(s, &st));
    CHECK(st.quarantined == 1 && st.records == 0);
    store_close(&s);
}

struct lines {
    int count;
    char last[256];
};

static void keep_line(void *context, const char *line)
{
    struct lines *l = context;
    l->count++;
    snprintf(l->last, sizeof l->last, "%s", line);
}

/* Each byte of a record, the kind included: fsck finds it, and so does who asks for it. */
TEST(every_byte_is_guarded)
{
    static const size_t at[] = {0, 3, 6, 7, 8, 11, 12, 15, 16, 27, 44, 91, 92, 100};
    mkdir("f", 0700);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct store *s = rig_open("f", 0);
        CHECK_OK(rig_put(s, 1, 16));
        store_close(&s);
        rig_damage("feature", at[i]);
        s = rig_open("f", 0);
        struct lines lines = {0};
        struct store_check check;
        CHECK_OK(store_fsck(s, keep_line, &lines, &check));
        CHECK(check.records == 1 && check.damaged == 1 && check.quarantined == 1 && lines.count == 1);
        CHECK(strstr(lines.last, "record of file "));
        CHECK_CODE(rig_get(s, 1, 16), STATUS_NOT_FOUND);
        CHECK_OK(rig_put(s, 1, 16));
        store_close(&s);
        rig_damage("feature", at[i]);
        s = rig_open("f", 0);
        CHECK_CODE(rig_get(s, 1, 16), STATUS_DAMAGED);
        CHECK_CODE(rig_get(s, 1, 16), STATUS_NOT_FOUND);
        struct store_stats st;
        CHECK_OK(store_stats(s, &st));
        CHECK(st.quarantined == 2 * (i + 1));
        store_close(&s);
    }
}

/* A record of another version is neither served nor damaged: it is written over. */
TEST(another_version_is_written_over)
{
    struct store *s = rig_open("f", 0);
    CHECK_OK(rig_put(s, 1, 16));
    store_close(&s);
    rig_damage("feature", 5); /* version 257 */
    s = rig_open("f", 0);
    struct lines lines = {0};
    struct store_check check;
    CHECK_CODE(rig_get(s, 1, 16), STATUS_VERSION);
    CHECK_OK(store_fsck(s, keep_line, &lines, &check));
    CHECK(check.records == 1 && check.damaged == 0);
    CHECK_OK(rig_put(s, 1, 16));
    CHECK_OK(rig_get(s, 1, 16));
    store_close(&s);
}

/* Who may only read reports damage as often as asked, and moves nothing. */
TEST(read_only_leaves_all_as_it_is)
{
    struct store *s = rig_open("f", 0);
    struct stat file;
    CHECK(stat(".", &file) == 0);
    const struct store_put p = {.has_stat = true, .stat = file};
    CHECK_OK(rig_put(s, 1, 16));
    CHECK_OK(store_commit(s, &p, 1));
    store_close(&s);
    rig_damage("feature", 100);
    rig_damage("stat", HASH_BYTES + 2); /* the checksum itself */
    CHECK_OK(store_open("f", &(struct store_options){.read_only = true}, &s));
    for (int i = 0; i < 2; i++) {
        struct lines lines = {0};
        struct store_check check;
        struct hash h;
        CHECK_CODE(rig_get(s, 1, 16), STATUS_DAMAGED);
        CHECK_CODE(store_find_stat(s, &file, &h), STATUS_DAMAGED);
        CHECK_OK(store_fsck(s, keep_line, &lines, &check));
        CHECK(check.records == 1 && check.stats == 1 && check.damaged == 2 && check.quarantined == 0);
        CHECK(lines.count == 2 && strstr(lines.last, "stat entry"));
    }
    CHECK_CODE(store_commit(s, &p, 1), STATUS_IO);
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 1 && st.stats == 1 && st.quarantined == 0);
    store_close(&s);
    s = rig_open("f", 0); /* and who may write mends: the next hash of the file */
    struct hash h;
    CHECK_OK(store_commit(s, &p, 1));
    CHECK_OK(store_find_stat(s, &file, &h));
    store_close(&s);
}

/* Entries that no version of this program writes. */
TEST(foreign_entries)
{
    struct store *s = rig_open("f", 0);
    CHECK_OK(rig_put(s, 1, 16));
    store_close(&s);
    char long_key[400];
    memset(long_key, 'k', sizeof long_key);
    rig_insert("feature", "short", 5, "x", 1);
    rig_insert("feature", long_key, sizeof long_key, "y", 1);
    rig_insert("stat", "s", 1, "z", 1);
    s = rig_open("f", 0);
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 1); /* the others have no kind to be counted under */
    int visits = 0;
    CHECK_OK(store_each_object(s, NULL, &visits));
    struct lines lines = {0};
    struct store_check check;
    CHECK_OK(store_fsck(s, keep_line, &lines, &check));
    CHECK(check.damaged == 3 && check.quarantined == 3 && lines.count == 3);
    CHECK_OK(store_fsck(s, keep_line, &lines, &check));
    CHECK(check.damaged == 0 && check.records == 1 && check.stats == 0);
    CHECK_OK(store_stats(s, &st));
    CHECK(st.quarantined == 3);
    store_close(&s);
}

TEST(figures)
{
    struct store *s = rig_open("f", 0);
    static const struct {
        int file;
        uint16_t kind;
        char params;
    } entries[] = {{1, FEATURE_SUMMARY, 'a'}, {1, FEATURE_MEL, 'a'},     {1, FEATURE_MEL, 'b'},
                   {2, FEATURE_STFT, 'a'},    {2, FEATURE_REFUSAL, 'a'}, {3, 700, 'a'}};
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        unsigned char bytes[512];
        const struct record r = {
            .kind = entries[i].kind, .result = "0123456789abcdefghij", .result_bytes = (uint32_t)(i + 1)};
        record_encode(&r, bytes);
        struct store_put p = {.has_record = true, .record = bytes, .record_bytes = record_bytes(&r)};
        hash_bytes(&entries[i].file, sizeof entries[i].file, &p.key.file);
        p.key.kind = entries[i].kind;
        p.key.params[0] = (uint8_t)entries[i].params;
        CHECK_OK(store_commit(s, &p, 1));
        total += p.record_bytes;
    }
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 6 && st.files == 3 && st.record_bytes == total && st.map_bytes == 64 << 20);
    CHECK(st.by_kind[FEATURE_MEL] == 2 && st.bytes_by_kind[FEATURE_MEL] == 2 * RECORD_HEADER_BYTES + 2 + 3);
    CHECK(st.by_kind[FEATURE_SUMMARY] == 1 && st.by_kind[FEATURE_REFUSAL] == 1 && st.by_kind[FEATURE_RMS] == 0);
    CHECK(st.by_kind[0] == 1); /* a kind that this version does not know */
    CHECK(st.disk_bytes >= 4096 && st.disk_bytes < 1 << 20 && st.stats == 0 && st.quarantined == 0);
    store_close(&s);
}

/* Readers that LMDB's table names: -1 when it cannot be opened. */
static int count_reader(const char *line, void *context)
{
    *(int *)context += strstr(line, "pid") == NULL && strpbrk(line, "0123456789") != NULL;
    return 0;
}

static int readers(void)
{
    MDB_env *env = NULL;
    int n = 0;
    if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, 8) || mdb_env_open(env, "f", 0, 0600))
        return -1;
    mdb_reader_list(env, count_reader, &n);
    mdb_env_close(env);
    return n;
}

static bool has_one_reader(void)
{
    return readers() == 1;
}

static bool has_no_reader(void)
{
    return readers() == 0;
}

static bool open_and_close(void)
{
    struct store *s = rig_open("f", 0);
    const bool ok = rig_put(s, 2, 64) == STATUS_OK && rig_get(s, 1, 64) == STATUS_OK;
    store_close(&s);
    return ok;
}

/* Dies while it reads. */
static bool die_reading(void)
{
    MDB_env *env;
    MDB_txn *txn;
    if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, 8) || mdb_env_open(env, "f", 0, 0600) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
        return true; /* it should have been killed */
    raise(SIGKILL);
    return true;
}

/* A slot that a dead reader keeps would hold every later page back. Somebody else has the store open all the time:
 * otherwise LMDB clears its table by itself. */
TEST(readers_of_the_dead_are_removed)
{
    CHECK(in_child(write_thirty_megabytes));
    int ready[2] = {-1, -1}, stop[2] = {-1, -1};
    char byte = 0;
    CHECK(pipe(ready) == 0 && pipe(stop) == 0);
    const pid_t holder = fork();
    if (holder == 0) {
        close(stop[1]);
        struct store *s = rig_open("f", 0);
        const bool ok = rig_put(s, 1, 64) == STATUS_OK && write(ready[1], "r", 1) == 1;
        while (read(stop[0], &byte, 1) < 0 && errno == EINTR)
            ;
        store_close(&s);
        _exit(!ok);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(in_child(has_no_reader));
    CHECK(!in_child(die_reading));
    CHECK(in_child(has_one_reader));
    CHECK(in_child(open_and_close));
    CHECK(in_child(has_no_reader));
    close(stop[1]);
    int state = 1;
    waitpid(holder, &state, 0);
    CHECK(state == 0);
}

static bool write_a_little(void)
{
    struct store *s = rig_open("f", 0);
    const bool ok = rig_put(s, 51, 100000) == STATUS_OK && rig_get(s, 51, 100000) == STATUS_OK;
    store_close(&s);
    return ok;
}

static bool write_until_killed(void)
{
    struct store *s = rig_open("f", 1 << 20);
    for (int i = 0;; i++)
        if (rig_put(s, i % 50, 100000))
            return true;
}

/* Killed at any moment of a commit: the next one finds a whole store, and can write. */
TEST(a_killed_writer_leaves_a_whole_store)
{
    mkdir("f", 0700);
    for (int i = 0; i < 8; i++) {
        const pid_t pid = fork();
        if (pid == 0)
            _exit(write_until_killed());
        usleep((useconds_t)(20000 + 7000 * i));
        kill(pid, SIGKILL);
        int state = 0;
        waitpid(pid, &state, 0);
        CHECK(WIFSIGNALED(state));
        CHECK(in_child(write_a_little));
    }
    struct store *s = rig_open("f", 0);
    struct lines lines = {0};
    struct store_check check;
    CHECK_OK(store_fsck(s, keep_line, &lines, &check));
    CHECK(check.records >= 1 && check.damaged == 0 && lines.count == 0);
    store_close(&s);
}

TEST(folders_that_are_no_store)
{
    struct store *s = NULL;
    CHECK_CODE(store_open("nowhere", &(struct store_options){0}, &s), STATUS_IO);
    mkdir("f", 0700);
    int fd = open("f/data.mdb", O_CREAT | O_WRONLY, 0600);
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    CHECK(write(fd, junk, sizeof junk) == sizeof junk);
    close(fd);
    CHECK_CODE(store_open("f", &(struct store_options){0}, &s), STATUS_IO);
    CHECK(s == NULL);
    CHECK(strstr(status_message(), "store f: open: "));
}
