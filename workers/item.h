/* item - one leased item on its way through a supervisor, and the lease (one GRANT) that it came with.
 *
 *     prepare  (pool)   look at the file, know it by its stat or hash it, ask the store: over, or needs computing
 *     compute  (child)
 *     finish   (pool)   read the child's result, make the record, put the array in its place
 *     commit   (pool)   one transaction for the lease
 *
 * While an item is with the pool, the pool moves its stage on and the loop changes nothing but `aborted`; what other
 * items may rely on is what the loop itself has noted (`over`). */
#ifndef ITEM_H
#define ITEM_H
#include "child.h"
#include "kinds.h"
#include "params.h"
#include "pool.h"
#include "store.h"
#include "task.h"

enum stage {
    STAGE_PREPARING,
    STAGE_WAITING, /* for the child, or for an equal file that is being computed */
    STAGE_RUNNING, /* with the child */
    STAGE_FINISHING,
    STAGE_OVER
};

/* What the items of a lease share. */
struct lease {
    uint64_t job;
    enum task_kind task;
    const struct wire_schema *result_schema;
    uint8_t *params;
    uint32_t params_bytes;
    enum feature_kind feature; /* 0: nothing is stored */
    uint8_t params_hash[16];
    bool force, verify, stores;
    bool brief; /* the report goes without the statistics that the record has */
    int code;   /* not 0: the parameters are bad, every item fails with `message` */
    char message[TASK_MESSAGE];
    struct item *items;
    size_t count, left; /* left: not over yet */
    int64_t granted_ms;
    bool committing, reported;
    struct pool_work work; /* commit */
    struct places *places;
    struct lease *next;
};

/* Where a supervisor's items find things; the same for all. */
struct places {
    struct store *store;
    const char *features, *objects; /* folders */
    uint64_t reserve_bytes;         /* of free space on the file system: with less, nothing is stored */
    _Atomic bool is_full;           /* that has been said */
    _Atomic bool closing;           /* the supervisor ends: nothing more is prepared */
    uint8_t decoders[16]; /* what decodes here: another version, or an ffmpeg that was installed, may read more */
};

struct item {
    struct pool_work work;
    struct lease *lease;
    struct item *next; /* in the queue for the child */
    uint64_t index, token;
    uint32_t attempt;
    char *path;
    uint8_t *params;
    uint32_t params_bytes;
    char *out; /* features: where the array goes */
    char *temporary;

    enum stage stage;
    bool queued;   /* in the queue for the child */
    bool aborted;  /* the scheduler took it back: say nothing more about it */
    bool over;     /* counted by the loop: the pool has no more to do with it */
    bool started;  /* the child has begun with it */
    bool alone;    /* run it with nothing beside it */
    bool in_store; /* served from the store */
    bool wants_ffmpeg;
    char refusal[128];   /* why libsndfile does not read it */
    struct item *leader; /* an equal file that is being computed */
    int64_t started_ms, sign_ms;
    double progress;

    struct stat stat;
    bool has_stat, has_key, put_stat, put_record;
    struct store_key key;
    int input, result_fd, array_fd;
    struct ffmpeg ffmpeg;
    struct task_reply reply;
    double seconds;

    int code; /* 0 or what failed */
    enum failure_class failure;
    char message[TASK_MESSAGE];
    struct wire_buffer result; /* result map for the scheduler */
    uint8_t *record;           /* for the store */
    size_t record_bytes;
};

/* A lease from a GRANT. Bad parameters are not an error here: they become every item's failure. */
int lease_create(const struct message_grant *grant, struct places *places, struct lease **out) MUST_USE;
void lease_destroy(struct lease **l);

/* Pool work: set as item->work.run or lease->work.run. */
void item_prepare(struct pool_work *w);
void item_finish(struct pool_work *w);
void lease_commit(struct pool_work *w);

/* Serves an item from the record of an equal one that has just been computed. Pool work; item->leader names it. */
void item_follow(struct pool_work *w);

/* Ends the item with a failure; the message is the thread's. */
void item_fail(struct item *it, int code);

/* Closes and removes what the item still holds but its result. */
void item_release(struct item *it);

bool item_same_work(const struct item *a, const struct item *b);

/* Is there room to store results? Says once when there is none any more. Callable from any thread. */
bool places_have_room(struct places *places);

/* Makes the descriptors that a task needs. Called by prepare. */
int item_open_outputs(struct item *it) MUST_USE;

#endif
