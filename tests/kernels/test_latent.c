/* latent and latent_gradient: against their equations in double, at and beyond the bounds, with and without noise. */
#include "field.h"
#include "oracle_training.h"

static const struct {
    struct latent_params p;
    float size; /* of h */
    double floor;
    const char *reason;
} cases[] = {
    {{1, 1, 0, true}, 1, 0, "one number"},
    {{5, 7, 2, true}, 1, 0.1, "odd"},
    {{33, 40, 1, true}, 2, 0.9, "a floor that some meet"},
    {{4, 130, 9, false}, 1, 0, "without noise"},
    {{6, 9, 3, true}, 45, 0, "log variances beyond the bounds"},
    {{3, 5, 0, true}, 1, 1e9, "a floor above all"},
};
enum { CASES = sizeof cases / sizeof *cases };

struct operands {
    float *h, *z, *kl, *dz, *dh;
    struct step_state state;
};

static struct operands operands_of(int n)
{
    const struct latent_params *const p = &cases[n].p;
    const int64_t count = p->items * p->dims;
    uint64_t seed = (uint64_t)n + 1;
    struct operands o = {.h = noise_of(&seed, 2 * count, cases[n].size), .dz = noise_of(&seed, count, 1)};
    o.z = noise_of(&seed, count, 1);
    o.kl = noise_of(&seed, p->dims, 1);
    o.dh = noise_of(&seed, 2 * count, 1);
    o.state = (struct step_state){.seed = 11, .step = 4, .beta = 0.5, .kl_floor = cases[n].floor, .kl = NAN};
    return o;
}

static void operands_free(struct operands *o)
{
    free(o->h);
    free(o->z);
    free(o->kl);
    free(o->dz);
    free(o->dh);
}

static int run(struct exec *ex, const struct latent_params *p, struct operands *o)
{
    struct device_batch b = device_batch(ex);
    const size_t bytes = (size_t)(p->items * p->dims) * sizeof(float);
    struct step_state *const state = device_aligned(&b, &o->state, sizeof o->state, true);
    const float *const h = device_in(&b, o->h, 2 * bytes), *const dz = device_in(&b, o->dz, bytes);
    float *const z = device_out(&b, o->z, bytes), *const dh = device_out(&b, o->dh, 2 * bytes);
    float *const kl = device_out(&b, o->kl, (size_t)p->dims * sizeof(float));
    int code = latent(ex, p, state, h, z, kl);
    code = code ? code : latent_gradient(ex, p, state, h, kl, dz, dh);
    return device_done(&b, code);
}

TEST(latent_matches_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0, worst_back = 0;
    for (int n = 0; n < CASES; n++) {
        const struct latent_params *const p = &cases[n].p;
        const int64_t count = p->items * p->dims;
        struct operands o = operands_of(n), other = operands_of(n);
        double *const z = calloc((size_t)(4 * count), sizeof *z), *const kl = z + count, *const dh = kl + count;
        REQUIRE(z);
        const double all = oracle_latent(p, &o.state, o.h, z, kl);
        oracle_latent_gradient(p, &o.state, o.h, kl, o.dz, dh);
        CHECK_OK(run(ex, p, &o));
        CHECK_OK(run(three, p, &other));
        double error = compare_worst(compare_l2(o.z, z, count), compare_l2(o.kl, kl, p->dims));
        error = compare_worst(error, fabs(o.state.kl - all) / all);
        const double back = compare_l2(o.dh, dh, 2 * count);
        if (!(error <= 1e-6 && back <= 1e-6))
            printf("    %s: %.1e, %.1e\n", cases[n].reason, error, back);
        worst = compare_worst(worst, error);
        worst_back = compare_worst(worst_back, back);
        CHECK(compare_bits(o.z, other.z, (size_t)count * sizeof *o.z) && o.state.kl == other.state.kl);
        CHECK(compare_bits(o.dh, other.dh, (size_t)(2 * count) * sizeof *o.dh));
        CHECK(exec_arena(ex)->used == 0);
        free(z);
        operands_free(&o);
        operands_free(&other);
    }
    printf("    latent: worst %.1e\n", worst);
    printf("    latent_gradient: worst %.1e\n", worst_back);
    CHECK_AT_MOST(worst, 1e-6);
    CHECK_AT_MOST(worst_back, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* Beyond the bounds the log variance has no gradient, and a mean that is no number shows in the loss. */
TEST(latent_at_its_bounds)
{
    struct exec *ex = subject_exec();
    const struct latent_params p = {1, 4, 0, true};
    float h[8] = {0, 0, 0, 0, -31, 21, 3, NAN}, z[4], kl[4], dz[4] = {1, 1, 1, 1}, dh[8];
    struct operands o = {h, z, kl, dz, dh, {.seed = 1, .step = 1, .beta = 1}};
    CHECK_OK(run(ex, &p, &o));
    CHECK(dh[4] == 0 && dh[5] == 0 && dh[6] != 0 && isnan(dh[7]) && isnan(z[3]) && isnan(kl[3]));
    CHECK(isnan(o.state.kl));
    CHECK_AT_MOST(fabs(kl[1] - (exp(20) - 1 - 20) / 2) / kl[1], 1e-6);
    exec_destroy(&ex);
}

TEST(latent_refuses)
{
    struct exec *ex = subject_exec();
    float h[8] = {0}, z[4] = {7}, kl[2] = {7}, dz[4] = {0}, dh[8] = {7};
    struct step_state state = {.kl = 7};
    const struct latent_params good = {2, 2, 0, true};
    struct latent_params p = good;
    for (int i = 0; i < 4; i++) {
        p = good;
        p.items = i == 0 ? 0 : i == 1 ? INT64_C(1) << 33 : 2;
        p.dims = i == 2 ? 0 : i == 3 ? 65537 : 2;
        CHECK_CODE(latent(ex, &p, &state, h, z, kl), STATUS_SHAPE);
        CHECK_CODE(latent_gradient(ex, &p, &state, h, kl, dz, dh), STATUS_SHAPE);
    }
    CHECK_CODE(latent(ex, &good, NULL, h, z, kl), STATUS_ARGUMENT);
    CHECK_CODE(latent(ex, &good, &state, NULL, z, kl), STATUS_ARGUMENT);
    CHECK_CODE(latent(ex, &good, &state, h, NULL, kl), STATUS_ARGUMENT);
    CHECK_CODE(latent(ex, &good, &state, h, z, NULL), STATUS_ARGUMENT);
    CHECK_CODE(latent_gradient(ex, &good, NULL, h, kl, dz, dh), STATUS_ARGUMENT);
    CHECK_CODE(latent_gradient(ex, &good, &state, NULL, kl, dz, dh), STATUS_ARGUMENT);
    CHECK_CODE(latent_gradient(ex, &good, &state, h, NULL, dz, dh), STATUS_ARGUMENT);
    CHECK_CODE(latent_gradient(ex, &good, &state, h, kl, NULL, dh), STATUS_ARGUMENT);
    CHECK_CODE(latent_gradient(ex, &good, &state, h, kl, dz, NULL), STATUS_ARGUMENT);
    CHECK(z[0] == 7 && kl[0] == 7 && dh[0] == 7 && state.kl == 7);
    exec_destroy(&ex);
}
