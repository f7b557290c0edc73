#include "../istft.h"

#include "../overlap.h"
#include "rows.h"
#include "transform.h"

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

size_t SIMD(istft_work_bytes)(const struct stft_params *p)
{
    const size_t n = (size_t)p->frame.window_samples;
    return 2 * round_up(n * sizeof(double)) + 2 * round_up(n * sizeof(float)) + round_up(LANES * n * sizeof(float)) +
           round_up(SIMD(transform_work_bytes)((int64_t)n));
}

int SIMD(istft)(struct exec *ex, const struct stft_params *p, const void *memory, const struct ragged *x,
                struct ragged *y)
{
    const struct transform_plan *const plan = memory;
    const int64_t n = p->frame.window_samples, bins = stft_bins(p);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct overlap o = {0};
    float *frames, *squares, *window;
    void *work;
    int code = arena_alloc(arena, (size_t)n * sizeof *o.sum, &o.sum);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *o.norm, &o.norm);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *squares, &squares);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *window, &window);
    code = code ? code : arena_alloc(arena, LANES * (size_t)n * sizeof *frames, &frames);
    code = code ? code : arena_alloc(arena, SIMD(transform_work_bytes)(n), &work);
    for (int64_t i = 0; i < n && !code; i++) {
        squares[i] = plan->window[i] * plan->window[i];
        window[i] = plan->window[i] / (float)plan->half;
    }
    o.squares = code ? NULL : squares;
    for (int64_t b = 0; b < x->rows && !code; b++) {
        const int64_t count = ragged_length(x, b);
        overlap_begin(&o, &p->frame, (float *)y->data + y->offset[b], ragged_length(y, b));
        for (int64_t t = 0; t < count; t += LANES) {
            const float *row[LANES];
            for (int l = 0; l < LANES; l++) /* lanes behind the last frame repeat it */
                row[l] = (const float *)x->data + (x->offset[b] + (t + l < count ? t + l : count - 1)) * bins * 2;
            SIMD(transform_inverse)(plan, row, frames, work);
            for (int l = 0; l < LANES && t + l < count; l++) {
                float *const frame = frames + l * n;
                for (int64_t i = 0; i < n; i++)
                    frame[i] *= window[i];
                overlap_add(&o, frame);
            }
        }
        overlap_end(&o);
    }
    arena_reset(arena, mark);
    return code;
}
