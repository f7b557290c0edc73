/* The journal on disk under random events: a queue made of it is the one that wrote it. */
#include "journal_again.h"
#include "test.h"

enum { TOKENS = 64 };

/* Reads the real one, and writes nowhere. */
struct reader {
    struct journal journal; /* must stand first */
    struct journal *real;
};

static void put_nowhere(struct journal *j, const struct journal_record *r)
{
    (void)j;
    (void)r;
}

static int commit_nothing(struct journal *j)
{
    (void)j;
    return STATUS_OK;
}

static int load_real(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                     struct journal_loaded *out)
{
    struct journal *const real = ((struct reader *)j)->real;
    return real->load(real, each, context, out);
}

/* Another queue made of what was kept is the same; but for jobs that a restart ends. */
static void compare_copy(struct rig *r, uint64_t jobs, int seed, int step)
{
    struct reader reader = {{.put = put_nowhere, .commit = commit_nothing, .load = load_real}, r->options.journal};
    struct journal_loaded loaded;
    struct rig copy;
    rig_open(&copy, &(struct queue_options){.epoch = 2, .journal = &reader.journal});
    CHECK_OK(queue_restore(copy.queue, r->now_ms, r->now_ms + RIG_WALL_MS, &loaded));
    CHECK_OK(queue_check(copy.queue));
    for (uint64_t job = 1; job <= jobs; job++)
        if (rig_show(r, job).state != JOB_OPEN && !journal_again_same_job(r, &copy, job))
            test_report(false, __FILE__, __LINE__, "seed %d, step %d: job %d differs", seed, step, (int)job);
    rig_close(&copy);
}

static void random_event(struct rig *r, uint64_t *random, uint64_t *w, uint64_t *jobs, uint64_t tokens[TOKENS])
{
    const uint64_t dice = test_random(random) % 100, at = test_random(random) % TOKENS;
    const uint64_t wall = (uint64_t)r->now_ms + RIG_WALL_MS;
    if (dice < 8) {
        const uint64_t job =
            rig_submit(r, (struct rig_job){.items = (uint32_t)(test_random(random) % 6),
                                           .open = test_random(random) % 4 == 0,
                                           .max_attempts = 2,
                                           .key = dice == 0 ? (const char[]){(char)('a' + at), '\0'} : NULL,
                                           .deadline_unix_ms = dice == 1 ? wall + 5000 : 0,
                                           .start_unix_ms = dice == 2 ? wall + 2000 : 0});
        *jobs = job > *jobs ? job : *jobs; /* a key that is in use names an older one, or is refused */
    } else if (dice < 12 && *jobs)
        rig_add(r, *jobs, rig_show(r, *jobs).items, 2, test_random(random) % 2);
    else if (dice < 14 && *jobs)
        rig_cancel(r, 1 + test_random(random) % *jobs);
    else if (dice < 17 && *jobs)
        rig_retry(r, 1 + test_random(random) % *jobs, NULL, 0);
    else if (dice < 20 && *jobs)
        rig_control(r, dice < 18 ? QUEUE_PAUSE : QUEUE_RESUME, 1 + test_random(random) % *jobs);
    else if (dice < 22 && *jobs)
        rig_priority(r, 1 + test_random(random) % *jobs, (int)at - 2);
    else if (dice < 26)
        rig_checkpoint(r, *w, tokens[at], (uint8_t)dice, (double)(test_random(random) % 10) / 10);
    else if (dice < 50)
        tokens[at] = rig_take_one(r, *w);
    else if (dice < 85)
        rig_report(r, *w, tokens[at], dice < 70 ? FAILURE_NONE : dice < 80 ? FAILURE_TRANSIENT : FAILURE_CRASH, 9);
    else if (dice < 90)
        rig_return(r, *w, &tokens[at], 1);
    else
        rig_tick(r, (int64_t)(test_random(random) % 3000));
    if (rig_refused(r) == ERROR_SESSION) /* its time was over */
        *w = rig_ready(r, 0, "w", 7, "noop", NULL, 0);
}

TEST(any_history_is_kept)
{
    for (int seed = 1; seed <= 4; seed++) {
        struct journal_lmdb *j = NULL;
        struct journal_loaded loaded;
        struct rig r;
        uint64_t tokens[TOKENS] = {0}, random = (uint64_t)seed, jobs = 0;
        char folder[16];
        snprintf(folder, sizeof folder, "queue%d", seed);
        CHECK_OK(journal_lmdb_open(folder, &j));
        REQUIRE(j);
        journal_again_restore(&r, j, 1, &loaded);
        uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        for (int step = 0; step < 400; step++) {
            random_event(&r, &random, &w, &jobs, tokens);
            if (step % 10 == 0) {
                journal_again_commit(&r);
                compare_copy(&r, jobs, seed, step);
            }
        }
        CHECK(jobs > 10);
        rig_close(&r);
        journal_lmdb_close(&j);
    }
}
