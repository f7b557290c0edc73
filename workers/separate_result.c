#include "separate_result.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int append_stems(const struct separate_outcome *o, struct wire_buffer *stems)
{
    int code = STATUS_OK;
    for (int i = 0; i < o->plan->outputs && !code; i++) {
        char file[PLAN_FILE_BYTES];
        struct separated_measures m;
        plan_file_name(o->plan, i, &o->settings->format, file);
        separated_measure(o->separated, i, o->settings, &m);
        const struct kind_stem stem = {.name = wire_str(o->plan->output[i].name),
                                       .file = wire_str(file),
                                       .peak = m.peak,
                                       .rms = m.rms,
                                       .si_sdr_db = m.si_sdr_db,
                                       .verdict = wire_str(m.verdict),
                                       .snr_db = o->snr_db ? o->snr_db[i] : NAN};
        code = wire_encode(&kind_stem_schema, &stem, stems);
    }
    return code;
}

int separate_result_make(struct job *j, const struct audio *a, const struct separate_outcome *o,
                         struct separate_result *out)
{
    struct kind_provenance from = {.seconds = NAN};
    char taken[64];
    *out = (struct separate_result){.warnings = {0}};
    int code = job_provenance(j, a, &out->warnings, &from);
    if (!code && audio_info(a)->channels > SEPARATION_CHANNELS) {
        snprintf(taken, sizeof taken, "%d channels: the first two were taken", audio_info(a)->channels);
        code = wire_append_str(&out->warnings, taken);
        from.warnings = wire_list_of(&out->warnings, from.warnings.count + 1);
    }
    code = code ? code : append_stems(o, &out->stems);
    audio_format_name(&o->settings->format, out->format);
    out->map = (struct kind_separate_result){.model = wire_str(o->plan->model),
                                             .folder = wire_str(o->folder),
                                             .stems_rate_hz = (uint64_t)o->mixture->rate_hz,
                                             .frames = (uint64_t)o->mixture->frames,
                                             .stems = wire_list_of(&out->stems, (uint32_t)o->plan->outputs),
                                             .residual_rms = separated_residual(o->separated),
                                             .resumed_from = o->resumed_from,
                                             .format = wire_str(out->format)};
    memcpy(&out->map, &from, sizeof from); /* every result begins with its provenance */
    if (code)
        separate_result_free(out);
    return code;
}

void separate_result_free(struct separate_result *r)
{
    wire_free(&r->warnings);
    wire_free(&r->stems);
}
