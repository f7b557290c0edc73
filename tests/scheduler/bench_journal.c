/* The gate of the journal: the same groups of records appended to a file and synced, and committed to LMDB, by turns.
 * usage: bench_journal [GROUPS [RECORDS]] in the folder whose disk is asked about. */
#include "journal_lmdb.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 60, RESULT_BYTES = 250 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *ms, int n, int percent)
{
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    return ms[(n - 1) * percent / 100];
}

/* One item's life: added, leased, done. */
static void put_item(struct journal *j, uint64_t job, uint32_t index)
{
    static uint8_t path[PATH_BYTES], result[RESULT_BYTES];
    j->put(j, &(struct journal_record){
                  .type = JOURNAL_ITEM, .job = job, .index = index, .item = {.path = {path, sizeof path}}});
    j->put(j, &(struct journal_record){
                  .type = JOURNAL_GRANTED, .job = job, .index = index, .attempts = 1, .token = index + 1});
    j->put(j, &(struct journal_record){.type = JOURNAL_OUTCOME,
                                       .job = job,
                                       .index = index,
                                       .number = index,
                                       .attempts = 1,
                                       .token = index + 1,
                                       .outcome = {ITEM_DONE, 0, {0}, {result, sizeof result}}});
}

int main(int argc, char **argv)
{
    const int groups = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 400;
    const int records = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 64;
    char folder[] = "bench-journal-XXXXXX", path[64];
    struct journal_lmdb *disk = NULL;
    if (groups < 1 || records < 1 || !mkdtemp(folder) || journal_lmdb_open(folder, &disk)) {
        fprintf(stderr, "bench_journal: %s\n", disk ? "usage: bench_journal [GROUPS [RECORDS]]" : status_message());
        return 1;
    }
    struct journal *const j = journal_lmdb_base(disk);
    snprintf(path, sizeof path, "%s/log", folder);
    const int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    const size_t bytes = (size_t)records * (PATH_BYTES + RESULT_BYTES + 3 * 32);
    char *const block = calloc(1, bytes);
    double *const append = calloc((size_t)groups, sizeof *append), *const lmdb = calloc((size_t)groups, sizeof *lmdb);
    int code = log < 0 || !block || !append || !lmdb;
    j->put(j, &(struct journal_record){.type = JOURNAL_JOB, .job = 1, .submitted = {.kind = wire_str("noop")}});
    for (int g = 0; g < groups && !code; g++) {
        double began = now_ms();
        code = write(log, block, bytes) != (ssize_t)bytes || fdatasync(log);
        append[g] = now_ms() - began;
        began = now_ms();
        for (int i = 0; i < records; i++)
            put_item(j, 1, (uint32_t)(g * records + i));
        code = code ? code : j->commit(j);
        lmdb[g] = now_ms() - began;
    }
    if (code)
        fprintf(stderr, "bench_journal: %s\n", status_message());
    else
        printf("%d groups of %d items (added, leased, done): append and fdatasync p50 %.3f ms, p99 %.3f; LMDB p50 %.3f "
               "ms, "
               "p99 %.3f; ratio of p50 %.2f; %.0f items/s through LMDB\n",
               groups, records, percentile(append, groups, 50), percentile(append, groups, 99),
               percentile(lmdb, groups, 50), percentile(lmdb, groups, 99),
               percentile(lmdb, groups, 50) / percentile(append, groups, 50),
               1e3 * records / percentile(lmdb, groups, 50));
    journal_lmdb_close(&disk);
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "log"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
    close(log);
    free(block);
    free(append);
    free(lmdb);
    return code ? 1 : 0;
}
