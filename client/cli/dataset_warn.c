/* What somebody should know of a dataset before training with it. */
#include "dataset_verbs.h"

#include <stdarg.h>
#include <string.h>

enum { FEW_FILES = 5, FEW_SECONDS = 10, LONG_SECONDS = 3600, RATES_SHOWN = 6 };

static const double SILENT_RMS = 1e-4; /* -80 dB */
static const double MOST_OF_ALL = 0.5;

struct warner {
    const struct dataset *d;
    void (*say)(void *context, const struct dataset_warning *w);
    void *context;
};

__attribute__((format(printf, 4, 5))) static void say(const struct warner *w, const char *kind,
                                                      const struct dataset_file *f, const char *format, ...)
{
    struct dataset_warning one = {.kind = kind, .file = f};
    va_list args;
    va_start(args, format);
    /* clang-tidy loses sight of va_start in a file that it reads more than once: a test builds this one too
     * NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    vsnprintf(one.text, sizeof one.text, format, args);
    va_end(args);
    w->say(w->context, &one);
}

static void look_at_duplicates(const struct warner *w, const struct dataset_file *f)
{
    const size_t n = strlen(f->label);
    if (f->duplicates_count == 1)
        say(w, "duplicate", f, "%.200s has the same bytes; used once", f->duplicates[0]);
    else
        say(w, "duplicate", f, "%zu others have the same bytes, as %.200s; used once", f->duplicates_count,
            f->duplicates[0]);
    for (size_t i = 0; i < f->duplicates_count; i++) {
        const char *const other = f->duplicates[i], *const slash = strrchr(other, '/');
        const size_t m = slash ? (size_t)(slash - other) : 0;
        if (m != n || memcmp(other, f->label, n) != 0) {
            say(w, "label", f, "lies under another label too: %.200s", other);
            return;
        }
    }
}

static void look_at_file(const struct warner *w, const struct dataset_file *f, double all_s)
{
    char time[32];
    const double share = all_s > 0 ? f->duration_s / all_s : 0;
    if (f->rms < SILENT_RMS)
        say(w, "silent", f, "silent: its RMS is below -80 dB");
    if (f->clipped_samples)
        say(w, "clipped", f, "clipped: %llu samples at full scale, three or more in a row",
            (unsigned long long)f->clipped_samples);
    if (*f->warning)
        say(w, "decoder", f, "%.300s", f->warning);
    if (f->duplicates_count)
        look_at_duplicates(w, f);
    if (w->d->count > 1 && (f->duration_s > LONG_SECONDS || (w->d->count > 2 && share > MOST_OF_ALL))) {
        dataset_time(f->duration_s, time, sizeof time);
        say(w, "long", f, "%s long, %.1f %% of all there is to hear", time, 100 * share);
    }
}

static uint32_t rate_of(const struct dataset_file *f)
{
    return f->rate_hz;
}

static uint32_t channels_of(const struct dataset_file *f)
{
    return f->channels;
}

/* "44100 Hz (12 files), 48000 Hz (3)", where there is more than one. */
static void look_at_differences(const struct warner *w, const char *kind, const char *unit,
                                uint32_t (*value_of)(const struct dataset_file *f))
{
    uint32_t values[RATES_SHOWN];
    size_t counts[RATES_SHOWN] = {0}, n = 0;
    bool more = false;
    for (size_t i = 0; i < w->d->count; i++) {
        const uint32_t v = value_of(&w->d->files[i]);
        size_t k = 0;
        while (k < n && values[k] != v)
            k++;
        if (k == n && n == RATES_SHOWN) {
            more = true;
            continue;
        }
        values[k] = v;
        counts[k]++;
        n += k == n;
    }
    char text[300] = "";
    for (size_t k = 0; k < n; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u%s (%zu file%s)", k ? ", " : "", values[k], unit,
                 counts[k], counts[k] == 1 ? "" : "s");
    if (n > 1)
        say(w, kind, NULL, "%s differ: %s%s; training changes them to one", kind, text, more ? " and others" : "");
}

void dataset_warnings(const struct dataset *d, void (*to)(void *context, const struct dataset_warning *w),
                      void *context)
{
    const struct warner w = {d, to, context};
    const double all_s = dataset_duration_s(d);
    for (size_t i = 0; i < d->count; i++)
        look_at_file(&w, &d->files[i], all_s);
    look_at_differences(&w, "sample rates", " Hz", rate_of);
    look_at_differences(&w, "channels", "", channels_of);
    if (d->count < FEW_FILES)
        say(&w, "few", NULL, "only %zu sound%s: a model learns them by heart; %d or more are wanted", d->count,
            d->count == 1 ? "" : "s", FEW_FILES);
    if (all_s < FEW_SECONDS)
        say(&w, "short", NULL, "only %.1f s in all: a model learns them by heart; %d or more are wanted", all_s,
            FEW_SECONDS);
}
