/* separators - opens what takes a mixture apart, by the method that a plan names: a row of one table for each.
 *
 *   errors    STATUS_UNSUPPORTED: the plan names a method that is not built in; those of the method's create */
#ifndef SEPARATORS_H
#define SEPARATORS_H
#include "demucs_bag.h"
#include "exec.h"
#include "mixture.h"
#include "networks.h"
#include "plan.h"
#include "separation.h"

struct separator_request {
    const struct plan *plan;
    const struct kind_separate_params *params; /* overlap, segment_s: NaN is the method's default */
    const struct mixture *mixture;
    enum precision precision; /* of networks */
    bool on_cpu;              /* of networks: networks.h */
    const int *weights;       /* [plan->networks], for reading; borrowed while it opens */
    struct networks *networks;
    struct exec *exec; /* borrowed until the separation ends, as is context */
    separation_emit emit;
    void (*alive)(void *context); /* called while it waits or computes for long */
    struct networks_place *place; /* where its networks are, when it is open; without any it stays as it is */
    void *context;
};

int separator_open(const struct separator_request *r, struct separation **out) MUST_USE;

/* The plan's networks as a bag, for who runs segments by himself; mixture and emit are not looked at. To be given back
 * by demucs_bag_give_back; after a failure it is empty. */
int separator_bag(const struct separator_request *r, struct demucs_bag *out) MUST_USE;

#endif
