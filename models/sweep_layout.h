/* sweep_layout - what lies in HOME/sweeps/NAME, for those who begin a sweep and those who work on it.
 *
 *   sweep.json          what it was begun with, all of it there from then on: {"schema", "dataset", "upload", "halving", "judge",
 *                       "keep", "model", "trials": [what each is trained with, as in a model's begun.json]}; in the end
 *                       also {"finished": true, "ranking": [{"rank", "trial", "state", ...}]}, the best first
 *   sent.json           with upload: the job of the round that was sent last (client/cli/sweep_sent.h)
 *   trial-NNN/          a training: begun.json, states, metrics.jsonl; then its model, and the best go to the library
 *   results/            trial-NNN.round-R: what came of a round, a sweep_result (kinds.h) behind its CRC-32C;
 *                       trial-NNN.failed: why there is none */
#ifndef SWEEP_LAYOUT_H
#define SWEEP_LAYOUT_H

#define SWEEP_FILE "sweep.json"
#define SWEEP_TRIAL "trial-%03d"
enum { SWEEP_SCHEMA = 1 };

#endif
