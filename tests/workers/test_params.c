/* Parameters: defaults, bad values, and hashes that are equal exactly when the results are. */
#include "params.h"
#include "test.h"

#include <math.h>
#include <string.h>

static const struct kind_features_params none = {
    .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN, .lifter = NAN, .rolloff = NAN, .quantile = NAN, .order = NAN};

static int read_features(const struct kind_features_params *in, struct kind_features_params *out,
                         enum feature_kind *kind, struct wire_buffer *b)
{
    b->bytes = 0;
    const int code = wire_encode(&kind_features_params_schema, in, b);
    return code ? code : params_features(b->data, b->bytes, out, kind);
}

static int features_code(struct kind_features_params p, const char *feature)
{
    struct wire_buffer b = {0};
    struct kind_features_params out;
    enum feature_kind kind = FEATURE_SUMMARY;
    p.feature = wire_str(feature);
    const int code = read_features(&p, &out, &kind, &b);
    wire_free(&b);
    return code;
}

static void features_hash(struct kind_features_params p, const char *feature, uint8_t hash[16])
{
    struct wire_buffer b = {0};
    struct kind_features_params out;
    enum feature_kind kind = FEATURE_SUMMARY;
    p.feature = wire_str(feature);
    CHECK_OK(read_features(&p, &out, &kind, &b));
    CHECK_OK(params_features_hash(&out, kind, hash));
    wire_free(&b);
}

static bool same(const char *feature, struct kind_features_params a, struct kind_features_params b)
{
    uint8_t hash_a[16], hash_b[16];
    features_hash(a, feature, hash_a);
    features_hash(b, feature, hash_b);
    return memcmp(hash_a, hash_b, 16) == 0;
}

#define OTHERS .lifter = NAN, .rolloff = NAN, .quantile = NAN, .order = NAN
#define WITH(...) ((struct kind_features_params){.fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN, OTHERS, __VA_ARGS__})
#define FMIN(hz) ((struct kind_features_params){.fmin_hz = (hz), .fmax_hz = NAN, .top_db = NAN, OTHERS})
#define FMAX(hz) ((struct kind_features_params){.fmin_hz = NAN, .fmax_hz = (hz), .top_db = NAN, OTHERS})
#define TOP_DB(db) ((struct kind_features_params){.fmin_hz = NAN, .fmax_hz = NAN, .top_db = (db), OTHERS})

TEST(analyze_defaults)
{
    struct kind_analyze_params p;
    uint32_t wanted = 0;
    static const uint8_t empty[] = {0x80};
    CHECK_OK(params_analyze(NULL, 0, &p, &wanted));
    CHECK(p.n_fft == 2048 && p.hop == 512 && !p.force && !p.verify && p.mels == 128 && p.mfcc == 20);
    CHECK(wanted == MEASURES_DEFAULT);
    CHECK_OK(params_analyze(empty, 1, &p, &wanted));
    CHECK(p.n_fft == 2048 && p.hop == 512);
}

TEST(analyze_bad_values)
{
    static const struct {
        struct kind_analyze_params p;
        int code;
    } cases[] = {{{.n_fft = 15}, STATUS_ARGUMENT},
                 {{.n_fft = 16}, STATUS_OK},
                 {{.n_fft = 65536}, STATUS_OK},
                 {{.n_fft = 65537}, STATUS_FORMAT},
                 {{.mels = 10, .mfcc = 11}, STATUS_ARGUMENT},
                 {{.mels = 10}, STATUS_OK},
                 {{.mels = 513}, STATUS_FORMAT},
                 {{.hop = UINT32_MAX}, STATUS_OK},
                 {{.hop = (uint64_t)UINT32_MAX + 1}, STATUS_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_buffer b = {0};
        struct kind_analyze_params out;
        uint32_t wanted = 0;
        CHECK_OK(wire_encode(&kind_analyze_params_schema, &cases[i].p, &b));
        CHECK_CODE(params_analyze(b.data, b.bytes, &out, &wanted), cases[i].code);
        wire_free(&b);
    }
    struct kind_analyze_params out;
    uint32_t wanted = 0;
    CHECK_CODE(params_analyze("garbage", 7, &out, &wanted), STATUS_FORMAT);
}

static void analyze_hash(struct kind_analyze_params p, uint8_t hash[16])
{
    struct wire_buffer b = {0};
    struct kind_analyze_params out;
    uint32_t wanted = 0;
    CHECK_OK(wire_encode(&kind_analyze_params_schema, &p, &b));
    CHECK_OK(params_analyze(b.data, b.bytes, &out, &wanted));
    CHECK_OK(params_analyze_hash(&out, wanted, hash));
    wire_free(&b);
}

TEST(analyze_hashes)
{
    uint8_t first[16], other[16];
    analyze_hash((struct kind_analyze_params){0}, first);
    analyze_hash((struct kind_analyze_params){.n_fft = 2048, .hop = 512, .force = true, .verify = true}, other);
    CHECK(memcmp(first, other, 16) == 0);
    analyze_hash((struct kind_analyze_params){.n_fft = 1024}, other);
    CHECK(memcmp(first, other, 16) != 0);
    analyze_hash((struct kind_analyze_params){.hop = 256}, other);
    CHECK(memcmp(first, other, 16) != 0);
    analyze_hash((struct kind_analyze_params){.mfcc = 13}, other);
    CHECK(memcmp(first, other, 16) != 0);
    analyze_hash((struct kind_analyze_params){.isa = {(const uint8_t *)"scalar", 6}, .statistics = true}, other);
    CHECK(memcmp(first, other, 16) == 0);
}

TEST(analyze_features_by_name)
{
    static const char *const orders[][3] = {{"rms", "zcr", "flux"}, {"flux", "rms", "zcr"}, {"zcr", "flux", "rms"}};
    uint8_t hash[3][16];
    for (int i = 0; i < 3; i++) {
        struct wire_buffer names = {0};
        for (int k = 0; k < 3; k++)
            CHECK_OK(wire_append_str(&names, orders[i][k]));
        analyze_hash((struct kind_analyze_params){.features = wire_list_of(&names, 3)}, hash[i]);
        wire_free(&names);
    }
    CHECK(memcmp(hash[0], hash[1], 16) == 0 && memcmp(hash[0], hash[2], 16) == 0);
    struct wire_buffer names = {0}, b = {0};
    struct kind_analyze_params out;
    uint32_t wanted = 0;
    CHECK_OK(wire_append_str(&names, "chroma"));
    CHECK_OK(wire_encode(&kind_analyze_params_schema,
                         &(struct kind_analyze_params){.features = wire_list_of(&names, 1)}, &b));
    CHECK_CODE(params_analyze(b.data, b.bytes, &out, &wanted), STATUS_ARGUMENT);
    wire_free(&names), wire_free(&b);
}

TEST(features_defaults)
{
    struct wire_buffer b = {0};
    struct kind_features_params p = none, out = none;
    enum feature_kind kind = FEATURE_SUMMARY;
    p.feature = wire_str("logmel");
    CHECK_OK(read_features(&p, &out, &kind, &b));
    CHECK(kind == FEATURE_LOGMEL && out.n_fft == 2048 && out.hop == 512 && out.win_length == 2048 && out.mels == 128);
    CHECK(out.window.bytes == 4 && memcmp(out.window.data, "hann", 4) == 0);
    CHECK(out.pad.bytes == 4 && memcmp(out.pad.data, "zero", 4) == 0);
    CHECK(out.fmin_hz == 0 && isnan(out.fmax_hz) && out.top_db == 80 && !out.htk && !out.not_centred && !out.no_norm);
    wire_free(&b);
}

TEST(features_bad_values)
{
    struct kind_features_params out;
    enum feature_kind kind = FEATURE_SUMMARY;
    CHECK_CODE(params_features(NULL, 0, &out, &kind), STATUS_FORMAT); /* no feature */
    CHECK_CODE(features_code(none, "summary"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(none, "refusal"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(none, "chroma"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.win_length = 2049), "stft"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.n_fft = 8), "stft"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.window = wire_str("hannn")), "stft"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.window = wire_str("han")), "stft"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.pad = wire_str("wrap")), "stft"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.mels = 4097), "mel"), STATUS_FORMAT);
    CHECK_CODE(features_code(FMAX(0), "mel"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.each_channel = true), "rms"), STATUS_ARGUMENT);
    CHECK_CODE(features_code(WITH(.each_channel = true), "samples"), STATUS_OK);
    CHECK_CODE(features_code(WITH(.win_length = 16, .n_fft = 16, .window = wire_str("bartlett")), "stft"), STATUS_OK);
}

static int separate_code(struct kind_separate_params p, struct separate_settings *out)
{
    struct wire_buffer b = {0};
    p.model = p.model.data ? p.model : wire_str("hpss");
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &b));
    const int code = params_separate(b.data, b.bytes, out);
    wire_free(&b);
    return code;
}

#define SEPARATE(...) ((struct kind_separate_params){.overlap = NAN, .segment_s = NAN, __VA_ARGS__})

TEST(separate_settings)
{
    struct separate_settings s;
    CHECK_OK(separate_code(SEPARATE(.shifts = 1), &s));
    CHECK(s.format.container == AUDIO_WAV && s.format.sample == AUDIO_INT16 && s.format.rounding == AUDIO_ROUND_DEMUCS);
    CHECK(s.clip == AUDIO_CLIP_RESCALE && isnan(s.params.overlap));
    CHECK_OK(separate_code(SEPARATE(.format = wire_str("mp3/192"), .clip = wire_str("none")), &s));
    CHECK(s.format.bitrate_kbps == 192 && s.clip == AUDIO_CLIP_NONE);
    CHECK_CODE(params_separate(NULL, 0, &s), STATUS_FORMAT); /* no model */
    CHECK_CODE(separate_code(SEPARATE(.model = {(const uint8_t *)"a\0b", 3}), &s), STATUS_ARGUMENT);
    CHECK_CODE(separate_code(SEPARATE(.format = wire_str("wav/int12")), &s), STATUS_ARGUMENT);
    CHECK_CODE(separate_code(SEPARATE(.clip = wire_str("hard")), &s), STATUS_ARGUMENT);
    CHECK_CODE(separate_code(SEPARATE(.shifts = LIMIT_SHIFTS + 1), &s), STATUS_FORMAT);
    static const double overlaps[] = {0, 0.99, 1, -0.1}, segments[] = {7.8, 3600, 0.09, 3601};
    for (int i = 0; i < 4; i++) {
        const int want = i < 2 ? STATUS_OK : STATUS_ARGUMENT;
        CHECK_CODE(separate_code((struct kind_separate_params){.overlap = overlaps[i], .segment_s = NAN}, &s), want);
        CHECK_CODE(separate_code((struct kind_separate_params){.overlap = NAN, .segment_s = segments[i]}, &s), want);
    }
}

TEST(features_hash_ignores)
{
    CHECK(same("stft", none, WITH(.n_fft = 2048, .hop = 512, .win_length = 2048, .window = wire_str("hann"))));
    CHECK(same("stft", none, WITH(.force = true, .verify = true, .keep = true)));
    CHECK(same("stft", none, WITH(.mels = 64, .htk = true, .no_norm = true)));
    CHECK(same("stft", none, FMIN(20)));
    CHECK(same("mel", none, TOP_DB(40)));
    CHECK(same("mel", none, FMIN(0)));
    CHECK(same("mel", none, FMIN(-0.0)));
    CHECK(same("logmel", none, TOP_DB(80)));
    CHECK(same("logmel", TOP_DB(-1), TOP_DB(-30))); /* both: no limit */
    CHECK(same("rms", none, WITH(.win_length = 100, .window = wire_str("hamming"), .pad = wire_str("reflect"))));
    CHECK(same("samples", none, WITH(.n_fft = 512, .hop = 7, .not_centred = true, .mels = 9))); /* has no frames */
    /* without centring nothing is padded */
    CHECK(same("stft", WITH(.not_centred = true), WITH(.not_centred = true, .pad = wire_str("reflect"))));
}

TEST(features_hash_tells_apart)
{
    static const char *const features[] = {"stft", "mel", "logmel", "rms", "peak", "zcr", "centroid"};
    uint8_t hashes[7][16];
    for (int i = 0; i < 7; i++) {
        features_hash(none, features[i], hashes[i]);
        for (int k = 0; k < i; k++)
            CHECK(memcmp(hashes[i], hashes[k], 16) != 0);
        CHECK(!same(features[i], none, WITH(.n_fft = 1024)));
        CHECK(!same(features[i], none, WITH(.hop = 100)));
        CHECK(!same(features[i], none, WITH(.not_centred = true)));
    }
    CHECK(!same("samples", none, WITH(.each_channel = true)));
    CHECK(!same("samples", none, WITH(.rate_hz = 8000)));
    CHECK(!same("centroid", none, WITH(.win_length = 100)));
    CHECK(!same("stft", none, WITH(.window = wire_str("blackman"))));
    CHECK(!same("mel", none, WITH(.pad = wire_str("reflect"))));
    CHECK(!same("mel", none, WITH(.mels = 64)));
    CHECK(!same("mel", none, WITH(.htk = true)));
    CHECK(!same("mel", none, WITH(.no_norm = true)));
    CHECK(!same("mel", none, FMIN(20)));
    CHECK(!same("logmel", none, FMAX(4000)));
    CHECK(!same("logmel", none, TOP_DB(40)));
    CHECK(!same("logmel", none, TOP_DB(-1)));
}
