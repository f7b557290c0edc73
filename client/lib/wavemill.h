/* wavemill - signal operations in this process: what the queue's workers compute, on the caller's arrays.
 *
 *     struct wavemill *w;
 *     struct wavemill_mel p = wavemill_mel_defaults(22050);
 *     float *out = malloc(wavemill_frames(&p.spectrum, n) * p.n_mels * sizeof *out);
 *     if (wavemill_open(1, NULL, &w) || wavemill_mel(w, &p, y, 1, n, out))
 *         fputs(status_message(), stderr);
 *     wavemill_close(&w);
 *
 *   shapes       y [rows][n] float32, one signal per row; results [rows][frames][values] float32 (complex: real and
 *                imaginary part), frames as wavemill_frames() counts; nothing is copied
 *   units        samples linear, full scale 1.0; Hz; dB relative to 1.0
 *   names        librosa's, and its defaults; the equations stand in kernels/NAME.h
 *   ownership    borrows all arrays for the call; an engine keeps plans and scratch
 *   threads      one calling thread per engine at a time; several engines are fine
 *   errors       0, or a code of status.h with the reason in status_message(): STATUS_ARGUMENT, STATUS_SHAPE (nothing
 *                was written), STATUS_NOMEM, STATUS_UNSUPPORTED (an instruction set that this processor lacks)
 *   determinism  bitwise on one instruction set, whatever the number of rows and threads; equal to what
 *                `wavemill features` writes */
#ifndef WAVEMILL_H
#define WAVEMILL_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct wavemill;

/* isa: "scalar", "avx2", "avx512", or NULL for the widest there is. */
int wavemill_open(int threads, const char *isa, struct wavemill **out) MUST_USE;
void wavemill_close(struct wavemill **w);
const char *wavemill_isa(const struct wavemill *w);

enum wavemill_window {
    WAVEMILL_HANN = 0,
    WAVEMILL_HAMMING = 1,
    WAVEMILL_BLACKMAN = 2,
    WAVEMILL_BARTLETT = 3,
    WAVEMILL_RECTANGULAR = 4
};

enum wavemill_pad { WAVEMILL_PAD_CONSTANT = 0, WAVEMILL_PAD_REFLECT = 1 };

struct wavemill_spectrum {
    int64_t n_fft, hop_length;
    int64_t win_length; /* 0: n_fft */
    int32_t window;     /* enum wavemill_window */
    int32_t pad_mode;   /* enum wavemill_pad */
    int32_t center;     /* 0 or 1 */
    int32_t reserved;
};

struct wavemill_mel {
    struct wavemill_spectrum spectrum;
    double sr;
    double fmin, fmax; /* fmax 0: sr/2 */
    double power;
    double top_db; /* in dB: below each row's maximum; negative: no limit */
    int32_t n_mels;
    int32_t htk;
    int32_t slaney;   /* each band divided by half its width */
    int32_t decibels; /* power_to_db of the bands */
};

struct wavemill_mel wavemill_mel_defaults(double sr); /* linear, top_db 80 */

/* Frames of a signal of n samples; negative for parameters that no operation takes. */
int64_t wavemill_frames(const struct wavemill_spectrum *p, int64_t n);

/* out [rows][frames][n_fft/2 + 1] complex64 */
int wavemill_stft(struct wavemill *w, const struct wavemill_spectrum *p, const float *y, int64_t rows, int64_t n,
                  float *out) MUST_USE;

/* stft [rows][frames][n_fft/2 + 1] complex64 -> y [rows][n] */
int wavemill_istft(struct wavemill *w, const struct wavemill_spectrum *p, const float *stft, int64_t rows,
                   int64_t frames, int64_t n, float *y) MUST_USE;

/* Samples that so many frames hold, as librosa counts them. */
int64_t wavemill_istft_samples(const struct wavemill_spectrum *p, int64_t frames);

/* out [rows][frames][n_mels] */
int wavemill_mel(struct wavemill *w, const struct wavemill_mel *p, const float *y, int64_t rows, int64_t n,
                 float *out) MUST_USE;

/* out [rows][frames][n_mfcc], from bands in dB whatever p->decibels says */
int wavemill_mfcc(struct wavemill *w, const struct wavemill_mel *p, int32_t n_mfcc, double lifter, const float *y,
                  int64_t rows, int64_t n, float *out) MUST_USE;

/* out [rows][wavemill_resample_samples(..)] */
int wavemill_resample(struct wavemill *w, int64_t orig_sr, int64_t target_sr, const float *y, int64_t rows, int64_t n,
                      float *out) MUST_USE;
int64_t wavemill_resample_samples(int64_t orig_sr, int64_t target_sr, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
