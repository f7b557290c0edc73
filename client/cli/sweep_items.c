#include "sweep_items.h"

#include "train_sounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sweep_items_free(struct sweep_items *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->names)
            free(s->names[i]);
        if (s->params)
            wire_free(&s->params[i]);
    }
    free(s->pack);
    free((void *)s->paths);
    free((void *)s->names);
    free(s->params);
    free(s->slices);
}

/* The pack of a preset, which is made once. */
static int pack_of(const struct common *c, const char *home, const struct dataset *d, const char *preset,
                   struct sweep_items *s, char **out)
{
    size_t n = 0;
    while (n < s->packs && strcmp(s->preset[n], preset) != 0)
        n++;
    if (n == SWEEP_PRESETS_MOST)
        return fail(STATUS_DAMAGED, "more than %d presets", SWEEP_PRESETS_MOST);
    *out = s->pack[n];
    if (n < s->packs)
        return STATUS_OK;
    s->preset[s->packs++] = preset;
    return train_sounds_pack(c, "sweep", home, d, preset, s->pack[n], sizeof s->pack[n]);
}

static int make_packs(const struct common *c, const struct sweep_plan *p, const char *home, const struct dataset *d,
                      struct sweep_items *s)
{
    int code = STATUS_OK;
    for (int64_t k = 0; k < p->h.trials && !code; k++) {
        code = pack_of(c, home, d, p->trials[k].preset, s, &s->paths[k]);
        for (int64_t round = 1; round < p->h.rounds && !code; round++)
            s->paths[round * p->h.trials + k] = s->paths[k];
    }
    s->paths[s->count - 1] = s->paths[0];
    return code;
}

static int make_item(const struct sweep_plan *p, const struct sweep_target *target, struct sweep_items *s, size_t i)
{
    const size_t trials = (size_t)p->h.trials, round = i / trials;
    const struct sweep_trial *const t = &p->trials[i % trials];
    struct kind_sweep_item m = {.trials = trials};
    char text[256];
    memcpy(&m, &t->item, sizeof t->item); /* it begins as a training; padding behind that may be a field's place */
    m.out = wire_str(target->folder);
    m.preset = wire_str(t->preset);
    if (t->precision[0])
        m.precision = wire_str(t->precision);
    m.previews_at_end = true; /* of trials that may be lost there is nothing to hear on the way */
    m.trial = i % trials;
    m.round = round;
    m.trials = trials;
    m.halving = p->eta;
    m.judge = p->judge;
    m.model = wire_str(target->model);
    m.keep = p->keep;
    sweep_trial_text(t, text, sizeof text);
    const int n = (int64_t)round == p->h.rounds ? asprintf(&s->names[i], "%s", target->name)
                                                : asprintf(&s->names[i], "trial %zu of %s (%s), round %zu", i % trials,
                                                           target->name, text, round + 1);
    if (n < 0) {
        s->names[i] = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    const int code = wire_encode(&kind_sweep_item_schema, &m, &s->params[i]);
    s->slices[i] = (struct wire_slice){s->params[i].data, (uint32_t)s->params[i].bytes};
    return code;
}

int sweep_items_make(const struct common *c, const struct sweep_plan *p, const struct sweep_target *t,
                     const struct dataset *d, struct sweep_items *out)
{
    *out = (struct sweep_items){.count = (size_t)(p->h.trials * p->h.rounds) + 1};
    out->paths = (char **)calloc(out->count, sizeof *out->paths);
    out->names = (char **)calloc(out->count, sizeof *out->names);
    out->params = calloc(out->count, sizeof *out->params);
    out->slices = calloc(out->count, sizeof *out->slices);
    out->pack = calloc(SWEEP_PRESETS_MOST, sizeof *out->pack);
    if (!out->paths || !out->names || !out->params || !out->slices || !out->pack)
        return fail(STATUS_NOMEM, "out of memory");
    int code = make_packs(c, p, t->home, d, out);
    for (size_t i = 0; i < out->count && !code; i++)
        code = make_item(p, t, out, i);
    return code;
}
