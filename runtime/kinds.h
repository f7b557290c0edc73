/* kinds - parameters and results of the job kinds, as they travel inside `params` and `result` of the messages.
 *
 * The scheduler never looks inside. Clients encode parameters and decode results, workers the other way round. Absent
 * numbers mean the default that PROTOCOL.md names; keys are never reused. */
#ifndef KINDS_H
#define KINDS_H
#include "messages.h"

#define KIND_ANALYZE "analyze"
#define KIND_FEATURES "features"
#define KIND_INSPECT "inspect"
#define KIND_NOOP "noop"
#define KIND_SEPARATE "separate"
#define KIND_SEPARATE_CLIPS "separate_clips"
#define KIND_SCORE "score"
#define KIND_TRAIN "train"
#define KIND_SWEEP "sweep"                       /* trainings side by side: those that fall behind are stopped */
#define KIND_SCORE_OBJECTS "score_objects"       /* score, all files being objects: by any worker */
#define KIND_SEPARATE_OBJECTS "separate_objects" /* separate, song and stems being objects: by any worker */
#define KIND_TRAIN_OBJECTS "train_objects"       /* train, pack, states and model being objects: by any worker */

enum {
    LIMIT_FEATURE_NAME = 32,
    LIMIT_WARNINGS = 8,
    LIMIT_SERIES = 16,
    LIMIT_SERIES_VALUES = 512,
    LIMIT_RATE = 1000000,
    LIMIT_CHANNELS = 8,
    LIMIT_STEMS = 16,
    LIMIT_TRACK = 255,     /* bytes of a folder's name */
    LIMIT_STEM_NAME = 255, /* of a file's */
    LIMIT_SHIFTS = 64,
    LIMIT_CLIPS = 32, /* of one item */
    LIMIT_PREVIEWS = 16,
    LIMIT_TRAINED_FILES = 512,
    LIMIT_TRAINED_NAME = 128,
    LIMIT_TRIALS = 1000, /* of a sweep */
    TRAIN_PREVIEWS = 4,  /* where an item does not say how many sounds */
    LIMIT_PICTURE_COLUMNS = 512,
    LIMIT_PICTURE_BANDS = 128,
    LIMIT_PICTURE = 32768 /* columns times bands */
};
enum { LIMIT_STATISTICS = 40 * LIMIT_SERIES_VALUES }; /* ten f32 for each value of a frame */

/* How frames are cut and transformed; 0 or empty means the default in brackets. */
#define SPECTRUM_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, n_fft, 65536, NULL) \
    F(S, 2, UINT, OPTIONAL, hop, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, win_length, 65536, NULL) \
    F(S, 4, STR, OPTIONAL, window, LIMIT_FEATURE_NAME, NULL) \
    F(S, 5, STR, OPTIONAL, pad, LIMIT_FEATURE_NAME, NULL) \
    F(S, 6, BOOL, OPTIONAL, not_centred, 0, NULL) \
    F(S, 7, UINT, OPTIONAL, mels, 4096, NULL) \
    F(S, 8, F64, OPTIONAL, fmin_hz, 0, NULL) \
    F(S, 9, F64, OPTIONAL, fmax_hz, 0, NULL) \
    F(S, 10, BOOL, OPTIONAL, htk, 0, NULL) \
    F(S, 11, F64, OPTIONAL, top_db, 0, NULL) \
    F(S, 12, BOOL, OPTIONAL, no_norm, 0, NULL) \
    F(S, 13, UINT, OPTIONAL, mfcc, 4096, NULL) \
    F(S, 14, F64, OPTIONAL, lifter, 0, NULL) \
    F(S, 15, F64, OPTIONAL, rolloff, 0, NULL) \
    F(S, 16, UINT, OPTIONAL, bands, 32, NULL) \
    F(S, 17, F64, OPTIONAL, quantile, 0, NULL) \
    F(S, 18, F64, OPTIONAL, order, 0, NULL) \
    F(S, 24, UINT, OPTIONAL, rate_hz, LIMIT_RATE, NULL) \
    F(S, 25, STR, OPTIONAL, resample, LIMIT_FEATURE_NAME, NULL) \
    F(S, 26, STR, OPTIONAL, isa, LIMIT_FEATURE_NAME, NULL)

#define ANALYZE_PARAMS_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, n_fft, 65536, NULL) \
    F(S, 2, UINT, OPTIONAL, hop, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, mels, LIMIT_SERIES_VALUES, NULL) \
    F(S, 4, UINT, OPTIONAL, mfcc, LIMIT_SERIES_VALUES, NULL) \
    F(S, 5, STRS, OPTIONAL, features, LIMIT_SERIES, NULL) \
    F(S, 6, UINT, OPTIONAL, rate_hz, LIMIT_RATE, NULL) \
    F(S, 7, STR, OPTIONAL, resample, LIMIT_FEATURE_NAME, NULL) \
    F(S, 8, STR, OPTIONAL, isa, LIMIT_FEATURE_NAME, NULL) \
    F(S, 9, BOOL, OPTIONAL, each_channel, 0, NULL) \
    F(S, 20, BOOL, OPTIONAL, force, 0, NULL) \
    F(S, 21, BOOL, OPTIONAL, verify, 0, NULL) \
    F(S, 22, BOOL, OPTIONAL, statistics, 0, NULL)

#define FEATURES_PARAMS_FIELDS(F, S) \
    SPECTRUM_FIELDS(F, S) \
    F(S, 20, BOOL, OPTIONAL, force, 0, NULL) \
    F(S, 21, BOOL, OPTIONAL, verify, 0, NULL) \
    F(S, 22, STR, REQUIRED, feature, LIMIT_FEATURE_NAME, NULL) \
    F(S, 23, BOOL, OPTIONAL, keep, 0, NULL) \
    F(S, 27, BOOL, OPTIONAL, each_channel, 0, NULL)

/* An item's own parameters of kind `features`: where the .npy goes. */
#define FEATURES_ITEM_FIELDS(F, S) F(S, 1, BIN, REQUIRED, out, LIMIT_PATH, NULL)

/* What every result says of its input and of how it was made: the first fields of each result, so that its struct
 * begins as struct kind_provenance does. */
#define PROVENANCE_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, hash, 32, NULL) \
    F(S, 2, UINT, OPTIONAL, rate_hz, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, channels, 0, NULL) \
    F(S, 4, UINT, OPTIONAL, frames_decoded, 0, NULL) \
    F(S, 5, STR, OPTIONAL, codec, LIMIT_NAME, NULL) \
    F(S, 6, BOOL, OPTIONAL, from_store, 0, NULL) \
    F(S, 7, F64, OPTIONAL, seconds, 0, NULL) \
    F(S, 8, STR, OPTIONAL, backend, LIMIT_NAME, NULL) \
    F(S, 9, STR, OPTIONAL, isa, LIMIT_NAME, NULL) \
    F(S, 10, STR, OPTIONAL, version, LIMIT_NAME, NULL) \
    F(S, 11, STRS, OPTIONAL, warnings, LIMIT_WARNINGS, NULL) \
    F(S, 12, STR, OPTIONAL, on_device, 128, NULL) \
    F(S, 13, F64, OPTIONAL, decode_s, 0, NULL) \
    F(S, 14, F64, OPTIONAL, copy_in_s, 0, NULL) \
    F(S, 15, F64, OPTIONAL, device_s, 0, NULL) \
    F(S, 16, F64, OPTIONAL, copy_out_s, 0, NULL) \
    F(S, 17, UINT, OPTIONAL, launches, 0, NULL)

#define ANALYZE_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, F64, OPTIONAL, duration_s, 0, NULL) \
    F(S, 21, F64, OPTIONAL, rms, 0, NULL) \
    F(S, 22, F64, OPTIONAL, peak, 0, NULL) \
    F(S, 23, F64, OPTIONAL, zero_crossing_rate, 0, NULL) \
    F(S, 24, F64, OPTIONAL, spectral_centroid_hz, 0, NULL) \
    F(S, 25, UINT, OPTIONAL, n_fft, 0, NULL) \
    F(S, 26, UINT, OPTIONAL, hop, 0, NULL) \
    F(S, 27, UINT, OPTIONAL, mels, 0, NULL) \
    F(S, 28, UINT, OPTIONAL, mfcc, 0, NULL) \
    F(S, 29, UINT, OPTIONAL, frames, 0, NULL) \
    F(S, 30, LIST, OPTIONAL, series, LIMIT_SERIES *LIMIT_CHANNELS, &kind_series_schema) \
    F(S, 31, UINT, OPTIONAL, every, 0, NULL) \
    F(S, 32, UINT, OPTIONAL, analysis_rate_hz, 0, NULL) \
    F(S, 33, LIST, OPTIONAL, channel_levels, LIMIT_CHANNELS, &kind_channel_schema)

/* One feature of an analysis. statistics: little-endian f32 [10][values]: mean, variance, median, minimum, maximum over
 * the frames, then the same of first differences; NaN for what does not exist. */
#define SERIES_FIELDS(F, S) \
    F(S, 1, STR, REQUIRED, name, LIMIT_NAME, NULL) \
    F(S, 2, UINT, REQUIRED, values, LIMIT_SERIES_VALUES, NULL) \
    F(S, 3, BIN, REQUIRED, statistics, LIMIT_STATISTICS, NULL) \
    F(S, 4, UINT, OPTIONAL, channel, 0, NULL)

/* The level of one channel, when each was analysed by itself. */
#define CHANNEL_FIELDS(F, S) \
    F(S, 1, F64, OPTIONAL, rms, 0, NULL) \
    F(S, 2, F64, OPTIONAL, peak, 0, NULL)

#define FEATURES_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, STR, OPTIONAL, feature, LIMIT_FEATURE_NAME, NULL) \
    F(S, 21, UINT, OPTIONAL, bins, 0, NULL) \
    F(S, 22, UINT, OPTIONAL, frames, 0, NULL) \
    F(S, 23, STR, OPTIONAL, dtype, LIMIT_NAME, NULL) \
    F(S, 24, BOOL, OPTIONAL, kept, 0, NULL)

#define SEPARATE_PARAMS_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, model, LIMIT_PATH, NULL) \
    F(S, 2, STR, OPTIONAL, format, LIMIT_FEATURE_NAME, NULL) \
    F(S, 3, STR, OPTIONAL, clip, LIMIT_FEATURE_NAME, NULL) \
    F(S, 4, STRS, OPTIONAL, stems, LIMIT_STEMS, NULL) \
    F(S, 5, STR, OPTIONAL, two_stems, LIMIT_NAME, NULL) \
    F(S, 6, F64, OPTIONAL, overlap, 0, NULL) \
    F(S, 7, F64, OPTIONAL, segment_s, 0, NULL) \
    F(S, 8, UINT, OPTIONAL, shifts, LIMIT_SHIFTS, NULL) \
    F(S, 9, UINT, OPTIONAL, seed, 0, NULL) \
    F(S, 10, STR, OPTIONAL, isa, LIMIT_FEATURE_NAME, NULL) \
    F(S, 11, STR, OPTIONAL, precision, LIMIT_FEATURE_NAME, NULL)

/* An item's own parameters of kind `separate`: its stems go to OUT/MODEL/TRACK, without `out` to the objects. */
#define SEPARATE_ITEM_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, out, LIMIT_PATH, NULL) \
    F(S, 2, BIN, REQUIRED, track, LIMIT_TRACK, NULL)

#define STEM_FIELDS(F, S) \
    F(S, 1, STR, REQUIRED, name, 2 * LIMIT_NAME, NULL) \
    F(S, 2, STR, REQUIRED, file, 2 * LIMIT_NAME, NULL) \
    F(S, 3, F64, OPTIONAL, peak, 0, NULL) \
    F(S, 4, F64, OPTIONAL, rms, 0, NULL) \
    F(S, 5, F64, OPTIONAL, si_sdr_db, 0, NULL) \
    F(S, 6, STR, REQUIRED, verdict, LIMIT_NAME, NULL) \
    F(S, 7, BIN, OPTIONAL, object, LIMIT_OBJECT, NULL) \
    F(S, 8, UINT, OPTIONAL, bytes, 0, NULL) \
    F(S, 10, F64, OPTIONAL, snr_db, 0, NULL)

#define SEPARATE_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, BIN, OPTIONAL, model, 256, NULL) \
    F(S, 21, BIN, OPTIONAL, folder, LIMIT_PATH, NULL) \
    F(S, 22, UINT, OPTIONAL, stems_rate_hz, 0, NULL) \
    F(S, 23, UINT, OPTIONAL, frames, 0, NULL) \
    F(S, 24, LIST, OPTIONAL, stems, LIMIT_STEMS, &kind_stem_schema) \
    F(S, 25, F64, OPTIONAL, residual_rms, 0, NULL) \
    F(S, 26, F64, OPTIONAL, resumed_from, 0, NULL) \
    F(S, 27, STR, OPTIONAL, format, LIMIT_FEATURE_NAME, NULL) \
    F(S, 28, BIN, OPTIONAL, track, LIMIT_TRACK, NULL) \
    F(S, 29, BIN, OPTIONAL, model_hash, 32, NULL)

/* An item of kind `separate_clips`: short files that share segments of a network. */
#define CLIP_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, path, LIMIT_PATH, NULL) \
    F(S, 2, BIN, REQUIRED, track, LIMIT_TRACK, NULL)

#define CLIPS_ITEM_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, out, LIMIT_PATH, NULL) \
    F(S, 2, LIST, REQUIRED, clips, LIMIT_CLIPS, &kind_clip_schema) \
    F(S, 3, BOOL, OPTIONAL, check, 0, NULL)

/* Of each clip, in the item's order: what was made of it, or why it was left out. */
#define CLIP_RESULT_FIELDS(F, S) \
    F(S, 1, LIST, OPTIONAL, separated, 1, &kind_separate_result_schema) \
    F(S, 2, STR, OPTIONAL, left_out, LIMIT_MESSAGE, NULL)

#define CLIPS_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, LIST, OPTIONAL, clips, LIMIT_CLIPS, &kind_clip_result_schema) \
    F(S, 21, UINT, OPTIONAL, segments, 0, NULL)

#define SCORE_PARAMS_FIELDS(F, S) F(S, 1, BOOL, OPTIONAL, no_bss, 0, NULL)

/* A track: its path is the folder of its references, `estimates` that of its estimates, `track` what it is called. */
#define SCORE_ITEM_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, estimates, LIMIT_PATH, NULL) \
    F(S, 2, LIST, REQUIRED, stems, LIMIT_STEMS, &kind_score_pair_schema) \
    F(S, 3, BIN, OPTIONAL, track, LIMIT_PATH, NULL)

/* Names of files within those folders, and those that are objects. */
#define SCORE_PAIR_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, name, LIMIT_STEM_NAME, NULL) \
    F(S, 2, BIN, REQUIRED, reference, LIMIT_STEM_NAME, NULL) \
    F(S, 3, BIN, REQUIRED, estimate, LIMIT_STEM_NAME, NULL) \
    F(S, 4, BIN, OPTIONAL, reference_object, LIMIT_OBJECT, NULL) \
    F(S, 5, BIN, OPTIONAL, estimate_object, LIMIT_OBJECT, NULL)

/* In dB; absent: undefined, as of silence, or infinite. */
#define SCORES_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, name, LIMIT_STEM_NAME, NULL) \
    F(S, 2, F64, OPTIONAL, sdr_mdx, 0, NULL) \
    F(S, 3, F64, OPTIONAL, si_sdr, 0, NULL) \
    F(S, 4, F64, OPTIONAL, bss_sdr, 0, NULL) \
    F(S, 5, F64, OPTIONAL, bss_isr, 0, NULL) \
    F(S, 6, F64, OPTIONAL, bss_sir, 0, NULL) \
    F(S, 7, F64, OPTIONAL, bss_sar, 0, NULL)

#define SCORE_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, LIST, OPTIONAL, stems, LIMIT_STEMS, &kind_scores_schema) \
    F(S, 21, LIST, OPTIONAL, mean, 1, &kind_scores_schema) \
    F(S, 22, STR, OPTIONAL, bss, LIMIT_NAME, NULL) \
    F(S, 23, BIN, OPTIONAL, track, LIMIT_PATH, NULL)

/* One training; its path, or its object, is a pack of sounds. `out`: the folder of the model; none: its files become
 * objects. What else is absent is the preset's. preview_every: validations between previews (absent: a better one, a
 * minute after the last); or only at the end. `until`: it pauses at that step, and no model is made. `state`: an
 * object that the item of another job paused with, to go on from; only where states are objects. */
#define TRAIN_ITEM_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, out, LIMIT_PATH, NULL) \
    F(S, 2, STR, REQUIRED, preset, LIMIT_FEATURE_NAME, NULL) \
    F(S, 3, UINT, REQUIRED, seed, 0, NULL) \
    F(S, 4, F64, OPTIONAL, rate, 0, NULL) \
    F(S, 5, F64, OPTIONAL, beta, 0, NULL) \
    F(S, 6, F64, OPTIONAL, free_nats, 0, NULL) \
    F(S, 7, F64, OPTIONAL, dropout, 0, NULL) \
    F(S, 8, F64, OPTIONAL, weight_decay, 0, NULL) \
    F(S, 9, UINT, OPTIONAL, latent, 0, NULL) \
    F(S, 10, UINT, OPTIONAL, steps, 0, NULL) \
    F(S, 11, UINT, OPTIONAL, batch, 0, NULL) \
    F(S, 12, UINT, OPTIONAL, patience, 0, NULL) \
    F(S, 13, UINT, OPTIONAL, validate_steps, 0, NULL) \
    F(S, 14, BOOL, OPTIONAL, no_changes, 0, NULL) \
    F(S, 15, UINT, OPTIONAL, previews, LIMIT_PREVIEWS, NULL) \
    F(S, 18, UINT, OPTIONAL, preview_every, 0, NULL) \
    F(S, 19, BOOL, OPTIONAL, previews_at_end, 0, NULL) \
    F(S, 20, STR, OPTIONAL, precision, LIMIT_FEATURE_NAME, NULL) \
    F(S, 40, UINT, OPTIONAL, until, 0, NULL) \
    F(S, 41, BIN, OPTIONAL, state, LIMIT_OBJECT, NULL)

/* Among the files of a training that pauses: its state. */
#define TRAIN_STATE_FILE "state"

/* A file of a model that was trained, by its place in the model's folder. */
#define TRAINED_FILE_FIELDS(F, S) \
    F(S, 1, STR, REQUIRED, name, LIMIT_TRAINED_NAME, NULL) \
    F(S, 2, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 3, UINT, OPTIONAL, bytes, 0, NULL)

/* Losses are those of the best weights; absent: not finite. `files`: where they are objects. `place`: what trained it,
 * "backend ISA precision[ device]": two of the same place come to the same bits. */
#define TRAIN_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, UINT, OPTIONAL, steps, 0, NULL) \
    F(S, 21, UINT, OPTIONAL, best_step, 0, NULL) \
    F(S, 22, F64, OPTIONAL, train_loss, 0, NULL) \
    F(S, 23, F64, OPTIONAL, validation_loss, 0, NULL) \
    F(S, 24, F64, OPTIONAL, reconstruction, 0, NULL) \
    F(S, 25, F64, OPTIONAL, kl, 0, NULL) \
    F(S, 26, UINT, OPTIONAL, active, 0, NULL) \
    F(S, 27, F64, OPTIONAL, kl_of_active, 0, NULL) \
    F(S, 28, F64, OPTIONAL, training_s, 0, NULL) \
    F(S, 29, STR, OPTIONAL, end, LIMIT_NAME, NULL) \
    F(S, 30, F64, OPTIONAL, resumed_from, 0, NULL) \
    F(S, 31, UINT, OPTIONAL, parameters, 0, NULL) \
    F(S, 32, UINT, OPTIONAL, bad_steps, 0, NULL) \
    F(S, 33, UINT, OPTIONAL, seed, 0, NULL) \
    F(S, 40, LIST, OPTIONAL, files, LIMIT_TRAINED_FILES, &kind_trained_file_schema) \
    F(S, 41, UINT, OPTIONAL, moves, 0, NULL) \
    F(S, 42, STR, OPTIONAL, place, 128, NULL)

/* One training in one round, or with a round behind the last what they come to. Begins as a train_item; `out` is the
 * sweep's folder. `halving`: one of so many goes on; `judge`: the divergence's weight in the score, absent: each
 * training's own; `model`: the folder of the best one's model, of the best `keep` with -1, -2 .. behind it. */
#define SWEEP_ITEM_FIELDS(F, S) \
    TRAIN_ITEM_FIELDS(F, S) \
    F(S, 50, UINT, OPTIONAL, trial, LIMIT_TRIALS - 1, NULL) \
    F(S, 51, UINT, OPTIONAL, round, LIMIT_TRIALS, NULL) \
    F(S, 52, UINT, REQUIRED, trials, LIMIT_TRIALS, NULL) \
    F(S, 53, UINT, REQUIRED, halving, LIMIT_TRIALS, NULL) \
    F(S, 54, F64, OPTIONAL, judge, 0, NULL) \
    F(S, 55, BIN, REQUIRED, model, LIMIT_PATH, NULL) \
    F(S, 56, UINT, OPTIONAL, keep, LIMIT_TRIALS, NULL)

/* As of a training so far. `stopped`: it took no part in this round; `models`: so many were made, of what all come to.
 */
#define SWEEP_RESULT_FIELDS(F, S) \
    TRAIN_RESULT_FIELDS(F, S) \
    F(S, 50, UINT, OPTIONAL, trial, LIMIT_TRIALS - 1, NULL) \
    F(S, 51, UINT, OPTIONAL, round, LIMIT_TRIALS, NULL) \
    F(S, 52, F64, OPTIONAL, score, 0, NULL) \
    F(S, 53, BOOL, OPTIONAL, stopped, 0, NULL) \
    F(S, 54, UINT, OPTIONAL, models, LIMIT_TRIALS, NULL)

/* `columns` and `bands`: also a picture of so many; 0: none. */
#define INSPECT_PARAMS_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, columns, LIMIT_PICTURE_COLUMNS, NULL) \
    F(S, 2, UINT, OPTIONAL, bands, LIMIT_PICTURE_BANDS, NULL)

/* picture: log-mel as bytes [bands][columns], the lowest band first: 255 is the file's maximum, 0 80 dB and more below.
 */
#define INSPECT_RESULT_FIELDS(F, S) \
    PROVENANCE_FIELDS(F, S) \
    F(S, 20, F64, OPTIONAL, duration_s, 0, NULL) \
    F(S, 21, F64, OPTIONAL, rms, 0, NULL) \
    F(S, 22, F64, OPTIONAL, peak, 0, NULL) \
    F(S, 23, UINT, OPTIONAL, clipped_samples, 0, NULL) \
    F(S, 24, BIN, OPTIONAL, picture, LIMIT_PICTURE, NULL) \
    F(S, 25, UINT, OPTIONAL, columns, LIMIT_PICTURE_COLUMNS, NULL) \
    F(S, 26, UINT, OPTIONAL, bands, LIMIT_PICTURE_BANDS, NULL)

enum noop_action {
    NOOP_SUCCEED = 0,
    NOOP_FAIL = 1,
    NOOP_CRASH = 2,
    NOOP_HANG = 3,
    NOOP_ALLOCATE = 4,
    NOOP_OPEN = 5,
    NOOP_LOSE_DEVICE = 6
};

#define NOOP_PARAMS_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, sleep_ms, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, checkpoint_ms, 0, NULL)

#define NOOP_ITEM_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, action, 0, NULL) \
    F(S, 2, BIN, OPTIONAL, payload, LIMIT_ITEM_PARAMS, NULL)

#define NOOP_RESULT_FIELDS(F, S) \
    F(S, 7, F64, OPTIONAL, seconds, 0, NULL) \
    F(S, 8, BIN, OPTIONAL, payload, LIMIT_ITEM_PARAMS, NULL) \
    F(S, 9, F64, OPTIONAL, resumed_from, 0, NULL)

#define KIND_TABLES(X) \
    X(analyze_params, ANALYZE_PARAMS_FIELDS) \
    X(features_params, FEATURES_PARAMS_FIELDS) \
    X(features_item, FEATURES_ITEM_FIELDS) \
    X(provenance, PROVENANCE_FIELDS) \
    X(series, SERIES_FIELDS) \
    X(channel, CHANNEL_FIELDS) \
    X(analyze_result, ANALYZE_RESULT_FIELDS) \
    X(features_result, FEATURES_RESULT_FIELDS) \
    X(noop_params, NOOP_PARAMS_FIELDS) \
    X(noop_item, NOOP_ITEM_FIELDS) \
    X(noop_result, NOOP_RESULT_FIELDS) \
    X(separate_params, SEPARATE_PARAMS_FIELDS) \
    X(separate_item, SEPARATE_ITEM_FIELDS) \
    X(stem, STEM_FIELDS) \
    X(separate_result, SEPARATE_RESULT_FIELDS) \
    X(clip, CLIP_FIELDS) \
    X(clips_item, CLIPS_ITEM_FIELDS) \
    X(train_item, TRAIN_ITEM_FIELDS) \
    X(trained_file, TRAINED_FILE_FIELDS) \
    X(train_result, TRAIN_RESULT_FIELDS) \
    X(clip_result, CLIP_RESULT_FIELDS) \
    X(clips_result, CLIPS_RESULT_FIELDS) \
    X(score_params, SCORE_PARAMS_FIELDS) \
    X(score_pair, SCORE_PAIR_FIELDS) \
    X(score_item, SCORE_ITEM_FIELDS) \
    X(scores, SCORES_FIELDS) \
    X(score_result, SCORE_RESULT_FIELDS) \
    X(inspect_params, INSPECT_PARAMS_FIELDS) \
    X(inspect_result, INSPECT_RESULT_FIELDS) \
    X(sweep_item, SWEEP_ITEM_FIELDS) \
    X(sweep_result, SWEEP_RESULT_FIELDS)

#define KIND_STRUCT(name, table) \
    struct kind_##name { \
        table(WIRE_MEMBER, ) \
    }; \
    extern const struct wire_schema kind_##name##_schema;

KIND_TABLES(KIND_STRUCT)

#endif
