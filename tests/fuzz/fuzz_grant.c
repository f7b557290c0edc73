/* What a worker makes of a GRANT: the lease, its items, and the parameters of every kind of job.
 *
 *   input        control u8 (1: the message is raw bytes), then the GRANT: made by its table with the parameters
 *                made by a table too (u16 of its name), or raw
 *   properties   a lease has as many items as the message has leases; bad parameters are a message that is UTF-8,
 *                not an error; parameters that are good keep their documented ranges, and have the same hash after
 *                their defaults were filled in; nothing leaks */
#include "item.h"
#include "shape.h"

#include <math.h>
#include <string.h>

enum { CONTROL_RAW = 1 };

static void check_features(struct wire_slice params)
{
    struct kind_features_params p, q;
    enum feature_kind feature = 0, again = 0;
    uint8_t one[16], two[16];
    struct wire_buffer full = {0};
    if (params_features(params.data, params.bytes, &p, &feature))
        return;
    FUZZ_CHECK(p.n_fft >= 16 && p.n_fft <= 65536 && p.hop >= 1 && p.hop <= UINT32_MAX);
    FUZZ_CHECK(p.win_length >= 1 && p.win_length <= p.n_fft && p.mels >= 1 && p.mfcc >= 1 && p.bands >= 1);
    FUZZ_CHECK(isfinite(p.rolloff) && isfinite(p.quantile) && isfinite(p.top_db) && p.rate_hz <= LIMIT_RATE);
    FUZZ_CHECK(params_features_hash(&p, feature, one) == STATUS_OK);
    FUZZ_CHECK(wire_encode(&kind_features_params_schema, &p, &full) == STATUS_OK);
    FUZZ_CHECK(params_features(full.data, full.bytes, &q, &again) == STATUS_OK && again == feature);
    FUZZ_CHECK(params_features_hash(&q, again, two) == STATUS_OK && memcmp(one, two, sizeof one) == 0);
    wire_free(&full);
    fuzz_accept();
}

static void check_inspect(struct wire_slice params)
{
    struct kind_inspect_params p;
    if (params_inspect(params.data, params.bytes, &p))
        return;
    FUZZ_CHECK(!p.columns == !p.bands && p.columns * p.bands <= LIMIT_PICTURE);
    fuzz_accept();
}

static void check_analyze(struct wire_slice params)
{
    struct kind_analyze_params p, q;
    uint32_t wanted = 0, again = 0;
    uint8_t one[16], two[16];
    struct wire_buffer full = {0};
    if (params_analyze(params.data, params.bytes, &p, &wanted))
        return;
    FUZZ_CHECK(p.n_fft >= 16 && p.n_fft <= 65536 && p.hop >= 1 && p.hop <= UINT32_MAX && p.mels && p.mfcc);
    FUZZ_CHECK(wanted && !(wanted >> MEASURES));
    FUZZ_CHECK(params_analyze_hash(&p, wanted, one) == STATUS_OK);
    FUZZ_CHECK(wire_encode(&kind_analyze_params_schema, &p, &full) == STATUS_OK);
    FUZZ_CHECK(params_analyze(full.data, full.bytes, &q, &again) == STATUS_OK && again == wanted);
    FUZZ_CHECK(params_analyze_hash(&q, again, two) == STATUS_OK && memcmp(one, two, sizeof one) == 0);
    wire_free(&full);
    fuzz_accept();
}

/* With a method that needs no files: what a plan may ask of a child. */
static void check_separate(struct wire_slice params)
{
    static struct method_model model;
    static struct plan plan;
    struct separate_settings s;
    if (params_separate(params.data, params.bytes, &s))
        return;
    FUZZ_CHECK(s.params.model.bytes && !(s.params.overlap < 0) && !(s.params.overlap >= 1));
    FUZZ_CHECK(!(s.params.segment_s <= 0) && s.clip <= AUDIO_CLIP_NONE);
    s.params.model = wire_str("hpss");
    if (plan_make(NULL, &s, &plan, &model))
        return;
    uint32_t all = 0;
    FUZZ_CHECK(plan.outputs >= 1 && plan.outputs <= plan.stems && plan.networks == 0);
    for (int o = 0; o < plan.outputs; o++) {
        char file[PLAN_FILE_BYTES];
        FUZZ_CHECK(plan.output[o].stems && !(plan.output[o].stems >> plan.stems) && !(plan.output[o].stems & all));
        all |= plan.output[o].stems;
        plan_file_name(&plan, o, &s.format, file);
        FUZZ_CHECK(!strchr(file, '/') && file[0] != '.');
    }
    fuzz_accept();
}

static void check_lease(const struct message_grant *grant)
{
    struct places places = {0};
    struct lease *l = NULL;
    FUZZ_CHECK(lease_create(grant, &places, &l) == STATUS_OK);
    FUZZ_CHECK(l->count == grant->leases.count && l->left == l->count);
    FUZZ_CHECK(!l->code || (l->message[0] && strlen(l->message) < sizeof l->message));
    for (size_t i = 0; i < l->count; i++) {
        const struct item *const it = &l->items[i];
        FUZZ_CHECK(it->path && it->lease == l && it->input < 0 && it->result_fd < 0 && it->array.fd < 0);
        FUZZ_CHECK(wire_is_utf8(it->message, strlen(it->message)));
        FUZZ_CHECK(!it->separation && !it->clips && (l->task != TASK_SEPARATE || !l->feature));
        FUZZ_CHECK(l->task != TASK_FEATURES || l->code || it->code || it->array.path);
    }
    lease_destroy(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct message_grant grant;
    struct wire_buffer body = {0}, params = {0};
    if (fuzz_byte(&in) & CONTROL_RAW) {
        const struct wire_slice raw = fuzz_rest(&in);
        if (wire_decode(&grant_schema, raw.data, raw.bytes, &grant))
            return 0;
    } else {
        shape_encode(shape_table((uint16_t)fuzz_number(&in, 2)), &in, NULL, &params);
        shape_message(&grant_schema, &in, NULL, &body, &grant);
        if (params.bytes <= LIMIT_PARAMS)
            grant.params = (struct wire_slice){params.data, (uint32_t)params.bytes};
    }
    check_lease(&grant);
    check_features(grant.params);
    check_analyze(grant.params);
    check_separate(grant.params);
    check_inspect(grant.params);
    wire_free(&params);
    wire_free(&body);
    return 0;
}

static void seed(const char *name, const char *kind, const struct wire_schema *schema, const void *params,
                 const struct message_lease *lease)
{
    struct wire_buffer p = {0}, leases = {0}, b = {0};
    FUZZ_CHECK(wire_append(&b, &(uint8_t){CONTROL_RAW}, 1) == STATUS_OK);
    FUZZ_CHECK(wire_encode(schema, params, &p) == STATUS_OK);
    FUZZ_CHECK(wire_encode(&lease_schema, lease, &leases) == STATUS_OK);
    const struct message_grant m = {
        .job = 1, .kind = wire_str(kind), .params = {p.data, (uint32_t)p.bytes}, .leases = wire_list_of(&leases, 1)};
    FUZZ_CHECK(wire_encode(&grant_schema, &m, &b) == STATUS_OK);
    fuzz_seed(name, b.data, b.bytes);
    wire_free(&p);
    wire_free(&leases);
    wire_free(&b);
}

void fuzz_seeds(void)
{
    struct wire_buffer out = {0}, names = {0};
    const struct kind_features_item item = {.out = wire_str("/tmp/x.npy")};
    struct kind_features_params f = {
        .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN, .lifter = 22, .rolloff = NAN, .quantile = NAN, .order = NAN};
    FUZZ_CHECK(wire_encode(&kind_features_item_schema, &item, &out) == STATUS_OK);
    const struct message_lease lease = {
        .token = 5, .attempt = 1, .path = wire_str("/a.wav"), .params = {out.data, (uint32_t)out.bytes}};
    static const char *const features[] = {"mfcc", "contrast", "poly", "stft", "rms", "rolloff"};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        f.feature = wire_str(features[i]);
        seed(features[i], KIND_FEATURES, &kind_features_params_schema, &f, &lease);
    }
    f.win_length = 2048; /* as long as n_fft is by default: one more is refused */
    seed("window", KIND_FEATURES, &kind_features_params_schema, &f, &lease);
    FUZZ_CHECK(wire_append_str(&names, "mfcc") == STATUS_OK && wire_append_str(&names, "flux") == STATUS_OK);
    const struct kind_analyze_params a = {.rate_hz = 22050, .features = wire_list_of(&names, 2)};
    seed("analyze", KIND_ANALYZE, &kind_analyze_params_schema, &a, &lease);
    const struct kind_separate_params s = {.model = wire_str("hpss"),
                                           .format = wire_str("flac/int24"),
                                           .two_stems = wire_str("residual"),
                                           .overlap = NAN,
                                           .segment_s = NAN};
    seed("separate", KIND_SEPARATE, &kind_separate_params_schema, &s, &lease);
    seed("clips", KIND_SEPARATE_CLIPS, &kind_separate_params_schema, &s, &lease);
    seed("separate_objects", KIND_SEPARATE_OBJECTS, &kind_separate_params_schema, &s, &lease);
    const struct kind_inspect_params picture = {.columns = 160, .bands = 64};
    seed("inspect", KIND_INSPECT, &kind_inspect_params_schema, &picture, &lease);
    wire_free(&out);
    wire_free(&names);
}
