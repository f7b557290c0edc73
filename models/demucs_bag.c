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

int demucs_bag_most(const struct demucs_bag *b)
{
    const int most = b->runner.most < HTDEMUCS_SEGMENTS_MOST ? b->runner.most : HTDEMUCS_SEGMENTS_MOST;
    return most > 1 ? most : 1;
}

int demucs_bag_together(const struct demucs_bag *b)
{
    int least = demucs_bag_most(b);
    for (int n = 0; n < b->networks && b->runner.together; n++) {
        const int of_net = b->runner.together(b->runner.context, b->network[n]);
        least = of_net < least ? of_net : least;
    }
    return least > 1 ? least : 1;
}

/* stems = sum + part*weight, of the stems that are wanted and that the network counts for. sum is stems, or NULL:
 * zeros, and part may be stems then. */
static void add_part(const struct demucs_bag *b, int network, const float *part, const float *sum, float *stems)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    for (int64_t i = 0; i < c->segment; i++)
        for (int s = 0; s < c->stems; s++) {
            const float w = b->weight[network][s];
            const int64_t at = (i * c->stems + s) * CHANNELS;
            const bool counted = b->wanted[s] && w != 0;
            for (int k = 0; k < CHANNELS; k++)
                stems[at + k] = (sum ? sum[at + k] : 0) + (counted ? part[at + k] * w : 0);
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

/* One network on all segments: the first that counts writes their stems, the others go through part and are added. */
static int run_network(const struct demucs_bag *b, int network, bool first, const struct htdemucs_segment *segments,
                       int count, float *part)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    const int64_t all = c->segment * c->stems * CHANNELS;
    struct htdemucs_segment to[HTDEMUCS_SEGMENTS_MOST];
    for (int k = 0; k < count; k++) {
        float *const into = first ? segments[k].stems : part + k * all;
        to[k] = (struct htdemucs_segment){segments[k].mix, into};
    }
    if (b->alive.tell)
        b->alive.tell(b->alive.context);
    const int code = b->runner.run(b->runner.context, b->network[network], to, count, &b->alive);
    for (int k = 0; k < count && !code; k++)
        add_part(b, network, to[k].stems, first ? NULL : segments[k].stems, segments[k].stems);
    return code;
}

int demucs_bag_run(const struct demucs_bag *b, const struct htdemucs_segment *segments, int count, float *part)
{
    const struct htdemucs_config *const c = demucs_bag_config(b);
    float total[SEPARATION_STEMS_MOST] = {0};
    bool first = true;
    if (count < 1 || count > HTDEMUCS_SEGMENTS_MOST)
        return fail(STATUS_ARGUMENT, "demucs: %d segments, allowed 1 to %d", count, HTDEMUCS_SEGMENTS_MOST);
    for (int n = 0; n < b->networks; n++) {
        if (!counts(b, n))
            continue;
        const int code = run_network(b, n, first, segments, count, part);
        if (code)
            return code;
        first = false;
        for (int s = 0; s < c->stems; s++)
            total[s] += b->weight[n][s];
    }
    const size_t bytes = (size_t)(c->segment * c->stems * CHANNELS) * sizeof(float);
    for (int k = 0; k < count; k++)
        if (first) /* nothing is wanted */
            memset(segments[k].stems, 0, bytes);
        else
            divide(b, total, segments[k].stems);
    return STATUS_OK;
}

void demucs_bag_give_back(const struct demucs_bag *b)
{
    for (int n = 0; n < b->networks && b->runner.give_back; n++)
        b->runner.give_back(b->runner.context, b->network[n]);
}
