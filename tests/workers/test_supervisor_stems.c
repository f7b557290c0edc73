/* A supervisor whose separations become objects of the scheduler: when they are there, and when not. */
#include "boss.h"
#include "hash.h"
#include "test.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void start(struct boss *b)
{
    static char objects[512];
    char here[256];
    boss_init(b);
    REQUIRE(getcwd(here, sizeof here));
    snprintf(objects, sizeof objects, "%s/objects", here);
    b->options.objects = objects;
    boss_start(b);
}

/* A song of 1.9 MB a stem, by `center`; its token. */
static uint64_t grant(struct boss *b)
{
    struct wire_buffer job = {0}, own = {0}, leases = {0};
    const struct kind_separate_params p = {.model = wire_str("center"), .overlap = NAN, .segment_s = NAN};
    const uint64_t token = b->next_token++;
    char path[512];
    snprintf(path, sizeof path, "%s", test_data("drums_tabla_stereo_44k.flac"));
    if (path[0] != '/')
        REQUIRE(realpath(test_data("drums_tabla_stereo_44k.flac"), path));
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &job));
    CHECK_OK(wire_encode(&kind_separate_item_schema, &(struct kind_separate_item){.track = wire_str("drums")}, &own));
    CHECK_OK(wire_encode(
        &lease_schema,
        &(struct message_lease){
            .token = token, .attempt = 1, .path = wire_str(path), .params = {own.data, (uint32_t)own.bytes}},
        &leases));
    boss_send_grant(b, &(struct message_grant){.job = 1,
                                               .kind = wire_str(KIND_SEPARATE_OBJECTS),
                                               .params = {job.data, (uint32_t)job.bytes},
                                               .leases = wire_list_of(&leases, 1)});
    wire_free(&job);
    wire_free(&own);
    wire_free(&leases);
    return token;
}

static int left(void)
{
    DIR *const d = opendir("objects/separated");
    int n = -2;
    REQUIRE(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

TEST(stems_are_there_before_their_result)
{
    struct boss b;
    struct kind_separate_result r;
    struct kind_stem stem;
    start(&b);
    b.busy = 2; /* twice: it asks again */
    const uint64_t t = grant(&b);
    REQUIRE(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const struct outcome *const o = boss_outcome(&b, t);
    REQUIRE(o && o->failure == FAILURE_NONE);
    CHECK_OK(wire_decode(&kind_separate_result_schema, o->result, o->result_bytes, &r));
    CHECK(r.stems.count == 2 && b.object_count == 2 && r.folder.bytes == 0 && r.track.bytes == 5);
    for (int i = 0; wire_next(&r.stems, &kind_stem_schema, &stem); i++) {
        const struct boss_object *const there = &b.objects[i];
        struct hash h;
        hash_bytes(there->data, there->size, &h);
        CHECK(there->bytes == there->size && stem.bytes == there->size && stem.bytes > 3 * LIMIT_CHUNK);
        CHECK(stem.object.bytes == HASH_BYTES && memcmp(stem.object.data, h.bytes, HASH_BYTES) == 0);
        CHECK(memcmp(there->data, "RIFF", 4) == 0);
    }
    CHECK(left() == 0);
    /* the same again is not sent again */
    const int puts = b.objects[0].puts;
    const uint64_t u = grant(&b);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS) && boss_outcome(&b, u)->failure == FAILURE_NONE);
    CHECK(b.object_count == 2 && b.objects[0].puts == puts + 1);
    boss_stop(&b);
}

TEST(a_scheduler_that_takes_no_stems)
{
    struct boss b;
    start(&b);
    b.old = true;
    const uint64_t t = grant(&b);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const struct outcome *const o = boss_outcome(&b, t);
    CHECK(o && o->failure == FAILURE_TRANSIENT && strstr(o->message, "does not take a stem: as the test wants it"));
    CHECK(left() == 0);
    boss_stop(&b);
}

TEST(cancelled_while_stems_go_up)
{
    static const struct boss_item noop = {.action = NOOP_SUCCEED};
    struct boss b;
    start(&b);
    b.busy = 1 << 20;
    const uint64_t t = grant(&b);
    REQUIRE(boss_wait(&b, MESSAGE_PUT, BOSS_PATIENCE_MS) && left() == 1); /* the spool; stems have no names */
    boss_abort(&b, t);
    const uint64_t u = boss_noop(&b, 0, &noop, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && boss_outcome(&b, u) && !boss_outcome(&b, t));
    for (int i = 0; i < BOSS_PATIENCE_MS / 10 && left() > 0; i++)
        boss_wait(&b, 0, 10);
    CHECK(left() == 0 && b.object_count == 0);
    boss_stop(&b);
}
