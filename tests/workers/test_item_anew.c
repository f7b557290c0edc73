/* A checkpoint of the queue that is lost: who goes on from it begins anew, and says so; a training with a folder has
 * its states there. */
#include "item.h"
#include "test.h"

#include <math.h>
#include <string.h>

static struct places places = {.features = ".", .objects = "objects", .decoders = {1}};

static struct lease *grant(const char *kind, const char *out)
{
    struct wire_buffer own = {0}, leases = {0};
    const struct hash lost = {.bytes = {1, 2, 3}};
    struct lease *l = NULL;
    const struct kind_train_item train = {.out = out ? wire_str(out) : (struct wire_slice){0},
                                          .preset = wire_str("tiny"),
                                          .rate = NAN,
                                          .beta = NAN,
                                          .free_nats = NAN,
                                          .dropout = NAN,
                                          .weight_decay = NAN};
    const struct kind_sweep_item trial = {.out = wire_str(out ? out : ""),
                                          .preset = wire_str("tiny"),
                                          .rate = NAN,
                                          .beta = NAN,
                                          .free_nats = NAN,
                                          .dropout = NAN,
                                          .weight_decay = NAN,
                                          .judge = NAN,
                                          .model = wire_str("/models/best")};
    const bool is_trial = strcmp(kind, KIND_SWEEP) == 0;
    CHECK_OK(is_trial ? wire_encode(&kind_sweep_item_schema, &trial, &own)
                      : wire_encode(&kind_train_item_schema, &train, &own));
    CHECK_OK(wire_encode(&lease_schema,
                         &(struct message_lease){.token = 7,
                                                 .attempt = 2,
                                                 .path = wire_str("/sounds"),
                                                 .params = {own.data, (uint32_t)own.bytes},
                                                 .checkpoint = {lost.bytes, HASH_BYTES},
                                                 .progress = 0.5},
                         &leases));
    CHECK_OK(
        lease_create(&(struct message_grant){.kind = wire_str(kind), .leases = wire_list_of(&leases, 1)}, &places, &l));
    wire_free(&own);
    wire_free(&leases);
    REQUIRE(l);
    return l;
}

TEST(says_that_it_begins_anew_where_it_does)
{
    static const struct {
        const char *kind, *out;
        bool says;
        const char *why;
    } cases[] = {{KIND_TRAIN, "/models/m", false, "its states are in its folder"},
                 {KIND_SWEEP, "/sweep", false, "a trial is a training with a folder"},
                 {KIND_TRAIN_OBJECTS, NULL, true, "its states are checkpoints"},
                 {KIND_TRAIN, NULL, true, "without a folder, likewise"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lease *l = grant(cases[i].kind, cases[i].out);
        struct item *const it = &l->items[0];
        CHECK(it->has_checkpoint);
        const int ignored = fail(STATUS_NOT_FOUND, "the object is gone");
        (void)ignored;
        item_begins_anew(it);
        const bool said = strcmp(it->anew, "begun anew: its checkpoint: the object is gone") == 0;
        if (it->has_checkpoint || (cases[i].says ? !said : it->anew[0] != '\0'))
            test_report(false, __FILE__, __LINE__, "%s: '%s'", cases[i].why, it->anew);
        lease_destroy(&l);
    }
}
