/* The table: what was measured, beside its bar. */
#include "bench_queue.h"

#include <string.h>

#define RATE "items/s", BAR_NONE, 0, 1
#define TIMES "x", BAR_LEAST
#define MILLISECONDS "ms", BAR_MOST

struct row queue_rows[ROWS] = {
    [ROW_DISK] = {"F: fdatasync of a 4 KiB append, p50", "us", BAR_NONE, 0, 1e6},
    [ROW_SUBMITS] = {"durable submits, 64 a message, 16 messages in flight", "items/s", BAR_LEAST, 30000, 1, true},
    [ROW_SUBMITS_64] = {"durable submits, one message of 64 in flight", RATE},
    [ROW_PUTS] = {"beanstalkd -f 0, 64 puts in flight", RATE},
    [ROW_PUTS_LAX] = {"beanstalkd -f 50 (not durable), 64 puts in flight", RATE},
    [ROW_SUBMITS_RATIO] = {"one message of 64 / beanstalkd -f 0", TIMES, 2, 1},
    [ROW_BATCHED] = {"cycles, 64 a message", "items/s", BAR_LEAST, 20000, 1, true},
    [ROW_UNBATCHED] = {"cycles, one item a message", "items/s", BAR_LEAST, 8000, 1, true},
    [ROW_JOBS] = {"cycles, one item a job", "items/s", BAR_LEAST, 8000, 1, true},
    [ROW_BEANSTALKD] = {"beanstalkd -f 0: put, reserve, delete", RATE},
    [ROW_BEANSTALKD_LAX] = {"beanstalkd -f 50 (not durable): the same", RATE},
    [ROW_RQ_BATCHED] = {"Redis + RQ, enqueue_many of 64", RATE},
    [ROW_RQ] = {"Redis + RQ, enqueue", RATE},
    [ROW_CELERY] = {"Celery with Redis", RATE},
    [ROW_BATCHED_RATIO] = {"64 a message / the faster of RQ and Celery", TIMES, 5, 1},
    [ROW_UNBATCHED_RATIO] = {"one item a message / the faster of both unbatched", TIMES, 5, 1},
    [ROW_JOBS_RATIO] = {"one item a job / the faster of both unbatched", TIMES, 5, 1},
    [ROW_BEANSTALKD_RATIO] = {"one item a message / beanstalkd -f 0", "x", BAR_NONE, 0, 1},
    [ROW_START_P50] = {"submit to start, idle worker, p50", "ms", BAR_NONE, 0, 1e3},
    [ROW_START_P99] = {"submit to start, idle worker, p99", MILLISECONDS, 0, 1e3}, /* bar: 4F + 2 ms */
    [ROW_CPU_BATCHED] = {"scheduler's processor time, 64 a message", "us/item", BAR_MOST, 25, 1e6, true},
    [ROW_CPU_UNBATCHED] = {"scheduler's processor time, one item a message", "us/item", BAR_MOST, 60, 1e6, true},
    [ROW_CPU_JOBS] = {"scheduler's processor time, one item a job", "us/item", BAR_MOST, 60, 1e6, true},
    [ROW_READY_FEW] = {"ready after kill -9", "s", BAR_MOST, 1, 1, true},
    [ROW_READY_MANY] = {"ready after kill -9", "s", BAR_MOST, 5, 1, true},
    [ROW_MEMORY_FEW] = {"resident", "MB", BAR_MOST, 64, 1e-6, true},
    [ROW_MEMORY_MANY] = {"resident", "MB", BAR_MOST, 512, 1e-6, true},
};

void row_add(enum row_id id, double value)
{
    struct row *const r = &queue_rows[id];
    if (r->count < ROUNDS_MOST)
        r->value[r->count++] = value;
}

void row_skip(enum row_id id, const char *why)
{
    char *const text = queue_rows[id].why;
    snprintf(text, sizeof queue_rows[id].why, "%s", why);
    for (char *c = text; *c; c++) /* it goes into JSON */
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '\'';
}

double row_median(enum row_id id)
{
    struct row *const r = &queue_rows[id];
    return r->count ? bench_median(r->value, r->count) : 0;
}

void rows_name(int64_t few, int64_t many)
{
    static char text[4][64];
    static const enum row_id ids[] = {ROW_READY_FEW, ROW_MEMORY_FEW, ROW_READY_MANY, ROW_MEMORY_MANY};
    for (int i = 0; i < 4; i++) {
        snprintf(text[i], sizeof text[i], "%s, %lld items", queue_rows[ids[i]].name, (long long)(i < 2 ? few : many));
        queue_rows[ids[i]].name = text[i];
    }
}

static const char *verdict(const struct row *r, double median, bool judged)
{
    if (r->kind == BAR_NONE)
        return "";
    if (r->full_size && !judged)
        return "not judged";
    return (r->kind == BAR_LEAST ? median >= r->bar : median <= r->bar) ? "reached" : "not reached";
}

static void print_json(const struct row *r, double median, const char *said)
{
    printf("{\"row\":\"%s\",", r->name);
    if (r->count)
        printf("\"unit\":\"%s\",\"median\":%.6g,\"least\":%.6g,\"most\":%.6g,\"rounds\":%d", r->unit, median,
               r->scale * r->value[0], r->scale * r->value[r->count - 1], r->count);
    else
        printf("\"not_run\":\"%s\"", r->why);
    if (r->kind != BAR_NONE)
        printf(",\"bar\":\"%s %g\"", r->kind == BAR_LEAST ? "at least" : "at most", r->bar);
    if (r->count && (strcmp(said, "reached") == 0 || strcmp(said, "not reached") == 0))
        printf(",\"reached\":%s", strcmp(said, "reached") == 0 ? "true" : "false");
    printf("}\n");
}

static const char *number(double value, char out[16])
{
    snprintf(out, 16, value < 10 ? "%.3f" : value < 1000 ? "%.1f" : "%.0f", value);
    return out;
}

static void print_text(const struct row *r, double median, const char *said)
{
    char a[16], b[16], c[16], bar[40] = "";
    if (r->kind != BAR_NONE)
        snprintf(bar, sizeof bar, "%s %g", r->kind == BAR_LEAST ? ">=" : "<=", r->bar);
    if (r->count)
        printf("%-53s %9s %-8s %9s to %-9s %-9s %s\n", r->name, number(median, a), r->unit,
               number(r->scale * r->value[0], b), number(r->scale * r->value[r->count - 1], c), bar, said);
    else
        printf("%-53s not run: %s\n", r->name, r->why);
}

void rows_print(bool json, bool judged)
{
    if (!json)
        printf("%-53s %9s %-8s %9s to %-9s %s\n", "", "median", "", "least", "most", "bar");
    for (int i = 0; i < ROWS; i++) {
        struct row *const r = &queue_rows[i];
        const double median = r->scale * row_median((enum row_id)i);
        const char *const said = verdict(r, median, judged);
        if (json)
            print_json(r, median, said);
        else
            print_text(r, median, said);
    }
}
