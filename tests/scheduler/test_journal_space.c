/* A disk that fills: new jobs are refused in time, what runs can end, and when there is room again all is as before.
 * The disk is the test's own: how much others have taken of it is a variable; the reserve is a real file. */
#include "broker.h"
#include "journal_stored.h"
#include "peer.h"
#include "rig.h"
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096, DISK = 8 << 20, RESERVE = DISK / 8 };

static uint64_t taken; /* by others */
static int looks;

static uint64_t reserve_bytes(void)
{
    struct stat st;
    return stat("queue/reserve", &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static int own_disk(const char *path, struct statvfs *out)
{
    (void)path;
    const uint64_t all = taken + reserve_bytes();
    looks++;
    *out = (struct statvfs){.f_frsize = BLOCK, .f_blocks = DISK / BLOCK};
    out->f_bavail = all < DISK ? (DISK - all) / BLOCK : 0;
    return 0;
}

static void set_free(uint64_t bytes) /* besides the reserve, as it is now */
{
    taken = DISK - reserve_bytes() - bytes;
}

static void open_space(struct journal_space *s)
{
    *s = (struct journal_space){.statvfs = own_disk};
    journal_space_open(s, "queue");
}

/* One group, a while after the one before. */
static void pass(struct journal_space *s)
{
    s->looked_ms = 0;
    s->has_looked = false;
    journal_space_commit(s);
}

TEST(the_reserve_is_there_while_there_is_room)
{
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    CHECK(s.reserve_bytes == RESERVE && s.is_held && reserve_bytes() == RESERVE && !journal_space_is_full(&s));
    journal_space_close(&s);
    open_space(&s); /* it stays when the process ends */
    CHECK(s.is_held && s.free_bytes == DISK - RESERVE);
    journal_space_close(&s);
    REQUIRE(truncate("queue/reserve", 100) == 0); /* damaged: made anew */
    open_space(&s);
    CHECK(s.is_held && reserve_bytes() == RESERVE);
    journal_space_close(&s);
}

/* What is free besides the reserve, step by step: is it full, and is the reserve there? */
TEST(refusing_letting_go_and_recovering)
{
    static const struct {
        uint64_t free; /* KiB */
        bool full, held;
    } steps[] = {
        {6000, false, true}, {1100, false, true}, {1020, true, true},  {1024, true, true}, /* not at once */
        {1160, false, true}, {500, true, true},   {260, true, true},   {250, true, false}, /* now 1,274 are free */
        {1200, true, false}, {100, true, false},  {2040, true, false}, {2200, false, true},
        {4000, false, true}, {0, true, false},    {6000, false, true},
    };
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        set_free(steps[i].free << 10);
        pass(&s);
        const bool full = journal_space_is_full(&s);
        if (full != steps[i].full || s.is_held != steps[i].held || (reserve_bytes() == RESERVE) != steps[i].held)
            test_report(false, __FILE__, __LINE__, "step %zu: full %d, held %d", i, full, s.is_held);
    }
    journal_space_close(&s);
}

/* A client that asks once, after room was made, is not refused for what was. */
TEST(room_is_seen_by_who_asks)
{
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    set_free(100 << 10);
    pass(&s);
    CHECK(journal_space_is_full(&s) && !s.is_held);
    journal_space_commit(&s);
    taken = 0;
    CHECK(!journal_space_is_full(&s) && s.is_held);
    journal_space_close(&s);
}

TEST(what_a_group_puts_counts_before_it_is_written)
{
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    set_free(2 << 20);
    pass(&s);
    CHECK(!journal_space_is_full(&s));
    journal_space_put(&s, 600 << 10); /* with what is around it, 1,200 KiB: 848 would be left */
    CHECK(journal_space_is_full(&s) && s.is_held);
    journal_space_put(&s, 300 << 10); /* 248 */
    journal_space_commit(&s);
    CHECK(!s.is_held && reserve_bytes() == 0); /* before the group is written */
    journal_space_close(&s);
}

TEST(the_disk_is_not_asked_too_often)
{
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    pass(&s);
    looks = 0;
    const int64_t looked_ms = s.looked_ms = INT64_MAX / 2; /* just now, and for long */
    for (int i = 0; i < 1000; i++) {
        journal_space_commit(&s);
        CHECK(!journal_space_is_full(&s));
    }
    CHECK(looks == 0 && s.looked_ms == looked_ms);
    set_free(500 << 10);
    pass(&s);
    looks = 0;
    for (int i = 0; i < 100; i++) { /* once a group while it is low */
        CHECK(journal_space_is_full(&s) && journal_space_is_full(&s));
        journal_space_commit(&s);
    }
    CHECK(looks == 100);
    journal_space_close(&s);
}

TEST(a_full_disk_at_the_start)
{
    struct journal_space s;
    REQUIRE(mkdir("queue", 0700) == 0);
    taken = 0;
    open_space(&s);
    journal_space_close(&s);
    taken = DISK - RESERVE;
    open_space(&s); /* given up, so that the rest of the opening has room */
    CHECK(!s.is_held && reserve_bytes() == 0 && journal_space_is_full(&s));
    journal_space_close(&s);
    taken = DISK - RESERVE; /* without one, and with less than two: none is made */
    open_space(&s);
    CHECK(!s.is_held && reserve_bytes() == 0 && journal_space_is_full(&s));
    taken = 0;
    CHECK(!journal_space_is_full(&s) || (pass(&s), !journal_space_is_full(&s)));
    CHECK(s.is_held);
    journal_space_close(&s);
}

/* ---- the journal and the queue ---- */

TEST(what_runs_can_end_on_a_full_disk)
{
    struct journal_lmdb *j = NULL;
    struct rig r;
    REQUIRE(journal_lmdb_open("queue", &j) == STATUS_OK);
    journal_space_close(&j->space);
    REQUIRE(unlink("queue/reserve") == 0);
    taken = 0;
    open_space(&j->space);
    struct journal *const base = journal_lmdb_base(j);
    rig_open(&r, &(struct queue_options){.epoch = 1, .journal = base});
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 2});
    CHECK(!base->is_full(base));
    CHECK_OK(base->commit(base));
    set_free(0);
    j->space.looked_ms = 0;
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 5) == COMMIT_COMMITTED);
    CHECK_OK(base->commit(base));
    CHECK(base->is_full(base) && reserve_bytes() == 0);
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 5) == COMMIT_COMMITTED);
    rig_tick(&r, QUEUE_KEEP_MS);
    CHECK_OK(base->commit(base));
    struct message_job m;
    CHECK_CODE(queue_show(r.queue, job, &m), STATUS_NOT_FOUND);
    taken = 0;
    CHECK(!base->is_full(base) && reserve_bytes() == RESERVE);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* Four fifths of the map: refused; not by pages that are free inside it. */
TEST(a_full_map)
{
    struct journal_lmdb *j = NULL;
    struct rig r;
    REQUIRE(journal_lmdb_open("queue", &j) == STATUS_OK && mdb_env_set_mapsize(j->env, 4 << 20) == 0);
    j->map = NULL; /* it lies elsewhere now */
    struct journal *const base = journal_lmdb_base(j);
    rig_open(&r, &(struct queue_options){.epoch = 1, .journal = base});
    r.unchecked = true;
    int jobs = 0;
    for (; jobs < 100 && !base->is_full(base); jobs++) {
        rig_cancel(&r, rig_submit(&r, (struct rig_job){.items = 100, .path_bytes = 1000}));
        j->space.map_looked_ms = -1000000;
        CHECK_OK(base->commit(base));
    }
    CHECK(jobs > 10 && jobs < 32); /* 3.2 MiB of 110 KiB each, in pages that are half full */
    rig_tick(&r, QUEUE_KEEP_MS);
    for (int i = 0; i < 10 && base->is_full(base); i++) {
        rig_submit(&r, (struct rig_job){.items = 1}); /* records are removed with the groups that follow */
        j->space.map_looked_ms = -1000000;
        CHECK_OK(base->commit(base));
    }
    CHECK(!base->is_full(base));
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* ---- what clients are told ---- */

static bool says_full;

static bool is_full(struct journal *j)
{
    (void)j;
    return says_full;
}

static int turns(struct broker *b)
{
    bool over = false;
    int code = STATUS_OK;
    for (int i = 0; i < 20 && !code; i++)
        code = broker_turn(b, 10, &over);
    return code;
}

static bool is_told(struct peer_end *p, struct broker *b, enum message_type type)
{
    return turns(b) == STATUS_OK && peer_receive(p, 2000) == (int)type;
}

static bool is_refused(struct peer_end *p, struct broker *b)
{
    struct message_error m;
    return is_told(p, b, MESSAGE_ERROR) && peer_decode(p, &error_schema, &m) && m.code == ERROR_BUSY &&
           m.message.bytes == strlen("the journal's disk is nearly full") &&
           memcmp(m.message.data, "the journal's disk is nearly full", m.message.bytes) == 0;
}

TEST(clients_are_told)
{
    struct journal_memory memory;
    struct broker *b = NULL;
    struct peer_end p;
    struct wire_buffer items = {0};
    struct message_accepted accepted;
    journal_memory_init(&memory);
    memory.journal.is_full = is_full;
    REQUIRE(broker_create(
                &(struct broker_options){.run_dir = "run", .linger_ms = -1, .stop_fd = -1, .journal = &memory.journal},
                &b) == STATUS_OK);
    REQUIRE(peer_open(&p, "run", "client"));
    CHECK(wire_encode(&item_schema, &(struct message_item){.path = wire_str("/x")}, &items) == STATUS_OK);
    const struct message_submit submit = {.kind = wire_str("noop"), .items = wire_list_of(&items, 1)};
    const struct message_hello hello = {.name = wire_str("test")};
    CHECK(peer_send(&p, MESSAGE_HELLO, &hello_schema, &hello) && is_told(&p, b, MESSAGE_WELCOME));
    CHECK(peer_send(&p, MESSAGE_SUBMIT, &submit_schema, &submit) && is_told(&p, b, MESSAGE_ACCEPTED));
    CHECK(peer_decode(&p, &accepted_schema, &accepted) && accepted.job == 1);
    struct message_add add = {.job = 1, .first = 1, .items = wire_list_of(&items, 1)};
    says_full = true;
    CHECK(peer_send(&p, MESSAGE_SUBMIT, &submit_schema, &submit) && is_refused(&p, b));
    CHECK(peer_send(&p, MESSAGE_ADD, &add_schema, &add) && is_refused(&p, b));
    add = (struct message_add){.job = 1, .first = 1, .sealed = true};
    CHECK(peer_send(&p, MESSAGE_ADD, &add_schema, &add) && is_told(&p, b, MESSAGE_ACCEPTED)); /* it may end */
    const struct message_job_ref ref = {.job = 1};
    CHECK(peer_send(&p, MESSAGE_CANCEL, &job_ref_schema, &ref) && is_told(&p, b, MESSAGE_JOB));
    says_full = false;
    CHECK(peer_send(&p, MESSAGE_SUBMIT, &submit_schema, &submit) && is_told(&p, b, MESSAGE_ACCEPTED));
    CHECK(peer_decode(&p, &accepted_schema, &accepted) && accepted.job == 2); /* the refused one left nothing */
    peer_close(&p);
    broker_destroy(&b);
    wire_free(&items);
}
