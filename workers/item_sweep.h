/* item_sweep - between item_sweep.c and its test: an item of kind `sweep`. */
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

#endif
