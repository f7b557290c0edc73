/* item - one leased item on its way through a supervisor, and the lease (one GRANT) that it came with.
 *
 *     prepare  (pool)   look at the file, know it by its stat or hash it, ask the store: over, or needs computing; or
 *                       an object that is not here yet: once more when it has been fetched
 *     compute  (child)
 *     finish   (pool)   read the child's result, make the record, put the array in its place
 *     commit   (pool)   one transaction for the lease, or for those of it that have ended when the rest takes long
 *
 * While an item is with the pool, the pool moves its stage on and the loop changes nothing but `aborted`; what other
 * items may rely on is what the loop itself has noted (`over`). */
#ifndef ITEM_H
#define ITEM_H
#include "child.h"
#include "hash.h"
#include "kinds.h"
#include "output_file.h"
#include "params.h"
#include "plan.h"
#include "pool.h"
#include "stem_folder.h"
#include "store.h"
#include "task.h"

enum stage {
    STAGE_PREPARING,
    STAGE_FETCHING, /* the object `missing` is to come from the scheduler */
    STAGE_WAITING,  /* for the child, or for an equal file that is being computed */
    STAGE_RUNNING,  /* with the child */
    STAGE_FINISHING,
    STAGE_PUTTING, /* what it made goes to the scheduler's objects */
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
    bool to_objects; /* of a kind for workers anywhere: no item may name a folder */
    bool brief;      /* the report goes without the statistics that the record has */
    int code;        /* not 0: the parameters are bad, every item fails with `message` */
    char message[TASK_MESSAGE];
    struct item *items;
    size_t count, left;          /* left: not over yet */
    int64_t granted_ms, told_ms; /* told: of the last part that was reported */
    bool committing;             /* a part of it is with the pool */
    bool reported;               /* all of it */
    struct pool_work work;       /* commit */
    struct places *places;
    struct lease *next;
};

/* What an item of kind `separate` has besides; see item_separate.c. */
struct item_separation {
    struct plan plan;
    char track[LIMIT_TRACK + 1];
    struct hash model; /* its checksum */
    bool has_model;
    bool to_objects;           /* the stems have no place in a folder */
    struct stem_folder folder; /* where stems become objects: that of what is not done */
    bool saved;                /* the child has saved what another attempt can go on from */
    char *spool_path;
    int spool;
    int weights[BAG_NETWORKS_MOST];
};

/* Files that become objects of the scheduler, once they are made; see supervisor_stems.c. */
struct item_puts {
    struct item_put {
        struct hash name;
        uint64_t bytes;
        int fd; /* borrowed */
    } * list;
    int count, done; /* done: so many are there */
    bool wanted;     /* that is where what this item makes goes */
};

/* What an item of kind `train` has besides; see item_train.c. */
enum { TRAIN_FILES_MOST = TRAIN_FILES + TRAIN_PREVIEW_KINDS * LIMIT_PREVIEWS };
struct item_training {
    char *states_path;
    int states; /* -1: states are checkpoints of the queue */
    struct output_file
        file[TRAIN_FILES_MOST]; /* beside the model: its files, then the previews of each sound in turn */
    int files;
};

/* What an item of kind `score` has besides: the files of its stems, reference and estimate in turn; see item_score.c.
 */
struct item_track {
    struct track_file {
        enum task_role role;
        int fd;
        bool is_object; /* known by its bytes */
        struct stat stat;
    } file[2 * LIMIT_STEMS];
    uint32_t count;
};

/* Where a supervisor's items find things; the same for all. */
struct places {
    struct store *store;
    const char *features, *objects; /* folders */
    const char *home;               /* with the model library; NULL: none */
    const char *fetched;            /* folder of the queue's objects, or of those of them that are here */
    bool is_remote;                 /* the scheduler is elsewhere: its objects, not its paths */
    uint64_t reserve_bytes;         /* of free space on the file system: with less, nothing is stored */
    _Atomic bool is_full;           /* that has been said */
    _Atomic bool closing;           /* the supervisor ends: nothing more is prepared */
    uint8_t decoders[16]; /* what decodes here: another version, or an ffmpeg that was installed, may read more */
};

/* The last lines that the child wrote about an item, at most ITEM_LOG_MOST bytes: as many as a scheduler that is silent
 * for a while may miss. */
enum { ITEM_LOG_MOST = 64 << 10 };
struct item_log {
    char *text; /* NULL: none */
    size_t bytes, sent, room;
};

struct item {
    struct pool_work work;
    struct lease *lease;
    struct item *next; /* in the queue for the child */
    uint64_t job, index, token;
    int64_t priority;
    uint32_t attempt;
    char *path;
    uint8_t *params;
    uint32_t params_bytes;
    struct hash object, checkpoint, missing;
    bool has_object, has_checkpoint;
    double resumed;          /* progress of the checkpoint */
    char anew[TASK_MESSAGE]; /* why it does not go on from its checkpoint; goes to the log when it is sent */
    struct item_separation *separation;
    struct item_track *track;
    struct item_clips *clips;       /* item_clips.c */
    struct item_training *training; /* item_train.c */
    struct item_sweep *sweep;       /* item_sweep.c */
    struct output_file array;       /* features, train: what the child writes */
    struct item_puts puts;

    enum stage stage;
    bool with_pool;  /* a thread may be at it: nobody else touches it */
    bool queued;     /* in the queue for the child */
    bool aborted;    /* the scheduler took it back: say nothing more about it */
    bool over;       /* counted by the loop: the pool has no more to do with it */
    bool committing; /* it is in the part that is stored and reported next */
    bool reported;
    bool started;  /* the child has begun with it */
    bool waits;    /* it says that it waits for memory or its turn, and has not done anything yet */
    bool saved;    /* a checkpoint of this attempt has arrived */
    bool got_room; /* another made room for it */
    bool yields;   /* it is given back when it is at rest, and goes on later: what it needs for that stays */
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
    int input, result_fd, checkpoint_fd;
    int save_fd; /* a checkpoint of the child that has not gone up; -1: none */
    double save_progress;
    struct item_log log;
    char ffmpeg_said[200]; /* by finish; goes to the log when the item is over */
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

/* Its checkpoint is of no use; the thread's message says why. Costs time, nothing else, and not even that where states
 * are in the item's folder: nothing is said then. */
void item_begins_anew(struct item *it);

/* Adds a line; the oldest go. */
void item_log_add(struct item_log *l, const char *line, size_t bytes);
/* The same, as a warning of this process. */
void item_log_warn(struct item_log *l, const char *text);

/* Lines that were not sent yet, as many as one entry of a BEAT may have and the budget allows: they count as sent then.
 */
struct wire_slice item_log_unsent(struct item_log *l, size_t *budget);
size_t item_log_budget(void); /* bytes of lines that one BEAT may have */
/* The last lines, as many as a REPORT may have, sent or not. */
struct wire_slice item_log_last(const struct item_log *l);

/* Bytes that are no UTF-8 become '?'. */
void item_make_utf8(char *text);

bool item_same_work(const struct item *a, const struct item *b);

/* Is there room to store results? Says once when there is none any more. Callable from any thread. */
bool places_have_room(struct places *places);

/* ---- between item.c and item_result.c ---- */
struct item *item_of(struct pool_work *w);
void item_close(int *fd);                                 /* and forgets it */
struct store_key item_refusal_key(const struct item *it); /* under which the store remembers that it failed */
/* What a path leads to is a file, not empty; opened for reading, whatever has become of it since it was looked at. */
int item_look(const char *path, struct stat *s) MUST_USE;
int item_open_file(const char *path, int *fd, struct stat *s) MUST_USE;
bool item_same_file(const struct stat *a, const struct stat *b);
int item_check_unchanged(const struct item *it) MUST_USE;         /* the input, since it was opened */
int item_serve(struct item *it, const struct record *r) MUST_USE; /* from a record that the store has */

/* The result is this from now on, encoded; its strings and lists may lie in what it was. */
int item_set_result(struct item *it, const struct wire_schema *schema, const void *result) MUST_USE;

/* Of kind `separate`. open: finds the model, makes the folder, opens all that a child gets; give: into a request;
 * settle: the files get their names, all or none; release: what is still held goes. */
int separation_open(struct item *it) MUST_USE;
void separation_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST]);
int separation_settle(struct item *it) MUST_USE;
void separation_release(struct item *it);

/* The same, in item_stems.c. plan: the model and its checksum; folder: where an item works whose stems become objects;
 * name: gives them the names that they have there, and tells the result; describe: what the supervisor knows of it. */
int stems_plan(struct item *it, struct item_separation *s, const struct separate_settings *settings,
               struct method_model *model) MUST_USE;
int stems_folder(struct item *it, struct item_separation *s) MUST_USE;
int stems_name(struct item *it) MUST_USE;
void stems_describe(const struct item *it, struct kind_separate_result *out);

/* An object of the queue that is here, its bytes checked; STATUS_BUSY: `missing` has to be fetched. */
int item_open_object(struct item *it, const struct hash *name, int *fd, uint64_t *bytes) MUST_USE;

/* Of kind `score`: opens the files of all stems, or, after STATUS_BUSY, those that are left; into a request; have they
 * changed since; what is held goes. */
int track_open(struct item *it) MUST_USE;
void track_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST]);
int track_check_unchanged(const struct item *it) MUST_USE;
void track_release(struct item *it);

/* Of kind `separate_clips`, as separation_ and track_ above; give returns what goes in place of the parameters. */
int clips_open(struct item *it) MUST_USE;
const void *clips_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST]);
int clips_check_unchanged(const struct item *it) MUST_USE;
int clips_settle(struct item *it) MUST_USE;
void clips_release(struct item *it);

/* Room for so many that go to the scheduler; whoever has them fills it. */
int item_puts_begin(struct item *it, int count) MUST_USE;

/* Of kind `train`, likewise. The last four in item_train_remote.c, for one whose files become objects: name: they get
 * the names that they have there, and the result tells them. */
int training_open(struct item *it) MUST_USE;
void training_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST]);
int training_settle(struct item *it) MUST_USE;
const char *training_path(const struct item *it, uint32_t output); /* of a file that the child writes; NULL: none */
void training_release(struct item *it);
void training_file_name(int i, char out[LIMIT_TRAINED_NAME]); /* of file[i], in the model's folder */
bool training_is_remote(const struct item *it, const struct kind_train_item *m);
bool training_has_folder(const struct item *it); /* and its states there; a sweep's trial too */
int training_open_remote(struct item *it, const struct kind_train_item *m) MUST_USE;
int training_name(struct item *it) MUST_USE;

/* Parts of training_settle: what the child wrote gets its name, also the model where there is one; the states go. */
int training_settle_files(struct item *it, bool has_model) MUST_USE;
int training_forget_states(struct item *it) MUST_USE;

/* Of kind `sweep`: open makes a training of it, or has its result at once, with in_store; describe: what the supervisor
 * knows of it; settle: its result is kept for the rounds to come. */
int sweep_open(struct item *it) MUST_USE;
void sweep_describe(const struct item *it, struct kind_sweep_result *out);
int sweep_settle(struct item *it) MUST_USE;
void sweep_release(struct item *it);

/* Makes the descriptors that a task needs. Called by prepare. */
int item_open_outputs(struct item *it) MUST_USE;

#endif
