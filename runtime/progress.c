#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHOW_EVERY_MS = 200, BAR_CELLS = 24 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void progress_init(struct progress *p, enum progress_kind kind, const char *stage)
{
    if (kind == PROGRESS_AUTO)
        kind = isatty(STDERR_FILENO) ? PROGRESS_BAR : PROGRESS_NONE;
    *p = (struct progress){.kind = kind, .stage = stage, .began_ms = now_ms()};
}

static void show_json(const struct progress *p, uint64_t done, uint64_t total, double rate, double eta_s,
                      const char *state)
{
    char eta[32] = "null";
    if (eta_s >= 0)
        snprintf(eta, sizeof eta, "%.1f", eta_s);
    fprintf(stderr,
            "{\"job\": %" PRIu64 ", \"stage\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64
            ", \"rate\": %.1f, \"eta_s\": %s, \"state\": \"%s\"}\n",
            p->job, p->stage, done, total, rate, eta, state);
}

static void show_bar(struct progress *p, uint64_t done, uint64_t total, double rate, double eta_s)
{
    char bar[BAR_CELLS + 1], eta[32] = "";
    const uint64_t full = total ? done * BAR_CELLS / total : 0;
    for (uint64_t i = 0; i < BAR_CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    if (eta_s >= 0)
        snprintf(eta, sizeof eta, "  ETA %d:%02d", (int)(eta_s / 60), (int)eta_s % 60);
    fprintf(stderr, "\r\x1b[K%s [%s] %" PRIu64 "/%" PRIu64 "  %.0f/s%s", p->stage, bar, done, total, rate, eta);
    p->drawn = true;
}

static void show(struct progress *p, uint64_t done, uint64_t total, const char *state)
{
    const double seconds = (double)(now_ms() - p->began_ms) / 1000;
    const double rate = seconds > 0 ? (double)done / seconds : 0;
    const double eta_s = done && done <= total ? (double)(total - done) / rate : -1;
    if (p->kind == PROGRESS_JSON)
        show_json(p, done, total, rate, rate > 0 ? eta_s : -1, state);
    else if (p->kind == PROGRESS_BAR)
        show_bar(p, done, total, rate, rate > 0 ? eta_s : -1);
    fflush(stderr);
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
    const int64_t now = now_ms();
    if (p->kind == PROGRESS_NONE || (p->shown_ms && now - p->shown_ms < SHOW_EVERY_MS))
        return;
    p->shown_ms = now;
    show(p, done, total, "running");
}

void progress_clear(struct progress *p)
{
    if (!p->drawn)
        return;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
    p->drawn = false;
    p->shown_ms = 0; /* the bar comes back with the next step */
}

void progress_end(struct progress *p, uint64_t done, uint64_t total, const char *state)
{
    progress_clear(p);
    if (p->kind == PROGRESS_JSON)
        show(p, done, total, state);
}
