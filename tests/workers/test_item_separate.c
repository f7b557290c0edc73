/* Items of kind `separate` on their way through a supervisor; this test plays the child. */
#include "item.h"
#include "sound.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct places places;
static char here[256], objects[300];
static const char *kind = KIND_SEPARATE;

static void open_places(void)
{
    REQUIRE(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0 && getcwd(here, sizeof here));
    snprintf(objects, sizeof objects, "%s/objects", here);
    places = (struct places){.features = ".", .objects = objects, .home = "."};
    CHECK_OK(store_open("features", &(struct store_options){0}, &places.store));
    REQUIRE(sound_noise("song.wav", 100, 2, 8000, 1));
}

static const char *full(const char *name)
{
    static char path[8][512];
    static int turn;
    char *const out = path[turn++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", here, name);
    return out;
}

/* A lease of one item, prepared. NULL: what is usual. */
static struct lease *prepare(struct kind_separate_params p, const char *out, const char *track)
{
    static uint64_t token = 100;
    struct wire_buffer job = {0}, own = {0}, leases = {0};
    struct lease *l = NULL;
    p.model = p.model.bytes ? p.model : wire_str("center");
    p.overlap = p.segment_s = NAN;
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &job));
    const struct kind_separate_item item = {.out = wire_str(out ? out : full("out")),
                                            .track = wire_str(track ? track : "song")};
    CHECK_OK(wire_encode(&kind_separate_item_schema, &item, &own));
    const struct message_lease lease = {.index = 3,
                                        .token = token++,
                                        .attempt = 1,
                                        .path = wire_str(full("song.wav")),
                                        .params = {own.data, (uint32_t)own.bytes}};
    CHECK_OK(wire_encode(&lease_schema, &lease, &leases));
    const struct message_grant m = {.job = 9,
                                    .kind = wire_str(kind),
                                    .params = {job.data, (uint32_t)job.bytes},
                                    .leases = wire_list_of(&leases, 1)};
    CHECK_OK(lease_create(&m, &places, &l));
    REQUIRE(l);
    item_prepare(&l->items[0].work);
    wire_free(&job);
    wire_free(&own);
    wire_free(&leases);
    return l;
}

/* Entries of a folder, hidden ones too; -1: there is no such folder. */
static int entries(const char *folder)
{
    DIR *const d = opendir(folder);
    int n = -2;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return d ? n : -1;
}

static void answer(struct item *it)
{
    struct wire_buffer b = {0};
    struct wire_buffer stems = {0};
    for (int o = 0; o < it->separation->plan.outputs; o++)
        CHECK_OK(wire_encode(&kind_stem_schema,
                             &(struct kind_stem){.name = wire_str(it->separation->plan.output[o].name),
                                                 .file = wire_str("a file"),
                                                 .peak = 0.5,
                                                 .si_sdr_db = NAN,
                                                 .verdict = wire_str("ok")},
                             &stems));
    const struct kind_separate_result r = {.rate_hz = 8000,
                                           .seconds = NAN,
                                           .residual_rms = 0.5,
                                           .resumed_from = NAN,
                                           .stems = wire_list_of(&stems, (uint32_t)it->separation->plan.outputs)};
    CHECK_OK(wire_encode(&kind_separate_result_schema, &r, &b));
    CHECK(pwrite(it->result_fd, b.data, b.bytes, 0) == (ssize_t)b.bytes);
    it->reply = (struct task_reply){.event = TASK_DONE, .result_bytes = (uint32_t)b.bytes};
    wire_free(&b);
    wire_free(&stems);
    for (int o = 0; o < it->separation->plan.outputs; o++)
        CHECK(pwrite(it->separation->folder.output[o].fd, it->separation->plan.output[o].name, 4, 0) == 4);
    item_finish(&it->work);
}

static void answer_failure(struct item *it, int code)
{
    it->reply = (struct task_reply){.event = TASK_FAILED, .code = code};
    snprintf(it->reply.message, sizeof it->reply.message, "as the test wants it");
    item_finish(&it->work);
}

/* As supervisor_child.c does it when the child has died. */
static void crash(struct item *it)
{
    item_fail(it, fail(STATUS_INTERNAL, "the compute process was killed"));
    it->failure = FAILURE_CRASH;
    item_release(it);
}

TEST(files_get_their_names_together)
{
    open_places();
    struct lease *l = prepare((struct kind_separate_params){0}, NULL, NULL);
    struct item *it = &l->items[0];
    REQUIRE(it->stage == STAGE_WAITING && it->separation && it->separation->plan.outputs == 2 && !l->feature);
    struct task_request r = {0};
    int fds[TASK_FDS_MOST];
    separation_give(it, &r, fds);
    CHECK(r.extra == 3 && task_extra(&r, fds, TASK_ROLE_SPOOL, 0) == it->separation->spool);
    CHECK(task_extra(&r, fds, TASK_ROLE_OUTPUT, 1) == it->separation->folder.output[1].fd);
    CHECK(task_extra(&r, fds, TASK_ROLE_WEIGHTS, 0) == -1 && r.item_params_bytes == sizeof(struct plan));
    CHECK(access("out/center/song/center.wav", F_OK) != 0 && access("out/center/song/.wavemill-9-3.part", F_OK) == 0);
    answer(it);
    struct kind_separate_result got;
    CHECK(it->stage == STAGE_OVER && !it->code && !it->separation && !it->put_record);
    CHECK_OK(wire_decode(&kind_separate_result_schema, it->result.data, it->result.bytes, &got));
    CHECK(got.folder.bytes == strlen(full("out/center/song")) && got.hash.bytes == HASH_BYTES);
    CHECK(entries("out/center/song") == 2 && access("out/center/song/sides.wav", R_OK) == 0);
    lease_destroy(&l);

    /* over those that are there; chosen ones only, of another format */
    l = prepare((struct kind_separate_params){.two_stems = wire_str("sides"), .format = wire_str("flac")}, NULL, NULL);
    answer(&l->items[0]);
    CHECK(!l->items[0].code && entries("out/center/song") == 4);
    CHECK(access("out/center/song/no_sides.flac", R_OK) == 0);
    lease_destroy(&l);

    /* one of them cannot have its name: then none has */
    l = prepare((struct kind_separate_params){0}, NULL, "second");
    REQUIRE(l->items[0].stage == STAGE_WAITING && mkdir("out/center/second/sides.wav", 0700) == 0);
    answer(&l->items[0]);
    CHECK_CODE(l->items[0].code, STATUS_IO);
    CHECK(entries("out/center/second") == 1);
    lease_destroy(&l);
    store_close(&places.store);
}

TEST(failures_leave_nothing)
{
    open_places();
    static const int codes[] = {STATUS_FORMAT, STATUS_IO, STATUS_NOMEM, STATUS_INTERNAL};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (int saved = 0; saved < 2; saved++) {
            struct lease *l = prepare((struct kind_separate_params){0}, NULL, NULL);
            REQUIRE(l->items[0].separation);
            l->items[0].separation->saved = saved;
            answer_failure(&l->items[0], codes[i]);
            CHECK(l->items[0].code == codes[i] && !l->items[0].put_record && entries("out/center/song") == -1);
            lease_destroy(&l);
        }
    /* what stood there before stays */
    struct lease *l = prepare((struct kind_separate_params){0}, NULL, NULL);
    answer(&l->items[0]);
    lease_destroy(&l);
    l = prepare((struct kind_separate_params){0}, NULL, NULL);
    answer_failure(&l->items[0], STATUS_FORMAT);
    lease_destroy(&l);
    CHECK(entries("out/center/song") == 2);
    store_close(&places.store);
}

TEST(the_spool_waits_for_another_attempt)
{
    char text[8] = "";
    open_places();
    for (int way = 0; way < 4; way++) { /* 0, 1: with a checkpoint; 2: without one; 3: cancelled */
        struct lease *l = prepare((struct kind_separate_params){0}, NULL, NULL);
        struct item *it = &l->items[0];
        REQUIRE(it->stage == STAGE_WAITING && pwrite(it->separation->spool, "so far", 6, 0) == 6);
        it->separation->saved = way != 2;
        it->aborted = way == 3;
        if (way == 1) /* the worker ends, and the item with it */
            it->stage = STAGE_RUNNING;
        else
            crash(it);
        lease_destroy(&l);
        CHECK(entries("out/center/song") == (way < 2 ? 1 : -1));
        l = prepare((struct kind_separate_params){0}, NULL, NULL);
        it = &l->items[0];
        CHECK(pread(it->separation->spool, text, 6, 0) == (way < 2 ? 6 : 0));
        answer(it);
        CHECK(entries("out/center/song") == 2);
        lease_destroy(&l);
        REQUIRE(unlink("out/center/song/sides.wav") == 0 && unlink("out/center/song/center.wav") == 0 &&
                rmdir("out/center/song") == 0);
    }
    store_close(&places.store);
}

/* Without a folder to go to: the supervisor gives them to the scheduler once they are made, and they are named by their
 * bytes. */
TEST(stems_become_objects)
{
    static const char *const kinds[] = {KIND_SEPARATE, KIND_SEPARATE_OBJECTS};
    open_places();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        kind = kinds[i];
        struct lease *l = prepare((struct kind_separate_params){0}, "", NULL);
        struct item *it = &l->items[0];
        REQUIRE(it->stage == STAGE_WAITING && it->separation && it->separation->to_objects);
        CHECK(entries("objects/separated") == 1); /* the spool */
        answer(it);
        REQUIRE(it->stage == STAGE_PUTTING && !it->code && it->separation && it->puts.done == 0);
        struct kind_separate_result r;
        struct kind_stem stem;
        struct hash want;
        CHECK_OK(wire_decode(&kind_separate_result_schema, it->result.data, it->result.bytes, &r));
        CHECK(r.folder.bytes == 0 && r.track.bytes == 4 && memcmp(r.track.data, "song", 4) == 0);
        CHECK(r.stems.count == 2 && r.model_hash.bytes == 0 && r.residual_rms == 0.5);
        for (int o = 0; wire_next(&r.stems, &kind_stem_schema, &stem); o++) {
            hash_bytes(it->separation->plan.output[o].name, 4, &want); /* what the child has written */
            CHECK(stem.bytes == 4 && stem.object.bytes == HASH_BYTES && stem.peak == 0.5 && isnan(stem.si_sdr_db));
            CHECK(memcmp(stem.object.data, want.bytes, HASH_BYTES) == 0 &&
                  memcmp(it->puts.list[o].name.bytes, want.bytes, HASH_BYTES) == 0);
        }
        it->separation->saved = i == 1; /* the worker ends before they are there: another attempt has its spool */
        lease_destroy(&l);
        CHECK(entries("objects/separated") == (int)i && entries("out") == -1);
    }
    store_close(&places.store);
}

/* A child that was taken over tells of other stems than it was asked for. */
TEST(stems_that_were_not_asked_for)
{
    open_places();
    struct lease *l = prepare((struct kind_separate_params){0}, "", NULL);
    struct item *const it = &l->items[0];
    struct wire_buffer b = {0};
    REQUIRE(it->separation);
    CHECK_OK(wire_encode(&kind_separate_result_schema, &(struct kind_separate_result){.seconds = NAN}, &b));
    REQUIRE(pwrite(it->result_fd, b.data, b.bytes, 0) == (ssize_t)b.bytes);
    it->reply = (struct task_reply){.event = TASK_DONE, .result_bytes = (uint32_t)b.bytes};
    wire_free(&b);
    item_finish(&it->work);
    CHECK(it->stage == STAGE_OVER && it->failure == FAILURE_INTERNAL && strstr(it->message, "0 stems, not 2"));
    lease_destroy(&l);
    CHECK(entries("objects/separated") == 0);
    store_close(&places.store);
}

/* What a worker on another machine must not do, or cannot. */
TEST(objects_name_no_places)
{
    static const struct {
        const char *kind, *out, *model, *message;
        bool remote;
        int code;
    } cases[] = {
        {KIND_SEPARATE_OBJECTS, "/tmp", NULL, "stems of this kind are objects", false, STATUS_ARGUMENT},
        {KIND_SEPARATE_OBJECTS, "", "/a/b.safetensors", "by name", true, STATUS_ARGUMENT},
        {KIND_SEPARATE_OBJECTS, "", "nope", "looks in ./models: there is no model 'nope'", true, STATUS_NOT_FOUND},
        {KIND_SEPARATE_OBJECTS, "", "nope", "there is no model 'nope'", false, STATUS_NOT_FOUND},
    };
    open_places();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kind = cases[i].kind;
        places.is_remote = cases[i].remote;
        struct lease *l = prepare((struct kind_separate_params){.model = wire_str(cases[i].model)}, cases[i].out, NULL);
        const struct item *const it = &l->items[0];
        test_report(it->code == cases[i].code && it->failure == FAILURE_INPUT && strstr(it->message, cases[i].message),
                    __FILE__, __LINE__, "case %zu: %d %s", i, it->code, it->message);
        lease_destroy(&l);
    }
    store_close(&places.store);
}

/* A worker that was given up is still at it, and knows nothing of the next. */
TEST(two_workers_do_not_share_a_spool)
{
    char text[8] = "";
    open_places();
    struct lease *first = prepare((struct kind_separate_params){0}, NULL, NULL);
    CHECK(pwrite(first->items[0].separation->spool, "first", 5, 0) == 5);
    struct lease *second = prepare((struct kind_separate_params){0}, NULL, NULL);
    REQUIRE(second->items[0].stage == STAGE_WAITING);
    CHECK(pread(second->items[0].separation->spool, text, 5, 0) == 0);
    answer_failure(&first->items[0], STATUS_IO);
    CHECK(access("out/center/song/.wavemill-9-3.part", F_OK) == 0); /* the second's by now */
    answer(&second->items[0]);
    CHECK(!second->items[0].code && entries("out/center/song") == 2);
    lease_destroy(&first);
    lease_destroy(&second);
    store_close(&places.store);
}

TEST(old_spools_are_swept)
{
    open_places();
    REQUIRE(mkdir("out", 0700) == 0 && mkdir("out/center", 0700) == 0 && mkdir("out/center/song", 0700) == 0);
    static const struct {
        const char *name;
        bool old, held, stays;
    } cases[] = {{".wavemill-1-1.part", true, false, false},
                 {".wavemill-1-2.part", false, false, true},
                 {".wavemill-1-3.part", true, true, true},
                 {".other.part", true, false, true},
                 {".wavemill-notes", true, false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct timespec times[2] = {{.tv_sec = time(NULL) - (cases[i].old ? 90000 : 60)},
                                          {.tv_sec = time(NULL) - (cases[i].old ? 90000 : 60)}};
        const int folder = open("out/center/song", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int fd = openat(folder, cases[i].name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(fd >= 0 && futimens(fd, times) == 0 && (!cases[i].held || flock(fd, LOCK_EX) == 0));
        if (!cases[i].held)
            close(fd);
        close(folder);
    }
    struct lease *l = prepare((struct kind_separate_params){0}, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[64];
        snprintf(path, sizeof path, "out/center/song/%s", cases[i].name);
        test_report((access(path, F_OK) == 0) == cases[i].stays, __FILE__, __LINE__, "%s", path);
    }
    lease_destroy(&l);
    store_close(&places.store);
}

TEST(places_and_models_that_cannot_be)
{
    open_places();
    REQUIRE(sound_text("file", "x"));
    static const struct {
        const char *model, *format, *stems, *out, *track, *message;
        int code;
    } cases[] = {
        {NULL, NULL, NULL, "relative", NULL, "not absolute", STATUS_ARGUMENT},
        {NULL, NULL, NULL, NULL, "..", "no name of a folder", STATUS_ARGUMENT},
        {NULL, NULL, NULL, NULL, ".", "no name of a folder", STATUS_ARGUMENT},
        {NULL, NULL, NULL, NULL, "a/b", "no name of a folder", STATUS_ARGUMENT},
        {NULL, NULL, NULL, "file", NULL, "cannot make the folder", STATUS_ARGUMENT},
        {"nope", NULL, NULL, NULL, NULL, "there are hpss, center", STATUS_NOT_FOUND},
        {"/no/such.safetensors", NULL, NULL, NULL, NULL, "No such file", STATUS_NOT_FOUND},
        {NULL, NULL, "left", NULL, NULL, "there are center, sides", STATUS_ARGUMENT},
        {NULL, "wav/int12", NULL, NULL, NULL, "int12", STATUS_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const out = cases[i].out && strcmp(cases[i].out, "file") == 0 ? full("file") : cases[i].out;
        const struct kind_separate_params p = {.model = wire_str(cases[i].model),
                                               .format = wire_str(cases[i].format),
                                               .two_stems = wire_str(cases[i].stems)};
        struct lease *l = prepare(p, out, cases[i].track);
        const struct item *const it = &l->items[0];
        test_report(it->code == cases[i].code && it->failure == FAILURE_INPUT && !it->separation &&
                        strstr(it->message, cases[i].message),
                    __FILE__, __LINE__, "case %zu: %d %s", i, it->code, it->message);
        lease_destroy(&l);
    }
    CHECK(entries("out/center") <= 0);
    store_close(&places.store);
}
