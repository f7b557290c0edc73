/* Items that leave an array: where it is kept, whom it is copied for, what a child may say of it. */
#include "item_rig.h"
#include "npy.h"
#include "sound.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lease *grant_feature(const char *feature, const char *path, const char *out, bool keep)
{
    const struct kind_features_params p = {
        .feature = wire_str(feature), .keep = keep, .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN};
    return item_rig_grant(KIND_FEATURES, &kind_features_params_schema, &p, &path, &out, 1);
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

static bool has_part_files(void)
{
    return system("ls -A | grep -q part") == 0; /* NOLINT(cert-env33-c): the command is ours */
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
    struct lease *l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("first.npy"), false);
    struct item *it = item_rig_prepare(l);
    REQUIRE(it->stage == STAGE_WAITING && it->array.fd >= 0);
    answer_array(it, frames);
    CHECK(it->code == STATUS_OK && it->put_record && item_rig_holds_nothing(it));
    const struct store_key key = it->key;
    item_rig_commit(l);
    lease_destroy(&l);
    CHECK_OK(store_get(item_rig_places.store, &key, &v));
    CHECK(v.record.place == place && v.record.bins == 8 && v.record.frames == frames);
    l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("second.npy"), false);
    it = item_rig_prepare(l);
    CHECK(it->stage == STAGE_OVER && it->code == STATUS_OK && it->in_store && item_rig_holds_nothing(it));
    CHECK(same_files("first.npy", "second.npy") && !has_part_files());
    lease_destroy(&l);
    if (place == RECORD_OBJECT) { /* and without its object */
        char hex[HASH_HEX], path[128];
        hash_hex(&v.record.object, hex);
        snprintf(path, sizeof path, "objects/%.2s/%s", hex, hex);
        CHECK(truncate(path, 100) == 0);
        l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("third.npy"), false);
        CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
        lease_destroy(&l);
        CHECK(unlink(path) == 0);
        l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("third.npy"), false);
        CHECK(item_rig_prepare(l)->stage == STAGE_WAITING);
        answer_array(&l->items[0], frames);
        CHECK(l->items[0].code == STATUS_OK && same_files("first.npy", "third.npy"));
        lease_destroy(&l);
        CHECK(!has_part_files());
    }
    store_release(&v);
}

TEST(arrays_in_the_record_and_beside_it)
{
    item_rig_open();
    arrays(1, RECORD_INLINE);
    arrays(RECORD_INLINE_MAX / 32, RECORD_INLINE);
    arrays(RECORD_INLINE_MAX / 32 + 1, RECORD_OBJECT);
    item_rig_close();
}

TEST(spectra_are_kept_on_demand)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    struct lease *l = grant_feature("stft", item_rig_path("a.wav"), item_rig_path("a.npy"), false);
    struct item *it = item_rig_prepare(l);
    answer_array(it, 5);
    CHECK(it->code == STATUS_OK && !it->put_record && access("a.npy", F_OK) == 0);
    lease_destroy(&l);
    l = grant_feature("stft", item_rig_path("a.wav"), item_rig_path("a.npy"), true);
    it = item_rig_prepare(l);
    answer_array(it, 5);
    CHECK(it->code == STATUS_OK && it->put_record);
    lease_destroy(&l);
    item_rig_close();
}

TEST(where_arrays_cannot_go)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1) && mkdir("folder", 0700) == 0 && sound_text("file", "x"));
    const char *const outs[] = {item_rig_path("no/such/a.npy"), item_rig_path("folder"), item_rig_path("file/a.npy"),
                                "a.npy", "/proc/a.npy"};
    for (int i = 0; i < 5; i++) {
        struct lease *l = grant_feature("mel", item_rig_path("a.wav"), outs[i], false);
        struct item *it = item_rig_prepare(l);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INPUT && item_rig_holds_nothing(it));
        CHECK(strstr(it->message, "cannot write"));
        lease_destroy(&l);
    }
    /* as long as a name may be */
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    struct lease *l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path(name), false);
    struct item *it = item_rig_prepare(l);
    CHECK_CODE(it->code, STATUS_OK);
    if (!it->code) {
        answer_array(it, 3);
        CHECK(it->code == STATUS_OK && access(name, F_OK) == 0);
    }
    lease_destroy(&l);
    CHECK(!has_part_files());
    item_rig_close();
}

TEST(child_that_lies)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    for (int lie = 0; lie < 5; lie++) {
        struct lease *l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("a.npy"), false);
        struct item *it = item_rig_prepare(l);
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
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INTERNAL && !it->put_record &&
              item_rig_holds_nothing(it));
        lease_destroy(&l);
    }
    CHECK(access("a.npy", F_OK) != 0 && !has_part_files());
    item_rig_close();
}

TEST(followers)
{
    item_rig_open();
    REQUIRE(sound_noise("a.wav", 100, 1, 8000, 1));
    struct lease *l = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("a.npy"), false);
    struct lease *m = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("b.npy"), false);
    struct lease *n = grant_feature("mel", item_rig_path("a.wav"), item_rig_path("c.npy"), false);
    struct item *leader = item_rig_prepare(l), *follower = item_rig_prepare(m), *late = item_rig_prepare(n);
    CHECK(item_same_work(leader, follower));
    follower->leader = late->leader = leader;
    answer_array(leader, 7);
    item_follow(&follower->work);
    CHECK(follower->stage == STAGE_OVER && follower->code == STATUS_OK && follower->in_store &&
          item_rig_holds_nothing(follower));
    CHECK(same_files("a.npy", "b.npy"));
    REQUIRE(mkdir("c.npy", 0700) == 0);
    item_follow(&late->work);
    CHECK(late->stage == STAGE_OVER && late->failure == FAILURE_INPUT && item_rig_holds_nothing(late));
    lease_destroy(&m);
    lease_destroy(&n);
    lease_destroy(&l);
    CHECK(!has_part_files());
    item_rig_close();
}
