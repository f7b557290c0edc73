/* What a child hands over on the way: the newest bytes stand there, whole; what cannot be leaves nothing. */
#include "boss.h"
#include "sound.h"
#include "test.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

int WRAP(fsync)(int fd);
int REAL(fsync)(int fd);

/* How many files of the model were waited for to be on the disk; shared with the supervisor. */
static _Atomic int *synced;

int WRAP(fsync)(int fd)
{
    char link[32], path[600] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (synced && readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/model/"))
        ++*synced;
    return REAL(fsync)(fd);
}

/* One training of two previews into `model`; its token. */
static uint64_t grant(struct boss *b, const char *kind)
{
    struct wire_buffer own = {0}, leases = {0};
    char here[512], path[600], out[600];
    const uint64_t token = b->next_token++;
    REQUIRE(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/pack", here);
    snprintf(out, sizeof out, "%s/model", here);
    REQUIRE(sound_script("pack", "any bytes"));
    const struct kind_train_item item = {.out = wire_str(out),
                                         .preset = wire_str("tiny"),
                                         .rate = NAN,
                                         .beta = NAN,
                                         .free_nats = NAN,
                                         .dropout = NAN,
                                         .weight_decay = NAN,
                                         .previews = 2};
    if (strcmp(kind, KIND_TRAIN) == 0)
        CHECK_OK(wire_encode(&kind_train_item_schema, &item, &own));
    else
        CHECK_OK(wire_encode(&kind_noop_item_schema, &(struct kind_noop_item){.action = NOOP_SUCCEED}, &own));
    CHECK_OK(wire_encode(&lease_schema,
                         &(struct message_lease){.token = token,
                                                 .attempt = 1,
                                                 .path = wire_str(strcmp(kind, KIND_TRAIN) == 0 ? path : ""),
                                                 .params = {own.data, (uint32_t)own.bytes}},
                         &leases));
    boss_send_grant(b, &(struct message_grant){.job = 1, .kind = wire_str(kind), .leases = wire_list_of(&leases, 1)});
    wire_free(&own);
    wire_free(&leases);
    return token;
}

static void start(struct boss *b)
{
    setenv("WAVEMILL_ROGUE", "hands", 1);
    boss_init(b);
    b->options.compute = ROGUE_COMPUTE;
    boss_start(b);
}

static int files_in(const char *folder)
{
    DIR *const d = opendir(folder);
    int n = -2;
    REQUIRE(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

TEST(the_newest_stands_there)
{
    struct boss b;
    struct stat s;
    char text[32] = "";
    synced = mmap(NULL, sizeof *synced, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(synced != MAP_FAILED);
    start(&b);
    const uint64_t t = grant(&b, KIND_TRAIN);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const struct outcome *const o = boss_outcome(&b, t);
    REQUIRE(o);
    CHECK(strstr(o->message, "that was all"));
    FILE *const f = fopen("model/metrics.jsonl", "re"); /* the item ends after its last write */
    REQUIRE(f);
    CHECK(fgets(text, sizeof text, f) && strcmp(text, "number 299") == 0);
    CHECK(fstat(fileno(f), &s) == 0 && (s.st_mode & 0777) == 0644);
    fclose(f);
    CHECK(strstr(o->log, "the last") && !strstr(o->log, "without a file"));
    CHECK(strstr(o->log, "warn  ") && strstr(o->log, "config.json: what was handed over") &&
          strstr(o->log, "maps.npy: what was handed over"));
    int many = 0;
    for (const char *at = o->log; (at = strstr(at, "one of many")); at++)
        many++;
    CHECK(strstr(o->log, "large") && many < 299); /* what waits is replaced */
    CHECK(stat("model/training.json", &s) == 0 && s.st_size == (60 << 20) + 1);
    CHECK(*synced == 0); /* it ends with none of them: what there is is of the way */
    CHECK(files_in("model") == 4 && files_in("model/previews") == 0); /* training, metrics, previews, states */
    boss_stop(&b);
}

TEST(an_item_that_writes_no_files)
{
    struct boss b;
    start(&b);
    const uint64_t t = grant(&b, KIND_NOOP);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const struct outcome *const o = boss_outcome(&b, t);
    REQUIRE(o);
    CHECK(strstr(o->message, "that was all") && access("model", F_OK) != 0);
    boss_stop(&b);
}

/* The folder goes while it is written into: said, and the item goes on to its own end. */
TEST(a_place_that_is_gone)
{
    struct boss b;
    setenv("WAVEMILL_ROGUE", "hands", 1);
    REQUIRE(mkdir("model", 0777) == 0 && mkdir("model/metrics.jsonl", 0777) == 0);
    start(&b);
    grant(&b, KIND_TRAIN);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(strstr(b.outcomes[0].message, "is a directory"));
    boss_stop(&b);
}
