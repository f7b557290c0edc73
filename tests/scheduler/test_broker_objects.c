/* PUT and GET of the broker: real sockets, raw peers. */
#include "object_peer.h"
#include "server.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

enum { SIZE = 3 * LIMIT_CHUNK + 777 };

TEST(what_is_put_can_be_got_on_both_sockets)
{
    struct server s;
    struct peer_end client, worker;
    struct hash name, empty;
    bool whole = true;
    uint64_t size = 0;
    server_start(&s, (struct broker_options){.objects = "objects"});
    server_open_client(&client);
    REQUIRE(peer_open(&worker, "run", "worker"));
    uint8_t *data = object_noise(SIZE, 1, &name), *back = malloc(LIMIT_CHUNK);
    CHECK(object_ask(&worker, &name, SIZE, NULL) == -ERROR_SESSION); /* READY must come first */
    REQUIRE(back && peer_ready(&worker, "w", "noop", NULL));
    CHECK(object_ask(&client, &name, SIZE, &whole) == 0 && !whole);
    CHECK(object_put_all(&client, &name, data, SIZE));
    CHECK(object_ask(&worker, &name, SIZE, &whole) == SIZE && whole);
    for (uint64_t at = 0; at < SIZE; at += LIMIT_CHUNK) {
        const int64_t n = get(&worker, &name, at, 0, back, &size);
        CHECK(n == (int64_t)(SIZE - at < LIMIT_CHUNK ? SIZE - at : LIMIT_CHUNK) && size == SIZE);
        CHECK(n > 0 && memcmp(back, data + at, (size_t)n) == 0);
    }
    CHECK(get(&client, &name, 100, 10, back, &size) == 10 && memcmp(back, data + 100, 10) == 0);
    CHECK(get(&client, &name, SIZE + 5, 10, back, &size) == 0);
    hash_bytes("", 0, &empty);
    CHECK(object_put(&worker, &empty, 0, 0, NULL, 0, &whole) == 0 && whole);
    CHECK(get(&worker, &empty, 0, 0, back, &size) == 0 && size == 0);
    CHECK(files_in("objects/queue/spool") == 0);
    peer_close(&client);
    peer_close(&worker);
    server_end_well(&s);
    server_start(&s, (struct broker_options){.objects = "objects"}); /* still there */
    server_open_client(&client);
    CHECK(object_ask(&client, &name, SIZE, &whole) == SIZE && whole);
    peer_close(&client);
    server_end_well(&s);
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
    server_open_client(&p);
    uint8_t *data = object_noise(SIZE, 2, &name), *wrong = object_noise(SIZE, 3, &other);
    const struct message_put short_name = {.object = {name.bytes, 31}, .size = 5};
    CHECK(peer_send(&p, MESSAGE_PUT, &put_schema, &short_name) && peer_gets_error(&p, ERROR_BODY));
    CHECK(object_put(&p, &name, 10, 8, data, 5, NULL) == -ERROR_LIMIT);
    CHECK(object_put(&p, &name, UINT64_C(1) << 60, 0, data, 5, NULL) == -ERROR_LIMIT);
    CHECK(object_put(&p, &name, UINT64_C(1) << 40, 0, data, 5, NULL) ==
          -ERROR_BUSY);                                                         /* no disk has so much room here */
    CHECK(object_put(&p, &name, SIZE, 1000, data, 1000, NULL) == -ERROR_STATE); /* nothing is there yet */
    CHECK(object_put(&p, &name, SIZE, 0, data, 1000, NULL) == 1000);
    CHECK(object_put(&p, &name, SIZE, 2000, data, 1000, NULL) == -ERROR_STATE);   /* a gap */
    CHECK(object_put(&p, &name, SIZE, 0, data, 1000, NULL) == 1000);              /* said again */
    CHECK(object_put(&p, &name, SIZE, 500, wrong, 1000, NULL) == 1000);           /* overlaps: nothing is written */
    CHECK(object_put(&p, &name, SIZE + 1, 1000, data, 10, NULL) == -ERROR_STATE); /* another size */
    CHECK(object_ask(&p, &name, SIZE, &whole) == 1000 && !whole);
    CHECK(get(&p, &name, 0, 10, back, &size) == -ERROR_NOT_FOUND); /* nothing half is seen */
    CHECK(object_put(&p, &name, SIZE + 8, 0, data, 8, NULL) == 8); /* the other size from its start: anew */
    CHECK(object_put(&p, &name, SIZE, 0, data, 8, NULL) == 8);
    /* Bytes of another name: refused at the end, and nothing is left of them. */
    CHECK(object_put(&p, &other, 1000, 0, data, 1000, NULL) == -ERROR_STATE);
    CHECK(object_ask(&p, &other, 1000, &whole) == 0 && !whole);
    CHECK(get(&p, &other, 0, 10, back, &size) == -ERROR_NOT_FOUND);
    CHECK(object_put_all(&p, &other, wrong, SIZE));
    peer_close(&p);
    server_end_well(&s);
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
    uint8_t *data = object_noise(SIZE, 4, &name);
    server_start(&s, (struct broker_options){.objects = "objects"});
    server_open_client(&p);
    REQUIRE(object_put_all(&p, &name, data, SIZE));
    CHECK(get(&p, &name, 0, 10, back, &size) == 10);
    object_path(&name, path);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    const int fd = open(path, O_WRONLY);
    REQUIRE(fd >= 0 && pwrite(fd, "x", 1, SIZE - 1) == 1 && close(fd) == 0);
    CHECK(get(&p, &name, 0, 10, back, &size) == -ERROR_NOT_FOUND); /* also pieces that would be right */
    CHECK(access(path, F_OK) != 0 && access(aside, F_OK) == 0);
    CHECK(object_ask(&p, &name, SIZE, &whole) == 0 && !whole);
    CHECK(object_put_all(&p, &name, data, SIZE) && get(&p, &name, 0, 10, back, &size) == 10);
    REQUIRE(truncate(path, 5) == 0);
    CHECK(object_ask(&p, &name, SIZE, &whole) == 0 && !whole); /* it is looked at before it is called whole */
    peer_close(&p);
    server_end_well(&s);
    free(data);
}

TEST(uploads_are_bounded_and_do_not_stay)
{
    struct server s;
    struct peer_end p, q;
    struct hash name[12];
    bool whole;
    server_start(&s, (struct broker_options){.objects = "objects", .session_timeout_ms = 300000});
    server_open_client(&p);
    server_open_client(&q);
    for (int i = 0; i < 12; i++) {
        uint8_t *data = object_noise(100, 10 + (uint64_t)i, &name[i]);
        const int64_t got = object_put(&p, &name[i], 100, 0, data, 50, NULL);
        test_report(got == (i < 8 ? 50 : -ERROR_BUSY), __FILE__, __LINE__, "upload %d: %lld", i, (long long)got);
        free(data);
    }
    CHECK(object_ask(&q, &name[0], 100, &whole) == 50); /* another may go on with it */
    CHECK(files_in("objects/queue/spool") == 8);
    peer_close(&p);
    peer_close(&q);
    server_end_well(&s);
    CHECK(files_in("objects/queue/spool") == 0);
    server_start(&s,
                 (struct broker_options){.objects = "objects", .upload_idle_ms = 300, .session_timeout_ms = 300000});
    server_open_client(&p);
    for (int i = 0; i < 12; i++) { /* some may go before the last comes; none stays */
        uint8_t *data = object_noise(100, 10 + (uint64_t)i, &name[i]);
        const int64_t got = object_put(&p, &name[i], 100, 0, data, 50, NULL);
        CHECK(got == 50 || (i >= 8 && got == -ERROR_BUSY));
        free(data);
    }
    const int64_t end = peer_clock_ms() + PEER_PATIENCE_MS;
    while (files_in("objects/queue/spool") && peer_clock_ms() < end)
        usleep(20000);
    CHECK(files_in("objects/queue/spool") == 0);
    CHECK(object_ask(&p, &name[0], 100, &whole) == 0);
    peer_close(&p);
    server_end_well(&s);
    FILE *f = fopen("objects/queue/spool/new-abcdef", "w"); /* of a process that was killed */
    REQUIRE(f && fclose(f) == 0);
    server_start(&s, (struct broker_options){.objects = "objects"});
    CHECK(files_in("objects/queue/spool") == 0);
    server_end_well(&s);
}

TEST(without_a_folder_there_are_no_objects)
{
    struct server s;
    struct peer_end p;
    struct hash name;
    uint8_t back[8];
    uint64_t size;
    server_start(&s, (struct broker_options){0});
    server_open_client(&p);
    free(object_noise(8, 1, &name));
    CHECK(object_ask(&p, &name, 8, NULL) == -ERROR_STATE && get(&p, &name, 0, 8, back, &size) == -ERROR_STATE);
    peer_close(&p);
    server_end_well(&s);
}
