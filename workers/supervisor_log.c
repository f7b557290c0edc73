/* Lines that the child writes to its stderr: passed on to ours, and kept for the item that they belong to. */
#include "log.h"
#include "supervisor_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MOST = 1000, BEAT_LOG_MOST = 256 << 10 };

/* Makes room, if need be by letting the oldest lines go. False: there is no memory. */
static bool make_room(struct item_log *l, size_t bytes)
{
    size_t gone = 0;
    while (l->bytes - gone + bytes > ITEM_LOG_MOST) {
        const char *end = memchr(l->text + gone, '\n', l->bytes - gone);
        gone = end ? (size_t)(end - l->text) + 1 : l->bytes;
    }
    if (gone)
        memmove(l->text, l->text + gone, l->bytes - gone);
    l->bytes -= gone;
    l->sent = l->sent > gone ? l->sent - gone : 0;
    if (l->bytes + bytes <= l->room)
        return true;
    const size_t room = l->room ? 2 * l->room : LIMIT_LOG; /* most items say little */
    char *const text = realloc(l->text, room);
    if (!text)
        return false;
    l->text = text;
    l->room = room;
    return true;
}

void item_log_add(struct item_log *l, const char *line, size_t bytes)
{
    char text[LINE_MOST + 1];
    snprintf(text, sizeof text, "%.*s", (int)(bytes < LINE_MOST ? bytes : LINE_MOST), line);
    item_make_utf8(text);
    const size_t n = strlen(text);
    if (!make_room(l, n + 1))
        return;
    memcpy(l->text + l->bytes, text, n);
    l->text[l->bytes + n] = '\n';
    l->bytes += n + 1;
}

void item_log_warn(struct item_log *l, const char *text)
{
    char line[TASK_MESSAGE + 32];
    const int n = snprintf(line, sizeof line, " warn  wavemill-worker: %s", text);
    item_log_add(l, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* The item of a tag; without one the first that runs. */
static struct item *belongs_to(struct supervisor *s, uint64_t token)
{
    struct item *first = NULL;
    EACH_ITEM (s, l, it) {
        if (it->stage != STAGE_RUNNING)
            continue;
        if (it->token == token)
            return it;
        if (it->started && (!first || it->started_ms < first->started_ms))
            first = it;
    }
    return first;
}

static void take_line(struct supervisor *s, char *line, size_t bytes)
{
    char number[LOG_TAG_BYTES];
    uint64_t token = 0;
    if (bytes > LOG_TAG_BYTES && line[0] == LOG_TAG) {
        memcpy(number, line + 1, LOG_TAG_BYTES - 1);
        number[LOG_TAG_BYTES - 1] = '\0';
        token = strtoull(number, NULL, 16);
        line += LOG_TAG_BYTES;
        bytes -= LOG_TAG_BYTES;
    }
    struct item *it = belongs_to(s, token);
    if (it) {
        item_log_add(&it->log, line, bytes);
        s->says_much |= it->log.bytes - it->log.sent > LIMIT_LOG / 2;
    }
    line[bytes] = '\n';
    const ssize_t ignored = write(STDERR_FILENO, line, bytes + 1);
    (void)ignored; /* nowhere left to say so */
}

void child_side_logs(struct supervisor *s)
{
    for (int i = 0; i < 16 && s->child.log >= 0; i++) {
        const size_t room = sizeof s->log_line - 1 - s->log_bytes;
        const ssize_t n = read(s->child.log, s->log_line + s->log_bytes, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0 && s->log_bytes) /* what it said last, without an end of line */
                take_line(s, s->log_line, s->log_bytes);
            if (n == 0) { /* it has closed it: polled again, it would wake us without end */
                close(s->child.log);
                s->child.log = -1;
                s->log_bytes = 0;
            }
            return;
        }
        s->log_bytes += (size_t)n;
        size_t from = 0;
        for (char *end; (end = memchr(s->log_line + from, '\n', s->log_bytes - from));) {
            const size_t bytes = (size_t)(end - s->log_line) - from;
            take_line(s, s->log_line + from, bytes);
            from += bytes + 1;
        }
        memmove(s->log_line, s->log_line + from, s->log_bytes - from);
        s->log_bytes -= from;
        if (s->log_bytes == sizeof s->log_line - 1) { /* a line without end */
            take_line(s, s->log_line, s->log_bytes);
            s->log_bytes = 0;
        }
    }
}

/* Whole lines from the first on; one is always within LIMIT_LOG. */
static size_t whole_lines(const char *text, size_t bytes)
{
    if (bytes <= LIMIT_LOG)
        return bytes;
    size_t n = LIMIT_LOG;
    while (text[n - 1] != '\n')
        n--;
    return n;
}

struct wire_slice item_log_unsent(struct item_log *l, size_t *budget)
{
    const size_t bytes = l->text ? whole_lines(l->text + l->sent, l->bytes - l->sent) : 0;
    if (bytes == 0 || bytes > *budget)
        return (struct wire_slice){0};
    const struct wire_slice s = {(const uint8_t *)l->text + l->sent, (uint32_t)bytes};
    *budget -= bytes;
    l->sent += bytes;
    return s;
}

struct wire_slice item_log_last(const struct item_log *l)
{
    size_t from = l->bytes > LIMIT_LOG ? l->bytes - LIMIT_LOG : 0;
    while (from && l->text[from - 1] != '\n')
        from++;
    return (struct wire_slice){(const uint8_t *)l->text + from, (uint32_t)(l->bytes - from)};
}

size_t item_log_budget(void)
{
    return BEAT_LOG_MOST;
}
