#include "blocks.h"
#include "heap.h"
#include "peers.h"
#include "test.h"
#include "tokens.h"

#include <string.h>

struct entry {
    int key;
    size_t position;
};

static bool is_before(const void *a, const void *b)
{
    return ((const struct entry *)a)->key < ((const struct entry *)b)->key;
}

static void moved(void *element, size_t position)
{
    ((struct entry *)element)->position = position;
}

static bool is_heap(const struct heap *h)
{
    bool good = true;
    for (size_t i = 0; i < h->count; i++) {
        good &= ((struct entry *)h->slots[i])->position == i;
        good &= i == 0 || !is_before(h->slots[i], h->slots[(i - 1) / 2]);
    }
    return good;
}

TEST(heap_keeps_order_under_random_use)
{
    static struct entry entries[500];
    const struct memory memory = {0};
    struct heap h = {.is_before = is_before, .moved = moved, .memory = &memory};
    uint64_t seed = 1;
    for (int i = 0; i < 500; i++)
        entries[i].position = HEAP_NONE;
    CHECK(heap_first(&h) == NULL);
    for (int step = 0; step < 20000; step++) {
        struct entry *e = &entries[test_random(&seed) % 500];
        const int key = (int)(test_random(&seed) % 100);
        if (e->position == HEAP_NONE) {
            e->key = key;
            CHECK_OK(heap_insert(&h, e));
        } else if (step & 1) {
            e->key = key;
            heap_update(&h, e->position);
        } else {
            CHECK(heap_remove(&h, e->position) == e && e->position == HEAP_NONE);
        }
        REQUIRE(is_heap(&h));
    }
    for (int last = -1; h.count;) {
        const struct entry *e = heap_remove(&h, 0);
        CHECK(e->key >= last);
        last = e->key;
    }
    heap_free(&h);
}

static void *never(void *context, void *block, size_t bytes)
{
    (void)context, (void)bytes, (void)block;
    return NULL;
}

TEST(out_of_memory_leaves_containers_as_they_were)
{
    const struct memory none = {.resize = never}, plain = {0};
    struct heap h = {.is_before = is_before, .moved = moved, .memory = &none};
    struct entry e = {.key = 1};
    CHECK_CODE(heap_insert(&h, &e), STATUS_NOMEM);
    CHECK(h.count == 0);
    struct tokens t = {.memory = &none};
    CHECK_CODE(tokens_reserve(&t, 1), STATUS_NOMEM);
    CHECK(tokens_find(&t, 1) == NULL);
    tokens_remove(&t, 1);
    struct blocks b = {0};
    CHECK(blocks_take(&b, &none, 10) == NULL && b.newest == NULL);
    uint8_t *first = blocks_take(&b, &plain, 10);
    REQUIRE(first);
    CHECK(blocks_take(&b, &none, 5000) == NULL);
    CHECK(blocks_take(&b, &none, 10) == first + 10);
    blocks_free(&b, &plain);
}

TEST(blocks_keep_what_they_hold)
{
    enum { COUNT = 3000 };
    static uint8_t *at[COUNT];
    static size_t bytes[COUNT];
    const struct memory memory = {0};
    struct blocks b = {0};
    uint64_t seed = 7;
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = test_random(&seed) % (i % 50 ? 300 : 80000);
        at[i] = blocks_take(&b, &memory, bytes[i]);
        REQUIRE(at[i]);
        memset(at[i], i, bytes[i]);
    }
    bool good = true;
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < bytes[i]; k++)
            good &= at[i][k] == (uint8_t)i;
    CHECK(good);
    blocks_free(&b, &memory);
    CHECK(b.newest == NULL);
}

TEST(tokens_find_what_was_put)
{
    enum { RANGE = 2000 };
    static uint32_t truth[RANGE]; /* index + 1 */
    const struct memory memory = {0};
    struct tokens t = {.memory = &memory};
    uint64_t seed = 3;
    size_t count = 0;
    for (int step = 0; step < 100000; step++) {
        const uint64_t n = test_random(&seed) % RANGE, token = (n + 1) * (n % 3 ? 1 : UINT64_C(1) << 40);
        if (truth[n] && step % 3 == 0) {
            tokens_remove(&t, token);
            truth[n] = 0;
            count--;
        } else {
            CHECK_OK(tokens_reserve(&t, 1));
            count += truth[n] == 0;
            truth[n] = (uint32_t)(test_random(&seed) % 1000) + 1;
            tokens_put(&t, token, truth, truth[n] - 1);
        }
        const uint64_t other = test_random(&seed) % RANGE;
        const struct token_place *p = tokens_find(&t, (other + 1) * (other % 3 ? 1 : UINT64_C(1) << 40));
        REQUIRE(truth[other] ? p && p->index == truth[other] - 1 : !p);
        REQUIRE(t.count == count);
    }
    CHECK(tokens_find(&t, 0) == NULL);
    tokens_free(&t);
}

TEST(peers_have_a_limit)
{
    static struct peers t;
    struct peer *p = NULL;
    struct channel_peer id = {.bytes = 5};
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        memcpy(id.id, &i, sizeof i);
        REQUIRE(peers_add(&t, &id, i + 1, (int64_t)i, &p) == STATUS_OK);
    }
    CHECK_CODE(peers_add(&t, &id, 9999, 0, &p), STATUS_BUSY);
    CHECK(t.oldest->number == 1);
    peers_touch(&t, t.oldest, 99999);
    CHECK(t.oldest->number == 2 && t.newest->number == 1);
    CHECK(peers_numbered(&t, 4000)->number == 4000 && !peers_numbered(&t, 9999));
    peers_remove(&t, peers_numbered(&t, 4000));
    CHECK(!peers_numbered(&t, 4000) && t.count == PEERS_MAX - 1);
    id.bytes = 4;
    CHECK(!peers_find(&t, &id));
    peers_free(&t);
    CHECK(t.count == 0 && !t.oldest && !t.newest);
}
