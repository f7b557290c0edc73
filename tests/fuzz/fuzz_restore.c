/* A queue made of any sequence of journal records, in any order, as a journal might tell them.
 *
 *   input        records: type u8 (255 ends them), job u8, index u8, attempts u8, token u16, number u8, unix_ms u8,
 *                then what the type carries, made by the stored table (shape.h; a checkpoint's object has its 32 bytes,
 *                since a journal tells no other). Then bytes for the events after it
 *   properties   restoring refuses with STATUS_DAMAGED, or the queue passes queue_check, then and after events; slices
 *                of a record are not kept beyond the call; nothing leaks */
#include "after.h"
#include "journal_stored.h"
#include "shape.h"

#include <math.h>
#include <string.h>

enum { RECORDS_MOST = 100, TYPES = 16, EPOCH = 3, NOW_MS = 1000, UNIX_MS = 5000000, END_OF_RECORDS = 255 };

struct told { /* by the journal under test */
    struct journal_memory journal;
    struct fuzz_input *in;
};

/* An unusual value now and then. */
static uint32_t small(uint8_t c)
{
    return c < 250 ? c % 8u : c < 253 ? c : UINT32_MAX - c;
}

static void read_job(struct fuzz_input *in, struct journal_job *out, struct wire_buffer *body)
{
    struct stored_job m;
    shape_message(&stored_job_schema, in, NULL, body, &m);
    *out = journal_job_of(&m);
}

static void read_checkpoint(struct fuzz_input *in, struct journal_checkpoint *out, struct wire_buffer *body)
{
    static const uint8_t any[LIMIT_OBJECT];
    struct stored_checkpoint m;
    shape_message(&stored_checkpoint_schema, in, NULL, body, &m);
    *out = (struct journal_checkpoint){.object = m.object, .progress = isnan(m.progress) ? 0 : m.progress};
    if (m.object.bytes != LIMIT_OBJECT)
        out->object = (struct wire_slice){any, LIMIT_OBJECT};
}

static void read_carried(struct fuzz_input *in, struct journal_record *r, struct wire_buffer *body)
{
    if (r->type == JOURNAL_JOB) {
        read_job(in, &r->submitted, body);
    } else if (r->type == JOURNAL_ITEM) {
        shape_message(&item_schema, in, NULL, body, &r->item);
    } else if (r->type == JOURNAL_OUTCOME) {
        struct stored_outcome m;
        shape_message(&stored_outcome_schema, in, NULL, body, &m);
        r->outcome = (struct journal_outcome){
            .state = m.state, .failure = m.failure, .message = m.message, .result = m.result, .log = m.log};
    } else if (r->type == JOURNAL_CONTROL) {
        struct stored_control m;
        shape_message(&stored_control_schema, in, NULL, body, &m);
        r->control = (struct journal_control){
            .priority = m.priority, .paused = m.paused, .session = m.session, .deadline_unix_ms = m.deadline_unix_ms};
    } else if (r->type == JOURNAL_CHECKPOINT) {
        read_checkpoint(in, &r->checkpoint, body);
    }
}

static void read_record(struct fuzz_input *in, uint8_t type, struct journal_record *r, struct wire_buffer *body)
{
    *r = (struct journal_record){.type = (enum journal_type)(type % TYPES)};
    r->job = small(fuzz_byte(in));
    r->index = small(fuzz_byte(in));
    r->attempts = small(fuzz_byte(in));
    r->token = fuzz_number(in, 2);
    r->token = r->token & 0xff ? r->token << 33 | (r->token & 0xff) : 0; /* epochs 0 to 127 */
    r->number = small(fuzz_byte(in));
    r->unix_ms = (uint64_t)fuzz_byte(in) * 100000;
    read_carried(in, r, body);
}

static int load(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                struct journal_loaded *out)
{
    struct fuzz_input *const in = ((struct told *)j)->in;
    int code = STATUS_OK;
    *out = (struct journal_loaded){0};
    for (int i = 0; i < RECORDS_MOST && in->left && !code; i++) {
        struct wire_buffer body = {0}; /* gone after the call: what is kept of it is found by AddressSanitizer */
        struct journal_record r;
        const uint8_t type = fuzz_byte(in);
        if (type == END_OF_RECORDS)
            break;
        read_record(in, type, &r, &body);
        code = each(context, &r);
        wire_free(&body);
    }
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct told t = {.in = &in};
    journal_memory_init(&t.journal);
    t.journal.journal.load = load;
    if (after_restore(&t.journal.journal, EPOCH, NOW_MS, UNIX_MS, &in))
        fuzz_accept();
    return 0;
}

static void add(uint8_t *out, size_t *n, uint8_t type, uint8_t index, uint8_t attempts, uint8_t token, uint8_t number)
{
    const uint8_t record[] = {type, 1, index, attempts, token, 1, number, 40};
    memcpy(out + *n, record, sizeof record);
    *n += sizeof record;
}

/* A job with its kind, the first word, and what `fields` says of the 16 that may be left out: the bytes of each. */
static void add_job(uint8_t *out, size_t *n, const uint8_t *fields, size_t bytes)
{
    add(out, n, JOURNAL_JOB, 0, 0, 0, 0);
    out[(*n)++] = 0;
    memcpy(out + *n, fields, bytes);
    *n += bytes;
    for (uint8_t i = 0; i < 3; i++) {
        add(out, n, JOURNAL_ITEM, i, 0, 0, 0);
        memset(out + *n, 0, 3);
        *n += 3;
    }
}

/* An outcome with its state; of the five fields that may be left out only the failure is there. */
static void add_outcome(uint8_t *out, size_t *n, uint8_t index, uint8_t number, uint8_t state, uint8_t failure)
{
    const uint8_t map[] = {0, 0, 0, state, 200, failure, 0, 0, 0};
    add(out, n, JOURNAL_OUTCOME, index, 1, (uint8_t)(10 + index), number);
    memcpy(out + *n, map, sizeof map);
    *n += sizeof map;
}

static void end_seed(const char *name, uint8_t *b, size_t n)
{
    add(b, &n, JOURNAL_SEALED, 0, 0, 0, 0);
    b[n++] = END_OF_RECORDS;
    fuzz_noise(name, b + n, 60);
    fuzz_seed(name, b, n + 60);
}

void fuzz_seeds(void)
{
    static const uint8_t attempts[17] = {0, 0, 0, 100, 3};                        /* three attempts */
    static const uint8_t timed[18] = {0, 0, 0, 100, 3, 0, 0, 0, 0, 0, 0, 100, 1}; /* and a deadline long over */
    uint8_t b[400];
    size_t n = 0;
    add_job(b, &n, attempts, sizeof attempts);
    add(b, &n, JOURNAL_GRANTED, 0, 1, 1, 0);
    add(b, &n, JOURNAL_QUEUED, 1, 1, 2, 0);
    end_seed("sealed", b, n);

    n = 0; /* item 0 was dead and is tried again: its lease is told before its outcome */
    add_job(b, &n, attempts, sizeof attempts);
    add(b, &n, JOURNAL_QUEUED, 0, 0, 10, 0);
    add_outcome(b, &n, 0, 0, ITEM_DEAD, 1);
    add_outcome(b, &n, 1, 1, ITEM_DONE, 0);
    add(b, &n, JOURNAL_CHECKPOINT, 2, 0, 0, 0);
    b[n++] = 0;
    b[n++] = 0;
    end_seed("again", b, n);

    n = 0; /* paused, with its deadline over; then as a RETRY leaves it: without the deadline */
    add_job(b, &n, timed, sizeof timed);
    add(b, &n, JOURNAL_CONTROL, 0, 0, 0, 0);
    memcpy(b + n, (const uint8_t[]){0, 100, 1, 0, 100, 1}, 6);
    n += 6;
    end_seed("expires", b, n);
    add(b, &n, JOURNAL_CONTROL, 0, 0, 0, 0);
    memset(b + n, 0, 4);
    end_seed("dropped", b, n + 4);
}
