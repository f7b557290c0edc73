/* A supervisor under a scheduler of the test: what items go through, and what they must not do to each other. */
#include "boss.h"
#include "sound.h"
#include "store.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(const struct boss *b, uint64_t token, enum failure_class failure, const char *text)
{
    const struct outcome *o = boss_outcome(b, token);
    const bool ok = o && o->failure == failure && strstr(o->message, text);
    if (!ok)
        printf("    item %llu: failure %llu, '%s'\n", (unsigned long long)token & 0xffff,
               o ? (unsigned long long)o->failure : 99, o ? o->message : "not reported");
    return ok;
}

static bool done(const struct boss *b, uint64_t token)
{
    return failed(b, token, FAILURE_NONE, "");
}

static bool analyzed(const struct boss *b, uint64_t token, bool from_store, struct kind_analyze_result *out)
{
    const struct outcome *o = boss_outcome(b, token);
    return done(b, token) && wire_decode(&kind_analyze_result_schema, o->result, o->result_bytes, out) == STATUS_OK &&
           out->from_store == from_store && out->hash.bytes == 32 && out->rms > 0 && out->spectral_centroid_hz > 0;
}

static const struct boss_item succeed = {.action = NOOP_SUCCEED}, crash = {.action = NOOP_CRASH},
                              hang = {.action = NOOP_HANG};

TEST(analyze_files)
{
    struct boss b;
    struct kind_analyze_result r = {0}, again = {0};
    boss_init(&b);
    REQUIRE(sound_noise("equal1.wav", 8000, 1, 8000, 5) && sound_noise("equal2.wav", 8000, 1, 8000, 5));
    REQUIRE(sound_text("notes.wav", "not music at all\n") && mkdir("folder", 0700) == 0);
    sound_settle();
    char equal1[256], equal2[256], notes[256], folder[256], here[128];
    REQUIRE(getcwd(here, sizeof here));
    snprintf(equal1, sizeof equal1, "%s/equal1.wav", here);
    snprintf(equal2, sizeof equal2, "%s/equal2.wav", here);
    snprintf(notes, sizeof notes, "%s/notes.wav", here);
    snprintf(folder, sizeof folder, "%s/folder", here);
    const struct boss_item items[] = {{.path = test_data("speech_mono_16k.wav")},
                                      {.path = equal1},
                                      {.path = equal2},
                                      {.path = test_data("music_pluck_stereo_48k.m4a")},
                                      {.path = notes},
                                      {.path = folder},
                                      {.path = "/no/such/file"},
                                      {.path = "relative.wav"}};
    boss_start(&b);
    const uint64_t t = boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, 8);
    CHECK(boss_wait_outcomes(&b, 8, BOSS_PATIENCE_MS));
    CHECK(analyzed(&b, t, false, &r) && r.rate_hz == 16000 && r.channels == 1);
    /* one of the two is computed, the other served */
    CHECK(analyzed(&b, t + 1, false, &r) ? analyzed(&b, t + 2, true, &again)
                                         : analyzed(&b, t + 1, true, &r) && analyzed(&b, t + 2, false, &again));
    CHECK(r.rms == again.rms && r.hash.data && again.hash.data && memcmp(r.hash.data, again.hash.data, 32) == 0);
    CHECK(analyzed(&b, t + 3, false, &r) && r.rate_hz == 48000 && r.channels == 2);
    CHECK(failed(&b, t + 4, FAILURE_INPUT, "ffmpeg: "));
    CHECK(failed(&b, t + 5, FAILURE_INPUT, "a directory"));
    CHECK(failed(&b, t + 6, FAILURE_INPUT, "No such file"));
    CHECK(failed(&b, t + 7, FAILURE_INPUT, "not absolute"));
    const uint64_t u = boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, 5);
    CHECK(boss_wait_outcomes(&b, 13, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 4; i++)
        CHECK(analyzed(&b, u + i, true, &r));
    CHECK(failed(&b, u + 4, FAILURE_INPUT, "ffmpeg: "));
    const struct kind_analyze_params force = {.force = true};
    const uint64_t v = boss_grant(&b, KIND_ANALYZE, &kind_analyze_params_schema, &force, items, 3);
    CHECK(boss_wait_outcomes(&b, 16, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 3; i++)
        CHECK(analyzed(&b, v + i, false, &r));
    boss_stop(&b);
}

static bool is_array(const char *path, size_t least)
{
    struct stat s;
    return stat(path, &s) == 0 && (size_t)s.st_size >= least;
}

static uint64_t features(struct boss *b, const char *feature, const struct boss_item *items, int count)
{
    const struct kind_features_params p = {
        .feature = wire_str(feature), .n_fft = 1024, .hop = 64, .fmin_hz = NAN, .fmax_hz = NAN, .top_db = NAN};
    return boss_grant(b, KIND_FEATURES, &kind_features_params_schema, &p, items, count);
}

TEST(features_of_equal_files)
{
    struct boss b;
    boss_init(&b);
    char here[128], path[3][256], out[6][256];
    REQUIRE(getcwd(here, sizeof here));
    struct boss_item items[6];
    for (int i = 0; i < 6; i++) {
        snprintf(path[i % 3], sizeof path[0], "%s/equal%d.wav", here, i % 3);
        snprintf(out[i], sizeof out[0], "%s/out%d.npy", here, i);
        items[i] = (struct boss_item){.path = path[i % 3], .out = out[i]};
        REQUIRE(sound_noise(path[i % 3], 200000, 1, 8000, 9)); /* arrays above what a record holds */
    }
    sound_settle();
    boss_start(&b);
    const uint64_t t = features(&b, "logmel", items, 3);
    const uint64_t u = features(&b, "logmel", items + 3, 3);
    CHECK(boss_wait_outcomes(&b, 6, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 3; i++)
        CHECK(done(&b, t + i) && done(&b, u + i));
    for (int i = 0; i < 6; i++)
        CHECK(is_array(out[i], 1 << 20));
    /* NOLINTNEXTLINE(cert-env33-c): the command is ours */
    CHECK(system("cmp -s out0.npy out5.npy && ! ls -A | grep -q part") == 0);
    boss_stop(&b);
}

TEST(crash_is_blamed_on_the_right_one)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {succeed, succeed, crash, succeed, succeed, crash, succeed, succeed};
    const uint64_t t = boss_noop(&b, 20, items, 8);
    CHECK(boss_wait_outcomes(&b, 8, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 8; i++) {
        if (i == 2 || i == 5)
            CHECK(failed(&b, t + i, FAILURE_CRASH, "signal 11 (Segmentation fault)"));
        else
            CHECK(done(&b, t + i));
        CHECK(boss_outcome(&b, t + i) && boss_outcome(&b, t + i)->reports == 1);
    }
    boss_stop(&b);
}

TEST(hang_is_ended)
{
    struct boss b;
    boss_init(&b);
    b.options.stall_ms = 2000; /* the others stand still for less, also on a busy machine */
    boss_start(&b);
    const struct boss_item items[] = {succeed, hang, succeed, succeed, succeed, succeed};
    const uint64_t t = boss_noop(&b, 50, items, 6);
    CHECK(boss_wait_outcomes(&b, 6, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 6; i++)
        CHECK(i == 1 ? failed(&b, t + i, FAILURE_CRASH, "without progress") : done(&b, t + i));
    boss_stop(&b);
}

TEST(memory_is_limited)
{
    struct boss b;
    boss_init(&b);
    b.options.memory_bytes = (size_t)400 << 20;
    boss_start(&b);
    const struct boss_item items[] = {succeed, {.action = NOOP_ALLOCATE}, succeed, succeed};
    const uint64_t t = boss_noop(&b, 10, items, 4);
    CHECK(boss_wait_outcomes(&b, 4, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 4; i++)
        CHECK(i == 1 ? failed(&b, t + i, FAILURE_CRASH, "limit of 400 MiB") : done(&b, t + i));
    boss_stop(&b);
}

TEST(failures_and_the_sandbox)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {{.action = NOOP_FAIL}, {.action = NOOP_OPEN}, {.action = 77}};
    const uint64_t t = boss_noop(&b, 0, items, 3);
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(failed(&b, t, FAILURE_INPUT, "as it was told"));
    CHECK(done(&b, t + 1));
    CHECK(failed(&b, t + 2, FAILURE_INPUT, "no action 77"));
    boss_stop(&b);
}

TEST(bad_grants)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    /* nothing in it, twice: neither costs a place */
    boss_send_grant(&b, &(struct message_grant){.job = 1, .kind = wire_str(KIND_NOOP)});
    boss_send_grant(&b, &(struct message_grant){.job = 1, .kind = wire_str(KIND_ANALYZE)});
    const struct boss_item item = {.path = "/no/such"};
    const struct kind_analyze_params bad = {.n_fft = 3};
    const uint64_t t = boss_grant(&b, KIND_ANALYZE, &kind_analyze_params_schema, &bad, &item, 1);
    const uint64_t u = boss_grant(&b, "unheard", NULL, NULL, &item, 1);
    const uint64_t v = features(&b, "mel", &item, 1); /* the item says not where the array goes */
    const uint64_t w = boss_grant(&b, KIND_ANALYZE, &error_schema, &(struct message_error){0}, &item, 1);
    CHECK(boss_wait_outcomes(&b, 4, BOSS_PATIENCE_MS));
    CHECK(failed(&b, t, FAILURE_INPUT, "n_fft"));
    CHECK(failed(&b, u, FAILURE_INPUT, "kind 'unheard'"));
    CHECK(failed(&b, v, FAILURE_INPUT, ""));
    CHECK(failed(&b, w, FAILURE_INPUT, ""));
    boss_stop(&b);
}

/* Names are bytes, messages UTF-8. */
TEST(message_with_a_name_that_is_not_text)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    char path[256], out[4200];
    snprintf(path, sizeof path, "%s", test_data("speech_mono_8k.wav"));
    snprintf(out, sizeof out, "/no/such/\xff\xfe folder/out.npy");
    const struct boss_item item = {.path = path, .out = out};
    const uint64_t t = features(&b, "mel", &item, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(failed(&b, t, FAILURE_INPUT, "cannot write"));
    /* cut in the middle of a letter of two bytes */
    memset(out, 'a', sizeof out);
    memcpy(out, "/no/such/", 9);
    for (int i = 10; i < 400; i += 2)
        memcpy(out + i, "\xc3\xa4", 2);
    out[400] = '\0';
    const uint64_t u = features(&b, "mel", &item, 1);
    out[9] = '\0';
    memmove(out + 9, out + 10, 391);
    const uint64_t v = features(&b, "mel", &item, 1);
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(failed(&b, u, FAILURE_INPUT, "cannot write") && failed(&b, v, FAILURE_INPUT, "cannot write"));
    boss_stop(&b);
}

static int64_t stored_records(void)
{
    struct store *s = NULL;
    struct store_stats st = {0};
    int code = store_open("features", &(struct store_options){.read_only = true}, &s);
    code = code ? code : store_stats(s, &st);
    store_close(&s);
    return code ? -1 : (int64_t)st.records;
}

/* Where nothing can be kept, results are still good. */
TEST(full_disk)
{
    struct boss b;
    struct kind_analyze_result r = {0};
    struct rlimit before, full;
    boss_init(&b);
    char here[128], path[40][256];
    struct boss_item items[40];
    REQUIRE(getcwd(here, sizeof here));
    for (int i = 0; i < 40; i++) {
        snprintf(path[i], sizeof path[0], "%s/n%d.wav", here, i);
        items[i] = (struct boss_item){.path = path[i]};
        REQUIRE(sound_noise(path[i], 3000, 1, 8000, 100 + (uint64_t)i));
    }
    sound_settle();
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    full = (struct rlimit){40 << 10, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
    boss_start(&b);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0); /* for this process */
    const uint64_t t = boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, 40);
    CHECK(boss_wait_outcomes(&b, 40, BOSS_PATIENCE_MS));
    const uint64_t u = boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, 40);
    CHECK(boss_wait_outcomes(&b, 80, BOSS_PATIENCE_MS));
    int computed = 0;
    for (uint64_t i = 0; i < 40; i++) {
        CHECK(analyzed(&b, t + i, false, &r));
        CHECK(done(&b, u + i));
        computed += wire_decode(&kind_analyze_result_schema, boss_outcome(&b, u + i)->result,
                                boss_outcome(&b, u + i)->result_bytes, &r) == STATUS_OK &&
                    !r.from_store;
    }
    CHECK(computed > 0); /* else the disk was not full */
    boss_stop(&b);
}

/* Less free space than is to be left: results go out, and nothing is written. */
TEST(no_room_to_store)
{
    struct boss b;
    struct kind_analyze_result r = {0};
    boss_init(&b);
    b.options.reserve_bytes = UINT64_MAX;
    char here[128], path[256], out[256];
    REQUIRE(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/noise.wav", here);
    snprintf(out, sizeof out, "%s/out.npy", here);
    REQUIRE(sound_noise(path, 200000, 1, 8000, 9));
    sound_settle();
    const struct boss_item item = {.path = path, .out = out};
    boss_start(&b);
    const uint64_t t = boss_grant(&b, KIND_ANALYZE, NULL, NULL, &item, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const uint64_t u = boss_grant(&b, KIND_ANALYZE, NULL, NULL, &item, 1);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS));
    const uint64_t v = features(&b, "mel", &item, 1);
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(analyzed(&b, t, false, &r) && analyzed(&b, u, false, &r) && done(&b, v) && is_array(out, 1 << 20));
    boss_stop(&b);
    CHECK(stored_records() == 0 && rmdir("objects") == 0);
}

TEST(store_limit_is_kept)
{
    struct boss b;
    struct kind_analyze_result r = {0};
    boss_init(&b);
    b.options.store_limit_bytes = 1;
    const struct boss_item item = {.path = test_data("speech_mono_16k.wav")};
    boss_start(&b);
    const uint64_t t = boss_grant(&b, KIND_ANALYZE, NULL, NULL, &item, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && analyzed(&b, t, false, &r));
    for (int i = 0; i < BOSS_PATIENCE_MS / 100 && stored_records() != 0; i++)
        boss_wait(&b, 0, 100);
    CHECK(stored_records() == 0);
    boss_stop(&b);
}

/* The array is asked for, the copy in objects/ is only for the next time. */
TEST(objects_that_cannot_be_written)
{
    struct boss b;
    boss_init(&b);
    b.options.objects = "/proc/version";
    char here[128], path[256], out[256];
    REQUIRE(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/noise.wav", here);
    snprintf(out, sizeof out, "%s/out.npy", here);
    REQUIRE(sound_noise(path, 200000, 1, 8000, 9));
    boss_start(&b);
    const uint64_t t = features(&b, "mel", &(struct boss_item){.path = path, .out = out}, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(done(&b, t) && is_array(out, 1 << 20));
    boss_stop(&b);
}

/* ---- children that are no good ---- */

TEST(child_that_cannot_be_started)
{
    struct boss b;
    boss_init(&b);
    b.mute = true; /* it may be gone before it could be answered */
    b.options.compute = "/bin/false";
    boss_start(&b);
    CHECK(boss_exit_code(&b, BOSS_PATIENCE_MS) == 5);
    b.options.compute = "/no/such/program";
    boss_close(&b);
    boss_start(&b);
    CHECK(boss_exit_code(&b, BOSS_PATIENCE_MS) == 5);
    boss_close(&b);
}

TEST(child_of_idle_memory_above_the_limit)
{
    struct boss b;
    boss_init(&b);
    b.mute = true;
    b.options.memory_bytes = 100 << 10;
    boss_start(&b);
    CHECK(boss_exit_code(&b, BOSS_PATIENCE_MS) == 5);
    boss_close(&b);
}

static void start_rogue(struct boss *b, const char *how)
{
    setenv("WAVEMILL_ROGUE", how, 1);
    boss_init(b);
    b->options.compute = ROGUE_COMPUTE;
    boss_start(b);
}

TEST(rogue_progress)
{
    struct boss b;
    start_rogue(&b, "progress");
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    for (int i = 0; i < 7; i++) { /* the lease is kept alive all the time */
        b.beaten_count = 0;
        CHECK(boss_wait(&b, MESSAGE_BEAT, BOSS_PATIENCE_MS));
        CHECK(boss_holds(b.beaten, b.beaten_count, t));
    }
    boss_stop(&b);
}

TEST(rogue_garbage)
{
    struct boss b;
    start_rogue(&b, "garbage");
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(failed(&b, t, FAILURE_CRASH, "the compute process was"));
    boss_stop(&b);
}

TEST(rogue_answers_for_others)
{
    struct boss b;
    start_rogue(&b, "stranger");
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(done(&b, t) && b.outcome_count == 1);
    boss_stop(&b);
}

TEST(rogue_large_result)
{
    struct boss b;
    start_rogue(&b, "large");
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(failed(&b, t, FAILURE_INTERNAL, "cannot be read"));
    boss_stop(&b);
}

/* More in a moment than one message may bring: none of it is lost, and what a failure keeps are the last lines. */
TEST(rogue_says_much)
{
    struct boss b;
    start_rogue(&b, "talks");
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && done(&b, t));
    const char *at = b.log;
    char want[16];
    for (int line = 0; line < 500; line++) {
        snprintf(want, sizeof want, "line %03d of", line);
        at = strstr(at, want);
        REQUIRE(at);
    }
    boss_stop(&b);
}
