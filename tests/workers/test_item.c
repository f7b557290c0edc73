/* Items and leases on a real store, without a supervisor: this test plays the compute child. */
#include "item.h"
#include "npy.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct places places;
static char here[128];

static void open_places(void)
{
    REQUIRE(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0 && getcwd(here, sizeof here));
    places = (struct places){.features = ".", .objects = "objects", .decoders = {1}};
    CHECK_OK(store_open("features", &(struct store_options){0}, &places.store));
}

static void close_places(void)
{
    store_close(&places.store);
}

static const char *full(const char *name)
{
    static char path[8][4096];
    static int turn;
    char *out = path[turn++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", here, name);
    return out;
}

/* A lease of `count` items. */
static struct lease *grant(const char *kind, const struct wire_schema *schema, const void *params,
                           const char *const *paths, const char *const *outs, int count)
{
    struct wire_buffer leases = {0}, job = {0};
    struct lease *l = NULL;
    static uint64_t token = 100;
    if (schema)
        CHECK_OK(wire_encode(schema, params, &job));
    for (int i = 0; i < count; i++) {
        struct wire_buffer own = {0};
        if (outs)
            CHECK_OK(wire_encode(&kind_features_item_schema, &(struct kind_features_item){wire_str(outs[i])}, &own));
        CHECK_OK(wire_encode(&lease_schema,
                             &(struct message_lease){.index = (uint64_t)i,
                                                     .token = token++,
                                                     .attempt = 1,
                                                     .path = wire_str(paths[i]),
                                                     .params = {own.data, (uint32_t)own.bytes}},
                             &leases));
        wire_free(&own);
    }
    const struct message_grant m = {.kind = wire_str(kind),
                                    .params = {job.data, (uint32_t)job.bytes},
                                    .leases = wire_list_of(&leases, (uint32_t)count)};
    CHECK_OK(lease_create(&m, &places, &l));
    wire_free(&leases);
    wire_free(&job);
    REQUIRE(l);
    return l;
}

static struct lease *grant_analyze(const char *path, struct kind_analyze_params params)
{
    return grant(KIND_ANALYZE, &kind_analyze_params_schema, &params, &path, NULL, 1);
}

static struct lease *grant_feature(const char *feature, const char *path, const char *out, bool keep)
{
    const struct kind_features_params p = {
        .feature = wire_str(feature), .keep = keep, .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN};
    return grant(KIND_FEATURES, &kind_features_params_schema, &p, &path, &out, 1);
}

static struct item *prepare(struct lease *l)
{
    item_prepare(&l->items[0].work);
    return &l->items[0];
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

/* The child's part of a feature of `frames` frames of 8 numbers. */
static void answer_array(struct item *it, uint64_t frames)
{
    char header[NPY_HEADER_BYTES];
    struct wire_buffer b = {0};
    const size_t bytes = frames * 8 * sizeof(float);
    float *array = malloc(bytes);
    uint64_t seed = frames;
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        array[i] = test_noise(&seed);
    const struct kind_features_result r = {
        .rate_hz = 8000, .seconds = NAN, .feature = wire_str("mel"), .bins = 8, .frames = frames};
    CHECK_OK(wire_encode(&kind_features_result_schema, &r, &b));
    CHECK(pwrite(it->result_fd, b.data, b.bytes, 0) == (ssize_t)b.bytes);
    CHECK_OK(npy_header(DTYPE_F32, 8, (int64_t)frames, header));
    CHECK(pwrite(it->array.fd, header, sizeof header, 0) == sizeof header);
    CHECK(pwrite(it->array.fd, array, bytes, sizeof header) == (ssize_t)bytes);
    it->reply = (struct task_reply){
        .event = TASK_DONE, .result_bytes = (uint32_t)b.bytes, .dtype = DTYPE_F32, .bins = 8, .frames = frames};
    wire_free(&b);
    free(array);
    it->stage = STAGE_FINISHING;
    item_finish(&it->work);
}

static void commit(struct lease *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->items[i].committing = true;
    lease_commit(&l->work);
}

static bool result_of(const struct item *it, struct kind_analyze_result *out)
{
    return it->stage == STAGE_OVER && it->code == STATUS_OK &&
           wire_decode(&kind_analyze_result_schema, it->result.data, it->result.bytes, out) == STATUS_OK;
}

static bool holds_nothing(const struct item *it)
{
    return it->input == -1 && it->result_fd == -1 && it->array.fd == -1 && !it->array.temporary && it->ffmpeg.pid == 0;
}

static bool has_part_files(void)
{
    return system("ls -A | grep -q part") == 0; /* NOLINT(cert-env33-c): the command is ours */
}

/* One analysis from beginning to end. */
static void analyze(const char *path, double rms)
{
    struct lease *l = grant_analyze(path, (struct kind_analyze_params){0});
    struct item *it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && it->input >= 0 && it->result_fd >= 0 && it->has_key);
    answer(it, rms);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_OK && it->put_record && holds_nothing(it));
    commit(l);
    lease_destroy(&l);
    CHECK(!l);
}

TEST(known_by_stat_and_by_hash)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    analyze(full("a.wav"), 0.5);
    struct kind_analyze_result r = {0};
    struct hash hash;
    const int fd = open("a.wav", O_RDONLY);
    CHECK_OK(hash_file(fd, &hash, NULL));
    close(fd);

    /* by its stat: its bytes are not read */
    struct lease *l = grant_analyze(full("a.wav"), (struct kind_analyze_params){0});
    struct item *it = prepare(l);
    CHECK(result_of(it, &r) && r.rms == 0.5 && r.from_store && it->in_store && !it->put_stat && !it->put_record);
    CHECK(r.hash.bytes == HASH_BYTES && memcmp(r.hash.data, &hash, HASH_BYTES) == 0);
    CHECK(r.seconds == 0.25); /* of the computation */
    lease_destroy(&l);

    /* a copy, by its contents */
    REQUIRE(system("cp a.wav b.wav") == 0); /* NOLINT(cert-env33-c): the command is ours */
    sound_settle();
    l = grant_analyze(full("b.wav"), (struct kind_analyze_params){0});
    it = prepare(l);
    CHECK(result_of(it, &r) && r.rms == 0.5 && r.from_store && it->put_stat);
    lease_destroy(&l);

    /* verify reads it again, force computes it again, other parameters are another thing */
    l = grant_analyze(full("a.wav"), (struct kind_analyze_params){.verify = true});
    it = prepare(l);
    CHECK(result_of(it, &r) && r.from_store && it->put_stat);
    lease_destroy(&l);
    l = grant_analyze(full("a.wav"), (struct kind_analyze_params){.force = true});
    CHECK(prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    l = grant_analyze(full("a.wav"), (struct kind_analyze_params){.hop = 100});
    CHECK(prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);

    /* other bytes under the name */
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 2));
    l = grant_analyze(full("a.wav"), (struct kind_analyze_params){0});
    CHECK(prepare(l)->stage == STAGE_WAITING);
    CHECK(!l->items[0].put_stat); /* it may change again without its times telling */
    lease_destroy(&l);
    close_places();
}

TEST(what_cannot_be_opened)
{
    open_places();
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
        struct lease *l = grant_analyze(full(cases[i].path), (struct kind_analyze_params){0});
        struct item *it = prepare(l);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INPUT && holds_nothing(it));
        CHECK_CODE(it->code, cases[i].code);
        test_report(strstr(it->message, cases[i].message), __FILE__, __LINE__, "%s: %s", cases[i].path, it->message);
        lease_destroy(&l);
    }
    static const char *const paths[] = {"a.wav", "", "/dev/zero"};
    for (int i = 0; i < 3; i++) {
        struct lease *l = grant_analyze(paths[i], (struct kind_analyze_params){0});
        CHECK_CODE(prepare(l)->code, STATUS_ARGUMENT);
        lease_destroy(&l);
    }
    close_places();
}

TEST(changed_while_it_was_read)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(full("a.wav"), none);
    struct item *it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && sound_noise("a.wav", 120, 1, 8000, 3));
    answer(it, 0.5);
    CHECK(it->failure == FAILURE_TRANSIENT && !it->put_record && strstr(it->message, "changed"));
    commit(l);
    lease_destroy(&l);

    /* The same for one that the child cannot read: its bytes may be half of one file and half of another, so nothing
     * is to be remembered of those that were hashed. */
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    l = grant_analyze(full("a.wav"), none);
    it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && sound_text("a.wav", "half of"));
    answer_failure(it, STATUS_FORMAT, "truncated: as the test wants it");
    CHECK(it->failure == FAILURE_TRANSIENT && !it->put_record);
    commit(l);
    lease_destroy(&l);
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1)); /* the good bytes again */
    l = grant_analyze(full("a.wav"), none);
    CHECK(prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    close_places();
}

TEST(refusals_are_remembered)
{
    open_places();
    REQUIRE(sound_text("bad.wav", "not music"));
    sound_settle();
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(full("bad.wav"), none);
    struct item *it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING);
    answer_failure(it, STATUS_FORMAT, "it is not music");
    CHECK(it->code == STATUS_FORMAT && it->put_record);
    commit(l);
    lease_destroy(&l);
    l = grant_analyze(full("bad.wav"), none);
    it = prepare(l);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_FORMAT && strcmp(it->message, "it is not music") == 0);
    CHECK(it->failure == FAILURE_INPUT && holds_nothing(it));
    lease_destroy(&l);
    l = grant_analyze(full("bad.wav"), (struct kind_analyze_params){.force = true});
    CHECK(prepare(l)->stage == STAGE_WAITING);
    lease_destroy(&l);
    places.decoders[0]++; /* another ffmpeg may read it */
    l = grant_analyze(full("bad.wav"), none);
    CHECK(prepare(l)->stage == STAGE_WAITING);
    /* what is not the file's fault is not remembered */
    answer_failure(&l->items[0], STATUS_NOMEM, "out of memory");
    CHECK(l->items[0].failure == FAILURE_RESOURCE && !l->items[0].put_record);
    lease_destroy(&l);
    close_places();
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
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    sound_settle();
    analyze(full("a.wav"), 0.5);
    close_places();
    damage_record("WMR1");
    CHECK_OK(store_open("features", &(struct store_options){0}, &places.store));
    struct kind_analyze_params none = {0};
    struct lease *l = grant_analyze(full("a.wav"), none);
    struct item *it = prepare(l);
    CHECK(it->stage == STAGE_WAITING && it->input >= 0);
    answer(it, 0.75);
    commit(l);
    lease_destroy(&l);
    struct kind_analyze_result r = {0};
    l = grant_analyze(full("a.wav"), none);
    CHECK(result_of(prepare(l), &r) && r.rms == 0.75 && r.from_store);
    lease_destroy(&l);
    struct store_stats stats;
    CHECK_OK(store_stats(places.store, &stats));
    CHECK(stats.quarantined == 1);
    close_places();
}

static bool same_files(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "cmp -s %s %s", a, b);
    return system(command) == 0; /* NOLINT(cert-env33-c): the command is ours */
}

static void arrays(uint64_t frames, uint8_t place)
{
    struct store_value v;
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, frames));
    sound_settle();
    struct lease *l = grant_feature("mel", full("a.wav"), full("first.npy"), false);
    struct item *it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && it->array.fd >= 0);
    answer_array(it, frames);
    CHECK(it->code == STATUS_OK && it->put_record && holds_nothing(it));
    const struct store_key key = it->key;
    commit(l);
    lease_destroy(&l);
    CHECK_OK(store_get(places.store, &key, &v));
    CHECK(v.record.place == place && v.record.bins == 8 && v.record.frames == frames);
    l = grant_feature("mel", full("a.wav"), full("second.npy"), false);
    it = prepare(l);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_OK && it->in_store && holds_nothing(it));
    CHECK(same_files("first.npy", "second.npy") && !has_part_files());
    lease_destroy(&l);
    if (place == RECORD_OBJECT) { /* and without its object */
        char hex[HASH_HEX], path[128];
        hash_hex(&v.record.object, hex);
        snprintf(path, sizeof path, "objects/%.2s/%s", hex, hex);
        CHECK(truncate(path, 100) == 0);
        l = grant_feature("mel", full("a.wav"), full("third.npy"), false);
        CHECK(prepare(l)->stage == STAGE_WAITING);
        lease_destroy(&l);
        CHECK(unlink(path) == 0);
        l = grant_feature("mel", full("a.wav"), full("third.npy"), false);
        CHECK(prepare(l)->stage == STAGE_WAITING);
        answer_array(&l->items[0], frames);
        CHECK(l->items[0].code == STATUS_OK && same_files("first.npy", "third.npy"));
        lease_destroy(&l);
        CHECK(!has_part_files());
    }
    store_release(&v);
}

TEST(arrays_in_the_record_and_beside_it)
{
    open_places();
    arrays(1, RECORD_INLINE);
    arrays(RECORD_INLINE_MAX / 32, RECORD_INLINE);
    arrays(RECORD_INLINE_MAX / 32 + 1, RECORD_OBJECT);
    close_places();
}

TEST(spectra_are_kept_on_demand)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    struct lease *l = grant_feature("stft", full("a.wav"), full("a.npy"), false);
    struct item *it = prepare(l);
    answer_array(it, 5);
    CHECK(it->code == STATUS_OK && !it->put_record && access("a.npy", F_OK) == 0);
    lease_destroy(&l);
    l = grant_feature("stft", full("a.wav"), full("a.npy"), true);
    it = prepare(l);
    answer_array(it, 5);
    CHECK(it->code == STATUS_OK && it->put_record);
    lease_destroy(&l);
    close_places();
}

TEST(where_arrays_cannot_go)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1) && mkdir("folder", 0700) == 0 && sound_text("file", "x"));
    const char *const outs[] = {full("no/such/a.npy"), full("folder"), full("file/a.npy"), "a.npy", "/proc/a.npy"};
    for (int i = 0; i < 5; i++) {
        struct lease *l = grant_feature("mel", full("a.wav"), outs[i], false);
        struct item *it = prepare(l);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INPUT && holds_nothing(it));
        CHECK(strstr(it->message, "cannot write"));
        lease_destroy(&l);
    }
    /* as long as a name may be */
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    struct lease *l = grant_feature("mel", full("a.wav"), full(name), false);
    struct item *it = prepare(l);
    CHECK_CODE(it->code, STATUS_OK);
    if (!it->code) {
        answer_array(it, 3);
        CHECK(it->code == STATUS_OK && access(name, F_OK) == 0);
    }
    lease_destroy(&l);
    CHECK(!has_part_files());
    close_places();
}

TEST(child_that_lies)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    for (int lie = 0; lie < 5; lie++) {
        struct lease *l = grant_feature("mel", full("a.wav"), full("a.npy"), false);
        struct item *it = prepare(l);
        REQUIRE(it->stage == STAGE_WAITING);
        it->reply =
            (struct task_reply){.event = TASK_DONE, .result_bytes = 1, .dtype = DTYPE_F32, .bins = 8, .frames = 1};
        CHECK(pwrite(it->result_fd, "\x80", 1, 0) == 1);
        CHECK(ftruncate(it->array.fd, NPY_HEADER_BYTES + (lie == 4 ? 31 : 32)) == 0);
        it->reply.result_bytes = lie == 0 ? UINT32_MAX : 1;
        it->reply.frames = lie == 1 ? UINT64_MAX : 1;
        it->reply.dtype = lie == 2 ? 99 : DTYPE_F32;
        it->reply.bins = lie == 3 ? UINT32_MAX : 8;
        item_finish(&it->work);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INTERNAL && !it->put_record && holds_nothing(it));
        lease_destroy(&l);
    }
    CHECK(access("a.npy", F_OK) != 0 && !has_part_files());
    close_places();
}

TEST(followers)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    struct lease *l = grant_feature("mel", full("a.wav"), full("a.npy"), false);
    struct lease *m = grant_feature("mel", full("a.wav"), full("b.npy"), false);
    struct lease *n = grant_feature("mel", full("a.wav"), full("c.npy"), false);
    struct item *leader = prepare(l), *follower = prepare(m), *late = prepare(n);
    CHECK(item_same_work(leader, follower));
    follower->leader = late->leader = leader;
    answer_array(leader, 7);
    item_follow(&follower->work);
    CHECK(follower->stage == STAGE_OVER && follower->code == STATUS_OK && follower->in_store &&
          holds_nothing(follower));
    CHECK(same_files("a.npy", "b.npy"));
    REQUIRE(mkdir("c.npy", 0700) == 0);
    item_follow(&late->work);
    CHECK(late->stage == STAGE_OVER && late->failure == FAILURE_INPUT && holds_nothing(late));
    lease_destroy(&m);
    lease_destroy(&n);
    lease_destroy(&l);
    CHECK(!has_part_files());
    close_places();
}

TEST(leases_of_many)
{
    enum { COUNT = 50 };
    open_places();
    static char names[COUNT][64];
    const char *paths[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "f%d.wav", i);
        REQUIRE(i % 5 == 0 || sound_noise(names[i], 50 + i, 1, 8000, (uint64_t)i));
    }
    sound_settle();
    static char longer[COUNT][256];
    for (int i = 0; i < COUNT; i++) {
        snprintf(longer[i], sizeof longer[i], "%s/%s", here, names[i]);
        paths[i] = longer[i];
    }
    struct lease *l = grant(KIND_ANALYZE, NULL, NULL, paths, NULL, COUNT);
    CHECK(l->count == COUNT && l->left == COUNT);
    for (int i = 0; i < COUNT; i++) {
        item_prepare(&l->items[i].work);
        CHECK((l->items[i].stage == STAGE_OVER) == (i % 5 == 0));
        if (l->items[i].stage == STAGE_WAITING && i % 7)
            answer(&l->items[i], i);
    }
    commit(l);
    lease_destroy(&l); /* some of them still with their descriptors */
    struct store_stats stats;
    CHECK_OK(store_stats(places.store, &stats));
    CHECK(stats.records == 34 && stats.stats == 40);
    close_places();
}

TEST(bad_leases)
{
    open_places();
    const char *path = full("a.wav"), *out = "x";
    struct lease *l = grant("unheard", NULL, NULL, &path, NULL, 1);
    CHECK(l->code == STATUS_UNSUPPORTED && prepare(l)->code == STATUS_UNSUPPORTED);
    lease_destroy(&l);
    l = grant_analyze(path, (struct kind_analyze_params){.n_fft = 3});
    CHECK(prepare(l)->code == STATUS_ARGUMENT && l->items[0].failure == FAILURE_INPUT);
    lease_destroy(&l);
    const struct kind_features_params p = {.feature = wire_str("mel"), .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN};
    l = grant(KIND_FEATURES, &kind_features_params_schema, &p, &path, NULL, 1);
    CHECK(l->items[0].stage == STAGE_OVER && l->items[0].code == STATUS_FORMAT);
    lease_destroy(&l);
    l = grant(KIND_FEATURES, NULL, NULL, &path, &out, 1);
    CHECK(l->code == STATUS_FORMAT && prepare(l)->code == STATUS_FORMAT);
    lease_destroy(&l);
    l = grant(KIND_ANALYZE, NULL, NULL, NULL, NULL, 0);
    CHECK(l->count == 0);
    commit(l);
    lease_destroy(&l);
    close_places();
}

TEST(closing)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    places.closing = true;
    struct lease *l = grant_analyze(full("a.wav"), (struct kind_analyze_params){0});
    CHECK_CODE(prepare(l)->code, STATUS_CANCELLED);
    CHECK(l->items[0].input == -1 && !l->items[0].has_key);
    lease_destroy(&l);
    close_places();
}

TEST(store_that_cannot_be_written)
{
    open_places();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    close_places();
    CHECK_OK(store_open("features", &(struct store_options){.read_only = true}, &places.store));
    struct lease *l = grant_analyze(full("a.wav"), (struct kind_analyze_params){0});
    struct kind_analyze_result r = {0};
    struct item *it = prepare(l);
    REQUIRE(it->stage == STAGE_WAITING);
    answer(it, 0.5);
    commit(l);
    CHECK(result_of(it, &r) && r.rms == 0.5);
    lease_destroy(&l);
    close_places();
}
