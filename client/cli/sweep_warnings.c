#include "sweep_warnings.h"

#include "cli.h"

#include <stdio.h>
#include <string.h>

/* "TIME warn  PROGRAM[PID]: TEXT"; NULL: a line of another level. */
static const char *warning_of(const char *line)
{
    static const char level[] = " warn  ";
    const char *const at = strstr(line, level);
    const char *const program = at ? at + sizeof level - 1 : NULL;
    const char *const text = program ? strstr(program, ": ") : NULL;
    return text ? text + 2 : program;
}

int sweep_warnings_show(struct sweep_warnings *w, struct client *c, uint64_t job, char *const *names, size_t count)
{
    struct message_lines m;
    struct message_line line;
    const int code = client_logs(c, job, w->cursor, &m);
    if (code)
        return code;
    if (m.lost)
        fprintf(stderr, "wavemill sweep: %llu lines of the log went unread, warnings may have been among them\n",
                (unsigned long long)m.lost);
    while (wire_next(&m.lines, &line_schema, &line)) {
        char text[LIMIT_LOG + 1];
        wire_copy(line.text, text, sizeof text);
        const char *const said = warning_of(text);
        if (!said)
            continue;
        fprintf(stderr, "wavemill sweep: %s: ", line.index < count ? names[line.index] : "an item");
        output_plain(stderr, said);
        fputc('\n', stderr);
    }
    w->cursor = m.cursor;
    return STATUS_OK;
}
