/* stft - short-time Fourier transform of a ragged batch of mono signals.
 *
 *   equation     y[t,f] = sum_{i<n} w[i] * x[t*hop - pad + i] * exp(-2*pi*j*f*i/n), n = n_fft = frame.window_samples,
 *                pad = n/2 (rounded down) when centred, else 0; w is the periodic window of win_length samples with
 *                (n - win_length)/2 zeros (rounded down) before it and the rest after it. No scaling
 *   shapes       x ragged [B][N_b] f32 in; y ragged [B][T_b][F] complex64 out (dtype DTYPE_C64, channels F = n/2 + 1,
 *                offsets count frames), T_b = frame_count(&p->frame, piece of b, N_b)
 *   pieces       as frames.h says: any cut into pieces that share n - 1 samples gives every frame, bit-equal
 *   padding      PAD_ZERO: samples outside the signal are 0. PAD_REFLECT: mirrored at the ends, the end not repeated;
 *                a signal, or a first or last piece, that gives frames must then hold pad + 1 samples
 *   units        x linear, full scale 1.0; |y| up to sum of w; frame t is centred on sample t*hop when centred
 *   limits       16 <= n <= 65536, any integer; 1 <= hop_samples <= 2^40, also above n; 1 <= win_length <= n (0: n);
 *                at most 2^34 frames; x and y do not overlap
 *   not finite   a frame with a NaN or an infinity among its n samples is NaN in every bin; no other frame changes
 *   ownership    borrows all; scratch of spectral_work_bytes() from exec's arena, given back; the plan stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     relative L2 of a frame <= 1e-6 against oracle_stft in double, every n; asserted in test_stft.c.
 *                The scalar twin computes in double and rounds once; the others in f32
 *   source       librosa 0.11 stft; scipy.signal.get_window(fftbins=True). Where it differs: a signal shorter than
 *                pad + 1 is reflected repeatedly there (with a warning) and refused here, as in torch.stft; an
 *                uncentred signal shorter than n is refused there and gives 0 frames here; a single last frame that
 *                ends exactly n/2 samples behind the signal has a wrong last reflected sample there */
#ifndef STFT_H
#define STFT_H
#include "frames.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum window_kind {
    WINDOW_HANN = 0,
    WINDOW_HAMMING = 1,
    WINDOW_BLACKMAN = 2,
    WINDOW_BARTLETT = 3,
    WINDOW_RECTANGULAR = 4,
};

enum pad_mode { PAD_ZERO = 0, PAD_REFLECT = 1 };

struct stft_params {
    struct frame_params frame; /* window_samples is n_fft */
    int64_t win_length;        /* samples of the window, in the middle of n_fft; 0: n_fft */
    enum window_kind window;
    enum pad_mode pad; /* counts only when frame.centred */
};

/* What a plan depends on; no padding, so that bytes compare. */
struct stft_key {
    int64_t n_fft;
    int64_t win_length;
    int64_t window;
};

static inline HOST_DEVICE int64_t stft_bins(const struct stft_params *p)
{
    return p->frame.window_samples / 2 + 1;
}

/* The plan of the scalar twin: window and twiddles. Arguments are struct stft_key and the plan, for struct plan_kind.
 */
size_t stft_plan_bytes(const void *key);
int stft_plan_init(void *plan, const void *key);

/* Front: spectral() with this one output. */
int stft(struct exec *ex, const struct stft_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
