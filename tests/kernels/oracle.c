#include "oracle.h"

#include <math.h>
#include <stdlib.h>

void oracle_dft(const double *in, int64_t n, int64_t first, int64_t step, int64_t count, double *out)
{
    double *const cosine = malloc((size_t)n * sizeof *cosine), *const sine = malloc((size_t)n * sizeof *sine);
    for (int64_t i = 0; i < n; i++) {
        cosine[i] = cos(2 * M_PI * (double)i / (double)n);
        sine[i] = sin(2 * M_PI * (double)i / (double)n);
    }
    for (int64_t k = 0; k < count; k++) {
        const int64_t f = first + k * step;
        long double re = 0, im = 0;
        for (int64_t i = 0, turn = 0; i < n; i++, turn = (turn + f) % n) {
            re += (long double)in[i] * cosine[turn];
            im -= (long double)in[i] * sine[turn];
        }
        out[2 * k] = (double)re;
        out[2 * k + 1] = (double)im;
    }
    free(cosine), free(sine);
}

static int64_t pad_of(const struct frame_params *p)
{
    return p->centred ? p->window_samples / 2 : 0;
}

int64_t oracle_frames(const struct frame_params *p, int64_t n)
{
    int64_t frames = 0;
    for (int64_t from = -pad_of(p); n > 0 && from + p->window_samples <= n + pad_of(p); from += p->hop_samples)
        frames++;
    return frames;
}

static double sample(const float *x, int64_t n, int64_t i, enum pad_mode pad)
{
    if (pad == PAD_REFLECT)
        i = i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
    return i >= 0 && i < n ? x[i] : 0;
}

static double window(enum window_kind kind, int64_t i, int64_t n)
{
    const double c1 = cos(2 * M_PI * (double)i / (double)n), c2 = cos(4 * M_PI * (double)i / (double)n);
    if (n == 1 || kind == WINDOW_RECTANGULAR)
        return 1;
    if (kind == WINDOW_BARTLETT)
        return 1 - fabs(2 * (double)i / (double)n - 1);
    if (kind == WINDOW_BLACKMAN)
        return 0.42 - 0.5 * c1 + 0.08 * c2;
    return kind == WINDOW_HAMMING ? 0.54 - 0.46 * c1 : 0.5 - 0.5 * c1;
}

void oracle_frame(const struct stft_params *p, const float *x, int64_t n, int64_t t, double *frame)
{
    const int64_t size = p->frame.window_samples, length = p->win_length ? p->win_length : size;
    const int64_t from = t * p->frame.hop_samples - pad_of(&p->frame), left = (size - length) / 2;
    for (int64_t i = 0; i < size; i++) {
        const bool in_window = i >= left && i < left + length;
        frame[i] = in_window ? sample(x, n, from + i, p->pad) * window(p->window, i - left, length) : 0;
    }
}

void oracle_stft(const struct stft_params *p, const float *x, int64_t n, int64_t t, int64_t first, int64_t step,
                 int64_t count, double *out)
{
    double *const frame = malloc((size_t)p->frame.window_samples * sizeof *frame);
    oracle_frame(p, x, n, t, frame);
    oracle_dft(frame, p->frame.window_samples, first, step, count, out);
    free(frame);
}

static double mel_of(double hz, bool htk)
{
    if (htk)
        return 2595 * log10(1 + hz / 700);
    return hz < 1000 ? 3 * hz / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static double hz_of(double mels, bool htk)
{
    if (htk)
        return 700 * (pow(10, mels / 2595) - 1);
    return mels < 15 ? 200 * mels / 3 : 1000 * pow(6.4, (mels - 15) / 27);
}

void oracle_mel(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out)
{
    const int64_t size = p->stft.frame.window_samples, bins = size / 2 + 1;
    double *const s = malloc((size_t)bins * 2 * sizeof *s);
    oracle_stft(&p->stft, x, n, t, 0, 1, bins, s);
    const double low = mel_of(p->mel.fmin_hz, p->mel.htk),
                 high = mel_of(p->mel.fmax_hz > 0 ? p->mel.fmax_hz : p->rate_hz / 2, p->mel.htk);
    for (int32_t m = 0; m < p->mel.mels; m++) {
        double corner[3], sum = 0;
        for (int i = 0; i < 3; i++)
            corner[i] = hz_of(low + (high - low) * (m + i) / (p->mel.mels + 1), p->mel.htk);
        for (int64_t f = 0; f < bins; f++) {
            const double hz = (double)f * p->rate_hz / (double)size;
            const double up = (hz - corner[0]) / (corner[1] - corner[0]);
            const double weight = fmin(up, (corner[2] - hz) / (corner[2] - corner[1]));
            sum += fmax(weight, 0) * pow(hypot(s[2 * f], s[2 * f + 1]), p->mel.power);
        }
        sum *= p->mel.slaney_norm ? 2 / (corner[2] - corner[0]) : 1;
        out[m] = p->mel.log ? 10 * log10(fmax(sum, 1e-10)) : sum;
    }
    free(s);
}

/* Magnitudes [F] of frame t. */
static double *magnitudes(const struct stft_params *p, const float *x, int64_t n, int64_t t)
{
    const int64_t bins = p->frame.window_samples / 2 + 1;
    double *const s = malloc((size_t)bins * 2 * sizeof *s);
    oracle_stft(p, x, n, t, 0, 1, bins, s);
    for (int64_t f = 0; f < bins; f++)
        s[f] = hypot(s[2 * f], s[2 * f + 1]);
    return s;
}

void oracle_spectrogram(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out)
{
    double *const s = magnitudes(&p->stft, x, n, t);
    for (int64_t f = 0; f < p->stft.frame.window_samples / 2 + 1; f++)
        out[f] = p->spectrogram.db ? 10 * log10(fmax(s[f] * s[f], 1e-10)) : pow(s[f], p->spectrogram.power);
    free(s);
}

double oracle_bandwidth(const struct stft_params *p, double rate_hz, const float *x, int64_t n, int64_t t)
{
    const int64_t size = p->frame.window_samples;
    const double centre = oracle_centroid(p, rate_hz, x, n, t);
    double *const s = magnitudes(p, x, n, t), sum = 0, spread = 0;
    for (int64_t f = 0; f <= size / 2; f++) {
        sum += s[f];
        spread += s[f] * pow((double)f * rate_hz / (double)size - centre, 2);
    }
    free(s);
    return sum > 0 ? sqrt(spread / sum) : 0;
}

void oracle_rolloff(const struct stft_params *p, double part, const float *x, int64_t n, int64_t t, int64_t bin[2])
{
    double *const s = magnitudes(p, x, n, t), sum = 0;
    const int64_t last = p->frame.window_samples / 2;
    for (int64_t f = 0; f <= last; f++)
        sum += s[f];
    for (int way = 0; way < 2; way++) {
        const double threshold = part * sum * (way ? 1 + 2e-6 : 1 - 2e-6);
        double below = s[0];
        bin[way] = 0;
        while (bin[way] < last && below < threshold)
            below += s[++bin[way]];
    }
    free(s);
}

double oracle_flatness(const struct stft_params *p, const float *x, int64_t n, int64_t t)
{
    const int64_t bins = p->frame.window_samples / 2 + 1;
    double *const s = magnitudes(p, x, n, t), sum = 0, logs = 0;
    for (int64_t f = 0; f < bins; f++) {
        sum += fmax(s[f] * s[f], 1e-10);
        logs += log(fmax(s[f] * s[f], 1e-10));
    }
    free(s);
    return exp(logs / (double)bins) / (sum / (double)bins);
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Written after librosa's words, band by band, with a mask. */
void oracle_contrast(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out)
{
    const int64_t size = p->stft.frame.window_samples, bins = size / 2 + 1, bands = p->contrast.bands;
    double *const s = magnitudes(&p->stft, x, n, t), *const part = malloc((size_t)bins * sizeof *part);
    for (int64_t k = 0; k <= bands; k++) {
        const double low = k ? p->contrast.fmin_hz * pow(2, (double)(k - 1)) : 0;
        const double high = p->contrast.fmin_hz * pow(2, (double)k);
        int64_t count = 0, first = -1;
        for (int64_t f = 0; f < bins; f++) {
            const double hz = (double)f * p->rate_hz / (double)size;
            if (hz < low || (hz > high && k < bands) || (hz > high && first < 0))
                continue;
            if (first < 0 && k > 0 && f > 0)
                part[count++] = s[f - 1];
            first = first < 0 ? f : first;
            part[count++] = s[f];
        }
        out[k] = out[bands + 1 + k] = NAN;
        if (first < 0 || low >= p->rate_hz / 2)
            continue;
        int64_t take = (int64_t)fmax(1, rint(p->contrast.quantile * (double)count));
        count -= k < bands;
        take = take < count ? take : count;
        if (count == 0)
            continue;
        qsort(part, (size_t)count, sizeof *part, rising);
        double peak = 0, valley = 0;
        for (int64_t i = 0; i < take; i++) {
            valley += part[i] / (double)take;
            peak += part[count - 1 - i] / (double)take;
        }
        out[k] = 10 * log10(fmax(peak, 1e-10));
        out[bands + 1 + k] = 10 * log10(fmax(valley, 1e-10));
    }
    free(s), free(part);
}

double oracle_flux(const struct stft_params *p, const float *x, int64_t n, int64_t t, double *norm)
{
    double *const now = magnitudes(p, x, n, t), *const before = magnitudes(p, x, n, t ? t - 1 : 0), sum = 0;
    *norm = 0;
    for (int64_t f = 0; f <= p->frame.window_samples / 2; f++) {
        sum += pow(now[f] - before[f], 2);
        *norm += pow(now[f], 2) + pow(before[f], 2);
    }
    *norm = sqrt(*norm);
    free(now), free(before);
    return t ? sqrt(sum) : 0;
}

/* By the normal equations in long double, solved by elimination; scale[i]: norm of row i of the pseudoinverse times
 * that of the magnitudes. */
void oracle_poly(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out, double *scale)
{
    enum { MOST = POLY_ORDER_MOST + 1 };
    const int64_t size = p->stft.frame.window_samples, bins = size / 2 + 1, terms = p->poly_order + 1;
    const long double unit = (long double)p->rate_hz / 2; /* frequencies 0 to 1, undone at the end */
    double *const s = magnitudes(&p->stft, x, n, t), norm = 0;
    long double a[MOST][2 * MOST + 1] = {{0}};
    for (int64_t f = 0; f < bins; f++) {
        const long double hz = (long double)f * (long double)p->rate_hz / (long double)size / unit;
        norm += s[f] * s[f];
        for (int64_t i = 0; i < terms; i++) {
            a[i][2 * terms] += s[f] * powl(hz, (long double)(terms - 1 - i));
            for (int64_t j = 0; j < terms; j++)
                a[i][j] += powl(hz, (long double)(2 * terms - 2 - i - j));
        }
    }
    for (int64_t i = 0; i < terms; i++)
        a[i][terms + i] = 1; /* the inverse grows here */
    for (int64_t i = 0; i < terms; i++) {
        int64_t pivot = i;
        for (int64_t r = i; r < terms; r++)
            pivot = fabsl(a[r][i]) > fabsl(a[pivot][i]) ? r : pivot;
        for (int64_t c = 0; c <= 2 * terms; c++) {
            const long double swap = a[i][c];
            a[i][c] = a[pivot][c];
            a[pivot][c] = swap;
        }
        for (int64_t r = 0; r < terms; r++) {
            const long double by = r == i ? 0 : a[r][i] / a[i][i];
            for (int64_t c = 0; c <= 2 * terms; c++)
                a[r][c] -= by * a[i][c];
        }
        const long double by = a[i][i];
        for (int64_t c = 0; c <= 2 * terms; c++)
            a[i][c] /= by;
    }
    for (int64_t i = 0; i < terms; i++) {
        const long double power = powl(unit, (long double)(terms - 1 - i));
        out[i] = (double)(a[i][2 * terms] / power);
        scale[i] = sqrt(norm) * (double)(sqrtl(a[i][terms + i]) / power); /* |row of (VtV)^-1 Vt|^2 = (VtV)^-1[i][i] */
    }
    free(s);
}

double oracle_centroid(const struct stft_params *p, double rate_hz, const float *x, int64_t n, int64_t t)
{
    const int64_t size = p->frame.window_samples, bins = size / 2 + 1;
    double *const s = malloc((size_t)bins * 2 * sizeof *s), sum = 0, moment = 0;
    oracle_stft(p, x, n, t, 0, 1, bins, s);
    for (int64_t f = 0; f < bins; f++) {
        sum += hypot(s[2 * f], s[2 * f + 1]);
        moment += (double)f * rate_hz / (double)size * hypot(s[2 * f], s[2 * f + 1]);
    }
    free(s);
    return sum > 0 ? moment / sum : 0;
}

double oracle_rms(const struct frame_params *p, const float *x, int64_t n, int64_t t)
{
    double sum = 0;
    for (int64_t i = 0; i < p->window_samples; i++)
        sum += pow(sample(x, n, t * p->hop_samples - pad_of(p) + i, PAD_ZERO), 2);
    return sqrt(sum / (double)p->window_samples);
}

double oracle_peak(const struct frame_params *p, const float *x, int64_t n, int64_t t)
{
    double most = 0;
    for (int64_t i = 0; i < p->window_samples; i++)
        most = fmax(most, fabs(sample(x, n, t * p->hop_samples - pad_of(p) + i, PAD_ZERO)));
    return most;
}

double oracle_zero_crossing(const struct frame_params *p, const float *x, int64_t n, int64_t t)
{
    int64_t count = 0;
    for (int64_t i = 1; i < p->window_samples; i++) {
        const int64_t at = t * p->hop_samples - pad_of(p) + i;
        double v[2];
        for (int k = 0; k < 2; k++) {
            const int64_t j = at - 1 + k < 0 ? 0 : at - 1 + k >= n ? n - 1 : at - 1 + k;
            v[k] = fabsf(x[j]) <= 1e-10f ? 0 : x[j];
        }
        count += !!signbit(v[0]) != !!signbit(v[1]);
    }
    return (double)count / (double)p->window_samples;
}
