/* A row for every operation that networks are made of, on one segment of a signal. */
#include "bench_device.h"
#include "network.h"

#include <string.h>

static int run(void *context)
{
    return network_run(context);
}

/* Rows are called as the table of operations calls them; the harness has shorter names. */
static const char *row_of(const char *name)
{
    static const char *const rows[][2] = {
        {"conv_transp", "conv_transpose"},  {"to_maps", "maps_from_complex"},  {"from_maps", "complex_from_maps"},
        {"margins", "clear_margins"},       {"unstandard", "unstandardize"},   {"act_grad", "activate_gradient"},
        {"latent_grad", "latent_gradient"}, {"reconstruct", "reconstruction"}, {"grad_norm", "gradient_norm"},
        {"conv2d_wgt", "conv2d_weight"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i][0], name) == 0)
            return rows[i][1];
    return name;
}

void bench_networks(struct bench_device *d)
{
    const char *name;
    for (int i = 0; (name = network_name(i)); i++) {
        struct network *n;
        struct bench_figures f = {.name = row_of(name), .what = "one segment"};
        int code = network_open(&n, d->ex, name, NETWORK_FRAME * (d->small ? 2 : NETWORK_FRAMES_MOST));
        if (!code) {
            f.bytes = network_bytes(n);
            f.flops = network_flops(n);
            code = bench_measure(d, run, n, &f);
            network_close(&n);
        }
        if (code)
            bench_not_run(f.name, status_message());
        else
            bench_end(d, &f);
    }
}
