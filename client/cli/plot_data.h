/* plot_data - what a model's folder says of its training: curves, and sounds beside what became of them.
 *
 *   files      metrics.jsonl, begun.json; config.json and previews/maps.npy (workers/previews.h) where there are
 *              previews. While it trains they are replaced one by one, each whole
 *   limits     VAE_METRICS_MOST validations, LIMIT_PREVIEWS sounds; what is larger is damaged
 *   errors     STATUS_NOT_FOUND: no such model, one without curves, or none yet; STATUS_DAMAGED names file and line or
 *              place; STATUS_ARGUMENT: a name that cannot be one; STATUS_IO; STATUS_NOMEM
 *   ownership  plot_release frees what is in it */
#ifndef PLOT_DATA_H
#define PLOT_DATA_H
#include "library.h"
#include "vae_fit.h"

struct plot_data {
    char name[LIBRARY_NAME_MOST + 1];
    char origin[256];           /* "dataset drums, preset tiny, seed 7"; may be empty */
    bool finished;              /* it is a model of the library */
    struct vae_metric *metrics; /* losses may be NAN: they were not finite */
    int64_t count;              /* at least 1 */
    int64_t best;               /* index of the validation that was best; -1: none was finite */
    int64_t sounds;             /* 0: no previews yet */
    struct vae_config config;   /* where there are previews */
    float *maps;                /* [2*sounds][frames][mels], dB; the sounds, then what was made of them */
};

int plot_load(const char *home, const char *name, struct plot_data *out) MUST_USE;
void plot_release(struct plot_data *d);

#endif
