/* train_fetch - the files of a model that was trained somewhere are brought into its folder here.
 *
 *   whole        all of them come beside their places, flushed; then they get their names, and last the library is told
 *                of the model (model.json). Whoever is killed in between is begun again, and nothing is a model before
 *   safety       names come from elsewhere: one that would not lie in the folder, or is none of a trained model's, is
 *                refused, and so is a result without the files that every model has
 *   errors       STATUS_FORMAT: such a result; STATUS_NOT_FOUND, STATUS_DAMAGED: an object; STATUS_IO: this machine;
 *                those of client.h */
#ifndef TRAIN_FETCH_H
#define TRAIN_FETCH_H
#include "client.h"
#include "kinds.h"

int train_fetch(struct client *c, const char *folder, const struct kind_train_result *r) MUST_USE;

#endif
