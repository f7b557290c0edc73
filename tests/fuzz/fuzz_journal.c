/* The journal on disk with any records in it, and the queue that is made of them.
 *
 *   input        records: control u8 (below), job u8, number u8, then the map: made by the part's table (shape.h),
 *                or raw bytes behind their length u8. They are put into LMDB as another program might have left
 *                them there. A record of part 255 ends them; what follows is for the events after the restart
 *   properties   opening and loading end; they refuse with a code, or the queue passes queue_check, then and after
 *                events; what the journal itself wrote is not refused (seeds); nothing leaks */
#include "after.h"
#include "journal_stored.h"
#include "shape.h"

#include <stdio.h>
#include <string.h>

enum { RECORDS_MOST = 64, EPOCH = 3, NOW_MS = 1000, UNIX_MS = 5000000, END_OF_RECORDS = 255 };
enum control { CONTROL_PART = 15, CONTROL_RAW = 16, CONTROL_CHECKSUM = 32, CONTROL_VERSION = 64, CONTROL_KEY = 128 };

static struct journal_lmdb *disk(void)
{
    static struct journal_lmdb j;
    MDB_txn *txn;
    if (j.env)
        return &j;
    j = (struct journal_lmdb){.lock = -1};
    snprintf(j.folder, sizeof j.folder, "%s", fuzz_folder());
    FUZZ_CHECK(mdb_env_create(&j.env) == 0 && mdb_env_set_mapsize(j.env, 64 << 20) == 0);
    FUZZ_CHECK(mdb_env_open(j.env, j.folder, MDB_NOSYNC | MDB_WRITEMAP | MDB_NOLOCK, 0600) == 0);
    FUZZ_CHECK(mdb_txn_begin(j.env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &j.table) == 0);
    FUZZ_CHECK(mdb_txn_commit(txn) == 0);
    return &j;
}

/* The table of a part's maps; parts that came later than this list draw from all tables. */
static const struct wire_schema *schema_of(int part, uint8_t other)
{
    switch (part) {
    case PART_OWN:
        return &stored_own_schema;
    case PART_JOB:
        return &stored_job_schema;
    case PART_ITEM:
        return &item_schema;
    case PART_LEASE:
        return &stored_lease_schema;
    case PART_OUTCOME:
        return &stored_outcome_schema;
    case PART_SEALED:
    case PART_CANCELLED:
    case PART_FINISHED:
    case PART_REMOVED:
        return &stored_end_schema;
    case PART_CHECKPOINT:
        return &stored_checkpoint_schema;
    case PART_CONTROL:
        return &stored_control_schema;
    default:
        return shape_tables[other % shape_table_count];
    }
}

static void put(MDB_txn *txn, MDB_dbi table, struct fuzz_input *in, uint8_t control)
{
    uint8_t key[JOURNAL_KEY_BYTES], head[JOURNAL_HEAD_BYTES] = {JOURNAL_VERSION};
    struct wire_buffer value = {0};
    const int part = control & CONTROL_PART;
    const uint8_t job = fuzz_byte(in), number = fuzz_byte(in);
    journal_key(job, (enum part)part, number, key);
    if (control & CONTROL_VERSION)
        head[0] = fuzz_byte(in);
    FUZZ_CHECK(wire_append(&value, head, sizeof head) == STATUS_OK);
    if (control & CONTROL_RAW) {
        const struct wire_slice raw = fuzz_slice(in, fuzz_byte(in));
        FUZZ_CHECK(wire_append(&value, raw.data, raw.bytes) == STATUS_OK);
    } else {
        shape_encode(schema_of(part, number), in, NULL, &value);
    }
    uint32_t crc = journal_checksum(key, value.data + sizeof head, value.bytes - sizeof head);
    crc += (control & CONTROL_CHECKSUM) != 0;
    for (int i = 0; i < 4; i++)
        value.data[1 + i] = (uint8_t)(crc >> 8 * i);
    const size_t odd = control & CONTROL_KEY ? 1 + fuzz_byte(in) % JOURNAL_KEY_BYTES : JOURNAL_KEY_BYTES;
    MDB_val k = {odd, key}, v = {control & CONTROL_KEY ? fuzz_byte(in) % (value.bytes + 1) : value.bytes, value.data};
    FUZZ_CHECK(mdb_put(txn, table, &k, &v, 0) == 0);
    wire_free(&value);
}

/* As when the journal is opened: who may not read it does not load it. */
static int read_own(struct journal_lmdb *d)
{
    MDB_txn *txn;
    d->last_job = 0;
    FUZZ_CHECK(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn) == 0);
    const int code = journal_read_own(d, txn);
    mdb_txn_abort(txn);
    return code;
}

/* Reads the disk's, and writes nowhere. */
static int load(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                struct journal_loaded *out)
{
    (void)j;
    return journal_load(&disk()->journal, each, context, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct journal_lmdb *const d = disk();
    struct journal_memory journal;
    MDB_txn *txn;
    FUZZ_CHECK(mdb_txn_begin(d->env, NULL, 0, &txn) == 0 && mdb_drop(txn, d->table, 0) == 0);
    for (int i = 0; i < RECORDS_MOST && in.left; i++) {
        const uint8_t control = fuzz_byte(&in);
        if (control == END_OF_RECORDS)
            break;
        put(txn, d->table, &in, control);
    }
    FUZZ_CHECK(mdb_txn_commit(txn) == 0);
    d->removed_count = 0;
    journal_memory_init(&journal);
    journal.journal.load = load;
    if (read_own(d) == STATUS_OK && after_restore(&journal.journal, EPOCH, NOW_MS, UNIX_MS, &in))
        fuzz_accept();
    free(d->removed);
    d->removed = NULL;
    d->removed_count = d->removed_capacity = 0;
    return 0;
}

struct seed {
    struct wire_buffer bytes;
};

static void seed_put(struct seed *s, int part, uint8_t job, uint8_t number, const struct wire_schema *schema,
                     const void *map)
{
    struct wire_buffer value = {0};
    FUZZ_CHECK(wire_encode(schema, map, &value) == STATUS_OK && value.bytes < 256);
    const uint8_t head[] = {(uint8_t)(part | CONTROL_RAW), job, number, (uint8_t)value.bytes};
    FUZZ_CHECK(wire_append(&s->bytes, head, sizeof head) == STATUS_OK);
    FUZZ_CHECK(wire_append(&s->bytes, value.data, value.bytes) == STATUS_OK);
    wire_free(&value);
}

/* What every journal has: its version, and the largest number of a job. */
static void seed_own(struct seed *s, uint8_t last_job)
{
    seed_put(s, PART_OWN, 0, 0, &stored_own_schema, &(struct stored_own){JOURNAL_VERSION, last_job});
}

static void seed_items(struct seed *s, uint8_t job, const struct stored_job *m, bool sealed)
{
    seed_put(s, PART_JOB, job, 0, &stored_job_schema, m);
    for (uint8_t i = 0; i < 4; i++)
        seed_put(s, PART_ITEM, job, i, &item_schema, &(struct message_item){.path = wire_str("/a.wav")});
    if (sealed)
        seed_put(s, PART_SEALED, job, 0, &stored_end_schema, &(struct stored_end){0});
}

static uint64_t token_of(uint8_t job, uint8_t index)
{
    return (UINT64_C(2) << 40 | job * 16u) + index;
}

static void seed_job(struct seed *s, uint8_t job, bool sealed)
{
    seed_items(s, job, &(struct stored_job){.kind = wire_str("noop"), .max_attempts = 3, .submitted_unix_ms = 4000000},
               sealed);
    seed_put(s, PART_LEASE, job, 1, &stored_lease_schema,
             &(struct stored_lease){.token = token_of(job, 1), .attempts = 1});
    seed_put(s, PART_LEASE, job, 2, &stored_lease_schema,
             &(struct stored_lease){.token = token_of(job, 2), .attempts = 1, .queued = true});
    seed_put(s, PART_OUTCOME, job, 0, &stored_outcome_schema,
             &(struct stored_outcome){.index = 0, .token = token_of(job, 0), .attempts = 1, .state = ITEM_DONE});
}

/* With a key, a start and a deadline; item 0 was dead and is tried again, item 1 has saved its state; paused. */
static void seed_timed_job(struct seed *s, uint8_t job)
{
    static const uint8_t object[LIMIT_OBJECT];
    seed_items(s, job,
               &(struct stored_job){.kind = wire_str("noop"),
                                    .max_attempts = 2,
                                    .session = QUEUE_SESSION_KEYED | 7,
                                    .cancel_on_disconnect = true,
                                    .key = wire_str("a key"),
                                    .content = wire_str("0123456789abcdef"),
                                    .start_unix_ms = UNIX_MS + 1000,
                                    .deadline_unix_ms = UNIX_MS + 9000,
                                    .stall_ms = 500},
               true);
    seed_put(s, PART_LEASE, job, 0, &stored_lease_schema,
             &(struct stored_lease){.token = token_of(job, 0), .queued = true});
    seed_put(s, PART_LEASE, job, 1, &stored_lease_schema,
             &(struct stored_lease){.token = token_of(job, 1), .attempts = 1});
    seed_put(s, PART_OUTCOME, job, 0, &stored_outcome_schema,
             &(struct stored_outcome){.index = 0,
                                      .token = token_of(job, 0),
                                      .attempts = 2,
                                      .state = ITEM_DEAD,
                                      .failure = FAILURE_INPUT,
                                      .log = wire_str("line")});
    seed_put(s, PART_CHECKPOINT, job, 1, &stored_checkpoint_schema,
             &(struct stored_checkpoint){.object = {object, sizeof object}, .progress = 0.5});
    seed_put(
        s, PART_CONTROL, job, 0, &stored_control_schema,
        &(struct stored_control){
            .priority = -3, .paused = true, .session = QUEUE_SESSION_KEYED | 8, .deadline_unix_ms = UNIX_MS + 9000});
}

static void seed_end(struct seed *s, const char *name)
{
    uint8_t noise[100];
    fuzz_noise(name, noise, sizeof noise);
    FUZZ_CHECK(wire_append(&s->bytes, &(uint8_t){END_OF_RECORDS}, 1) == STATUS_OK);
    FUZZ_CHECK(wire_append(&s->bytes, noise, sizeof noise) == STATUS_OK);
    fuzz_seed(name, s->bytes.data, s->bytes.bytes);
    wire_free(&s->bytes);
}

void fuzz_seeds(void)
{
    struct seed s = {{0}};
    seed_own(&s, 9);
    seed_end(&s, "empty");
    seed_own(&s, 4);
    seed_job(&s, 1, true);
    seed_job(&s, 4, false);
    seed_end(&s, "open");
    seed_own(&s, 2);
    seed_job(&s, 2, true);
    seed_put(&s, PART_CANCELLED, 2, 0, &stored_end_schema, &(struct stored_end){0});
    seed_put(&s, PART_FINISHED, 2, 0, &stored_end_schema, &(struct stored_end){4500000});
    seed_end(&s, "finished");
    seed_own(&s, 3);
    seed_job(&s, 3, true);
    seed_put(&s, PART_REMOVED, 3, 0, &stored_end_schema, &(struct stored_end){0});
    seed_end(&s, "removed");
    seed_own(&s, 200);
    seed_timed_job(&s, 5);
    seed_job(&s, 6, true);
    seed_end(&s, "timed");
}
