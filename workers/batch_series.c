/* Whole series of files: log-mel clipped, cepstra from it, statistics of both and of what is joined. */
#include "batch.h"

enum { IN_LOGMEL, IN_FLOOR, IN_JOINED };

static bool joins(const struct work *a, const struct work *b)
{
    const struct offload_series *const s = a->wish, *const t = b->wish;
    return s->block == t->block && !s->logmel == !t->logmel && s->mels == t->mels &&
           s->coefficients == t->coefficients && !s->joined == !t->joined && s->width == t->width &&
           !s->logmel_statistics == !t->logmel_statistics && !s->mfcc_statistics == !t->mfcc_statistics;
}

static struct ragged series(const struct batch *b, void *data, int32_t width)
{
    struct ragged x = batch_rows(b, data, width, false);
    x.piece = x.piece_device = NULL; /* whole ones */
    return x;
}

static int compute(struct batch *b)
{
    const struct offload_series *const s = b->works->wish;
    int part = 0, code = STATUS_OK;
    struct ragged x;
    if (s->logmel) {
        x = series(b, batch_in(b, IN_LOGMEL), s->mels);
        code = decibel_clip(b->ex, &x, batch_in(b, IN_FLOOR));
    }
    if (!code && s->logmel_statistics)
        code = statistics(b->ex, &x, s->block, batch_out(b, part++));
    if (!code && s->mfcc_statistics) {
        struct ragged y = series(b, batch_scratch(b), s->coefficients);
        code = mfcc(b->ex, &(struct mfcc_params){.coefficients = s->coefficients}, &x, NULL, &y);
        code = code ? code : statistics(b->ex, &y, s->block, batch_out(b, part++));
    }
    if (!code && s->joined) {
        x = series(b, batch_in(b, IN_JOINED), s->width);
        code = statistics(b->ex, &x, s->block, batch_out(b, part));
    }
    return code;
}

const struct work_kind series_kind = {joins, compute};
