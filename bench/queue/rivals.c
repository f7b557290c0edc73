/* The rivals that are written in Python: a script measures them, one process for each round. */
#include "bench_queue.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

int measure_python(const char *python, const char *script, const char *rival, int64_t items, struct python_rival *out)
{
    char count[24], line[512] = "", *end = NULL;
    pid_t pid = 0;
    FILE *from = NULL;
    snprintf(count, sizeof count, "%lld", (long long)items);
    const char *const words[] = {python, script, rival, count, NULL};
    char *argv[sizeof words / sizeof *words];
    memcpy(argv, words, sizeof words); /* execvp wants them writable and leaves them alone */
    int code = child_start(argv, &from, &pid);
    if (!code && !fgets(line, sizeof line, from))
        code = fail(STATUS_INTERNAL, "%s %s says nothing", script, rival);
    line[strcspn(line, "\n")] = '\0';
    if (from)
        fclose(from);
    child_end(pid, code ? SIGTERM : 0);
    if (!code && line[0] == '-')
        code = fail(STATUS_NOT_FOUND, "%s", line + 2);
    out->batched = strtod(line, &end);
    out->single = code ? 0 : strtod(end, NULL);
    return code || out->single > 0 ? code : fail(STATUS_INTERNAL, "%s %s says '%s'", script, rival, line);
}
