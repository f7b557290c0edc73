#include "oracle_network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double gelu(double u)
{
    return 0.5 * u * erfc(-u / sqrt(2));
}

static double sigmoid(double u)
{
    return 1 / (1 + exp(-u));
}

/* The value at a place, 0 outside. */
static double at(const struct oracle_shape *s, const float *x, int64_t b, int64_t i, int64_t j, int64_t c)
{
    if (i < 0 || i >= s->height || j < 0 || j >= s->width)
        return 0;
    return x[((b * s->height + i) * s->width + j) * s->channels + c];
}

static double *zeros(int64_t n)
{
    double *const v = calloc((size_t)n, sizeof *v);
    if (!v)
        abort();
    return v;
}

void oracle_conv(const struct conv_params *p, const struct oracle_shape *s, int64_t width, const float *weight,
                 const float *bias, const float *x, const float *scale, const float *add, double *y)
{
    double *const u = zeros(p->out);
    const int64_t channels = p->activation == ACTIVATION_GLU ? p->out / 2 : p->out;
    for (int64_t n = 0; n < s->items * s->height * width; n++) {
        const int64_t b = n / width / s->height, i = n / width % s->height, j = n % width;
        for (int64_t o = 0; o < p->out; o++) {
            const float *w = weight + o * p->in * p->kernel_h * p->kernel_w;
            u[o] = bias ? bias[o] : 0;
            for (int64_t c = 0; c < p->in; c++)
                for (int64_t r = 0; r < p->kernel_h; r++)
                    for (int64_t q = 0; q < p->kernel_w; q++)
                        u[o] += *w++ * at(s, x, b, i + r * p->dilation_h - p->pad_h,
                                          j * p->stride_w + q * p->dilation_w - p->pad_w, c);
        }
        for (int64_t o = 0; o < channels; o++) {
            const double v = p->activation == ACTIVATION_GELU  ? gelu(u[o])
                             : p->activation == ACTIVATION_GLU ? u[o] * sigmoid(u[channels + o])
                                                               : u[o];
            y[n * channels + o] = v * (scale ? scale[o] : 1.0) + (add ? add[n * channels + o] : 0.0);
        }
    }
    free(u);
}

/* Spread from x to the whole length, untrimmed, as PyTorch does it; then trimmed. */
void oracle_conv_transpose(const struct conv_transpose_params *p, const struct oracle_shape *s, int64_t width,
                           const float *weight, const float *bias, const float *x, const float *add, double *y)
{
    const int64_t taps = 2 * p->stride, whole = s->width * p->stride + taps;
    double *const u = zeros(whole * p->out);
    for (int64_t row = 0; row < s->items * s->height; row++) {
        for (int64_t n = 0; n < whole * p->out; n++)
            u[n] = bias ? bias[n % p->out] : 0;
        for (int64_t j = 0; j < s->width; j++)
            for (int64_t c = 0; c < p->in; c++)
                for (int64_t o = 0; o < p->out; o++)
                    for (int64_t q = 0; q < taps; q++)
                        u[(j * p->stride + q) * p->out + o] +=
                            (double)weight[(c * p->out + o) * taps + q] * x[(row * s->width + j) * p->in + c];
        for (int64_t n = 0; n < width * p->out; n++) {
            const double v = u[p->stride / 2 * p->out + n];
            y[row * width * p->out + n] =
                (p->activation == ACTIVATION_GELU ? gelu(v) : v) + (add ? add[row * width * p->out + n] : 0.0);
        }
    }
    free(u);
}

/* N of a signal [n][channels], in place. */
static void normalise(double *u, int64_t n, int64_t channels, const float *gain, const float *shift)
{
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < n * channels; i++)
        mean += u[i];
    mean /= (double)(n * channels);
    for (int64_t i = 0; i < n * channels; i++)
        variance += (u[i] - mean) * (u[i] - mean) / (double)(n * channels);
    for (int64_t i = 0; i < n * channels; i++)
        u[i] = (u[i] - mean) / sqrt(variance + 1e-5) * gain[i % channels] + shift[i % channels];
}

/* One signal [n][channels]. */
static void branch(const struct dconv_params *p, const struct dconv_weights *w, const double *s, int64_t n,
                   double *added)
{
    const int64_t c = p->channels, h = p->hidden;
    double *const a = zeros(n * h), *const g = zeros(n * 2 * c);
    for (int64_t i = 0; i < n * h; i++) {
        a[i] = w->bias1[i % h];
        for (int64_t k = 0; k < c; k++)
            for (int64_t q = 0; q < 3; q++) {
                const int64_t from = i / h + (q - 1) * p->dilation;
                a[i] += from < 0 || from >= n ? 0 : w->conv1[(i % h * c + k) * 3 + q] * s[from * c + k];
            }
    }
    normalise(a, n, h, w->gain1, w->shift1);
    for (int64_t i = 0; i < n * 2 * c; i++) {
        g[i] = w->bias2[i % (2 * c)];
        for (int64_t k = 0; k < h; k++)
            g[i] += w->conv2[i % (2 * c) * h + k] * gelu(a[i / (2 * c) * h + k]);
    }
    normalise(g, n, 2 * c, w->gain2, w->shift2);
    for (int64_t i = 0; i < n * c; i++)
        added[i] = w->scale[i % c] * g[i / c * 2 * c + i % c] * sigmoid(g[i / c * 2 * c + c + i % c]);
    free(a);
    free(g);
}

void oracle_dconv(const struct dconv_params *p, const struct oracle_shape *s, const struct dconv_weights *w,
                  const float *x, double *added)
{
    const bool down = p->along == ALONG_HEIGHT;
    const int64_t n = down ? s->height : s->width, signals = down ? s->width : s->height, c = s->channels;
    double *const one = zeros(n * c), *const made = zeros(n * c);
    for (int64_t b = 0; b < s->items; b++)
        for (int64_t k = 0; k < signals; k++) {
            for (int64_t i = 0; i < n * c; i++)
                one[i] = down ? at(s, x, b, i / c, k, i % c) : at(s, x, b, k, i / c, i % c);
            branch(p, w, one, n, made);
            for (int64_t i = 0; i < n * c; i++) {
                const int64_t row = down ? i / c : k, column = down ? k : i / c;
                added[((b * s->height + row) * s->width + column) * c + i % c] = made[i];
            }
        }
    free(one);
    free(made);
}

void oracle_layer_norm(const struct oracle_shape *s, const float *gain, const float *shift, const float *add,
                       const float *x, double *y)
{
    const int64_t c = s->channels, positions = s->height * s->width;
    for (int64_t i = 0; i < s->items * positions * c; i++)
        y[i] = x[i];
    for (int64_t n = 0; n < s->items * positions; n++)
        normalise(y + n * c, 1, c, gain, shift);
    for (int64_t i = 0; add && i < s->items * positions * c; i++)
        y[i] += add[i % (positions * c)];
}

void oracle_group_norm(const struct oracle_shape *s, const float *gain, const float *shift, const float *add,
                       const float *x, double *y)
{
    const int64_t n = s->height * s->width, floats = n * s->channels;
    for (int64_t i = 0; i < s->items * floats; i++)
        y[i] = x[i];
    for (int64_t b = 0; b < s->items; b++)
        normalise(y + b * floats, n, s->channels, gain, shift);
    for (int64_t i = 0; add && i < s->items * floats; i++)
        y[i] += add[i];
}

void oracle_moments(const struct oracle_shape *s, const float *x, double *y)
{
    const int64_t n = s->height * s->width * s->channels;
    for (int64_t b = 0; b < s->items; b++) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < n; i++)
            mean += x[b * n + i];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++)
            squares += (x[b * n + i] - mean) * (x[b * n + i] - mean);
        y[2 * b] = mean;
        y[2 * b + 1] = n == 1 ? 0 : sqrt(squares / (double)(n - 1));
    }
}

void oracle_attention(const struct attention_params *p, int64_t items, int64_t queries, int64_t keys, const float *q,
                      const float *k, const float *v, double *y)
{
    const int64_t d = p->width, all = p->heads * d;
    double *const score = zeros(keys);
    for (int64_t n = 0; n < items * queries * p->heads; n++) {
        const int64_t token = n / p->heads, head = n % p->heads, b = token / queries;
        double most = 0, sum = 0;
        for (int64_t j = 0; j < keys; j++) {
            score[j] = 0;
            for (int64_t c = 0; c < d; c++)
                score[j] += (double)q[token * all + head * d + c] * k[(b * keys + j) * all + head * d + c];
            score[j] /= sqrt((double)d);
            most = j == 0 || score[j] > most ? score[j] : most;
        }
        for (int64_t j = 0; j < keys; j++)
            sum += exp(score[j] - most);
        for (int64_t c = 0; c < d; c++) {
            double value = 0;
            for (int64_t j = 0; j < keys; j++)
                value += exp(score[j] - most) / sum * v[(b * keys + j) * all + head * d + c];
            y[token * all + head * d + c] = value;
        }
    }
    free(score);
}
