/* maps_from_complex and complex_from_maps: every value by its place, there and back; threads, errors. */
#include "field.h"

static const struct complex_case {
    int64_t items, channels, frames, width; /* channels of spectra */
    struct complex_maps_params p;
    bool margins;
    const char *reason;
} cases[] = {
    {1, 1, 1, 1, {1, 0, 0, 1, 0}, false, "one number"},
    {1, 2, 5, 2048, {2049, 0, 0, 1, 0}, false, "the last bin is left out"},
    {2, 2, 7, 33, {40, 2, 2, 0.25F, -3}, true, "two frames before and behind, into margins"},
    {3, 1, 4, 17, {17, 1, 0, -2, 0.5F}, false, "a frame before"},
    {1, 8, 3, 5, {6, 0, 3, 1.5F, 0}, true, "eight channels, three frames behind"},
    {2, 21, 2, 70, {140, 1, 1, 1, 1}, false, "more channels and bins than a tile has"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* One rounding each for product and sum, or one for both. */
static double step(float got, float in, const struct complex_maps_params *p)
{
    const double product = (double)in * p->scale, want = product + p->shift;
    return got == want ? 0 : fabs(got - want) / (6e-8 * (fabs(product) + fabs(want)));
}

static struct oracle_shape shape_of(const struct complex_case *c)
{
    return (struct oracle_shape){c->items, c->frames, c->width, 2 * c->channels};
}

static int run_forward(struct exec *ex, const struct complex_maps_params *p, float *x, int64_t floats,
                       const struct field *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps to = device_maps(&b, y, &y->m, true);
    return device_done(&b, maps_from_complex(ex, p, device_aligned(&b, x, (size_t)floats * sizeof *x, false), &to));
}

static int run_inverse(struct exec *ex, const struct complex_maps_params *p, const struct field *y, struct guarded *x)
{
    struct device_batch b = device_batch(ex);
    const struct maps from = device_maps(&b, y, &y->m, true);
    return device_done(
        &b, complex_from_maps(ex, p, &from, device_aligned(&b, x->data, (size_t)x->n * sizeof(float), true)));
}

static double forward(struct exec *ex, struct exec *three, const struct complex_case *c, uint64_t seed)
{
    const struct oracle_shape s = shape_of(c);
    const struct complex_maps_params p = {c->p.bins, 0, 0, c->p.scale, c->p.shift};
    const int64_t floats = c->items * c->channels * c->frames * p.bins * 2;
    float *const x = noise_of(&seed, floats, 1);
    struct field y = field_open(&s, c->margins, c->margins ? 3 : 2), again = field_open(&s, false, 0);
    double worst = 0;
    CHECK_OK(run_forward(ex, &p, x, floats, &y));
    CHECK_OK(run_forward(three, &p, x, floats, &again));
    CHECK(field_intact(&y) && field_intact(&again) && field_equal(&y, &again));
    for (int64_t b = 0; b < c->items; b++)
        for (int64_t k = 0; k < c->channels; k++)
            for (int64_t t = 0; t < c->frames; t++)
                for (int64_t f = 0; f < c->width; f++)
                    for (int part = 0; part < 2; part++) {
                        const float in = x[((((b * c->channels + k) * c->frames) + t) * p.bins + f) * 2 + part];
                        worst = compare_worst(worst, step(maps_row(&y.m, b, t)[f * s.channels + 2 * k + part], in, &p));
                    }
    free(x);
    field_close(&y);
    field_close(&again);
    return worst;
}

static double inverse(struct exec *ex, struct exec *three, const struct complex_case *c, uint64_t seed)
{
    const struct oracle_shape s = shape_of(c);
    const int64_t frames = c->p.before + c->frames + c->p.after;
    const int64_t floats = c->items * c->channels * frames * c->p.bins * 2;
    struct field y = field_open(&s, c->margins, c->margins ? 3 : 2);
    struct guarded x = guarded_open(floats), again = guarded_open(floats);
    double worst = 0;
    field_noise(&y, &seed, 1);
    CHECK_OK(run_inverse(ex, &c->p, &y, &x));
    CHECK_OK(run_inverse(three, &c->p, &y, &again));
    CHECK(field_intact(&y) && guarded_intact(&x) && guarded_intact(&again));
    CHECK(compare_bits(x.data, again.data, (size_t)floats * sizeof(float)));
    for (int64_t i = 0; i < floats; i++) {
        const int64_t part = i % 2, f = i / 2 % c->p.bins, row = i / 2 / c->p.bins, t = row % frames - c->p.before;
        const int64_t k = row / frames % c->channels, b = row / frames / c->channels;
        const bool inside = t >= 0 && t < c->frames && f < c->width;
        worst =
            compare_worst(worst, inside ? step(x.data[i], maps_row(&y.m, b, t)[f * s.channels + 2 * k + part], &c->p)
                                 : x.data[i] == 0 ? 0
                                                  : INFINITY);
    }
    field_close(&y);
    guarded_close(&x);
    guarded_close(&again);
    return worst;
}

TEST(complex_maps_put_values_in_their_places)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst[2] = {0, 0};
    for (int n = 0; n < CASES; n++) {
        const double there = forward(ex, three, &cases[n], (uint64_t)n), back = inverse(ex, three, &cases[n], 9);
        if (!(there <= 1 && back <= 1))
            printf("    %s: %.2g, %.2g of the tolerance\n", cases[n].reason, there, back);
        worst[0] = compare_worst(worst[0], there);
        worst[1] = compare_worst(worst[1], back);
    }
    printf("    maps_from_complex: %.3f of the tolerance\n", worst[0]);
    printf("    complex_from_maps: %.3f of the tolerance\n", worst[1]);
    CHECK_AT_MOST(worst[0], 1);
    CHECK_AT_MOST(worst[1], 1);
    CHECK(exec_arena(ex)->used == 0);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(complex_maps_keep_nan_in_its_place)
{
    struct exec *ex = subject_exec();
    const struct complex_case c = {2, 2, 3, 8, {9, 1, 1, 2, 1}, false, "a NaN"};
    const struct oracle_shape s = shape_of(&c);
    const struct complex_maps_params there = {9, 0, 0, 2, 1};
    uint64_t seed = 1;
    float *const x = noise_of(&seed, 2 * 2 * 3 * 9 * 2, 1);
    struct guarded back = guarded_open(2 * 2 * 5 * 9 * 2);
    struct field y = field_open(&s, false, 0);
    int64_t bad = 0;
    x[((1 * 2 + 1) * 3 + 2) * 18 + 7] = NAN; /* item 1, channel 1, frame 2, the imaginary part of bin 3 */
    CHECK_OK(run_forward(ex, &there, x, 2 * 2 * 3 * 9 * 2, &y));
    for (int64_t i = 0; i < 2 * 3 * 8 * 4; i++)
        bad += isnan(y.m.data[i]);
    CHECK(bad == 1 && isnan(maps_row(&y.m, 1, 2)[3 * 4 + 3]));
    CHECK_OK(run_inverse(ex, &c.p, &y, &back));
    for (int64_t i = 0; i < back.n; i++)
        bad += isnan(back.data[i]);
    CHECK(bad == 2 && isnan(back.data[((1 * 2 + 1) * 5 + 3) * 18 + 7]));
    free(x);
    guarded_close(&back);
    field_close(&y);
    exec_destroy(&ex);
}

/* A spoilt view or parameter: each is refused by the way there, and by the way back unless only one of them minds. */
TEST(complex_maps_refuse)
{
    static const struct {
        int way, code;
        bool back;
        const char *reason;
    } spoilt[] = {
        {0, STATUS_SHAPE, true, "three channels"},
        {1, STATUS_SHAPE, true, "no channels"},
        {2, STATUS_SHAPE, true, "less than no items"},
        {3, STATUS_SHAPE, true, "no frames"},
        {4, STATUS_SHAPE, true, "no width"},
        {5, STATUS_SHAPE, true, "items that go back"},
        {6, STATUS_SHAPE, true, "fewer bins than width"},
        {7, STATUS_SHAPE, true, "too many bins"},
        {8, STATUS_SHAPE, true, "frames before zero"},
        {9, STATUS_SHAPE, true, "frames after less than none"},
        {10, STATUS_SHAPE, false, "a frame before, to maps"},
        {11, STATUS_SHAPE, false, "a frame behind, to maps"},
        {12, STATUS_SHAPE, false, "items that share memory"},
        {13, STATUS_SHAPE, false, "rows that share memory"},
        {14, STATUS_ARGUMENT, true, "no maps"},
        {15, STATUS_ARGUMENT, true, "no spectra"},
        {16, STATUS_OK, true, "no items"},
    };
    struct exec *ex = subject_exec();
    struct field y = field_open(&(struct oracle_shape){2, 3, 8, 4}, false, 0);
    struct guarded x = guarded_open(2 * 2 * 3 * 9 * 2);
    for (size_t c = 0; c < sizeof spoilt / sizeof *spoilt; c++) {
        struct complex_maps_params p = {9, 0, 0, 2, 1};
        struct maps m = y.m;
        float *spectra = x.data;
        int64_t *const field[] = {&m.channels,    &m.channels,   &m.items,  &m.height, &m.width,  &m.item_stride,
                                  &p.bins,        &p.bins,       &p.before, &p.after,  &p.before, &p.after,
                                  &m.item_stride, &m.row_stride, NULL,      NULL,      &m.items};
        static const int64_t value[] = {3, 0, -1, 0, 0, -1, 7, (INT64_C(1) << 31) + 1, -1, -1, 1, 1, 0, 31, 0, 0, 0};
        if (field[spoilt[c].way])
            *field[spoilt[c].way] = value[spoilt[c].way];
        m.data = spoilt[c].way == 14 ? NULL : m.data;
        spectra = spoilt[c].way == 15 ? NULL : spectra;
        const int there = maps_from_complex(ex, &p, spectra, &m);
        const int back = spoilt[c].back ? complex_from_maps(ex, &p, &m, spectra) : spoilt[c].code;
        if (there != spoilt[c].code || back != spoilt[c].code)
            printf("    %s: %s, %s\n", spoilt[c].reason, status_name(there), status_name(back));
        CHECK(there == spoilt[c].code && back == spoilt[c].code);
        CHECK(field_untouched(&y) && guarded_untouched(&x));
    }
    field_close(&y);
    guarded_close(&x);
    exec_destroy(&ex);
}
