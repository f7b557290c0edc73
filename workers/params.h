/* params - a job's parameters with their defaults filled in: the same for the supervisor, which makes store keys of
 * them, and for the compute child, which obeys them. PROTOCOL.md section 6 is the authority.
 *
 *   errors    STATUS_FORMAT for bytes that break the table, STATUS_ARGUMENT for values that no file could satisfy */
#ifndef PARAMS_H
#define PARAMS_H
#include "audio_write.h"
#include "kinds.h"
#include "measures.h"
#include "precision.h"
#include "record.h"

/* Raised when an operation's results change: old records are then not found, never mistaken. */
enum { ANALYZE_VERSION = 2, FEATURES_VERSION = 2 };

/* *wanted: a bit for each enum measure. */
int params_analyze(const void *data, size_t bytes, struct kind_analyze_params *out, uint32_t *wanted) MUST_USE;
int params_features(const void *data, size_t bytes, struct kind_features_params *out,
                    enum feature_kind *feature) MUST_USE;

/* A separation's, but for the model and its stems, which plan.h looks at. */
struct separate_settings {
    struct kind_separate_params params;
    struct audio_format format;
    enum audio_clip clip;
    enum precision precision;
};
int params_separate(const void *data, size_t bytes, struct separate_settings *out) MUST_USE;

/* Of kind `separate_clips`: the same, without overlap, segment and shifts. */
int params_clips(const void *data, size_t bytes, struct separate_settings *out) MUST_USE;

/* What is looked at besides levels; a picture has columns and bands, or neither. */
int params_inspect(const void *data, size_t bytes, struct kind_inspect_params *out) MUST_USE;

/* A score's; nothing at all is a map without fields. */
int params_score(const void *data, size_t bytes, struct kind_score_params *out) MUST_USE;

/* 16 bytes that two parameter sets share exactly when they give the same result: `force`, `verify` and `keep` do not
 * count, nor do `isa`, `statistics` and fields that the feature does not use. */
int params_analyze_hash(const struct kind_analyze_params *p, uint32_t wanted, uint8_t out[16]) MUST_USE;
int params_features_hash(const struct kind_features_params *p, enum feature_kind feature, uint8_t out[16]) MUST_USE;

#endif
