/* The polynomials of poly, for every twin. */
#include "poly.h"

#include <math.h>

size_t poly_plan_bytes(const void *key)
{
    const struct poly_key *const k = key;
    const size_t head = (sizeof(struct poly_plan) + 63) / 64 * 64;
    return head + (size_t)((k->order + 1) * (k->n_fft / 2 + 1)) * sizeof(float);
}

/* A polynomial in u, the bin's place from -1 to 1: coefficients of u^0, u^1, .. */
struct polynomial {
    double c[POLY_ORDER_MOST + 1];
};

static double place(int64_t bin, int64_t bins)
{
    return 2 * (double)bin / (double)(bins - 1) - 1;
}

static double value(const struct polynomial *q, int64_t order, double u)
{
    double v = 0;
    for (int64_t i = order; i >= 0; i--)
        v = v * u + q->c[i];
    return v;
}

static double product(const struct polynomial *a, const struct polynomial *b, int64_t order, int64_t bins)
{
    double sum = 0;
    for (int64_t i = 0; i < bins; i++)
        sum += value(a, order, place(i, bins)) * value(b, order, place(i, bins));
    return sum;
}

/* basis[j] becomes orthonormal to all before it on the bins; twice over, since once loses digits (Gram and Schmidt). */
static void orthonormalise(struct polynomial *basis, int64_t j, int64_t bins)
{
    for (int round = 0; round < 2; round++)
        for (int64_t i = 0; i < j; i++) {
            const double part = product(&basis[j], &basis[i], j, bins);
            for (int64_t k = 0; k <= j; k++)
                basis[j].c[k] -= part * basis[i].c[k];
        }
    const double norm = sqrt(product(&basis[j], &basis[j], j, bins));
    for (int64_t k = 0; k <= j; k++)
        basis[j].c[k] /= norm;
}

/* Column j of plan->powers: u = f_hz / half - 1, so u^k is expanded by the binomial theorem. */
static void to_powers_of_hz(struct poly_plan *plan, const struct polynomial *q, int64_t j, double half_hz)
{
    const int64_t order = plan->order;
    for (int64_t k = 0; k <= j; k++) {
        double choose = 1; /* k over i */
        for (int64_t i = 0; i <= k; i++) {
            const double sign = (k - i) % 2 ? -1 : 1;
            plan->powers[(order - i) * (order + 1) + j] += q->c[k] * choose * sign * pow(half_hz, (double)-i);
            choose = choose * (double)(k - i) / (double)(i + 1);
        }
    }
}

int poly_plan_init(void *memory, const void *key)
{
    const struct poly_key *const k = key;
    struct poly_plan *const plan = memory;
    float *const values = (float *)((char *)memory + (sizeof *plan + 63) / 64 * 64);
    struct polynomial basis[POLY_ORDER_MOST + 1] = {0};
    *plan = (struct poly_plan){.order = k->order, .bins = k->n_fft / 2 + 1, .basis = values};
    const double half_hz = k->rate_hz / (double)k->n_fft * (double)(plan->bins - 1) / 2;
    for (int64_t j = 0; j <= k->order; j++) {
        for (int64_t i = 0; i < j; i++)
            basis[j].c[i + 1] = basis[j - 1].c[i]; /* the last one times u */
        basis[j].c[0] = j == 0;
        orthonormalise(basis, j, plan->bins);
        for (int64_t f = 0; f < plan->bins; f++)
            values[j * plan->bins + f] = (float)value(&basis[j], j, place(f, plan->bins));
        to_powers_of_hz(plan, &basis[j], j, half_hz);
    }
    return STATUS_OK;
}
