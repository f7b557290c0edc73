/* bench_churn [ITEMS [ITEMS-A-JOB [RESULT-BYTES [STEP-MS]]]] - does the journal's file stop growing? One job waits all
 * the time, while others come, are done and are removed. Prints the file's size at every tenth part of the items. */
#include "journal_lmdb.h"
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GRANT = 64 };

struct churn {
    struct journal *journal;
    struct queue *queue;
    struct queue_actions actions;
    int64_t now_ms, step_ms; /* each event takes so long, by the queue's clock */
    uint64_t worker, done;
    uint32_t result_bytes;
    int code;
};

/* One group: an event and its commit. */
static void apply(struct churn *c, struct queue_event e)
{
    queue_actions_clear(&c->actions);
    e.unix_ms = c->now_ms += c->step_ms;
    if (!c->code)
        c->code = queue_apply(c->queue, c->now_ms, &e, &c->actions);
    if (!c->code)
        c->code = c->journal->commit(c->journal);
}

static const struct queue_action *find(const struct churn *c, enum queue_action_type type)
{
    for (size_t i = 0; i < c->actions.count; i++)
        if (c->actions.list[i].type == type)
            return &c->actions.list[i];
    return NULL;
}

static void submit(struct churn *c, const char *kind, uint32_t items)
{
    struct wire_buffer b = {0};
    const struct message_item item = {.path = wire_str("/music/a folder of some depth/a file with a name.flac")};
    for (uint32_t i = 0; i < items && !c->code; i++)
        c->code = wire_encode(&item_schema, &item, &b);
    apply(c, (struct queue_event){.type = QUEUE_SUBMIT,
                                  .session = 1,
                                  .submit = &(struct message_submit){
                                      .kind = wire_str(kind), .sealed = true, .items = wire_list_of(&b, items)}});
    wire_free(&b);
}

static void engage(struct churn *c)
{
    struct wire_buffer kinds = {0};
    c->code = c->code ? c->code : wire_append_str(&kinds, "churn");
    apply(c, (struct queue_event){
                 .type = QUEUE_READY,
                 .ready = &(struct message_ready){.name = wire_str("w"), .pid = 7, .kinds = wire_list_of(&kinds, 1)}});
    const struct queue_action *const a = find(c, QUEUE_ENGAGED);
    c->worker = a ? a->worker : 0;
    wire_free(&kinds);
}

/* Takes items and reports them all; returns how many. */
static uint32_t work(struct churn *c, uint32_t most)
{
    static const uint8_t result[LIMIT_RESULT];
    struct wire_buffer b = {0};
    apply(c, (struct queue_event){.type = QUEUE_TAKE,
                                  .worker = c->worker,
                                  .take = &(struct message_take){.credits = most < GRANT ? most : GRANT}});
    const struct queue_action *const a = find(c, QUEUE_GRANT);
    const uint32_t count = a ? (uint32_t)a->count : 0;
    for (uint32_t i = 0; i < count && !c->code; i++)
        c->code = wire_encode(&report_entry_schema,
                              &(struct message_report_entry){.token = c->actions.entries[a->first + i].token,
                                                             .result = {result, c->result_bytes}},
                              &b);
    if (count)
        apply(c, (struct queue_event){.type = QUEUE_REPORT,
                                      .worker = c->worker,
                                      .report = &(struct message_report){wire_list_of(&b, count)}});
    c->done += count;
    wire_free(&b);
    return count;
}

static void churn(struct churn *c, uint64_t items, uint32_t each, const char *folder)
{
    char path[4200];
    struct stat st;
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    submit(c, "waits", 1);
    engage(c);
    for (uint64_t next = items / 10; c->done < items && !c->code;) {
        submit(c, "churn", each);
        for (uint32_t left = each; left && !c->code;)
            left -= work(c, left);
        if (c->done < next || stat(path, &st))
            continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%8llu items: %6.1f MiB, %.0f s\n", (unsigned long long)c->done, (double)st.st_size / (1 << 20),
               (double)(now.tv_sec - began.tv_sec) + 1e-9 * (double)(now.tv_nsec - began.tv_nsec));
        fflush(stdout);
        next += items / 10;
    }
}

int main(int argc, char **argv)
{
    char made[] = "bench-churn-XXXXXX";
    const uint64_t items = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    const uint32_t each = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100;
    const uint32_t bytes = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 250;
    const int64_t step_ms = argc > 4 ? (int64_t)strtol(argv[4], NULL, 10) : 10;
    const char *const folder = mkdtemp(made);
    struct journal_lmdb *disk = NULL;
    struct churn c = {.now_ms = 1000, .step_ms = step_ms, .result_bytes = bytes};
    if (items < 10 || each < 1 || bytes > LIMIT_RESULT || !folder || journal_lmdb_open(folder, &disk)) {
        fprintf(stderr, "bench_churn: %s\n", status_message());
        return 1;
    }
    c.journal = journal_lmdb_base(disk);
    c.code = queue_create(&(struct queue_options){.epoch = 1, .lease_ms = 10000, .journal = c.journal}, &c.queue);
    churn(&c, items, each, folder);
    if (c.code)
        fprintf(stderr, "bench_churn: %s\n", status_message());
    queue_actions_free(&c.actions, c.queue);
    queue_destroy(&c.queue);
    journal_lmdb_close(&disk);
    return c.code ? 1 : 0;
}
