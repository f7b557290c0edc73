/* item_sweep - between item_sweep.c and item_sweep_end.c: an item of kind `sweep`. */
#ifndef ITEM_SWEEP_H
#define ITEM_SWEEP_H
#include "halving.h"
#include "item.h"

struct item_sweep {
    struct kind_sweep_item m; /* its texts lie in `own` */
    uint8_t *own;             /* the item's parameters as they came; the child gets those of a training */
    struct halving h;
    char folder[LIMIT_PATH + 1], model[LIMIT_PATH + 1];
    bool is_last; /* of the rounds */
};

/* A result that has no numbers yet; and it becomes the item's, which is over then: STATUS_NOMEM. */
struct kind_sweep_result sweep_no_result(void);
int sweep_serve(struct item *it, const struct kind_sweep_result *r) MUST_USE;

/* The item behind all rounds: ranks what came of them, into sweep.json, and gives the best to the library; the item's
 * result is ready then. Whatever it was interrupted by, it may be done again. STATUS_ARGUMENT: nothing came to the end,
 * or there is another model of the name. */
int sweep_conclude(struct item *it) MUST_USE;

#endif
