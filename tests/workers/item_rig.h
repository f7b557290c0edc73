/* item_rig - items and leases on a real store, without a supervisor: the test plays the compute child. */
#ifndef ITEM_RIG_H
#define ITEM_RIG_H
#include "item.h"

#include <stdbool.h>

extern struct places item_rig_places; /* of the one store that is open */

void item_rig_open(void); /* a new store in the folder "features" */
void item_rig_close(void);

const char *item_rig_path(const char *name); /* in the test's folder, from the root on; the last eight stay */

/* A lease of `count` items. schema NULL: the job has no parameters; outs NULL: the items have none. */
struct lease *item_rig_grant(const char *kind, const struct wire_schema *schema, const void *params,
                             const char *const *paths, const char *const *outs, int count);

struct item *item_rig_prepare(struct lease *l); /* its first item */
void item_rig_commit(struct lease *l);          /* all of its items */

bool item_rig_holds_nothing(const struct item *it); /* no descriptor, no temporary file, no child */

#endif
