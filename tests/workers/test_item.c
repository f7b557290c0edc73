/* Items and leases: what is known of a file, what cannot be read, what is remembered of it. */
#include "item_rig.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lease *grant_analyze(const char *path, struct kind_analyze_params params)
{
    return item_rig_grant(KIND_ANALYZE, &kind_analyze_params_schema, &params, &path, NULL, 1);
}

/* The child's part of an analysis. */
static void answer(struct item *it, double rms)
{
    struct wire_buffer b = {0};
    const struct kind_analyze_result r = {.rate_hz = 8000,
                                          .seconds = NAN,
                                          .duration_s = 1,
                                          .rms = rms,
                                          .peak = NAN,
                                          .zero_crossing_rate = NAN,
                                          .spectral_centroid_hz = NAN};
    CHECK_OK(wire_encode(&kind_analyze_result_schema, &r, &b));
    CHECK(pwrite(it->result_fd, b.data, b.bytes, 0) == (ssize_t)b.bytes);
    it->reply = (struct task_reply){.event = TASK_DONE, .result_bytes = (uint32_t)b.bytes};
    it->seconds = 0.25;
    wire_free(&b);
    it->stage = STAGE_FINISHING;
    item_finish(&it->work);
}

static void answer_failure(struct item *it, enum status code, const char *message)
{
    it->reply = (struct task_reply){.event = TASK_FAILED, .code = code};
    snprintf(it->reply.message, sizeof it->reply.message, "%s", message);
    it->stage = STAGE_FINISHING;
    item_finish(&it->work);
}

static bool result_of(const struct item *it, struct kind_analyze_result *out)
{
    return it->stage == STAGE_OVER && it->code == STATUS_OK &&
           wire_decode(&kind_analyze_result_schema, it->result.data, it->result.bytes, out) == STATUS_OK;
}

/* One analysis from beginning to end. */
static void analyze(const char *path, double rms)
{
    struct lease *l = grant_analyze(path, (struct kind_analyze_params){0});
    struct item *it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && it->input >= 0 && it->result_fd >= 0 && it->has_key);
    answer(it, rms);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_OK && it->put_record && item_rig_holds_nothing(it));
    item_rig_commit(l);
    lease_destroy(&l);
    CHECK(!l);
}

TEST(known_by_stat_and_by_hash)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    analyze(item_rig_path("a.wav"), 0.5);
    struct kind_analyze_result r = {0};
    struct hash hash;
    const int fd = open("a.wav", O_RDONLY);
    CHECK_OK(hash_file(fd, &hash, NULL));
    close(fd);

    /* by its stat: its bytes are not read */
    struct lease *l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){0});
    struct item *it = item_rig_prepare(l);
    CHECK(result_of(it, &r) && r.rms == 0.5 && r.from_store && it->in_store && !it->put_stat && !it->put_record);
    CHECK(r.hash.bytes == HASH_BYTES && memcmp(r.hash.data, &hash, HASH_BYTES) == 0);
    CHECK(r.seconds == 0.25); /* of the computation */
    lease_destroy(&l);

    /* a copy, by its contents */
    REQUIRE(system("cp a.wav b.wav") == 0); /* NOLINT(cert-env33-c): the command is ours */
    sound_settle();
    l = grant_analyze(item_rig_path("b.wav"), (struct kind_analyze_params){0});
    it = item_rig_prepare(l);
    CHECK(result_of(it, &r) && r.rms == 0.5 && r.from_store && it->put_stat);
    lease_destroy(&l);

    /* verify reads it again, force computes it again, other parameters are another thing */
    l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){.verify = true});
    it = item_rig_prepare(l);
    CHECK(result_of(it, &r) && r.from_store && it->put_stat);
    lease_destroy(&l);
    l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){.force = true});
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){.hop = 100});
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);

    /* other bytes under the name */
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 2));
    l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){0});
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    CHECK(!l->items[0].put_stat); /* it may change again without its times telling */
    lease_destroy(&l);
    item_rig_close();
}

TEST(what_cannot_be_opened)
{
    item_rig_open();
    REQUIRE(mkdir("folder", 0700) == 0 && mkfifo("fifo", 0600) == 0 && sound_text("empty.wav", "") &&
            symlink("loop", "loop") == 0);
    static const struct {
        const char *path;
        int code;
        const char *message;
    } cases[] = {{"missing.wav", STATUS_NOT_FOUND, "No such file"}, {"empty.wav/x", STATUS_NOT_FOUND, "Not a dir"},
                 {"folder", STATUS_ARGUMENT, "it is a directory"},  {"fifo", STATUS_ARGUMENT, "it is a FIFO"},
                 {"empty.wav", STATUS_FORMAT, "the file is empty"}, {"loop", STATUS_ARGUMENT, "symbolic links"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lease *l = grant_analyze(item_rig_path(cases[i].path), (struct kind_analyze_params){0});
        struct item *it = item_rig_prepare(l);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INPUT && item_rig_holds_nothing(it));
        CHECK_CODE(it->code, cases[i].code);
        test_report(strstr(it->message, cases[i].message), __FILE__, __LINE__, "%s: %s", cases[i].path, it->message);
        lease_destroy(&l);
    }
    static const char *const paths[] = {"a.wav", "", "/dev/zero"};
    for (int i = 0; i < 3; i++) {
        struct lease *l = grant_analyze(paths[i], (struct kind_analyze_params){0});
        CHECK_CODE(item_rig_prepare(l)->code, STATUS_ARGUMENT);
        lease_destroy(&l);
    }
    item_rig_close();
}

TEST(changed_while_it_was_read)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(item_rig_path("a.wav"), none);
    struct item *it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && sound_noise("a.wav", 120, 1, 8000, 3));
    answer(it, 0.5);
    CHECK(it->failure == FAILURE_TRANSIENT && !it->put_record && strstr(it->message, "changed"));
    item_rig_commit(l);
    lease_destroy(&l);

    /* The same for one that the child cannot read: its bytes may be half of one file and half of another, so nothing
     * is to be remembered of those that were hashed. */
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    l = grant_analyze(item_rig_path("a.wav"), none);
    it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && sound_text("a.wav", "half of"));
    answer_failure(it, STATUS_FORMAT, "truncated: as the test wants it");
    CHECK(it->failure == FAILURE_TRANSIENT && !it->put_record);
    item_rig_commit(l);
    lease_destroy(&l);
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1)); /* the good bytes again */
    l = grant_analyze(item_rig_path("a.wav"), none);
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    item_rig_close();
}

TEST(refusals_are_remembered)
{
    item_rig_open();
    REQUIRE(sound_text("bad.wav", "not music"));
    sound_settle();
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(item_rig_path("bad.wav"), none);
    struct item *it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING);
    answer_failure(it, STATUS_FORMAT, "it is not music");
    CHECK(it->code == STATUS_FORMAT && it->put_record);
    item_rig_commit(l);
    lease_destroy(&l);
    l = grant_analyze(item_rig_path("bad.wav"), none);
    it = item_rig_prepare(l);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_FORMAT && strcmp(it->message, "it is not music") == 0);
    CHECK(it->failure == FAILURE_INPUT && item_rig_holds_nothing(it));
    lease_destroy(&l);
    l = grant_analyze(item_rig_path("bad.wav"), (struct kind_analyze_params){.force = true});
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    item_rig_places.decoders[0]++; /* another ffmpeg may read it */
    l = grant_analyze(item_rig_path("bad.wav"), none);
    CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
    /* what is not the file's fault is not remembered */
    answer_failure(&l->items[0], STATUS_NOMEM, "out of memory");
    CHECK(l->items[0].failure == FAILURE_RESOURCE && !l->items[0].put_record);
    lease_destroy(&l);
    item_rig_close();
}

/* Overwrites a byte of the record's value in the data file. */
static void damage_record(const char *text)
{
    FILE *f = fopen("features/data.mdb", "r+b");
    static char data[1 << 20];
    const size_t n = fread(data, 1, sizeof data, f), length = strlen(text);
    int hits = 0;
    for (size_t i = 0; i + length <= n; i++)
        if (memcmp(data + i, text, length) == 0) {
            fseek(f, (long)i, SEEK_SET);
            fputc('X', f);
            hits++;
        }
    fclose(f);
    CHECK(hits > 0);
}

TEST(damaged_record)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    analyze(item_rig_path("a.wav"), 0.5);
    item_rig_close();
    damage_record("WMR1");
    CHECK_OK(store_open("features", &(struct store_options){0}, &item_rig_places.store));
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(item_rig_path("a.wav"), none);
    struct item *it = item_rig_prepare(l);
    CHECK(it->stage == STAGE_WAITING && it->input >= 0);
    answer(it, 0.75);
    item_rig_commit(l);
    lease_destroy(&l);
    struct kind_analyze_result r = {0};
    l = grant_analyze(item_rig_path("a.wav"), none);
    CHECK(result_of(item_rig_prepare(l), &r) && r.rms == 0.75 && r.from_store);
    lease_destroy(&l);
    struct store_stats stats;
    CHECK_OK(store_stats(item_rig_places.store, &stats));
    CHECK(stats.quarantined == 1);
    item_rig_close();
}

TEST(leases_of_many)
{
    enum { COUNT = 50 };
    item_rig_open();
    static char names[COUNT][64];
    const char *paths[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "f%d.wav", i);
        REQUIRE(i % 5 == 0 || sound_noise(names[i], 50 + i, 1, 8000, (uint64_t)i));
    }
    sound_settle();
    static char longer[COUNT][256];
    for (int i = 0; i < COUNT; i++) {
        snprintf(longer[i], sizeof longer[i], "%s", item_rig_path(names[i]));
        paths[i] = longer[i];
    }
    struct lease *l = item_rig_grant(KIND_ANALYZE, NULL, NULL, paths, NULL, COUNT);
    CHECK(l->count == COUNT && l->left == COUNT);
    for (int i = 0; i < COUNT; i++) {
        item_prepare(&l->items[i].work);
        CHECK((l->items[i].stage == STAGE_OVER) == (i % 5 == 0));
        if (l->items[i].stage == STAGE_WAITING && i % 7)
            answer(&l->items[i], i);
    }
    item_rig_commit(l);
    lease_destroy(&l); /* some of them still with their descriptors */
    struct store_stats stats;
    CHECK_OK(store_stats(item_rig_places.store, &stats));
    CHECK(stats.records == 34 && stats.stats == 40);
    item_rig_close();
}

TEST(bad_leases)
{
    item_rig_open();
    const char *path = item_rig_path("a.wav"), *out = "x";
    struct lease *l = item_rig_grant("unheard", NULL, NULL, &path, NULL, 1);
    CHECK(l->code == STATUS_UNSUPPORTED && item_rig_prepare(l)->code == STATUS_UNSUPPORTED);
    lease_destroy(&l);
    l = grant_analyze(path, (struct kind_analyze_params){.n_fft = 3});
    CHECK(item_rig_prepare(l)->code == STATUS_ARGUMENT && l->items[0].failure == FAILURE_INPUT);
    lease_destroy(&l);
    const struct kind_features_params p = {.feature = wire_str("mel"), .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN};
    l = item_rig_grant(KIND_FEATURES, &kind_features_params_schema, &p, &path, NULL, 1);
    CHECK(l->items[0].stage == STAGE_OVER && l->items[0].code == STATUS_FORMAT);
    lease_destroy(&l);
    l = item_rig_grant(KIND_FEATURES, NULL, NULL, &path, &out, 1);
    CHECK(l->code == STATUS_FORMAT && item_rig_prepare(l)->code == STATUS_FORMAT);
    lease_destroy(&l);
    l = item_rig_grant(KIND_ANALYZE, NULL, NULL, NULL, NULL, 0);
    CHECK(l->count == 0);
    item_rig_commit(l);
    lease_destroy(&l);
    item_rig_close();
}

TEST(closing)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    item_rig_places.closing = true;
    struct lease *l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){0});
    CHECK_CODE(item_rig_prepare(l)->code, STATUS_CANCELLED);
    CHECK(l->items[0].input == -1 && !l->items[0].has_key);
    lease_destroy(&l);
    item_rig_close();
}

TEST(store_that_cannot_be_written)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    item_rig_close();
    CHECK_OK(store_open("features", &(struct store_options){.read_only = true}, &item_rig_places.store));
    struct lease *l = grant_analyze(item_rig_path("a.wav"), (struct kind_analyze_params){0});
    struct kind_analyze_result r = {0};
    struct item *it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING);
    answer(it, 0.5);
    item_rig_commit(l);
    CHECK(result_of(it, &r) && r.rms == 0.5);
    lease_destroy(&l);
    item_rig_close();
}
