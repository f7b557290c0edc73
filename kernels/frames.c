#include "frames.h"

static int check_layout(const char *op, const struct ragged *x, const struct ragged *y)
{
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || y->offset[0] != 0 || x->total != x->offset[x->rows] ||
        y->total != y->offset[y->rows] || y->total > INT64_C(1) << 34)
        return fail(STATUS_SHAPE, "%s: %lld signals of %lld samples in all into %lld rows of %lld frames in all", op,
                    (long long)x->rows, (long long)x->total, (long long)y->rows, (long long)y->total);
    if ((x->total > 0 && !x->data) || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "%s: no buffer for the samples or the frames", op);
    return STATUS_OK;
}

/* Devices read and write whole values only. Packed 24 bits are read by the byte. */
static int check_alignment(const char *op, const struct ragged *x, const struct ragged *y)
{
    static const uintptr_t align[] = {[DTYPE_F32] = 4, [DTYPE_I16] = 2, [DTYPE_I24] = 1, [DTYPE_C64] = 8};
    if ((uintptr_t)x->data % align[x->dtype] || (uintptr_t)y->data % align[y->dtype])
        return fail(STATUS_ARGUMENT, "%s: samples at %p or frames at %p are not aligned to their values", op, x->data,
                    y->data);
    return STATUS_OK;
}

static int check_row(const struct frames_want *want, const struct frame_params *p, const struct ragged *x,
                     const struct ragged *y, int64_t b)
{
    const struct piece piece = piece_of(x->piece, b);
    const int64_t samples = ragged_length(x, b);
    if (samples < 0 || piece.start < 0 || piece.start > (INT64_C(1) << 48) - samples ||
        piece.first != (piece.start == 0))
        return fail(STATUS_SHAPE, "%s: row %lld has %lld samples from %lld on%s", want->op, (long long)b,
                    (long long)samples, (long long)piece.start, piece.first ? ", the first piece" : "");
    const int64_t frames = frame_count(p, piece, samples);
    if (frames != ragged_length(y, b))
        return fail(STATUS_SHAPE, "%s: row %lld gives %lld frames, room for %lld", want->op, (long long)b,
                    (long long)frames, (long long)ragged_length(y, b));
    if (want->reflect && p->centred && (piece.first || piece.last) && frames > 0 && samples <= frame_pad(p))
        return fail(STATUS_SHAPE, "%s: row %lld has %lld samples, reflection at its end needs %lld", want->op,
                    (long long)b, (long long)samples, (long long)frame_pad(p) + 1);
    return STATUS_OK;
}

int frames_check(const struct frames_want *want, const struct frame_params *p, const struct ragged *x,
                 const struct ragged *y)
{
    if (p->window_samples < want->window_least || p->window_samples > want->window_most)
        return fail(STATUS_ARGUMENT, "%s: window of %lld samples, allowed %lld to %lld", want->op,
                    (long long)p->window_samples, (long long)want->window_least, (long long)want->window_most);
    if (p->hop_samples < 1 || p->hop_samples > INT64_C(1) << 40)
        return fail(STATUS_ARGUMENT, "%s: hop of %lld samples, allowed 1 to 2^40", want->op, (long long)p->hop_samples);
    if (x->channels != 1 || !(x->dtype == DTYPE_F32 || (want->integers && (unsigned)x->dtype <= DTYPE_I24)))
        return fail(STATUS_ARGUMENT, "%s: wants mono float32%s in", want->op, want->integers ? ", int16 or int24" : "");
    if (y->dtype != want->dtype || y->channels != want->channels)
        return fail(STATUS_ARGUMENT, "%s: gives %lld values of type %d per frame, room for %d of type %d", want->op,
                    (long long)want->channels, (int)want->dtype, (int)y->channels, (int)y->dtype);
    int code = check_layout(want->op, x, y);
    if (!code && want->integers)
        code = check_alignment(want->op, x, y);
    for (int64_t b = 0; !code && b < x->rows; b++)
        code = check_row(want, p, x, y, b);
    return code;
}
