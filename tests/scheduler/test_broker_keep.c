/* What a broker keeps of the objects that it was given, and what goes: by what jobs name, and by its time. */
#include "object_peer.h"
#include "objects.h"
#include "server.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t submit_object(struct peer_end *p, const struct hash *name)
{
    struct wire_buffer list = {0};
    struct message_accepted a = {0};
    CHECK_OK(wire_encode(&item_schema, &(struct message_item){.object = {name->bytes, HASH_BYTES}}, &list));
    const struct message_submit m = {.kind = wire_str("noop"), .items = wire_list_of(&list, 1)};
    CHECK(peer_send(p, MESSAGE_SUBMIT, &submit_schema, &m) && peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_ACCEPTED &&
          peer_decode(p, &accepted_schema, &a));
    wire_free(&list);
    return a.job;
}

/* By the clock that dates files, which lags behind by a tick of the kernel. */
static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What a job names stays; the rest goes, but not before its time; the feature store's objects are not looked at. The
 * job is there before the object that it names: after it, a slow machine might be too late. */
TEST(what_no_job_names_goes)
{
    struct server s;
    struct peer_end p;
    struct hash name[2], others;
    char path[256];
    server_start(&s,
                 (struct broker_options){.objects = "objects", .object_keep_ms = 500, .session_timeout_ms = 300000});
    server_open_client(&p);
    mkdir("objects", 0700);
    const int fd = open("feature", O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, "feature", 7) == 7);
    CHECK_OK(objects_put_file("objects", fd, 0, 7, &others));
    close(fd);
    uint8_t *data[2] = {object_noise(1000, 30, &name[0]), object_noise(1000, 31, &name[1])};
    CHECK(submit_object(&p, &name[1]) > 0);
    CHECK(object_put_all(&p, &name[1], data[1], 1000));
    object_path(&name[0], path);
    const int64_t before = wall_ms();
    CHECK(object_put_all(&p, &name[0], data[0], 1000));
    const int64_t end = peer_clock_ms() + PEER_PATIENCE_MS;
    while (access(path, F_OK) == 0 && peer_clock_ms() < end)
        usleep(20000);
    CHECK(access(path, F_OK) != 0 && wall_ms() - before >= 500);
    usleep(1500000);
    free(data[0]);
    free(data[1]);
    object_path(&name[1], path);
    CHECK(access(path, F_OK) == 0);
    objects_path("objects", &others, path, sizeof path);
    CHECK(access(path, F_OK) == 0);
    peer_close(&p);
    server_end_well(&s);
}

static bool save_one(struct peer_end *w, uint64_t token, const struct hash *name, double progress)
{
    struct message_verdict v;
    return peer_send(w, MESSAGE_CHECKPOINT, &checkpoint_schema,
                     &(struct message_checkpoint){token, {name->bytes, HASH_BYTES}, progress}) &&
           peer_receive(w, PEER_PATIENCE_MS) == MESSAGE_SAVED && peer_decode(w, &verdict_schema, &v) &&
           v.verdict == COMMIT_COMMITTED;
}

/* A large checkpoint in whose place another came does not wait for its day; a small one, one that another job names,
 * and the last one do. */
TEST(a_large_checkpoint_that_was_followed_goes)
{
    enum { KEEP_MS = 40000, LARGE = 1500000 };
    static const struct {
        size_t bytes;
        bool named, goes;
    } cases[] = {{LARGE, false, true}, {1000, false, false}, {LARGE, true, false}, {LARGE, false, false}};
    enum { CASES = sizeof cases / sizeof *cases };
    struct server s;
    struct peer_end p, w;
    struct message_lease lease;
    struct hash name[CASES];
    char path[CASES][256];
    server_start(
        &s, (struct broker_options){
                .objects = "objects", .object_keep_ms = KEEP_MS, .lease_ms = 300000, .session_timeout_ms = 300000});
    server_open_client(&p);
    CHECK(peer_submit(&p, "saves", 1, true) > 0);
    REQUIRE(peer_open(&w, "run", "worker") && peer_ready(&w, "w", "saves", NULL) && peer_take(&w, 1) &&
            peer_granted(&w, &lease, 1) == 1);
    const uint64_t token = lease.token;
    const int64_t began = peer_clock_ms();
    for (int i = 0; i < CASES; i++) {
        uint8_t *const data = object_noise(cases[i].bytes, 40 + (uint64_t)i, &name[i]);
        CHECK(object_put_all(&p, &name[i], data, cases[i].bytes));
        free(data);
        CHECK(!cases[i].named || submit_object(&p, &name[i]) > 0);
        CHECK(save_one(&w, token, &name[i], 0.1 * (i + 1)));
        object_path(&name[i], path[i]);
    }
    while (access(path[0], F_OK) == 0 && peer_clock_ms() - began < PEER_PATIENCE_MS)
        usleep(20000);
    CHECK(peer_clock_ms() - began >= KEEP_MS / 8);
    usleep(1000000);
    for (int i = 0; i < CASES; i++)
        CHECK((access(path[i], F_OK) != 0) == cases[i].goes);
    peer_close(&w);
    peer_close(&p);
    server_end_well(&s);
}
