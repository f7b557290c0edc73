/* The filter and what it gives of a piece: shared by all backends. */
#include "resample.h"

#include <math.h>

static const double PASS = 0.914, STOP_DB = 150;

static int64_t divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

struct resample_key resample_key(const struct resample_params *p)
{
    const int64_t d = divisor(p->rate_in, p->rate_out);
    return (struct resample_key){p->rate_out / d, p->rate_in / d};
}

/* The narrower of the two bands, as a part of the input's. */
static double band(const struct resample_key *k)
{
    return k->up < k->down ? (double)k->up / (double)k->down : 1;
}

int64_t resample_taps(const struct resample_key *k)
{
    const double transition = M_PI * (1 - PASS) * band(k); /* radians per sample */
    const double taps = (STOP_DB - 7.95) / (2.285 * transition) + 1;
    return ((int64_t)ceil(taps) + 1) / 2 * 2;
}

int64_t resample_overlap(const struct resample_params *p)
{
    const struct resample_key k = resample_key(p);
    return resample_taps(&k) + k.down / k.up + 1;
}

static int64_t ceiling(int64_t a, int64_t b) /* of a/b, a >= 0 */
{
    return (a + b - 1) / b;
}

int64_t resample_first(const struct resample_params *p, struct piece piece)
{
    const struct resample_key k = resample_key(p);
    return resample_first_of(k.up, k.down, resample_taps(&k), piece);
}

int64_t resample_count(const struct resample_params *p, struct piece piece, int64_t samples)
{
    const struct resample_key k = resample_key(p);
    const int64_t end = piece.start + samples, reach = end - resample_taps(&k) / 2; /* floor(n*down/up) < reach */
    if (samples == 0)
        return 0;
    const int64_t all = piece.last ? ceiling(end * k.up, k.down) : reach > 0 ? ceiling(reach * k.up, k.down) : 0;
    const int64_t first = resample_first(p, piece);
    return all > first ? all - first : 0;
}

static size_t head_bytes(void)
{
    return (sizeof(struct resample_plan) + 63) / 64 * 64;
}

size_t resample_plan_bytes(const void *key)
{
    const struct resample_key *const k = key;
    return head_bytes() + (size_t)(k->up * resample_taps(k)) * sizeof(float);
}

/* The modified Bessel function of order 0: its power series, to the last digit. */
static double bessel(double x)
{
    double sum = 1, term = 1;
    for (int i = 1; term > 1e-18 * sum; i++) {
        term *= x * x / (4.0 * i * i);
        sum += term;
    }
    return sum;
}

void resample_phase(const struct resample_key *k, int64_t phase, float *h)
{
    const int64_t taps = resample_taps(k), before = taps / 2 - 1;
    const double cutoff = band(k) * (1 + PASS) / 2, beta = 0.1102 * (STOP_DB - 8.7), norm = bessel(beta);
    double sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < taps; i++) {
            /* where tap i lies, in input samples from the output's place */
            const double t = (double)(i - before) - (double)phase / (double)k->up;
            const double edge = 2 * t / (double)taps, x = M_PI * cutoff * t;
            if (pass == 0) {
                const double window = edge * edge < 1 ? bessel(beta * sqrt(1 - edge * edge)) / norm : 0;
                h[i] = (float)(window * (x == 0 ? 1 : sin(x) / x));
                sum += h[i];
            } else {
                h[i] = (float)(h[i] / sum);
            }
        }
}

int resample_plan_init(void *memory, const void *key)
{
    const struct resample_key *const k = key;
    const int64_t taps = resample_taps(k);
    float *const h = (float *)((char *)memory + head_bytes());
    *(struct resample_plan *)memory = (struct resample_plan){k->up, k->down, taps, h};
    for (int64_t phase = 0; phase < k->up; phase++)
        resample_phase(k, phase, h + phase * taps);
    return STATUS_OK;
}
