/* train_show - what `train` prints on the way. */
#ifndef TRAIN_SHOW_H
#define TRAIN_SHOW_H

struct common;

/* A line of the worker about previews that are in their place: {"step", "sounds"}. */
void train_show_previews(const struct common *c, const char *model, const char *folder, const char *text);

#endif
