/* PUT and GET of the broker, what is kept of it, and workers whose connection ends; real sockets, raw peers. */
#include "broker.h"
#include "hash.h"
#include "objects.h"
#include "peer.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct server {
    struct broker *broker;
    pthread_t thread;
    int stop_fd;
};

static void *serve(void *argument)
{
    struct server *s = argument;
    test_report(broker_run(s->broker) == STATUS_OK, __FILE__, __LINE__, "broker_run");
    broker_destroy(&s->broker);
    return NULL;
}

static void server_start(struct server *s, struct broker_options options)
{
    options.run_dir = "run";
    options.linger_ms = -1;
    s->stop_fd = options.stop_fd = eventfd(0, 0);
    REQUIRE(broker_create(&options, &s->broker) == STATUS_OK);
    REQUIRE(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void server_stop(struct server *s)
{
    const uint64_t one = 1;
    CHECK(write(s->stop_fd, &one, sizeof one) == sizeof one);
    pthread_join(s->thread, NULL);
    close(s->stop_fd);
}

static void open_client(struct peer_end *p)
{
    REQUIRE(peer_open(p, "run", "client") && peer_hello(p, NULL));
}

static uint8_t *noise(size_t bytes, uint64_t seed, struct hash *name)
{
    uint8_t *data = malloc(bytes + 8);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < bytes; i += 8) {
        const uint64_t r = test_random(&seed);
        memcpy(data + i, &r, 8);
    }
    hash_bytes(data, bytes, name);
    return data;
}

/* One PUT: the answer's offset, whole; or minus the ERROR's code. */
static int64_t put(struct peer_end *p, const struct hash *name, uint64_t size, uint64_t offset, const void *data,
                   size_t bytes, bool *whole)
{
    const struct message_put m = {
        .object = {name->bytes, HASH_BYTES}, .size = size, .offset = offset, .data = {data, (uint32_t)bytes}};
    struct message_stored s;
    struct message_error e;
    REQUIRE(peer_send(p, MESSAGE_PUT, &put_schema, &m));
    const int type = peer_receive(p, PEER_PATIENCE_MS);
    REQUIRE(p->packet.header.seq == p->seq);
    if (type == MESSAGE_ERROR && peer_decode(p, &error_schema, &e))
        return -(int64_t)e.code;
    REQUIRE(type == MESSAGE_STORED && peer_decode(p, &stored_schema, &s));
    CHECK(s.object.bytes == HASH_BYTES && memcmp(s.object.data, name, HASH_BYTES) == 0);
    if (whole)
        *whole = s.whole;
    return (int64_t)s.offset;
}

static int64_t ask(struct peer_end *p, const struct hash *name, uint64_t size, bool *whole)
{
    return put(p, name, size, 0, NULL, 0, whole);
}

static bool put_all(struct peer_end *p, const struct hash *name, const uint8_t *data, size_t size)
{
    bool whole = false;
    int64_t at = 0;
    while (!whole && at >= 0) {
        const size_t left = size - (size_t)at, bytes = left < LIMIT_CHUNK ? left : LIMIT_CHUNK;
        at = put(p, name, size, (uint64_t)at, data + at, bytes, &whole);
    }
    return whole;
}

/* One GET: bytes of the answer, or minus the ERROR's code. */
static int64_t get(struct peer_end *p, const struct hash *name, uint64_t offset, uint64_t bytes, uint8_t *out,
                   uint64_t *size)
{
    const struct message_get m = {.object = {name->bytes, HASH_BYTES}, .offset = offset, .bytes = bytes};
    struct message_chunk c;
    struct message_error e;
    REQUIRE(peer_send(p, MESSAGE_GET, &get_schema, &m));
    const int type = peer_receive(p, PEER_PATIENCE_MS);
    if (type == MESSAGE_ERROR && peer_decode(p, &error_schema, &e))
        return -(int64_t)e.code;
    REQUIRE(type == MESSAGE_CHUNK && peer_decode(p, &chunk_schema, &c) && c.offset == offset);
    memcpy(out, c.data.data, c.data.bytes);
    *size = c.size;
    return c.data.bytes;
}

static int files_in(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void path_of(const struct hash *name, char path[256])
{
    objects_path("objects/queue", name, path, 256);
}

enum { SIZE = 3 * LIMIT_CHUNK + 777 };

TEST(what_is_put_can_be_got_on_both_sockets)
{
    struct server s;
    struct peer_end client, worker;
    struct hash name, empty;
    bool whole = true;
    uint64_t size = 0;
    server_start(&s, (struct broker_options){.objects = "objects"});
    open_client(&client);
    REQUIRE(peer_open(&worker, "run", "worker"));
    uint8_t *data = noise(SIZE, 1, &name), *back = malloc(LIMIT_CHUNK);
    CHECK(ask(&worker, &name, SIZE, NULL) == -ERROR_SESSION); /* READY must come first */
    REQUIRE(back && peer_ready(&worker, "w", "noop", NULL));
    CHECK(ask(&client, &name, SIZE, &whole) == 0 && !whole);
    CHECK(put_all(&client, &name, data, SIZE));
    CHECK(ask(&worker, &name, SIZE, &whole) == SIZE && whole);
    for (uint64_t at = 0; at < SIZE; at += LIMIT_CHUNK) {
        const int64_t n = get(&worker, &name, at, 0, back, &size);
        CHECK(n == (int64_t)(SIZE - at < LIMIT_CHUNK ? SIZE - at : LIMIT_CHUNK) && size == SIZE);
        CHECK(n > 0 && memcmp(back, data + at, (size_t)n) == 0);
    }
    CHECK(get(&client, &name, 100, 10, back, &size) == 10 && memcmp(back, data + 100, 10) == 0);
    CHECK(get(&client, &name, SIZE + 5, 10, back, &size) == 0);
    hash_bytes("", 0, &empty);
    CHECK(put(&worker, &empty, 0, 0, NULL, 0, &whole) == 0 && whole);
    CHECK(get(&worker, &empty, 0, 0, back, &size) == 0 && size == 0);
    CHECK(files_in("objects/queue/spool") == 0);
    peer_close(&client);
    peer_close(&worker);
    server_stop(&s);
    server_start(&s, (struct broker_options){.objects = "objects"}); /* still there */
    open_client(&client);
    CHECK(ask(&client, &name, SIZE, &whole) == SIZE && whole);
    peer_close(&client);
    server_stop(&s);
    free(data);
    free(back);
}

TEST(puts_that_are_refused)
{
    struct server s;
    struct peer_end p;
    struct hash name, other;
    uint8_t back[64];
    uint64_t size;
    bool whole;
    server_start(&s, (struct broker_options){.objects = "objects"});
    open_client(&p);
    uint8_t *data = noise(SIZE, 2, &name), *wrong = noise(SIZE, 3, &other);
    const struct message_put short_name = {.object = {name.bytes, 31}, .size = 5};
    CHECK(peer_send(&p, MESSAGE_PUT, &put_schema, &short_name) && peer_gets_error(&p, ERROR_BODY));
    CHECK(put(&p, &name, 10, 8, data, 5, NULL) == -ERROR_LIMIT);
    CHECK(put(&p, &name, UINT64_C(1) << 60, 0, data, 5, NULL) == -ERROR_LIMIT);
    CHECK(put(&p, &name, UINT64_C(1) << 40, 0, data, 5, NULL) == -ERROR_BUSY); /* no disk has so much room here */
    CHECK(put(&p, &name, SIZE, 1000, data, 1000, NULL) == -ERROR_STATE);       /* nothing is there yet */
    CHECK(put(&p, &name, SIZE, 0, data, 1000, NULL) == 1000);
    CHECK(put(&p, &name, SIZE, 2000, data, 1000, NULL) == -ERROR_STATE);   /* a gap */
    CHECK(put(&p, &name, SIZE, 0, data, 1000, NULL) == 1000);              /* said again */
    CHECK(put(&p, &name, SIZE, 500, wrong, 1000, NULL) == 1000);           /* overlaps: nothing is written */
    CHECK(put(&p, &name, SIZE + 1, 1000, data, 10, NULL) == -ERROR_STATE); /* another size */
    CHECK(ask(&p, &name, SIZE, &whole) == 1000 && !whole);
    CHECK(get(&p, &name, 0, 10, back, &size) == -ERROR_NOT_FOUND); /* nothing half is seen */
    CHECK(put(&p, &name, SIZE + 8, 0, data, 8, NULL) == 8);        /* the other size from its start: anew */
    CHECK(put(&p, &name, SIZE, 0, data, 8, NULL) == 8);
    /* Bytes of another name: refused at the end, and nothing is left of them. */
    CHECK(put(&p, &other, 1000, 0, data, 1000, NULL) == -ERROR_STATE);
    CHECK(ask(&p, &other, 1000, &whole) == 0 && !whole);
    CHECK(get(&p, &other, 0, 10, back, &size) == -ERROR_NOT_FOUND);
    CHECK(put_all(&p, &other, wrong, SIZE));
    peer_close(&p);
    server_stop(&s);
    free(data);
    free(wrong);
}

TEST(a_damaged_object_is_never_sent)
{
    struct server s;
    struct peer_end p;
    struct hash name;
    uint8_t back[64];
    char path[256], aside[300];
    uint64_t size;
    bool whole;
    uint8_t *data = noise(SIZE, 4, &name);
    server_start(&s, (struct broker_options){.objects = "objects"});
    open_client(&p);
    REQUIRE(put_all(&p, &name, data, SIZE));
    CHECK(get(&p, &name, 0, 10, back, &size) == 10);
    path_of(&name, path);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    const int fd = open(path, O_WRONLY);
    REQUIRE(fd >= 0 && pwrite(fd, "x", 1, SIZE - 1) == 1 && close(fd) == 0);
    CHECK(get(&p, &name, 0, 10, back, &size) == -ERROR_NOT_FOUND); /* also pieces that would be right */
    CHECK(access(path, F_OK) != 0 && access(aside, F_OK) == 0);
    CHECK(ask(&p, &name, SIZE, &whole) == 0 && !whole);
    CHECK(put_all(&p, &name, data, SIZE) && get(&p, &name, 0, 10, back, &size) == 10);
    REQUIRE(truncate(path, 5) == 0);
    CHECK(ask(&p, &name, SIZE, &whole) == 0 && !whole); /* it is looked at before it is called whole */
    peer_close(&p);
    server_stop(&s);
    free(data);
}

TEST(uploads_are_bounded_and_do_not_stay)
{
    struct server s;
    struct peer_end p, q;
    struct hash name[12];
    bool whole;
    server_start(&s, (struct broker_options){.objects = "objects", .session_timeout_ms = 300000});
    open_client(&p);
    open_client(&q);
    for (int i = 0; i < 12; i++) {
        uint8_t *data = noise(100, 10 + (uint64_t)i, &name[i]);
        const int64_t got = put(&p, &name[i], 100, 0, data, 50, NULL);
        test_report(got == (i < 8 ? 50 : -ERROR_BUSY), __FILE__, __LINE__, "upload %d: %lld", i, (long long)got);
        free(data);
    }
    CHECK(ask(&q, &name[0], 100, &whole) == 50); /* another may go on with it */
    CHECK(files_in("objects/queue/spool") == 8);
    peer_close(&p);
    peer_close(&q);
    server_stop(&s);
    CHECK(files_in("objects/queue/spool") == 0);
    server_start(&s,
                 (struct broker_options){.objects = "objects", .upload_idle_ms = 300, .session_timeout_ms = 300000});
    open_client(&p);
    for (int i = 0; i < 12; i++) { /* some may go before the last comes; none stays */
        uint8_t *data = noise(100, 10 + (uint64_t)i, &name[i]);
        const int64_t got = put(&p, &name[i], 100, 0, data, 50, NULL);
        CHECK(got == 50 || (i >= 8 && got == -ERROR_BUSY));
        free(data);
    }
    const int64_t end = peer_clock_ms() + PEER_PATIENCE_MS;
    while (files_in("objects/queue/spool") && peer_clock_ms() < end)
        usleep(20000);
    CHECK(files_in("objects/queue/spool") == 0);
    CHECK(ask(&p, &name[0], 100, &whole) == 0);
    peer_close(&p);
    server_stop(&s);
    FILE *f = fopen("objects/queue/spool/new-abcdef", "w"); /* of a process that was killed */
    REQUIRE(f && fclose(f) == 0);
    server_start(&s, (struct broker_options){.objects = "objects"});
    CHECK(files_in("objects/queue/spool") == 0);
    server_stop(&s);
}

TEST(without_a_folder_there_are_no_objects)
{
    struct server s;
    struct peer_end p;
    struct hash name;
    uint8_t back[8];
    uint64_t size;
    server_start(&s, (struct broker_options){0});
    open_client(&p);
    free(noise(8, 1, &name));
    CHECK(ask(&p, &name, 8, NULL) == -ERROR_STATE && get(&p, &name, 0, 8, back, &size) == -ERROR_STATE);
    peer_close(&p);
    server_stop(&s);
}

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
    open_client(&p);
    mkdir("objects", 0700);
    const int fd = open("feature", O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, "feature", 7) == 7);
    CHECK_OK(objects_put_file("objects", fd, 0, 7, &others));
    close(fd);
    uint8_t *data[2] = {noise(1000, 30, &name[0]), noise(1000, 31, &name[1])};
    CHECK(submit_object(&p, &name[1]) > 0);
    CHECK(put_all(&p, &name[1], data[1], 1000));
    path_of(&name[0], path);
    const int64_t before = wall_ms();
    CHECK(put_all(&p, &name[0], data[0], 1000));
    const int64_t end = peer_clock_ms() + PEER_PATIENCE_MS;
    while (access(path, F_OK) == 0 && peer_clock_ms() < end)
        usleep(20000);
    CHECK(access(path, F_OK) != 0 && wall_ms() - before >= 500);
    usleep(1500000);
    free(data[0]);
    free(data[1]);
    path_of(&name[1], path);
    CHECK(access(path, F_OK) == 0);
    objects_path("objects", &others, path, sizeof path);
    CHECK(access(path, F_OK) == 0);
    peer_close(&p);
    server_stop(&s);
}

/* Takes one item under the name; false when none comes. */
static bool take_one(struct peer_end *w, struct message_lease *out, int wait_ms)
{
    struct message_grant g;
    return peer_send(w, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 1}) &&
           peer_receive(w, wait_ms) == MESSAGE_GRANT && peer_decode(w, &grant_schema, &g) &&
           wire_next(&g.leases, &lease_schema, out);
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
    open_client(&p);
    CHECK(peer_submit(&p, "saves", 1, true) > 0);
    REQUIRE(peer_open(&w, "run", "worker") && peer_ready(&w, "w", "saves", NULL) &&
            take_one(&w, &lease, PEER_PATIENCE_MS));
    const uint64_t token = lease.token;
    const int64_t began = peer_clock_ms();
    for (int i = 0; i < CASES; i++) {
        uint8_t *const data = noise(cases[i].bytes, 40 + (uint64_t)i, &name[i]);
        CHECK(put_all(&p, &name[i], data, cases[i].bytes));
        free(data);
        CHECK(!cases[i].named || submit_object(&p, &name[i]) > 0);
        CHECK(save_one(&w, token, &name[i], 0.1 * (i + 1)));
        path_of(&name[i], path[i]);
    }
    while (access(path[0], F_OK) == 0 && peer_clock_ms() - began < PEER_PATIENCE_MS)
        usleep(20000);
    CHECK(peer_clock_ms() - began >= KEEP_MS / 8);
    usleep(1000000);
    for (int i = 0; i < CASES; i++)
        CHECK((access(path[i], F_OK) != 0) == cases[i].goes);
    peer_close(&w);
    peer_close(&p);
    server_stop(&s);
}

/* ---- tcp, and connections that end ---- */

TEST(addresses_that_others_reach_are_refused)
{
    static const struct {
        const char *address;
        bool insecure;
        int code;
    } cases[] = {
        {"tcp://0.0.0.0:17991", false, STATUS_ARGUMENT},   {"tcp://*:17991", false, STATUS_ARGUMENT},
        {"tcp://[::]:17991", false, STATUS_ARGUMENT},      {"tcp://127.evil.example:17991", false, STATUS_ARGUMENT},
        {"udp://127.0.0.1:17991", false, STATUS_ARGUMENT}, {"tcp://127.0.0.1", false, STATUS_ARGUMENT},
        {"tcp://127.0.0.1:*", false, STATUS_OK},           {"tcp://0.0.0.0:*", true, STATUS_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker *b = NULL;
        const struct broker_options o = {
            .run_dir = "run", .stop_fd = -1, .listen = cases[i].address, .insecure_tcp = cases[i].insecure};
        CHECK_CODE(broker_create(&o, &b), cases[i].code);
        if (cases[i].code)
            CHECK(b == NULL && strstr(status_message(), "--listen"));
        broker_destroy(&b);
    }
}

/* A worker goes without a word: another gets its item long before the lease is over, the attempt counted. */
TEST(a_lost_connection_ends_its_worker)
{
    for (int i = 0; i < 2; i++) {
        char address[PEER_ADDRESS];
        struct server s;
        struct peer_end client, first, second;
        struct message_lease lease;
        REQUIRE(peer_free_address(address));
        server_start(&s, (struct broker_options){
                             .listen = i ? address : NULL, .lease_ms = 300000, .session_timeout_ms = 300000});
        open_client(&client);
        CHECK(peer_submit(&client, "noop", 1, true) > 0);
        REQUIRE(i ? peer_open_at(&first, address) : peer_open(&first, "run", "worker"));
        REQUIRE(peer_open(&second, "run", "worker"));
        REQUIRE(peer_ready(&first, "first", "noop", NULL) && take_one(&first, &lease, PEER_PATIENCE_MS) &&
                lease.attempt == 1);
        REQUIRE(peer_ready(&second, "second", "noop", NULL));
        const int64_t began = peer_clock_ms();
        peer_close(&first);
        CHECK(take_one(&second, &lease, PEER_PATIENCE_MS) && lease.attempt == 2);
        printf("%s: the item of a worker that is gone was granted again after %lld ms\n", i ? "tcp" : "ipc",
               (long long)(peer_clock_ms() - began));
        peer_close(&second);
        peer_close(&client);
        server_stop(&s);
    }
}

static bool ready_as(struct peer_end *w, const struct message_ready *ready, const char *address)
{
    return peer_open_at(w, address) && peer_send(w, MESSAGE_READY, &ready_schema, ready) &&
           peer_receive(w, PEER_PATIENCE_MS) == MESSAGE_ENGAGED;
}

/* One try; false: the machine let more than the 1.5 s pass in which it had to be back, and nothing is said. */
static bool comes_back_and_goes_on(void)
{
    struct server s;
    struct peer_end client, worker;
    struct message_lease lease = {0}, again = {0};
    struct wire_buffer kinds = {0}, held = {0};
    struct message_engaged e = {0};
    uint64_t token = 0;
    char address[PEER_ADDRESS];
    REQUIRE(peer_free_address(address));
    server_start(&s, (struct broker_options){.listen = address, .lease_ms = 300000, .session_timeout_ms = 300000});
    open_client(&client);
    CHECK(peer_submit(&client, "noop", 1, true) > 0);
    CHECK_OK(wire_append_str(&kinds, "noop"));
    struct message_ready ready = {.name = wire_str("w"), .pid = 77, .kinds = wire_list_of(&kinds, 1)};
    REQUIRE(ready_as(&worker, &ready, address) && take_one(&worker, &lease, PEER_PATIENCE_MS));
    CHECK_OK(wire_append_uint(&held, lease.token));
    ready.held = wire_list_of(&held, 1);
    const int64_t lost = peer_clock_ms();
    peer_close(&worker);
    usleep(300000);
    REQUIRE(ready_as(&worker, &ready, address) && peer_decode(&worker, &engaged_schema, &e));
    const bool late = peer_clock_ms() - lost >= 1500;
    CHECK(late || (wire_next_uint(&e.resumed, &token) && token == lease.token));
    CHECK(late || !take_one(&worker, &again, 2500)); /* it was not given up, also not later */
    peer_close(&worker);
    peer_close(&client);
    server_stop(&s);
    wire_free(&kinds);
    wire_free(&held);
    return !late;
}

/* The same process on a new connection keeps its item. */
TEST(a_worker_that_comes_back_in_time_goes_on)
{
    bool in_time = false;
    for (int i = 0; i < 10 && !in_time; i++)
        in_time = comes_back_and_goes_on();
    CHECK(in_time);
}
