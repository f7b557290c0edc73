#include "halving.h"

#include <math.h>

int halving_plan(int64_t trials, int64_t eta, struct halving *out)
{
    if (trials < 1 || trials > HALVING_TRIALS_MOST)
        return fail(STATUS_ARGUMENT, "%lld trials: 1 to %d can be ranked", (long long)trials, HALVING_TRIALS_MOST);
    if (eta < 1 || eta > HALVING_ETA_MOST)
        return fail(STATUS_ARGUMENT, "one of %lld goes on: 1 to %d can be", (long long)eta, HALVING_ETA_MOST);
    *out = (struct halving){trials, eta, 1};
    for (int64_t reach = eta; eta > 1 && reach <= trials; reach *= eta)
        out->rounds++;
    return STATUS_OK;
}

static int64_t power(int64_t eta, int64_t n)
{
    int64_t p = 1;
    while (n-- > 0)
        p *= eta;
    return p;
}

int64_t halving_members_most(const struct halving *h, int64_t round)
{
    const int64_t p = power(h->eta, round);
    return (h->trials + p - 1) / p;
}

int64_t halving_steps(const struct halving *h, int64_t round, int64_t steps, int64_t validate)
{
    const int64_t p = power(h->eta, h->rounds - 1 - round);
    const int64_t part = (steps + p - 1) / p;
    const int64_t whole = (part + validate - 1) / validate * validate;
    return whole < steps ? whole : steps;
}

/* The best of the members that have a score, marked in `best` one after the other. */
static int64_t next_best(int64_t trials, const double *scores, const bool *member, const bool *best)
{
    int64_t found = -1;
    for (int64_t k = 0; k < trials; k++)
        if (member[k] && !best[k] && isfinite(scores[k]) && (found < 0 || scores[k] < scores[found]))
            found = k;
    return found;
}

void halving_members(const struct halving *h, const double *scores, int64_t round, bool *member)
{
    for (int64_t k = 0; k < h->trials; k++)
        member[k] = true;
    for (int64_t r = 0; r < round; r++) {
        bool best[HALVING_TRIALS_MOST] = {false};
        for (int64_t left = halving_members_most(h, r + 1); left > 0; left--) {
            const int64_t k = next_best(h->trials, scores + r * h->trials, member, best);
            if (k < 0)
                break;
            best[k] = true;
        }
        for (int64_t k = 0; k < h->trials; k++)
            member[k] = best[k];
    }
}

/* Does a come before b? */
static bool is_better(const struct halving *h, const double *scores, const int64_t *last, int64_t a, int64_t b)
{
    if (last[a] != last[b])
        return last[a] > last[b];
    if (last[a] < 0)
        return a < b;
    const double x = scores[last[a] * h->trials + a], y = scores[last[b] * h->trials + b];
    return x < y || (x == y && a < b);
}

void halving_rank(const struct halving *h, const double *scores, int64_t *order, int64_t *last)
{
    for (int64_t k = 0; k < h->trials; k++)
        last[k] = -1;
    for (int64_t r = 0; r < h->rounds; r++) {
        bool member[HALVING_TRIALS_MOST];
        halving_members(h, scores, r, member);
        for (int64_t k = 0; k < h->trials; k++)
            if (member[k] && isfinite(scores[r * h->trials + k]))
                last[k] = r;
    }
    for (int64_t n = 0; n < h->trials; n++) {
        int64_t at = n;
        for (; at > 0 && is_better(h, scores, last, n, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = n;
    }
}
