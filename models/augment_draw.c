/* What is drawn, and how it is written down. */
#include "augment.h"
#include "philox.h"

#include <math.h>
#include <stdio.h>

enum { RANGES = 7 };

struct bounds {
    const char *name;
    struct augment_range allowed;
};

static const char *const kinds[AUGMENT_KINDS] = {"pitch", "stretch", "compress", "gain", "polarity", "noise", "mute"};

struct augment_params augment_defaults(void)
{
    return (struct augment_params){.semitones = {-4, 4},
                                   .rate = {0.8, 1.25},
                                   .threshold_db = {-30, -12},
                                   .ratio = {2, 6},
                                   .gain_db = {-12, 6},
                                   .noise_db = {20, 60},
                                   .mute_s = {0.01, 0.2},
                                   .mutes = 2};
}

static int check(const struct augment_params *p)
{
    static const struct bounds bounds[RANGES] = {{"semitones", {-24, 24}}, {"rate", {0.25, 4}}, {"threshold", {-80, 0}},
                                                 {"ratio", {1, 20}},       {"gain", {-60, 60}}, {"noise", {0, 120}},
                                                 {"mute", {0, 60}}};
    const struct augment_range ranges[RANGES] = {p->semitones, p->rate,     p->threshold_db, p->ratio,
                                                 p->gain_db,   p->noise_db, p->mute_s};
    for (int i = 0; i < AUGMENT_KINDS; i++)
        if (!(p->chance[i] >= 0 && p->chance[i] <= 1))
            return fail(STATUS_ARGUMENT, "augment: chance %g of %s, allowed 0 to 1", p->chance[i], kinds[i]);
    for (int i = 0; i < RANGES; i++)
        if (!(ranges[i].least >= bounds[i].allowed.least && ranges[i].least <= ranges[i].most &&
              ranges[i].most <= bounds[i].allowed.most))
            return fail(STATUS_ARGUMENT, "augment: %s from %g to %g, allowed %g to %g, rising", bounds[i].name,
                        ranges[i].least, ranges[i].most, bounds[i].allowed.least, bounds[i].allowed.most);
    if (p->mutes < 0 || p->mutes > AUGMENT_MUTES || (p->mutes == 0 && p->chance[AUGMENT_MUTE] > 0))
        return fail(STATUS_ARGUMENT, "augment: %d mutes, allowed 1 to %d", (int)p->mutes, AUGMENT_MUTES);
    if (p->samples < 0 || p->samples > INT64_C(1) << 32)
        return fail(STATUS_ARGUMENT, "augment: a result of %lld samples", (long long)p->samples);
    return STATUS_OK;
}

struct draws {
    uint64_t seed, high, block;
    struct philox numbers;
    int used;
};

/* In [0, 1), 53 bits. */
static double uniform(struct draws *d)
{
    if (d->used == 2) {
        d->numbers = philox_counted(d->seed, d->block++, d->high);
        d->used = 0;
    }
    const uint32_t *const v = d->numbers.word + 2 * d->used++;
    return (double)(((uint64_t)v[1] << 32 | v[0]) >> 11) * 0x1p-53;
}

static double within(struct draws *d, struct augment_range r)
{
    const double v = r.least + uniform(d) * (r.most - r.least);
    return v < r.most ? v : r.most;
}

/* Multiples of a half in the range, all alike; where it holds none, its least. */
static double halves(struct draws *d, struct augment_range r)
{
    const double first = ceil(2 * r.least), last = floor(2 * r.most), u = uniform(d);
    return last < first ? r.least : (first + floor(u * (last - first + 1))) / 2;
}

int augment_draw(const struct augment_params *p, uint64_t seed, uint64_t epoch, uint64_t item,
                 struct augment_drawn *out)
{
    const int code = check(p);
    if (code)
        return code;
    if (epoch >> 32 || item >> 32)
        return fail(STATUS_ARGUMENT, "augment: epoch %llu, item %llu, allowed below 2^32", (unsigned long long)epoch,
                    (unsigned long long)item);
    struct draws d = {.seed = seed, .high = epoch << 32 | item, .used = 2};
    struct augment_drawn y = {.seed = seed, .epoch = epoch, .item = item, .samples = p->samples};
    for (int i = 0; i < AUGMENT_KINDS; i++)
        y.on[i] = uniform(&d) < p->chance[i];
    const double semitones = halves(&d, p->semitones), rate = within(&d, p->rate);
    const double threshold_db = within(&d, p->threshold_db), ratio = within(&d, p->ratio);
    const double gain_db = within(&d, p->gain_db), noise_db = within(&d, p->noise_db);
    y.semitones = y.on[AUGMENT_PITCH] ? semitones : 0;
    y.rate = y.on[AUGMENT_STRETCH] ? rate : 1;
    y.threshold_db = y.on[AUGMENT_COMPRESS] ? threshold_db : 0;
    y.ratio = y.on[AUGMENT_COMPRESS] ? ratio : 1;
    y.gain_db = y.on[AUGMENT_GAIN] ? gain_db : 0;
    y.noise_db = y.on[AUGMENT_NOISE] ? noise_db : 0;
    y.crop = uniform(&d);
    const double mutes = 1 + floor(uniform(&d) * p->mutes);
    y.mutes = y.on[AUGMENT_MUTE] ? (int32_t)mutes : 0;
    for (int i = 0; i < y.mutes; i++) {
        y.mute_at[i] = uniform(&d);
        y.mute_s[i] = within(&d, p->mute_s);
    }
    *out = y;
    return STATUS_OK;
}

static int list(char *out, size_t bytes, const char *name, const double *v, int n)
{
    int used = snprintf(out, bytes, ",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        used += snprintf(out + used, (size_t)used < bytes ? bytes - (size_t)used : 0, "%s%.17g", i ? "," : "", v[i]);
    return used + snprintf(out + used, (size_t)used < bytes ? bytes - (size_t)used : 0, "]");
}

int augment_text(const struct augment_drawn *d, char *out, size_t bytes)
{
    char on[160] = "", at[200], long_s[200];
    int used = 0;
    for (int i = 0; i < AUGMENT_KINDS; i++)
        if (d->on[i])
            used += snprintf(on + used, sizeof on - (size_t)used, "%s\"%s\"", used ? "," : "", kinds[i]);
    (void)list(at, sizeof at, "mute_at", d->mute_at, d->mutes);
    (void)list(long_s, sizeof long_s, "mute_s", d->mute_s, d->mutes);
    const int n = snprintf(out, bytes,
                           "{\"seed\":%llu,\"epoch\":%llu,\"item\":%llu,\"on\":[%s],\"semitones\":%.17g,\"rate\":%.17g,"
                           "\"threshold_db\":%.17g,\"ratio\":%.17g,\"gain_db\":%.17g,\"noise_db\":%.17g%s%s,"
                           "\"crop\":%.17g,\"samples\":%lld}",
                           (unsigned long long)d->seed, (unsigned long long)d->epoch, (unsigned long long)d->item, on,
                           d->semitones, d->rate, d->threshold_db, d->ratio, d->gain_db, d->noise_db, at, long_s,
                           d->crop, (long long)d->samples);
    return n > 0 && (size_t)n < bytes ? STATUS_OK : fail(STATUS_SHAPE, "augment: %d bytes of text into %zu", n, bytes);
}
