/* Items of kind `score` on their way through a supervisor; this test plays the child. */
#include "item.h"
#include "objects.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEMS = 2 };

static struct places places;
static char here[256];

static void open_places(void)
{
    REQUIRE(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0 && getcwd(here, sizeof here));
    REQUIRE(mkdir("true", 0700) == 0 && mkdir("made", 0700) == 0);
    places = (struct places){.features = ".", .objects = "objects", .home = "."};
    CHECK_OK(store_open("features", &(struct store_options){0}, &places.store));
    REQUIRE(sound_noise("true/a.wav", 100, 1, 8000, 1) && sound_noise("true/b.wav", 100, 1, 8000, 2));
    REQUIRE(sound_noise("made/a.wav", 100, 1, 8000, 3) && sound_noise("made/b.wav", 100, 1, 8000, 4));
}

struct wish {
    const char *reason;
    struct wire_slice reference, estimate; /* of the second stem */
    uint32_t stems;
    const char *estimates; /* folder; NULL: the right one */
    const char *says;
    bool with_object;
    const char *kind;           /* NULL: score */
    const struct hash *objects; /* of the files, reference and estimate in turn; NULL: none */
};

/* A lease of one track, prepared. */
static struct lease *prepare(const struct wish *w)
{
    static const uint8_t hash[HASH_BYTES] = {1};
    char path[512], estimates[512];
    struct wire_buffer stems = {0}, own = {0}, leases = {0};
    struct lease *l = NULL;
    snprintf(path, sizeof path, "%s/true", here);
    snprintf(estimates, sizeof estimates, "%s/made", here);
    const struct kind_score_pair pairs[STEMS] = {
        {.name = wire_str("a"), .reference = wire_str("a.wav"), .estimate = wire_str("a.wav")},
        {.name = wire_str("b"), .reference = w->reference, .estimate = w->estimate}};
    for (uint32_t i = 0; i < w->stems; i++) {
        struct kind_score_pair pair = pairs[i];
        if (w->objects) {
            pair.reference_object = (struct wire_slice){w->objects[2 * i].bytes, HASH_BYTES};
            pair.estimate_object = (struct wire_slice){w->objects[2 * i + 1].bytes, HASH_BYTES};
        }
        CHECK_OK(wire_encode(&kind_score_pair_schema, &pair, &stems));
    }
    const struct kind_score_item item = {.estimates = wire_str(w->estimates ? w->estimates : estimates),
                                         .stems = wire_list_of(&stems, w->stems),
                                         .track = wire_str("an album/a track")};
    CHECK_OK(wire_encode(&kind_score_item_schema, &item, &own));
    const struct message_lease lease = {.token = 7,
                                        .attempt = 1,
                                        .path = wire_str(path),
                                        .object = {hash, w->with_object ? HASH_BYTES : 0},
                                        .params = {own.data, (uint32_t)own.bytes}};
    CHECK_OK(wire_encode(&lease_schema, &lease, &leases));
    const struct message_grant m = {.job = 9,
                                    .kind = wire_str(w->kind ? w->kind : KIND_SCORE),
                                    .leases = wire_list_of(&leases, 1)}; /* no parameters: all defaults */
    CHECK_OK(lease_create(&m, &places, &l));
    REQUIRE(l);
    item_prepare(&l->items[0].work);
    wire_free(&stems);
    wire_free(&own);
    wire_free(&leases);
    return l;
}

static const struct wish good = {
    .reference = {(const uint8_t *)"b.wav", 5}, .estimate = {(const uint8_t *)"b.wav", 5}, .stems = STEMS};

#define NAME(text) \
    { \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

TEST(what_no_track_has)
{
    static const struct wish cases[] = {
        {"a name that leads elsewhere", NAME("../true/b.wav"), NAME("b.wav"), 2, NULL, "no name of a file", false, NULL,
         NULL},
        {"an empty name", NAME("b.wav"), NAME(""), 2, NULL, "no name of a file", false, NULL, NULL},
        {"a name that ends early", NAME("b.wav\0.txt"), NAME("b.wav"), 2, NULL, "no name of a file", false, NULL, NULL},
        {"a folder", NAME("."), NAME("b.wav"), 2, NULL, "reference .: cannot open: it is a directory", false, NULL,
         NULL},
        {"a file that is not there", NAME("b.wav"), NAME("c.wav"), 2, NULL, "estimate c.wav: cannot open", false, NULL,
         NULL},
        {"a folder that is not absolute", NAME("b.wav"), NAME("b.wav"), 2, "made", "not absolute", false, NULL, NULL},
        {"no stems", NAME("b.wav"), NAME("b.wav"), 0, NULL, "no stems", false, NULL, NULL},
        {"an object", NAME("b.wav"), NAME("b.wav"), 2, NULL, "not an object", true, NULL, NULL},
        {"paths", NAME("b.wav"), NAME("b.wav"), 2, NULL, "reference a.wav: it is no object", false, KIND_SCORE_OBJECTS,
         NULL},
    };
    open_places();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct lease *l = prepare(&cases[c]);
        const struct item *const it = &l->items[0];
        printf("    %s: %s\n", cases[c].reason, it->message);
        CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INPUT && strstr(it->message, cases[c].says));
        CHECK(it->track == NULL);
        lease_destroy(&l);
    }
    store_close(&places.store);
}

/* What the child answers with. */
static void answer(struct item *it)
{
    struct wire_buffer b = {0};
    const struct kind_score_result r = {.rate_hz = 8000, .bss = wire_str("sources"), .seconds = NAN};
    CHECK_OK(wire_encode(&kind_score_result_schema, &r, &b));
    REQUIRE(pwrite(it->result_fd, b.data, b.bytes, 0) == (ssize_t)b.bytes);
    it->reply = (struct task_reply){.event = TASK_DONE, .result_bytes = (uint32_t)b.bytes};
    it->seconds = 0.5;
    wire_free(&b);
    item_finish(&it->work);
}

TEST(the_child_gets_all_files_and_the_result_goes_out)
{
    open_places();
    struct lease *l = prepare(&good);
    struct item *const it = &l->items[0];
    struct task_request request = {.magic = TASK_MAGIC};
    int fds[TASK_FDS_MOST];
    REQUIRE(it->stage == STAGE_WAITING);
    track_give(it, &request, fds);
    CHECK(request.extra == 2 * STEMS);
    for (int i = 0; i < STEMS; i++) {
        struct stat is, should;
        char name[32];
        for (int side = 0; side < 2; side++) {
            snprintf(name, sizeof name, "%s/%c.wav", side ? "made" : "true", "ab"[i]);
            const int fd = task_extra(&request, fds, side ? TASK_ROLE_ESTIMATE : TASK_ROLE_REFERENCE, i);
            REQUIRE(fstat(fd, &is) == 0 && stat(name, &should) == 0);
            CHECK(is.st_ino == should.st_ino);
        }
    }
    answer(it);
    CHECK(it->code == STATUS_OK && it->result.bytes > 0 && !it->put_record && it->track == NULL);
    struct kind_score_result r;
    CHECK_OK(wire_decode(&kind_score_result_schema, it->result.data, it->result.bytes, &r));
    CHECK(r.seconds == 0.5 && r.hash.bytes == 0 && !r.from_store);
    CHECK(r.track.bytes == 16 && memcmp(r.track.data, "an album/a track", 16) == 0);
    lease_destroy(&l);
    store_close(&places.store);
}

/* Of four files one is here; the others are fetched one after the other, and what is open stays so. */
TEST(files_that_are_objects)
{
    static const char *const files[2 * STEMS] = {"true/a.wav", "made/a.wav", "true/b.wav", "made/b.wav"};
    static const char *const kinds[] = {KIND_SCORE, KIND_SCORE_OBJECTS};
    struct hash objects[2 * STEMS];
    uint64_t bytes[2 * STEMS];
    int fd[2 * STEMS];
    open_places();
    places.fetched = "fetched";
    for (int i = 0; i < 2 * STEMS; i++) {
        fd[i] = open(files[i], O_RDONLY | O_CLOEXEC);
        REQUIRE(fd[i] >= 0 && mkdir("fetched", 0700) == (i ? -1 : 0));
        CHECK_OK(hash_file(fd[i], &objects[i], &bytes[i]));
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct wish w = good;
        w.kind = kinds[k];
        w.objects = objects;
        w.estimates = "";
        struct lease *l = prepare(&w);
        struct item *const it = &l->items[0];
        for (int i = 0; i < 2 * STEMS && k == 0; i++) {
            struct hash found;
            REQUIRE(it->stage == STAGE_FETCHING && it->track && it->track->count == (uint32_t)i);
            CHECK(memcmp(&it->missing, &objects[i], sizeof it->missing) == 0);
            CHECK_OK(objects_put_file("fetched", fd[i], 0, bytes[i], &found));
            item_prepare(&it->work);
        }
        REQUIRE(it->stage == STAGE_WAITING && it->track->count == 2 * STEMS);
        CHECK_OK(objects_touch("fetched", &objects[1])); /* it is used elsewhere too: no change of what was read */
        answer(it);
        CHECK(it->code == STATUS_OK && it->track == NULL);
        lease_destroy(&l);
    }
    for (int i = 0; i < 2 * STEMS; i++)
        close(fd[i]);
    store_close(&places.store);
}

TEST(a_file_that_changes_spoils_the_score)
{
    open_places();
    struct lease *l = prepare(&good);
    REQUIRE(l->items[0].stage == STAGE_WAITING);
    REQUIRE(truncate("made/b.wav", 100) == 0);
    answer(&l->items[0]);
    printf("    %s\n", l->items[0].message);
    CHECK(l->items[0].failure == FAILURE_TRANSIENT && strstr(l->items[0].message, "changed"));
    lease_destroy(&l);
    store_close(&places.store);
}
