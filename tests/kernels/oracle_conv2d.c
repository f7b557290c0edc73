/* One walk over all pairs of positions that meet in a tap; each of the three takes from it what it sums. */
#include "oracle_network.h"

struct meeting {
    int64_t x, y, w; /* of the first channels */
};

typedef void (*meet)(void *context, const struct conv2d_params *p, const struct meeting *m);

static void walk(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width, meet each,
                 void *context)
{
    const int64_t taps = p->kernel_h * p->kernel_w, positions = s->items * height * width;
    for (int64_t n = 0; n < positions * taps; n++) {
        const int64_t at = n / taps, tap = n % taps, b = at / width / height;
        const int64_t i = at / width % height * p->stride_h + tap / p->kernel_w - p->pad_h;
        const int64_t j = at % width * p->stride_w + tap % p->kernel_w - p->pad_w;
        if (i < 0 || i >= s->height || j < 0 || j >= s->width)
            continue;
        const struct meeting m = {((b * s->height + i) * s->width + j) * p->in, at * p->out, tap * p->in * p->out};
        each(context, p, &m);
    }
}

struct sums {
    const float *x, *y, *weight;
    double *out;
};

static void forward(void *context, const struct conv2d_params *p, const struct meeting *m)
{
    const struct sums *const s = context;
    for (int64_t c = 0; c < p->in; c++)
        for (int64_t o = 0; o < p->out; o++)
            s->out[m->y + o] += (double)s->weight[m->w + c * p->out + o] * s->x[m->x + c];
}

static void data(void *context, const struct conv2d_params *p, const struct meeting *m)
{
    const struct sums *const s = context;
    for (int64_t c = 0; c < p->in; c++)
        for (int64_t o = 0; o < p->out; o++)
            s->out[m->x + c] += (double)s->weight[m->w + c * p->out + o] * s->y[m->y + o];
}

static void weight_of(void *context, const struct conv2d_params *p, const struct meeting *m)
{
    const struct sums *const s = context;
    for (int64_t c = 0; c < p->in; c++)
        for (int64_t o = 0; o < p->out; o++)
            s->out[m->w + c * p->out + o] += (double)s->x[m->x + c] * s->y[m->y + o];
}

static void fill(double *out, int64_t n, const float *bias, int64_t period)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = bias ? bias[i % period] : 0;
}

void oracle_conv2d(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                   const float *weight, const float *bias, const float *x, double *y)
{
    fill(y, s->items * height * width * p->out, bias, p->out);
    walk(p, s, height, width, forward, &(struct sums){.x = x, .weight = weight, .out = y});
}

void oracle_conv2d_data(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                        const float *weight, const float *bias, const float *y, double *x)
{
    fill(x, s->items * s->height * s->width * p->in, bias, p->in);
    walk(p, s, height, width, data, &(struct sums){.y = y, .weight = weight, .out = x});
}

void oracle_conv2d_weight(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                          const float *x, const float *y, double *weight)
{
    fill(weight, conv2d_weights(p), NULL, 1);
    walk(p, s, height, width, weight_of, &(struct sums){.x = x, .y = y, .out = weight});
}
