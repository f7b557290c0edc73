#include "cufft_plan.cuh"

static size_t plan_bytes(const void *)
{
    return sizeof(struct cufft_plan);
}

static int plan_init(void *memory, const void *params)
{
    const struct cufft_key *const key = (const struct cufft_key *)params;
    struct cufft_plan *const plan = (struct cufft_plan *)memory;
    const cufftResult e = cufftPlan1d(&plan->handle, (int)key->n, (cufftType)key->type, (int)key->batch);
    if (e == CUFFT_ALLOC_FAILED)
        return fail(STATUS_NOMEM, "cuFFT: no memory for %lld transforms of %lld", (long long)key->batch,
                    (long long)key->n);
    return e == CUFFT_SUCCESS ? STATUS_OK : fail(STATUS_INTERNAL, "cuFFT: error %d", (int)e);
}

static void plan_close(void *memory)
{
    cufftDestroy(((struct cufft_plan *)memory)->handle);
}

extern "C" {
const struct plan_kind cufft_plan_kind = {.name = "cufft",
                                          .params_bytes = sizeof(struct cufft_key),
                                          .bytes = plan_bytes,
                                          .init = plan_init,
                                          .on_device = false,
                                          .close = plan_close};
}
