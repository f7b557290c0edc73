#include "separators.h"

#include "center_split.h"
#include "hpss_split.h"

#include <math.h>
#include <string.h>

static int open_hpss(const struct separator_request *r, struct separation **out)
{
    const struct hpss_split_params p = hpss_split_defaults();
    return hpss_split_create(&p, r->exec, r->emit, r->context, out);
}

static int open_center(const struct separator_request *r, struct separation **out)
{
    const struct center_split_params p = center_split_defaults();
    return center_split_create(&p, r->exec, r->emit, r->context, out);
}

/* Is a stem wanted that this network counts for? */
static bool counts(const struct plan *p, int network)
{
    for (int o = 0; o < p->outputs; o++)
        for (int s = 0; s < p->stems; s++)
            if ((p->output[o].stems >> s & 1) && p->weight[network][s] != 0)
                return true;
    return false;
}

static int check_stems(const struct plan *p, const struct htdemucs *net)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    bool same = c->stems == p->stems;
    for (int s = 0; s < c->stems && same; s++)
        same = strcmp(c->stem[s], p->stem[s]) == 0;
    return same ? STATUS_OK : fail(STATUS_FORMAT, "%.80s: the weights give other stems than the model says", p->model);
}

/* Those of the plan's networks that are wanted. */
static int take_networks(const struct separator_request *r, struct demucs_bag *b)
{
    int fds[BAG_NETWORKS_MOST], count = 0;
    for (int i = 0; i < r->plan->networks; i++) {
        if (!counts(r->plan, i))
            continue;
        for (int s = 0; s < r->plan->stems; s++)
            b->weight[count][s] = (float)r->plan->weight[i][s];
        fds[count++] = r->weights[i];
    }
    const struct networks_wanted w = {.fds = fds,
                                      .count = count,
                                      .name = r->plan->model,
                                      .precision = r->precision,
                                      .on_cpu = r->on_cpu,
                                      .alive = r->alive,
                                      .context = r->context};
    int code = networks_take(r->networks, &w, b->network, r->place);
    b->networks = code ? 0 : count;
    for (int i = 0; i < b->networks && !code; i++)
        code = check_stems(r->plan, b->network[i]);
    return code;
}

int separator_bag(const struct separator_request *r, struct demucs_bag *out)
{
    const enum exec_isa here = exec_isa(networks_exec(r->networks));
    *out = (struct demucs_bag){.runner = networks_runner(r->networks), .alive = {r->alive, r->context}};
    if (r->params->isa.bytes && exec_isa(r->exec) != here)
        return fail(STATUS_ARGUMENT, "networks run on %s here, not on %s", isa_name(here), isa_name(exec_isa(r->exec)));
    for (int o = 0; o < r->plan->outputs; o++)
        for (int s = 0; s < r->plan->stems; s++)
            out->wanted[s] = out->wanted[s] || (r->plan->output[o].stems >> s & 1);
    const int code = take_networks(r, out);
    if (code) {
        demucs_bag_give_back(out);
        out->networks = 0; /* nothing is left to give back */
    }
    return code;
}

static int open_htdemucs(const struct separator_request *r, struct separation **out)
{
    struct demucs_split_params p = {.overlap = isnan(r->params->overlap) ? 0.25 : r->params->overlap,
                                    .shifts = (int)r->params->shifts,
                                    .seed = r->params->seed,
                                    .mean = (float)r->mixture->mean,
                                    .deviation = (float)r->mixture->std};
    int code = separator_bag(r, &p.bag);
    if (code)
        return code;
    const struct htdemucs_config *const c = demucs_bag_config(&p.bag);
    const double asked = r->params->segment_s, bag = r->plan->segment_s;
    const double seconds = asked > 0 ? asked : bag > 0 ? bag : 0;
    const double frames = seconds * (double)c->rate_hz;
    if (r->mixture->rate_hz != c->rate_hz)
        code = fail(STATUS_UNSUPPORTED, "%.80s: made for %lld Hz", r->plan->model, (long long)c->rate_hz);
    else if (asked > 0 && frames > (double)c->segment)
        code = fail(STATUS_ARGUMENT, "segment of %g s: %.80s takes at most %g", asked, r->plan->model,
                    (double)c->segment / (double)c->rate_hz);
    p.chunk = frames > 0 && frames < (double)c->segment ? (int64_t)frames : 0;
    code = code ? code : demucs_split_create(&p, r->emit, r->context, out);
    if (code)
        demucs_bag_give_back(&p.bag);
    return code;
}

static const struct {
    const char *name; /* of models/methods.c */
    int (*open)(const struct separator_request *r, struct separation **out);
} separators[] = {{"hpss", open_hpss}, {"center", open_center}, {"htdemucs", open_htdemucs}};

int separator_open(const struct separator_request *r, struct separation **out)
{
    for (size_t i = 0; i < sizeof separators / sizeof *separators; i++)
        if (strcmp(separators[i].name, r->plan->method) == 0)
            return separators[i].open(r, out);
    return fail(STATUS_UNSUPPORTED, "separate: this worker cannot run '%s'", r->plan->method);
}
