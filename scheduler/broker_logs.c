/* Log lines of items, in memory: the last ones of a job, of the jobs that were written to last. */
#include "broker_state.h"

#include <stdlib.h>
#include <string.h>

struct line {
    struct line *next;
    uint64_t number, unix_ms;
    uint32_t index, attempt, bytes;
    uint8_t text[];
};

struct job_log {
    struct job_log *older, *newer; /* by the last write */
    uint64_t job;
    struct line *first, *last;
    uint64_t next_number;
    size_t bytes;
};

static struct job_log *find(const struct broker *b, uint64_t job)
{
    struct job_log *l = b->newest_log;
    while (l && l->job != job)
        l = l->older;
    return l;
}

static void unlink_log(struct broker *b, struct job_log *l)
{
    if (l->older)
        l->older->newer = l->newer;
    else
        b->oldest_log = l->newer;
    if (l->newer)
        l->newer->older = l->older;
    else
        b->newest_log = l->older;
}

static void put_newest(struct broker *b, struct job_log *l)
{
    l->older = b->newest_log;
    l->newer = NULL;
    if (l->older)
        l->older->newer = l;
    else
        b->oldest_log = l;
    b->newest_log = l;
}

static void drop_first(struct job_log *l)
{
    struct line *const gone = l->first;
    l->first = gone->next;
    if (!l->first)
        l->last = NULL;
    l->bytes -= sizeof *gone + gone->bytes;
    free(gone);
}

static void forget(struct broker *b, struct job_log *l)
{
    unlink_log(b, l);
    b->log_count--;
    while (l->first)
        drop_first(l);
    free(l);
}

/* NULL: no memory, and the lines are lost. */
static struct job_log *open_log(struct broker *b, uint64_t job)
{
    struct job_log *l = find(b, job);
    if (l) {
        unlink_log(b, l);
    } else {
        if (b->log_count >= LOGS_JOBS)
            forget(b, b->oldest_log);
        l = calloc(1, sizeof *l);
        if (!l)
            return NULL;
        l->job = job;
        b->log_count++;
    }
    put_newest(b, l);
    return l;
}

static void append_line(struct job_log *l, const struct line *head, const uint8_t *text, uint32_t bytes)
{
    struct line *const line = malloc(sizeof *line + bytes);
    const uint64_t number = l->next_number++;
    if (!line)
        return; /* its number is missing: LINES counts it as lost */
    *line = *head;
    line->number = number;
    line->bytes = bytes;
    memcpy(line->text, text, bytes);
    if (l->last)
        l->last->next = line;
    else
        l->first = line;
    l->last = line;
    l->bytes += sizeof *line + bytes;
    while (l->bytes > LOGS_BYTES)
        drop_first(l);
}

void logs_append(struct broker *b, uint64_t token, struct wire_slice text, int64_t unix_ms)
{
    struct line head = {.unix_ms = (uint64_t)unix_ms};
    uint64_t job;
    if (!text.bytes || !queue_token(b->queue, token, &job, &head.index, &head.attempt))
        return;
    struct job_log *const l = open_log(b, job);
    const uint8_t *at = text.data, *const end = text.data + text.bytes;
    while (l && at < end) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if (stop > at)
            append_line(l, &head, at, (uint32_t)(stop - at));
        at = stop + 1;
    }
}

int logs_view(const struct broker *b, const struct message_logs *asked, struct wire_buffer *out,
              struct message_lines *lines)
{
    const struct job_log *l = find(b, asked->job);
    uint32_t count = 0;
    const uint64_t end = l ? l->next_number : 0;
    const uint64_t from = asked->cursor <= end ? asked->cursor : 0; /* beyond: its numbers have begun anew */
    uint64_t next = from;
    lines->cursor = end;
    for (const struct line *line = l ? l->first : NULL; line; line = line->next) {
        if (line->number < from)
            continue;
        lines->lost += line->number - next;
        next = line->number + 1;
        const struct message_line m = {.index = line->index,
                                       .unix_ms = line->unix_ms,
                                       .attempt = line->attempt,
                                       .text = {line->text, line->bytes}};
        const int code = wire_encode(&line_schema, &m, out);
        if (code)
            return code;
        count++;
    }
    lines->lost += end - next;
    lines->lines = wire_list_of(out, count);
    return STATUS_OK;
}

void logs_free(struct broker *b)
{
    struct job_log *older;
    for (struct job_log *l = b->newest_log; l; l = older) {
        older = l->older;
        forget(b, l);
    }
}
