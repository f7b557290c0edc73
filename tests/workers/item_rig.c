#include "item_rig.h"

#include "test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct places item_rig_places;
static char here[128];

void item_rig_open(void)
{
    REQUIRE(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0 && getcwd(here, sizeof here));
    item_rig_places = (struct places){.features = ".", .objects = "objects", .decoders = {1}};
    CHECK_OK(store_open("features", &(struct store_options){0}, &item_rig_places.store));
}

void item_rig_close(void)
{
    store_close(&item_rig_places.store);
}

const char *item_rig_path(const char *name)
{
    static char path[8][4096];
    static int turn;
    char *out = path[turn++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", here, name);
    return out;
}

struct lease *item_rig_grant(const char *kind, const struct wire_schema *schema, const void *params,
                             const char *const *paths, const char *const *outs, int count)
{
    struct wire_buffer leases = {0}, job = {0};
    struct lease *l = NULL;
    static uint64_t token = 100;
    if (schema)
        CHECK_OK(wire_encode(schema, params, &job));
    for (int i = 0; i < count; i++) {
        struct wire_buffer own = {0};
        if (outs)
            CHECK_OK(wire_encode(&kind_features_item_schema, &(struct kind_features_item){wire_str(outs[i])}, &own));
        CHECK_OK(wire_encode(&lease_schema,
                             &(struct message_lease){.index = (uint64_t)i,
                                                     .token = token++,
                                                     .attempt = 1,
                                                     .path = wire_str(paths[i]),
                                                     .params = {own.data, (uint32_t)own.bytes}},
                             &leases));
        wire_free(&own);
    }
    const struct message_grant m = {.kind = wire_str(kind),
                                    .params = {job.data, (uint32_t)job.bytes},
                                    .leases = wire_list_of(&leases, (uint32_t)count)};
    CHECK_OK(lease_create(&m, &item_rig_places, &l));
    wire_free(&leases);
    wire_free(&job);
    REQUIRE(l);
    return l;
}

struct item *item_rig_prepare(struct lease *l)
{
    item_prepare(&l->items[0].work);
    return &l->items[0];
}

void item_rig_commit(struct lease *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->items[i].committing = true;
    lease_commit(&l->work);
}

bool item_rig_holds_nothing(const struct item *it)
{
    return it->input == -1 && it->result_fd == -1 && it->array.fd == -1 && !it->array.temporary && it->ffmpeg.pid == 0;
}
