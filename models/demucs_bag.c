#include "demucs_bag.h"

#include <string.h>

enum { CHANNELS = SEPARATION_CHANNELS };

const struct htdemucs_config *demucs_bag_config(const struct demucs_bag *b)
{
    return htdemucs_config(b->network[0]);
}

static bool same_shape(const struct htdemucs_config *a, const struct htdemucs_config *b)
{
    bool same = a->stems == b->stems && a->rate_hz == b->rate_hz && a->segment == b->segment &&
                a->channels == b->channels && a->growth == b->growth && a->depth == b->depth && a->n_fft == b->n_fft &&
                a->bottom == b->bottom && a->hidden == b->hidden;
    for (int s = 0; s < a->stems && same; s++)
        same = strcmp(a->stem[s], b->stem[s]) == 0;
    return same;
}

int demucs_bag_check(const struct demucs_bag *b)
{
    if (b->networks < 1 || b->networks > DEMUCS_NETWORKS_MOST)
        return fail(STATUS_ARGUMENT, "demucs: %d networks, allowed 1 to %d", b->networks, DEMUCS_NETWORKS_MOST);
    const struct htdemucs_config *const c = demucs_bag_config(b);
    for (int n = 1; n < b->networks; n++)
        if (!same_shape(c, htdemucs_config(b->network[n])))
            return fail(STATUS_UNSUPPORTED, "demucs: network %d of the bag is built otherwise than the first", n);
    for (int s = 0; s < c->stems; s++) {
        float total = 0;
        for (int n = 0; n < b->networks; n++)
            total += b->weight[n][s];
        if (b->wanted[s] && !(total > 0))
            return fail(STATUS_ARGUMENT, "demucs: no network gives %s", c->stem[s]);
    }
    return STATUS_OK;
}

static bool counts(const struct demucs_bag *b, int network)
{
    for (int s = 0; s < demucs_bag_config(b)->stems; s++)
        if (b->wanted[s] && b->weight[network][s] != 0)
            return true;
    return false;
}

int demucs_bag_runs(const struct demucs_bag *b)
{
    int runs = 0;
    for (int n = 0; n < b->networks; n++)
        runs += counts(b, n);
    return runs;
}

/* stems += part*weight, of the stems that are wanted. */
static void add_part(const struct demucs_bag *b, int network, const float *part, float *stems)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    for (int64_t i = 0; i < c->segment; i++)
        for (int s = 0; s < c->stems; s++) {
            const float w = b->weight[network][s];
            const int64_t at = (i * c->stems + s) * CHANNELS;
            for (int k = 0; k < CHANNELS && b->wanted[s] && w != 0; k++)
                stems[at + k] += part[at + k] * w;
        }
}

static void divide(const struct demucs_bag *b, const float total[SEPARATION_STEMS_MOST], float *stems)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    for (int s = 0; s < c->stems; s++)
        for (int64_t i = 0; i < c->segment && b->wanted[s] && total[s] != 1; i++)
            for (int k = 0; k < CHANNELS; k++)
                stems[(i * c->stems + s) * CHANNELS + k] /= total[s];
}

int demucs_bag_run(const struct demucs_bag *b, const float *mix, float *stems, float *part)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    float total[SEPARATION_STEMS_MOST] = {0};
    memset(stems, 0, (size_t)(c->segment * c->stems * CHANNELS) * sizeof *stems);
    for (int n = 0; n < b->networks; n++) {
        if (!counts(b, n))
            continue;
        if (b->alive.tell)
            b->alive.tell(b->alive.context);
        const int code =
            b->runner.run(b->runner.context, b->network[n], (struct htdemucs_segment){mix, part}, &b->alive);
        if (code)
            return code;
        add_part(b, n, part, stems);
        for (int s = 0; s < c->stems; s++)
            total[s] += b->weight[n][s];
    }
    divide(b, total, stems);
    return STATUS_OK;
}

void demucs_bag_give_back(const struct demucs_bag *b)
{
    for (int n = 0; n < b->networks && b->runner.give_back; n++)
        b->runner.give_back(b->runner.context, b->network[n]);
}
