/* What users write on command lines: durations, moments, numbers of jobs, keys. */
#include "cli.h"
#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool cli_duration(const char *command, const char *option, const char *text, double most_ms, uint64_t *ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}, {"d", 864e5}};
    char *end;
    const double number = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].name) == 0 && number >= 0 && number * units[i].ms <= most_ms) {
            *ms = (uint64_t)(number * units[i].ms);
            return true;
        }
    cli_usage(command, "%s %s: a number with ms, s, m, h or d, at most %.10g d", option, text, most_ms / 864e5);
    return false;
}

static uint64_t unix_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool cli_moment(const char *command, const char *option, const char *text, uint64_t *unix_ms)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"};
    if (*text == '+') {
        const bool good = cli_duration(command, option, text + 1, 3650 * 864e5, unix_ms);
        *unix_ms += unix_now_ms();
        return good;
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *const rest = strptime(text, formats[i], &tm);
        if (!rest || (*rest && strcmp(rest, "Z") != 0))
            continue;
        const time_t t = *rest ? timegm(&tm) : mktime(&tm);
        if (t <= 0)
            break;
        *unix_ms = (uint64_t)t * 1000;
        return true;
    }
    cli_usage(command, "%s %s: +DURATION from now, or 2026-01-31T18:30:00 (local time; with Z: UTC)", option, text);
    return false;
}

bool cli_id(const char *text, uint64_t most, uint64_t *out)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n])
        return false;
    *out = strtoull(text, NULL, 10);
    return *out <= most;
}

bool cli_jobs(const char *command, int count, char **texts, uint64_t *ids)
{
    for (int i = 0; i < count; i++)
        if (!cli_id(texts[i], UINT64_MAX, &ids[i]) || ids[i] == 0) {
            cli_usage(command, "%s is not the number of a job", texts[i]);
            return false;
        }
    return true;
}

struct wire_slice cli_key(const char *text, uint64_t index, uint8_t buffer[LIMIT_KEY])
{
    const size_t n = strlen(text);
    if (index == 0 && n <= LIMIT_KEY) {
        memcpy(buffer, text, n);
        return (struct wire_slice){buffer, (uint32_t)n};
    }
    struct wire_buffer whole = {0};
    char number[24] = "";
    if (index)
        snprintf(number, sizeof number, "\n%llu", (unsigned long long)index);
    if (wire_append(&whole, text, n) || wire_append(&whole, number, strlen(number))) {
        wire_free(&whole);
        return (struct wire_slice){0};
    }
    hash_short(whole.data, whole.bytes, buffer);
    wire_free(&whole);
    return (struct wire_slice){buffer, LIMIT_KEY};
}
