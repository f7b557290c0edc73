/* supervisor_state - what the files of the supervisor share: scheduler side (supervisor_uplink.c), child side
 * (supervisor_child.c), and the loop (supervisor.c). */
#ifndef SUPERVISOR_STATE_H
#define SUPERVISOR_STATE_H
#include "channel.h"
#include "item.h"
#include "supervisor.h"

/* The store is kept within its limit by a pool thread, after commits and not more often than every CARE_MS. */
struct care {
    struct pool_work work;
    struct store *store;
    const char *objects;
    uint64_t limit_bytes; /* 0: none */
    bool runs, due;       /* due: something was committed since */
    int64_t next_ms;
};

enum { LEASES_MOST = 2, CREDITS_MOST = 128 };

/* A report that has not been answered: sent again until it is. */
struct pending_report {
    struct wire_buffer body;
    uint32_t seq;
    int64_t sent_ms;
    struct pending_report *next;
};

struct transfer; /* supervisor_objects.c */
struct saving;
struct handed; /* supervisor_handed.c */

struct supervisor {
    const struct supervisor_options *options;
    struct places places;
    struct pool *pool;
    struct care care;
    void *zmq, *socket;
    int signal_fd;
    uint32_t seq;

    bool engaged, stop;
    int64_t drain_until_ms; /* not 0: no new work, and the end then at the latest */
    uint64_t epoch;
    int64_t lease_ms; /* 0: never engaged */
    int64_t beat_ms, next_beat_ms, heard_ms, ready_ms;
    int64_t beat_at_ms;           /* the last one */
    bool says_much;               /* lines of an item wait that fill half an entry of a BEAT */
    bool take_waits, take_urgent; /* urgent: that TAKE is for more than `take_above` only */
    int64_t take_above;
    bool made_room; /* for what is more important than `made_room_of`, and is here still */
    int64_t made_room_of;
    uint32_t credits;
    struct pending_report *reports;
    struct transfer *transfers;
    struct saving *savings;
    struct handed *handed;
    struct pool_work sweep; /* of objects that were fetched */
    int64_t next_sweep_ms;

    struct lease *leases;
    struct item *queue; /* for the child, in order */
    struct child child;
    int running, most_running;
    bool alone_runs;
    int64_t next_watch_ms, child_started_ms, child_spoke_ms; /* spoke: its first reply; 0: none yet */
    int quick_deaths;
    char killed_for[96];         /* why we killed the child, for the message */
    char lost_why[TASK_MESSAGE]; /* what the child said of a device that it lost; then it ends by itself */
    const char *ffmpeg;          /* program, NULL: none found */
    char log_line[4096];         /* of the child's stderr, not whole yet */
    size_t log_bytes;
};

int64_t supervisor_now_ms(void);

/* Ends an item without a word to the scheduler; and all that are marked as aborted. */
void supervisor_abort(struct supervisor *s, struct item *it);
void supervisor_stop_aborted(struct supervisor *s);

struct item *supervisor_find(struct supervisor *s, uint64_t token);

/* Scheduler side. */
uint32_t uplink_send(struct supervisor *s, enum message_type type, const struct wire_schema *schema, const void *body);
void uplink_return(struct supervisor *s);
bool uplink_mark_yielding(struct item *it,
                          const char *why); /* to be stopped and given back; false: it is as good as over */
void uplink_give_back(struct supervisor *s, struct item *it); /* one that the child has begun, for another's sake */
void uplink_returned(struct supervisor *s, const struct item *it); /* that is at rest */
void uplink_send_lines(struct supervisor *s);
void uplink_return_surplus(struct supervisor *s, struct lease *granted);
void uplink_drop_all(struct supervisor *s); /* without a word: the leases have ended, or will */
void uplink_ready(struct supervisor *s);
void uplink_beat(struct supervisor *s);
void uplink_take(struct supervisor *s);
void uplink_receive(struct supervisor *s);
void uplink_report(struct supervisor *s, struct lease *l); /* its items that are `committing` */
void uplink_resend(struct supervisor *s);
void uplink_leave(struct supervisor *s);

/* Objects: what items need and what they save. */
void uplink_chunk(struct supervisor *s, const struct packet *p);
void uplink_stored(struct supervisor *s, const struct packet *p);
void uplink_saved(struct supervisor *s, const struct packet *p);
void saving_begin(struct supervisor *s, struct item *it, int fd, double progress); /* owns fd */
bool saving_is_work(const struct pool_work *w);
void saving_hashed(struct pool_work *w);
bool transfers_refused(struct supervisor *s, uint32_t seq, enum wire_error error, const char *text);
void transfers_work(struct supervisor *s);
void transfers_end(struct supervisor *s);
void fetched_sweep(const char *folder); /* what was fetched and not used for a day */

/* Files that the child hands over on the way. */
void handed_take(struct supervisor *s, struct item *it, const struct task_reply *r, int fd); /* owns fd */
bool handed_is_under_way(const struct supervisor *s, const struct item *it);
bool handed_is_work(const struct pool_work *w);
void handed_written(struct supervisor *s, struct pool_work *w);
void handed_end(struct supervisor *s);

/* How much of an item whose stems become objects is done when they are made. */
#define STEMS_MADE 0.95

/* Child side. */
int child_side_start(struct supervisor *s) MUST_USE;
void child_side_dispatch(struct supervisor *s);
void child_side_make_room(struct supervisor *s);
void child_side_drop(struct supervisor *s, struct item *it); /* one that waits for the child */
void child_side_prefer(struct supervisor *s, struct item *it, int64_t priority);
void child_side_receive(struct supervisor *s);
void child_side_logs(struct supervisor *s);
void child_side_watch(struct supervisor *s);
void child_side_died(struct supervisor *s);

/* The loop's own. */
void supervisor_enqueue(struct supervisor *s, struct item *it, bool first);
void supervisor_item_over(struct supervisor *s, struct item *it);
void supervisor_submit(struct supervisor *s, struct item *it); /* its work goes to the pool */

/* for (each item of each lease) */
/* NOLINTBEGIN(bugprone-macro-parentheses): l and it are names that the macro declares */
#define EACH_ITEM(s, l, it) \
    for (struct lease *l = (s)->leases; l; l = l->next) \
        for (struct item *it = l->items; it < l->items + l->count; it++)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
