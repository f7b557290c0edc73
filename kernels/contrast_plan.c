/* The bands of contrast, for every twin. */
#include "contrast.h"

#include <math.h>

size_t contrast_plan_bytes(const void *key)
{
    (void)key;
    return sizeof(struct contrast_plan);
}

static double edge_hz(const struct contrast_key *k, int64_t i) /* lower edge of band i */
{
    return i == 0 ? 0 : k->fmin_hz * exp2((double)(i - 1));
}

int contrast_plan_init(void *memory, const void *key)
{
    const struct contrast_key *const k = key;
    struct contrast_plan *const plan = memory;
    const int64_t bins = k->n_fft / 2 + 1;
    *plan = (struct contrast_plan){.bands = k->bands + 1};
    for (int64_t i = 0; i <= k->bands; i++) {
        const double low = edge_hz(k, i), high = edge_hz(k, i + 1);
        int64_t first = 0, end;
        const double bin_hz = 1.0 / ((double)k->n_fft * (1.0 / k->rate_hz));
        while (first < bins && (double)first * bin_hz < low)
            first++;
        for (end = first; end < bins && (double)end * bin_hz <= high; end++)
            ;
        if (low >= k->rate_hz / 2 || end == first)
            continue;
        if (i > 0 && first > 0)
            first--;
        if (i == k->bands)
            end = bins;
        const double share = rint(k->quantile * (double)(end - first));
        const int64_t count = end - first - (i < k->bands), take = share < 1 ? 1 : (int64_t)share;
        plan->band[i] = (struct contrast_band){first, count, take < count ? take : count};
        plan->most = count > plan->most ? count : plan->most;
    }
    return STATUS_OK;
}
