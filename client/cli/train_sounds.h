/* train_sounds - a dataset as a training wants it. */
#ifndef TRAIN_SOUNDS_H
#define TRAIN_SOUNDS_H
#include "cli.h"
#include "dataset.h"

double train_seconds_of(const struct dataset *d); /* of all its sounds */

/* The preset that fits it: a small set fills no large network. */
const char *train_preset_for(const struct dataset *d);

/* The pack of its sounds at the preset's rate (train_pack.h); `command` says what was left out. out: its path. */
int train_sounds_pack(const struct common *c, const char *command, const char *home, const struct dataset *d,
                      const char *preset, char *out, size_t capacity) MUST_USE;

/* cli_failed, but for a dataset, or what it has, that is bad: its own code, as of all bad input. */
int train_failed(const char *command, int code);

#endif
