/* The options of wavemill-scheduler that look after a journal: what they print, and their exit status. */
#include "journal_tools.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM "wavemill-scheduler: "

/* A string of JSON; bytes that are no UTF-8 become question marks. */
static void print_text(const char *text)
{
    const bool is_utf8 = wire_is_utf8(text, strlen(text));
    putchar('"');
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c >= 0x80 && !is_utf8 ? '?' : c);
    }
    putchar('"');
}

static void print_check_json(const struct journal_check *c)
{
    printf("\"clean\":%s,\"jobs\":%" PRIu64 ",\"items\":%" PRIu64 ",\"outcomes\":%" PRIu64 ",\"removed_jobs\":%" PRIu64
           ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"pages\":%" PRIu64 ",\"free_pages\":%" PRIu64
           ",\"damaged_jobs\":%" PRIu64 ",\"damages\":%" PRIu64 ",\"damage\":[",
           c->damages ? "false" : "true", c->jobs, c->items, c->outcomes, c->removed_jobs, c->records, c->bytes,
           c->pages, c->free_pages, c->damaged_jobs, c->damages);
    for (uint64_t i = 0; i < c->damages && i < JOURNAL_DAMAGE_MOST; i++) {
        printf("%s{\"job\":%" PRIu64 ",\"record\":", i ? "," : "", c->list[i].job);
        print_text(c->list[i].record);
        fputs(",\"reason\":", stdout);
        print_text(c->list[i].reason);
        putchar('}');
    }
    putchar(']');
}

static void print_check(const struct journal_check *c)
{
    for (uint64_t i = 0; i < c->damages && i < JOURNAL_DAMAGE_MOST; i++) {
        const struct journal_damage *const d = &c->list[i];
        if (d->job)
            printf("damaged: job %" PRIu64 ", %s: %s\n", d->job, d->record, d->reason);
        else
            printf("damaged: %s: %s\n", d->record, d->reason);
    }
    if (c->damages > JOURNAL_DAMAGE_MOST)
        printf("damaged: and %" PRIu64 " more\n", c->damages - JOURNAL_DAMAGE_MOST);
    printf("%" PRIu64 " jobs, %" PRIu64 " items, %" PRIu64 " outcomes; %" PRIu64 " records in %" PRIu64
           " bytes, %" PRIu64 " of %" PRIu64 " pages free",
           c->jobs, c->items, c->outcomes, c->records, c->bytes, c->free_pages, c->pages);
    if (c->removed_jobs)
        printf("; %" PRIu64 " removed jobs have records left", c->removed_jobs);
    printf("; %" PRIu64 " damaged\n", c->damages);
}

static int print_failure(int code, bool json)
{
    fprintf(stderr, PROGRAM "%s\n", status_message());
    if (json) {
        printf("{\"schema\":1,\"error\":{\"code\":\"%s\",\"message\":", status_name(code));
        print_text(status_message());
        puts("}}");
    }
    return code == STATUS_BUSY       ? JOURNAL_EXIT_BUSY
           : code == STATUS_DAMAGED  ? JOURNAL_EXIT_DAMAGED
           : code == STATUS_ARGUMENT ? JOURNAL_EXIT_USAGE
                                     : JOURNAL_EXIT_FAILED;
}

static int ended(const struct journal_check *c)
{
    if (fflush(stdout) || ferror(stdout)) {
        fputs(PROGRAM "its findings cannot be written\n", stderr);
        return JOURNAL_EXIT_FAILED;
    }
    return c->damages ? JOURNAL_EXIT_DAMAGED : JOURNAL_EXIT_SOUND;
}

int journal_main_fsck(const char *folder, bool json)
{
    struct journal_check c;
    const int code = journal_fsck(folder, &c);
    if (code)
        return print_failure(code, json);
    if (json) {
        fputs("{\"schema\":1,", stdout);
        print_check_json(&c);
        puts("}");
    } else {
        print_check(&c);
    }
    return ended(&c);
}

int journal_main_backup(const char *folder, const char *to, bool json)
{
    struct journal_check c;
    const int code = journal_backup(folder, to, &c);
    if (code)
        return print_failure(code, json);
    if (json) {
        fputs("{\"schema\":1,\"to\":", stdout);
        print_text(to);
        putchar(',');
        print_check_json(&c);
        puts("}");
    } else {
        printf("copied to %s\n", to);
        print_check(&c);
    }
    return ended(&c);
}

int journal_main_compact(const char *folder, bool json)
{
    struct journal_compact compact;
    struct journal_check c;
    const int code = journal_compact(folder, &compact, &c);
    if (code == STATUS_DAMAGED && !json)
        print_check(&c);
    if (code)
        return print_failure(code, json);
    if (json)
        printf("{\"schema\":1,\"bytes_before\":%" PRIu64 ",\"bytes_after\":%" PRIu64 ",", compact.bytes_before,
               compact.bytes_after);
    else
        printf("%" PRIu64 " bytes before, %" PRIu64 " after\n", compact.bytes_before, compact.bytes_after);
    if (json) {
        print_check_json(&c);
        puts("}");
    } else {
        print_check(&c);
    }
    return ended(&c);
}
