#include "split_blocks.h"

#include "exec.h"
#include "istft.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_FRAMES = 256, N_FFT_LEAST = 64, N_FFT_MOST = 16384 };

/* What one block is made of: frames [first, end) of the spectra and samples [from, to) give stems [begin, stop). */
struct span {
    int64_t begin, stop;
    int64_t first, end;
    struct piece piece; /* starts with `from` */
    int64_t to;
};

static int check(const struct split_blocks_method *m, struct exec *ex, const struct stft_params *p)
{
    const int64_t n = p->frame.window_samples, hop = p->frame.hop_samples;
    if (n < N_FFT_LEAST || n > N_FFT_MOST || n % 2)
        return fail(STATUS_ARGUMENT, "split_blocks: n_fft of %lld, allowed even ones from %d to %d", (long long)n,
                    N_FFT_LEAST, N_FFT_MOST);
    if (hop < 1 || hop > n / 4)
        return fail(STATUS_ARGUMENT, "split_blocks: hop of %lld, allowed 1 to a quarter of n_fft, %lld", (long long)hop,
                    (long long)n / 4);
    if (exec_backend(ex) != BACKEND_CPU)
        return fail(STATUS_UNSUPPORTED, "split_blocks: %d stems on the cpu only, not on %s", m->stems,
                    backend_name(exec_backend(ex)));
    return STATUS_OK;
}

static bool allocate(float **out, int64_t floats)
{
    *out = malloc((size_t)floats * sizeof **out);
    return *out != NULL;
}

int split_blocks_open(struct split_blocks *b, const struct split_blocks_method *method, void *context, struct exec *ex,
                      const struct stft_params *stft, int64_t context_frames)
{
    const int code = check(method, ex, stft);
    if (code)
        return code;
    const int64_t n = stft->frame.window_samples, hop = stft->frame.hop_samples, bins = stft_bins(stft);
    *b = (struct split_blocks){.method = method,
                               .context = context,
                               .ex = ex,
                               .stft = *stft,
                               .context_frames = context_frames,
                               .step = STEP_FRAMES};
    /* The frames that reach a block, half a window more where the signal begins, and where it ends; the context. */
    b->most_frames = b->step + 2 * (n / hop + 3) + 2 * context_frames;
    const int64_t samples = b->most_frames * hop + n;
    b->capacity = samples + b->step * hop;
    if (allocate(&b->x, b->capacity * 2) && allocate(&b->rows, SPLIT_BLOCKS_ROWS * samples) &&
        allocate(&b->spectra, SPLIT_BLOCKS_ROWS * b->most_frames * bins * 2) &&
        allocate(&b->parts, method->parts * b->most_frames * bins * 2) &&
        allocate(&b->signals, method->parts * samples) &&
        allocate(&b->stems, b->step * hop * method->stems * SEPARATION_CHANNELS))
        return STATUS_OK;
    split_blocks_close(b);
    return fail(STATUS_NOMEM, "split_blocks: out of memory");
}

void split_blocks_close(struct split_blocks *b)
{
    free(b->x);
    free(b->rows);
    free(b->spectra);
    free(b->parts);
    free(b->signals);
    free(b->stems);
    b->x = b->rows = b->spectra = b->parts = b->signals = b->stems = NULL;
}

/* The next block, if the samples at hand suffice. */
static bool find(const struct split_blocks *b, struct span *s)
{
    const struct frame_params *const f = &b->stft.frame;
    const int64_t n = f->window_samples, hop = f->hop_samples, pad = frame_pad(f), have = b->start + b->held;
    s->begin = b->next;
    s->stop = s->begin + b->step * hop;
    if (b->ended && s->stop > have)
        s->stop = have;
    const int64_t reach = s->begin + pad - n + 1; /* the first frame that reaches begin starts here, or later */
    s->first = (reach > 0 ? (reach + hop - 1) / hop : 0) - b->context_frames;
    s->end = (s->stop - 1 + pad) / hop + 1 + b->context_frames;
    if (s->first * hop <= pad) /* whose window would start before the signal: it begins with the signal's first */
        s->first = 0;
    s->to = (s->end - 1) * hop - pad + n;
    const int64_t from = s->first > 0 ? s->first * hop - pad : 0;
    s->piece = (struct piece){from, from == 0, b->ended && s->to >= have};
    if (s->piece.last)
        s->to = have;
    s->end = s->first + frame_count(f, s->piece, s->to - from);
    return s->begin < s->stop && s->to <= have;
}

static int transform(struct split_blocks *b, const struct span *s)
{
    const struct split_blocks_method *const m = b->method;
    const int64_t samples = s->to - s->piece.start, frames = s->end - s->first, bins = stft_bins(&b->stft);
    const int64_t out = s->stop - s->first * b->stft.frame.hop_samples; /* from the middle of frame `first` on */
    const struct piece pieces[SPLIT_BLOCKS_ROWS] = {s->piece, s->piece};
    int64_t x_offset[SPLIT_BLOCKS_ROWS + 1], offset[SPLIT_BLOCKS_PARTS_MOST + 1], y_offset[SPLIT_BLOCKS_PARTS_MOST + 1];
    for (int64_t i = 0; i <= SPLIT_BLOCKS_ROWS; i++)
        x_offset[i] = i * samples;
    for (int64_t i = 0; i <= SPLIT_BLOCKS_PARTS_MOST; i++) {
        offset[i] = i * frames;
        y_offset[i] = i * out;
    }
    const struct ragged x = {.data = b->rows,
                             .channels = 1,
                             .offset = x_offset,
                             .piece = pieces,
                             .rows = SPLIT_BLOCKS_ROWS,
                             .total = x_offset[SPLIT_BLOCKS_ROWS]};
    struct ragged spectra = {.data = b->spectra,
                             .dtype = DTYPE_C64,
                             .channels = (int32_t)bins,
                             .offset = offset,
                             .rows = SPLIT_BLOCKS_ROWS,
                             .total = offset[SPLIT_BLOCKS_ROWS]};
    struct ragged parts = spectra, y = {.data = b->signals, .channels = 1, .offset = y_offset, .rows = m->parts};
    parts.data = b->parts;
    parts.rows = m->parts;
    parts.total = offset[m->parts];
    y.total = y_offset[m->parts];
    int code = stft(b->ex, &b->stft, &x, &spectra);
    code = code ? code : m->parts_of(b->context, &spectra, &parts);
    return code ? code : istft(b->ex, &b->stft, &parts, &y);
}

static int run(struct split_blocks *b, const struct separation *sep, const struct span *s)
{
    const struct split_blocks_method *const m = b->method;
    const int64_t samples = s->to - s->piece.start, n = s->stop - s->begin;
    float *const x = b->x + (s->piece.start - b->start) * 2;
    m->rows(x, samples, b->rows, b->rows + samples);
    const int code = transform(b, s);
    if (code)
        return code;
    const int64_t zero = s->first * b->stft.frame.hop_samples; /* of the signals that came back */
    const float *part[SPLIT_BLOCKS_PARTS_MOST];
    for (int i = 0; i < m->parts; i++)
        part[i] = b->signals + i * (s->stop - zero) + (s->begin - zero);
    m->stems_of(b->x + (s->begin - b->start) * 2, part, n, b->stems);
    b->next = s->stop;
    return sep->emit(sep->context, b->stems, n);
}

/* Forgets what no later block looks at. */
static void drop(struct split_blocks *b)
{
    const struct frame_params *const f = &b->stft.frame;
    const int64_t back = (f->window_samples / f->hop_samples + 1 + b->context_frames) * f->hop_samples;
    const int64_t keep = b->next - back - f->window_samples, from = keep < b->start ? b->start : keep;
    b->held -= from - b->start;
    memmove(b->x, b->x + (from - b->start) * 2, (size_t)b->held * 2 * sizeof *b->x);
    b->start = from;
}

static int run_all(struct split_blocks *b, const struct separation *sep)
{
    struct span s;
    int code = STATUS_OK;
    while (!code && find(b, &s)) {
        code = run(b, sep, &s);
        drop(b);
    }
    return code;
}

int split_blocks_push(struct split_blocks *b, const struct separation *s, const float *x, int64_t frames)
{
    int code = b->ended ? fail(STATUS_ARGUMENT, "split_blocks: the signal has ended") : STATUS_OK;
    while (frames > 0 && !code) {
        const int64_t room = b->capacity - b->held, n = frames < room ? frames : room;
        memcpy(b->x + b->held * 2, x, (size_t)n * 2 * sizeof *x);
        b->held += n;
        x += n * 2;
        frames -= n;
        code = run_all(b, s);
    }
    return code;
}

int split_blocks_finish(struct split_blocks *b, const struct separation *s)
{
    if (b->ended)
        return fail(STATUS_ARGUMENT, "split_blocks: the signal has ended");
    b->ended = true;
    return run_all(b, s);
}
