/* A feature store with any one record in it that has its checksum, as another program or another version might have
 * left it, and all who read it: a worker, fsck, and both exports.
 *
 *   input        control u8 (below), then kind u8, dtype u8, place u8, bins u32, frames u64, the result (made by a
 *                table, u16 of its name, or raw bytes behind their length u8), the array (length u8), harm u16
 *   properties   a worker serves a result by its table and a .npy of the size that its header claims, or computes
 *                anew, or fails with a class and a message in UTF-8; fsck finds what is damaged and the second one
 *                nothing; exports succeed; nothing leaks */
#include "item.h"
#include "npy.h"
#include "objects.h"
#include "shape.h"
#include "store_export.h"
#include "store_state.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum control {
    CONTROL_FEATURES = 1,
    CONTROL_RAW = 2,
    CONTROL_REFUSAL = 4,
    CONTROL_HARM = 8,
    CONTROL_NPZ = 16,
    CONTROL_KNOWN_OBJECT = 32,
    CONTROL_AS_IT_IS = 64 /* the record's kind is not its key's */
};

volatile sig_atomic_t cli_interrupted;

static struct {
    struct places places;
    char features[300], objects[300], input[300], out[300], export[300];
    struct hash file, object;
} world;

static struct lease *grant(bool features)
{
    struct wire_buffer params = {0}, own = {0}, leases = {0};
    struct lease *l = NULL;
    const struct kind_features_params p = {.feature = wire_str("mfcc"),
                                           .fmin_hz = NAN,
                                           .fmax_hz = NAN,
                                           .top_db = NAN,
                                           .lifter = NAN,
                                           .rolloff = NAN,
                                           .quantile = NAN,
                                           .order = NAN};
    const struct kind_features_item item = {.out = wire_str(world.out)};
    FUZZ_CHECK(wire_encode(&kind_features_item_schema, &item, &own) == STATUS_OK);
    if (features)
        FUZZ_CHECK(wire_encode(&kind_features_params_schema, &p, &params) == STATUS_OK);
    const struct message_lease lease = {
        .token = 5, .attempt = 1, .path = wire_str(world.input), .params = {own.data, (uint32_t)own.bytes}};
    FUZZ_CHECK(wire_encode(&lease_schema, &lease, &leases) == STATUS_OK);
    const struct message_grant m = {.kind = wire_str(features ? KIND_FEATURES : KIND_ANALYZE),
                                    .params = {params.data, (uint32_t)params.bytes},
                                    .leases = wire_list_of(&leases, 1)};
    FUZZ_CHECK(lease_create(&m, &world.places, &l) == STATUS_OK && !l->code && l->count == 1);
    wire_free(&params);
    wire_free(&own);
    wire_free(&leases);
    return l;
}

static void open_world(void)
{
    if (world.places.store)
        return;
    const char *const folder = fuzz_folder();
    snprintf(world.features, sizeof world.features, "%s/features", folder);
    snprintf(world.objects, sizeof world.objects, "%s/objects", folder);
    snprintf(world.input, sizeof world.input, "%s/a.wav", folder);
    snprintf(world.out, sizeof world.out, "%s/out.npy", folder);
    snprintf(world.export, sizeof world.export, "%s/export", folder);
    FUZZ_CHECK(mkdir(world.features, 0700) == 0 && mkdir(world.objects, 0700) == 0);
    world.places = (struct places){.features = world.features, .objects = world.objects};
    FUZZ_CHECK(store_open(world.features, &(struct store_options){0}, &world.places.store) == STATUS_OK);
    FUZZ_CHECK(world.places.store);
    FUZZ_CHECK(mdb_env_set_flags(world.places.store->env, MDB_NOSYNC, 1) == 0);
    const int fd = open(world.input, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, "sixteen bytes ..", 16) == 16);
    FUZZ_CHECK(hash_file(fd, &world.file, NULL) == STATUS_OK);
    FUZZ_CHECK(objects_put_file(world.objects, fd, 0, 16, &world.object) == STATUS_OK && close(fd) == 0);
}

/* As item.c's refusal_key. */
static void make_refusal(struct store_key *key)
{
    uint8_t parts[2 + sizeof key->params + sizeof world.places.decoders] = {(uint8_t)(key->kind >> 8),
                                                                            (uint8_t)key->kind};
    memcpy(parts + 2, key->params, sizeof key->params);
    hash_short(parts, sizeof parts, key->params);
    key->kind = FEATURE_REFUSAL;
}

static void read_record(struct fuzz_input *in, uint8_t control, uint16_t kind, struct record *r,
                        struct wire_buffer *result)
{
    *r = (struct record){.kind = kind, .code_version = "1", .device = "cpu"};
    const uint8_t other = fuzz_byte(in);
    if (control & CONTROL_AS_IT_IS)
        r->kind = other;
    r->dtype = fuzz_byte(in);
    r->place = fuzz_byte(in) % 3;
    r->bins = (uint32_t)fuzz_number(in, 4);
    r->frames = fuzz_number(in, 8);
    if (control & CONTROL_RAW) {
        const struct wire_slice raw = fuzz_slice(in, fuzz_byte(in));
        FUZZ_CHECK(wire_append(result, raw.data, raw.bytes) == STATUS_OK);
    } else {
        shape_encode(shape_table((uint16_t)fuzz_number(in, 2)), in, NULL, result);
    }
    r->result = result->data;
    r->result_bytes = (uint32_t)result->bytes;
    const uint8_t array_bytes = fuzz_byte(in);
    const struct wire_slice array = fuzz_slice(in, array_bytes);
    r->array = array.data;
    r->array_bytes = r->place == RECORD_OBJECT ? array_bytes : array.bytes;
    if (control & CONTROL_KNOWN_OBJECT)
        r->object = world.object;
}

/* Puts it, and says whether it was harmed. */
static bool put(struct fuzz_input *in, uint8_t control, const struct lease *l, struct record *r)
{
    struct store_key key = {.file = world.file, .kind = (uint16_t)l->feature};
    struct wire_buffer result = {0};
    memcpy(key.params, l->params_hash, sizeof key.params);
    if (control & CONTROL_REFUSAL)
        make_refusal(&key);
    read_record(in, control, key.kind, r, &result);
    const size_t bytes = record_bytes(r), harm = fuzz_number(in, 2) % bytes;
    uint8_t *const b = malloc(bytes);
    FUZZ_CHECK(b);
    record_encode(r, b);
    b[harm] ^= control & CONTROL_HARM ? 1 << harm % 8 : 0;
    const struct store_put one = {.has_record = true, .key = key, .record = b, .record_bytes = bytes};
    FUZZ_CHECK(store_commit(world.places.store, &one, 1) == STATUS_OK);
    free(b);
    wire_free(&result);
    return control & CONTROL_HARM || r->kind != key.kind;
}

static void check_array(const struct record *r)
{
    struct stat s;
    uint64_t bytes = 0;
    FUZZ_CHECK(stat(world.out, &s) == 0 && unlink(world.out) == 0);
    FUZZ_CHECK(npy_array_bytes((enum dtype)r->dtype, r->bins, r->frames, &bytes) == STATUS_OK);
    FUZZ_CHECK((uint64_t)s.st_size == NPY_HEADER_BYTES + bytes);
}

static void serve(struct lease *l, const struct record *r, bool harmed, bool refusal)
{
    _Alignas(16) char space[1024];
    struct item *const it = &l->items[0];
    item_prepare(&it->work);
    if (it->stage != STAGE_OVER)
        return;
    if (it->code) {
        FUZZ_CHECK(it->code < 0 && it->failure != FAILURE_NONE && it->failure <= FAILURE_INTERNAL);
        FUZZ_CHECK(wire_is_utf8(it->message, strlen(it->message)));
        if (refusal)
            fuzz_accept();
        return;
    }
    FUZZ_CHECK(it->in_store && !harmed && !refusal);
    FUZZ_CHECK(wire_decode(l->result_schema, it->result.data, it->result.bytes, space) == STATUS_OK);
    if (l->task == TASK_FEATURES)
        check_array(r);
    fuzz_accept();
}

static void say_nothing(void *context, const char *line)
{
    (void)context;
    FUZZ_CHECK(line[0]);
}

/* Leaves the store empty. */
static void care(uint8_t control)
{
    struct store *const s = world.places.store;
    const struct common common = {.format = control & CONTROL_FEATURES ? OUTPUT_JSON : OUTPUT_TABLE};
    const struct store_export wish = {.out = world.export, .npz = control & CONTROL_NPZ};
    struct store_check first, second;
    MDB_txn *txn = NULL;
    const int out = fuzz_mute(stdout), error = fuzz_mute(stderr);
    const int code = store_export(&common, s, world.objects, &wish);
    fuzz_unmute(stderr, error);
    fuzz_unmute(stdout, out);
    FUZZ_CHECK(code == STATUS_OK && unlink(world.export) == 0);
    FUZZ_CHECK(store_fsck(s, say_nothing, NULL, &first) == STATUS_OK && first.damaged == first.quarantined);
    FUZZ_CHECK(store_fsck(s, say_nothing, NULL, &second) == STATUS_OK && second.damaged == 0);
    FUZZ_CHECK(store_begin(s, true, &txn) == STATUS_OK);
    FUZZ_CHECK(mdb_drop(txn, s->feature, 0) == 0 && mdb_drop(txn, s->stat, 0) == 0);
    FUZZ_CHECK(mdb_drop(txn, s->quarantine, 0) == 0 && mdb_txn_commit(txn) == 0);
    pthread_rwlock_unlock(&s->growth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct record r;
    const uint8_t control = fuzz_byte(&in);
    open_world();
    struct lease *l = grant(control & CONTROL_FEATURES);
    const bool harmed = put(&in, control, l, &r);
    serve(l, &r, harmed, control & CONTROL_REFUSAL);
    lease_destroy(&l);
    care(control);
    return 0;
}

static void seed(const char *name, uint8_t control, uint8_t place, const struct wire_schema *schema, const void *result)
{
    struct wire_buffer map = {0};
    uint8_t b[400] = {control, 0, DTYPE_F32, place, 2, 0, 0, 0, 2};
    size_t n = 16;
    FUZZ_CHECK(wire_encode(schema, result, &map) == STATUS_OK && map.bytes < 200);
    b[0] |= CONTROL_RAW;
    b[n++] = (uint8_t)map.bytes;
    memcpy(b + n, map.data, map.bytes);
    n += map.bytes;
    b[n++] = 16;
    fuzz_seed(name, b, n + 16 + 2);
    wire_free(&map);
}

void fuzz_seeds(void)
{
    const struct kind_analyze_result a = {.codec = wire_str("mp3"), .rms = 0.5, .rate_hz = 44100};
    const struct kind_features_result f = {.feature = wire_str("mfcc"), .bins = 2, .frames = 2};
    const struct message_error e = {.code = -STATUS_FORMAT, .message = wire_str("no sound")};
    seed("analyze", 0, RECORD_NO_ARRAY, &kind_analyze_result_schema, &a);
    seed("inline", CONTROL_FEATURES | CONTROL_NPZ, RECORD_INLINE, &kind_features_result_schema, &f);
    seed("object", CONTROL_FEATURES | CONTROL_NPZ | CONTROL_KNOWN_OBJECT, RECORD_OBJECT, &kind_features_result_schema,
         &f);
    seed("refusal", CONTROL_REFUSAL, RECORD_NO_ARRAY, &error_schema, &e);
}
