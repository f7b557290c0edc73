#include "cufft.h"

#include "fft.h"

#include <cstdlib>
#include <map>
#include <mutex>

struct transform {
    int n, batch;
    cudaStream_t stream;
    fft_plan *plan;
};

static std::map<cufftHandle, transform> transforms;
static std::mutex transforms_lock;

void emulator_enqueue(cudaStream_t stream, std::function<void()> work);

cufftResult cufftPlan1d(cufftHandle *out, int n, cufftType, int batch)
{
    static int next = 1;
    const std::lock_guard<std::mutex> hold(transforms_lock);
    void *const plan = std::aligned_alloc(64, (fft_plan_bytes(n) + 63) / 64 * 64);
    if (!plan || fft_plan_init(plan, n)) {
        std::free(plan);
        return CUFFT_ALLOC_FAILED;
    }
    transforms[next] = transform{n, batch, nullptr, (fft_plan *)plan};
    *out = next++;
    return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle handle)
{
    const std::lock_guard<std::mutex> hold(transforms_lock);
    const auto at = transforms.find(handle);
    if (at == transforms.end())
        return CUFFT_INVALID_PLAN;
    std::free(at->second.plan);
    transforms.erase(at);
    return CUFFT_SUCCESS;
}

cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream)
{
    const std::lock_guard<std::mutex> hold(transforms_lock);
    const auto at = transforms.find(handle);
    if (at == transforms.end())
        return CUFFT_INVALID_PLAN;
    at->second.stream = stream;
    return CUFFT_SUCCESS;
}

static void run(const transform &t, const float *in, cufftComplex *out)
{
    const int bins = t.n / 2 + 1;
    std::vector<double> samples((size_t)t.n);
    std::vector<fft_complex> spectrum((size_t)bins);
    void *const work = std::aligned_alloc(64, (fft_work_bytes(t.n) + 127) / 64 * 64);
    for (int b = 0; b < t.batch; b++) {
        bool silent = true; /* scratch that no frame fills is as it was: transforming it takes time and helps nobody */
        for (int i = 0; i < t.n; i++) {
            samples[(size_t)i] = in[(size_t)b * (size_t)t.n + (size_t)i];
            silent = silent && std::isnan(samples[(size_t)i]);
        }
        if (silent)
            continue;
        fft_real_forward(t.plan, samples.data(), spectrum.data(), work);
        for (int k = 0; k < bins; k++)
            out[(size_t)b * (size_t)bins + (size_t)k] =
                make_float2((float)spectrum[(size_t)k].re, (float)spectrum[(size_t)k].im);
    }
    std::free(work);
}

cufftResult cufftExecR2C(cufftHandle handle, float *in, cufftComplex *out)
{
    const std::lock_guard<std::mutex> hold(transforms_lock);
    const auto at = transforms.find(handle);
    if (at == transforms.end() || !at->second.stream)
        return CUFFT_INVALID_PLAN;
    const transform t = at->second;
    emulator_enqueue(t.stream, [=] { run(t, in, out); });
    return CUFFT_SUCCESS;
}

static void run_inverse(const transform &t, cufftComplex *in, float *out)
{
    const size_t bins = (size_t)t.n / 2 + 1, n = (size_t)t.n;
    std::vector<double> samples(n);
    std::vector<fft_complex> spectrum(bins);
    void *const work = std::aligned_alloc(64, (fft_work_bytes(t.n) + 127) / 64 * 64);
    for (size_t b = 0; b < (size_t)t.batch; b++) {
        bool silent = true; /* as above */
        for (size_t k = 0; k < bins; k++) {
            const cufftComplex v = in[b * bins + k];
            spectrum[k].re = v.x;
            spectrum[k].im = v.y;
            silent = silent && std::isnan(v.x) && std::isnan(v.y);
            in[b * bins + k] = make_float2(NAN, NAN);
        }
        if (silent)
            continue;
        fft_real_inverse(t.plan, spectrum.data(), samples.data(), work);
        for (size_t i = 0; i < n; i++)
            out[b * n + i] = (float)samples[i];
    }
    std::free(work);
}

cufftResult cufftExecC2R(cufftHandle handle, cufftComplex *in, float *out)
{
    const std::lock_guard<std::mutex> hold(transforms_lock);
    const auto at = transforms.find(handle);
    if (at == transforms.end() || !at->second.stream)
        return CUFFT_INVALID_PLAN;
    const transform t = at->second;
    emulator_enqueue(t.stream, [=] { run_inverse(t, in, out); });
    return CUFFT_SUCCESS;
}
