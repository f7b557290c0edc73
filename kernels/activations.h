/* activations - the two of the networks, in double, for the scalar twins. Room-internal. */
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H
#include <math.h>

static inline double activation_gelu(double u)
{
    return u * (1 + erf(u * M_SQRT1_2)) / 2;
}

/* Of GLU: a, and the gate that it goes through. */
static inline double activation_glu(double a, double gate)
{
    return a / (1 + exp(-gate));
}

#endif
