/* Items of sweeps without a child: what is decided and kept before and behind a training. */
#include "item.h"
#include "item_sweep.h"
#include "sweep_layout.h"
#include "sweep_records.h"
#include "test.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIALS = 4, ROUNDS = 3 }; /* with one of two that goes on: 4, 2, 1 */

static struct places places;
static char here[128], sweep[160], model[160], pack[160];

static void write_text(const char *path, const char *text)
{
    FILE *const f = fopen(path, "w");
    REQUIRE(f);
    const bool written = fputs(text, f) >= 0;
    CHECK(fclose(f) == 0 && written);
}

static void open_places(void)
{
    REQUIRE(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0 && mkdir("sweep", 0700) == 0 &&
            getcwd(here, sizeof here));
    places = (struct places){.features = ".", .objects = "objects", .decoders = {1}};
    CHECK_OK(store_open("features", &(struct store_options){0}, &places.store));
    snprintf(sweep, sizeof sweep, "%s/sweep", here);
    snprintf(model, sizeof model, "%s/models/best", here);
    snprintf(pack, sizeof pack, "%s/pack", here);
    write_text(pack, "sounds");
    write_text("sweep/" SWEEP_FILE, "{\"schema\": 1, \"trials\": [{}, {}, {}, {}]}");
    for (int k = 0; k < TRIALS; k++) {
        char path[64];
        snprintf(path, sizeof path, "sweep/" SWEEP_TRIAL, k);
        REQUIRE(mkdir(path, 0700) == 0);
    }
}

static struct lease *grant(const struct kind_sweep_item *m)
{
    struct wire_buffer own = {0}, leases = {0};
    struct lease *l = NULL;
    static uint64_t token = 7;
    CHECK_OK(wire_encode(&kind_sweep_item_schema, m, &own));
    CHECK_OK(wire_encode(
        &lease_schema,
        &(struct message_lease){
            .token = token++, .attempt = 1, .path = wire_str(pack), .params = {own.data, (uint32_t)own.bytes}},
        &leases));
    CHECK_OK(lease_create(&(struct message_grant){.kind = wire_str(KIND_SWEEP), .leases = wire_list_of(&leases, 1)},
                          &places, &l));
    wire_free(&own);
    wire_free(&leases);
    REQUIRE(l);
    return l;
}

static struct kind_sweep_item trial_item(uint64_t trial, uint64_t round)
{
    return (struct kind_sweep_item){.out = wire_str(sweep),
                                    .preset = wire_str("tiny"),
                                    .seed = 1,
                                    .rate = NAN,
                                    .beta = NAN,
                                    .free_nats = NAN,
                                    .dropout = NAN,
                                    .weight_decay = NAN,
                                    .steps = 100,
                                    .validate_steps = 10,
                                    .trial = trial,
                                    .round = round,
                                    .trials = TRIALS,
                                    .halving = 2,
                                    .judge = NAN,
                                    .model = wire_str(model)};
}

/* Through prepare; the lease is the caller's. */
static struct item *prepare(struct kind_sweep_item m, struct lease **l)
{
    *l = grant(&m);
    struct item *const it = &(*l)->items[0];
    item_prepare(&it->work);
    return it;
}

static struct kind_sweep_result result_of(const struct item *it)
{
    struct kind_sweep_result r;
    CHECK_OK(wire_decode(&kind_sweep_result_schema, it->result.data, it->result.bytes, &r));
    return r;
}

static void record(uint64_t trial, uint64_t round, double score)
{
    struct wire_buffer b = {0};
    const struct kind_sweep_result r = {.trial = trial,
                                        .round = round,
                                        .steps = 25U << round,
                                        .score = score,
                                        .validation_loss = score,
                                        .parameters = 9};
    CHECK_OK(wire_encode(&kind_sweep_result_schema, &r, &b));
    CHECK_OK(
        sweep_record_write(sweep, (int64_t)trial, (int64_t)round, (struct wire_slice){b.data, (uint32_t)b.bytes}, 1));
    wire_free(&b);
}

/* Trials by scores, the lowest the best: 2, 1, 0, 3 in the first round, then 1 before 2. */
static void record_all(void)
{
    static const double first[TRIALS] = {3, 2, 1, 4};
    for (uint64_t k = 0; k < TRIALS; k++)
        record(k, 0, first[k]);
    record(1, 1, 0.5);
    record(2, 1, 0.6);
    record(1, 2, 0.25);
}

/* What the child is told to do. */
static uint64_t told_until(const struct item *it)
{
    struct kind_train_item m;
    CHECK_OK(wire_decode(&kind_train_item_schema, it->params, it->params_bytes, &m));
    char out[200], wanted[200];
    wire_copy(m.out, out, sizeof out);
    snprintf(wanted, sizeof wanted, "%s/" SWEEP_TRIAL, sweep, (int)it->sweep->m.trial);
    CHECK(strcmp(out, wanted) == 0 && m.steps == 100 && m.seed == 1);
    return m.until;
}

TEST(goes_on_ends_or_is_done)
{
    open_places();
    record_all();
    static const struct {
        uint64_t trial, round;
        enum { TRAINED, STOPPED, KNOWN } what;
        uint64_t until;
    } cases[] = {
        {0, 0, KNOWN, 0},   /* done before this attempt */
        {3, 1, STOPPED, 0}, /* the worst of the first round */
        {0, 1, STOPPED, 0}, /* third of four */
        {2, 1, KNOWN, 0},   {2, 2, STOPPED, 0}, {0, 2, STOPPED, 0}, {1, 2, KNOWN, 0},
    };
    struct lease *l;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item *const it = prepare(trial_item(cases[i].trial, cases[i].round), &l);
        CHECK(it->stage == STAGE_OVER && !it->code);
        const struct kind_sweep_result r = result_of(it);
        CHECK(r.trial == cases[i].trial && r.round == cases[i].round && r.stopped == (cases[i].what == STOPPED));
        CHECK(r.from_store == (cases[i].what == KNOWN) && (r.steps > 0) == (cases[i].what == KNOWN));
        lease_destroy(&l);
    }
    /* Whose record is gone, or damaged, trains; to a half, a quarter, the end of its steps. */
    CHECK(unlink("sweep/results/trial-000.round-0") == 0 && truncate("sweep/results/trial-001.round-2", 3) == 0 &&
          unlink("sweep/results/trial-002.round-1") == 0);
    static const uint64_t trained[][3] = {{0, 0, 30}, {2, 1, 50}, {1, 2, 0}};
    for (size_t i = 0; i < sizeof trained / sizeof *trained; i++) {
        struct item *const it = prepare(trial_item(trained[i][0], trained[i][1]), &l);
        CHECK(it->stage == STAGE_WAITING && it->training && told_until(it) == trained[i][2]);
        lease_destroy(&l);
    }
    /* What came of its rounds behind that goes: it is done again, too. Others keep theirs. */
    CHECK(access("sweep/results/trial-001.round-1", F_OK) == 0 && access("sweep/results/trial-002.round-0", F_OK) == 0);
    CHECK(unlink("sweep/results/trial-001.round-0") == 0);
    struct item *const again = prepare(trial_item(1, 0), &l);
    CHECK(again->stage == STAGE_WAITING && access("sweep/results/trial-001.round-1", F_OK) != 0 &&
          access("sweep/results/trial-001.round-2", F_OK) != 0 && access("sweep/results/trial-002.round-0", F_OK) == 0);
    lease_destroy(&l);
    store_close(&places.store);
}

/* A record that is not what was written is none, whichever byte it is. */
TEST(altered_records_are_missing)
{
    struct sweep_record r;
    uint8_t bytes[512] = {0};
    open_places();
    record(1, 0, 0.5);
    FILE *f = fopen("sweep/results/trial-001.round-0", "rb");
    REQUIRE(f);
    const size_t count = fread(bytes, 1, sizeof bytes, f);
    CHECK(fclose(f) == 0 && count > 8 && count < sizeof bytes);
    CHECK_OK(sweep_record_read(sweep, 1, 0, &r));
    CHECK(r.result.score == 0.5);
    sweep_record_free(&r);
    for (size_t i = 0; i <= count; i++) { /* the last one is cut off */
        f = fopen("sweep/results/trial-001.round-0", "wb");
        REQUIRE(f);
        bytes[i] ^= 0x10;
        CHECK(fwrite(bytes, 1, i < count ? count : count - 1, f) == (i < count ? count : count - 1));
        bytes[i] ^= 0x10;
        CHECK(fclose(f) == 0);
        CHECK_CODE(sweep_record_read(sweep, 1, 0, &r), STATUS_NOT_FOUND);
    }
    store_close(&places.store);
}

static json_t *row_of(size_t rank)
{
    json_t *const all = json_load_file("sweep/" SWEEP_FILE, 0, NULL);
    REQUIRE(json_is_true(json_object_get(all, "finished")));
    json_t *const row = json_incref(json_array_get(json_object_get(all, "ranking"), rank - 1));
    CHECK(json_array_size(json_object_get(all, "ranking")) == TRIALS);
    json_decref(all);
    return row;
}

static void check_row(size_t rank, int trial, const char *state)
{
    json_t *const row = row_of(rank);
    CHECK(json_integer_value(json_object_get(row, "trial")) == trial &&
          strcmp(json_string_value(json_object_get(row, "state")), state) == 0);
    json_decref(row);
}

static void make_files(int trial)
{
    static const char *const files[] = {"model.safetensors", "config.json", "training.json", "metrics.jsonl", "states"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[96];
        snprintf(path, sizeof path, "sweep/" SWEEP_TRIAL "/%s", trial, files[i]);
        write_text(path, "{}");
    }
}

static int conclude(void)
{
    struct lease *l;
    struct item *const it = prepare(trial_item(0, ROUNDS), &l);
    const int code = it->code;
    CHECK(it->stage == STAGE_OVER);
    if (!code)
        CHECK(result_of(it).models == 1 && result_of(it).round == ROUNDS);
    lease_destroy(&l);
    return code;
}

/* Whatever an attempt was killed behind, the next one comes to the same end. */
TEST(ends_however_often_it_is_begun)
{
    open_places();
    record_all();
    for (int k = 0; k < TRIALS; k++)
        make_files(k);
    REQUIRE(mkdir("models", 0700) == 0 && mkdir("models/best", 0700) == 0);
    write_text("models/best/mine", "mine");
    CHECK_CODE(conclude(), STATUS_ARGUMENT); /* somebody else's */
    CHECK(access("models/best/mine", F_OK) == 0 && access("sweep/trial-001/model.safetensors", F_OK) == 0);
    CHECK(unlink("models/best/mine") == 0 && rmdir("models/best") == 0);
    REQUIRE(rename("sweep/trial-001", "models/best") == 0); /* as if killed behind that */
    CHECK(unlink("models/best/states") == 0);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(conclude());
        CHECK(access("models/best/model.json", F_OK) == 0 && access("models/best/states", F_OK) != 0);
        check_row(1, 1, "finished");
        check_row(2, 2, "stopped");
        check_row(3, 0, "stopped");
        check_row(4, 3, "stopped");
        CHECK(access("sweep/trial-000/states", F_OK) != 0 && access("sweep/trial-000/metrics.jsonl", F_OK) == 0);
    }
    store_close(&places.store);
}

TEST(what_failed_is_lost_and_named)
{
    open_places();
    record_all();
    make_files(1);
    make_files(2);
    CHECK(unlink("sweep/results/trial-001.round-1") == 0); /* so 2 was the better one of the second round */
    record(2, 2, 0.7);
    sweep_failure_keep(sweep, 1, "no room");
    CHECK_OK(conclude());
    check_row(1, 2, "finished");
    check_row(2, 1, "failed");
    json_t *const row = row_of(2);
    CHECK(strcmp(json_string_value(json_object_get(row, "failure")), "no room") == 0);
    json_decref(row);
    CHECK(access("sweep/trial-001/model.safetensors", F_OK) == 0);
    store_close(&places.store);
}

TEST(nothing_came_to_the_end)
{
    open_places();
    record(0, 0, NAN);
    CHECK_CODE(conclude(), STATUS_ARGUMENT);
    check_row(1, 0, "failed");
    CHECK(access("models", F_OK) != 0);
    store_close(&places.store);
}

/* Whose item goes on from an object of another job, and what is none. */
TEST(states_are_objects_of_other_jobs)
{
    open_places();
    static const uint8_t state[33] = {1}, own[32] = {2};
    static const struct {
        const char *kind;
        uint32_t state, own;
        int code;
        uint8_t from; /* first byte of what it goes on from; 0: nothing */
    } cases[] = {
        {KIND_TRAIN_OBJECTS, 0, 0, 0, 0},
        {KIND_TRAIN_OBJECTS, 32, 0, 0, 1},
        {KIND_TRAIN_OBJECTS, 32, 32, 0, 2}, /* a second attempt has come further */
        {KIND_TRAIN_OBJECTS, 31, 0, STATUS_ARGUMENT, 0},
        {KIND_TRAIN, 32, 0, STATUS_ARGUMENT, 0}, /* its states are in its folder */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_buffer params = {0}, leases = {0};
        struct lease *l = NULL;
        const struct kind_train_item m = {.preset = wire_str("tiny"), .state = {state, cases[i].state}};
        CHECK_OK(wire_encode(&kind_train_item_schema, &m, &params));
        CHECK_OK(wire_encode(&lease_schema,
                             &(struct message_lease){.token = 1 + i,
                                                     .attempt = 1,
                                                     .path = wire_str(pack),
                                                     .params = {params.data, (uint32_t)params.bytes},
                                                     .checkpoint = {own, cases[i].own}},
                             &leases));
        CHECK_OK(lease_create(
            &(struct message_grant){.kind = wire_str(cases[i].kind), .leases = wire_list_of(&leases, 1)}, &places, &l));
        REQUIRE(l);
        const struct item *const it = &l->items[0];
        CHECK_CODE(it->code, cases[i].code);
        CHECK(it->has_checkpoint == (cases[i].from > 0));
        CHECK(!it->has_checkpoint || it->checkpoint.bytes[0] == cases[i].from);
        lease_destroy(&l);
        wire_free(&params);
        wire_free(&leases);
    }
    store_close(&places.store);
}

TEST(bad_items_are_refused)
{
    open_places();
    struct lease *l;
#define REFUSED(change) \
    do { \
        struct kind_sweep_item m = trial_item(0, 0); \
        change; \
        struct item *const it = prepare(m, &l); \
        CHECK(it->stage == STAGE_OVER && it->code == STATUS_ARGUMENT && it->message[0]); \
        lease_destroy(&l); \
    } while (0)
    REFUSED(m.trial = TRIALS);
    REFUSED(m.round = ROUNDS + 1);
    REFUSED(m.trials = 0);
    REFUSED(m.halving = 0);
    REFUSED(m.out = wire_str("relative"));
    REFUSED(m.model = wire_str("relative"));
    REFUSED(m.preset = wire_str("huge"));
    REFUSED(m.steps = UINT64_C(1) << 40);
    CHECK(access("sweep/results", F_OK) == 0); /* the last two had a folder to say so in */
    store_close(&places.store);
}
