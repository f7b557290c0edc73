/* oracle_network - slow references in double for the operations of networks, written from the equations of the headers
 * and from nothing else: maps are dense [items][height][width][channels] here, without margins or strides. */
#ifndef ORACLE_NETWORK_H
#define ORACLE_NETWORK_H
#include "ops.h"

struct oracle_shape {
    int64_t items, height, width, channels; /* of x */
};

/* width: of y. bias, scale, add: NULL for none. */
void oracle_conv(const struct conv_params *p, const struct oracle_shape *s, int64_t width, const float *weight,
                 const float *bias, const float *x, const float *scale, const float *add, double *y);
void oracle_conv_transpose(const struct conv_transpose_params *p, const struct oracle_shape *s, int64_t width,
                           const float *weight, const float *bias, const float *x, const float *add, double *y);

/* What is added to x. */
void oracle_dconv(const struct dconv_params *p, const struct oracle_shape *s, const struct dconv_weights *w,
                  const float *x, double *added);

void oracle_layer_norm(const struct oracle_shape *s, const float *gain, const float *shift, const float *add,
                       const float *x, double *y);
void oracle_group_norm(const struct oracle_shape *s, const float *gain, const float *shift, const float *add,
                       const float *x, double *y);
void oracle_moments(const struct oracle_shape *s, const float *x, double *y); /* [items][2] */

/* q, y [items][queries][heads*width], k, v [items][keys][heads*width]. */
void oracle_attention(const struct attention_params *p, int64_t items, int64_t queries, int64_t keys, const float *q,
                      const float *k, const float *v, double *y);

/* conv2d and its two gradients, spread from each pair of positions: height, width of y; x and w of s and p. Bias or
 * NULL.
 */
void oracle_conv2d(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                   const float *weight, const float *bias, const float *x, double *y);
void oracle_conv2d_data(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                        const float *weight, const float *bias, const float *y, double *x);
void oracle_conv2d_weight(const struct conv2d_params *p, const struct oracle_shape *s, int64_t height, int64_t width,
                          const float *x, const float *y, double *weight);

#endif
