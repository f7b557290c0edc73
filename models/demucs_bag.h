/* demucs_bag - networks of the Demucs family that give stems together, on segments.
 *
 *   equation     stem s is sum_k weight[k][s]*(stem s of network k) / sum_k weight[k][s]. A network whose weights are
 *                zero for all stems that are wanted does not run
 *   shapes       of each segment mix [segment][2] f32 in; stems [segment][stems][2] f32 out, segment and stems those of
 *                the networks; stems that are not wanted: 0
 *   ownership    networks are borrowed until demucs_bag_give_back
 *   errors       STATUS_ARGUMENT; STATUS_UNSUPPORTED: networks that do not fit each other; those of the runner
 *   determinism  bitwise, as the runner's
 *   source       demucs 4.1.0 apply.py (BagOfModels) */
#ifndef DEMUCS_BAG_H
#define DEMUCS_BAG_H
#include "htdemucs.h"
#include "separation.h"

#include <stdbool.h>

enum { DEMUCS_NETWORKS_MOST = 16 };

/* Called now and then by who waits or computes for long; tell NULL: nobody asks. */
struct demucs_alive {
    void (*tell)(void *context);
    void *context;
};

/* Runs a network on up to HTDEMUCS_SEGMENTS_MOST segments, each as htdemucs_run does. Who calls several separations
 * gives them one of these, so that they share a device and one set of activations; it may let them wait for each other,
 * and run them together. */
struct demucs_runner {
    int (*run)(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
               const struct demucs_alive *alive);
    int most;                                                     /* segments to be asked for at once; 0: 1 */
    int (*together)(void *context, const struct htdemucs *net);   /* as many of them as gain something now; NULL: all */
    void (*give_back)(void *context, const struct htdemucs *net); /* each network, in the end; or NULL */
    void *context;
};

struct demucs_bag {
    int networks;
    const struct htdemucs *network[DEMUCS_NETWORKS_MOST];
    float weight[DEMUCS_NETWORKS_MOST][SEPARATION_STEMS_MOST];
    bool wanted[SEPARATION_STEMS_MOST];
    struct demucs_runner runner;
    struct demucs_alive alive;
};

int demucs_bag_check(const struct demucs_bag *b) MUST_USE;
const struct htdemucs_config *demucs_bag_config(const struct demucs_bag *b);

/* How many of the networks run. */
int demucs_bag_runs(const struct demucs_bag *b);

/* How many segments its runner may be asked for at once, 1 to HTDEMUCS_SEGMENTS_MOST, and how many it wants to be now.
 */
int demucs_bag_most(const struct demucs_bag *b);
int demucs_bag_together(const struct demucs_bag *b);

/* Each segment's stems are what they are alone. part: memory of the caller's, as large as all stems together; NULL will
 * do where one network runs. */
int demucs_bag_run(const struct demucs_bag *b, const struct htdemucs_segment *segments, int count,
                   float *part) MUST_USE;

void demucs_bag_give_back(const struct demucs_bag *b);

#endif
