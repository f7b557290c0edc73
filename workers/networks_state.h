/* networks_state - what networks.c, which loads networks and holds them, and networks_turns.c, which runs them, have in
 * common. */
#ifndef NETWORKS_STATE_H
#define NETWORKS_STATE_H
#include "networks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

enum { HELD_MOST = 32 };

struct held {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    enum precision precision;
    struct htdemucs *net;
    int holders;
    uint64_t used; /* when, by the count of takes */
};

struct wish; /* networks_turns.c */

struct networks {
    struct networks *device;    /* the same on a device; NULL: there is none, or this is it */
    struct exec *exec, *loader; /* loader: on a device, so that a run and a load do not share a stream */
    size_t limit;
    atomic_bool told;            /* that a network does not run on the device */
    bool rounds;                 /* a device with tensor cores */
    char name[64];               /* of a device, */
    struct exec_options options; /* and what it was opened with */
    size_t work_limit;           /* what other work may have, all together, */
    size_t memory;               /* and a device in all, for whoever takes it; limit on the CPU */
    pthread_mutex_t lock;        /* of all that follows */
    pthread_cond_t less;         /* somebody has given a network back */
    struct held held[HELD_MOST];
    uint64_t takes;
    int parts;       /* of other work (networks_work.c), */
    size_t promised; /* and what they have */

    bool turn;                       /* somebody has the exec and the room */
    uint64_t turns;                  /* so many were had */
    int waiting;                     /* who would have one now */
    pthread_cond_t turned;           /* nobody has, or a run has ended */
    struct wish *wishes;             /* in the order in which they came */
    double segment_s;                /* of the last run, for each segment */
    double finished_s;               /* when that ended */
    bool flying[HTDEMUCS_RUNS_MOST]; /* runs of the room that are begun and not finished */
    int flights;                     /* of them there are */
    int most;                        /* segments that a run had memory for; 0: not known */
    struct htdemucs_room *room;
    size_t room_bytes;
};

/* All with the lock. */

/* Bytes of weights, of the largest room that any of them will want, or `room`, and of other work. */
size_t networks_bytes(const struct networks *n, size_t room);

/* Of those, once all that nobody holds had gone; and what would have. */
size_t networks_bytes_kept(const struct networks *n);
size_t networks_bytes_to_let_go(const struct networks *n);

/* Lets the one go that nobody holds and that was used longest ago; false: there is none. */
bool networks_let_go(struct networks *n);

/* The room too; on a device in a turn alone. false: there is none, or somebody runs in it: a turn alone is no reason,
 * since who trains has one nearly always, and no room. */
bool networks_let_room_go(struct networks *n);

bool networks_are_held(const struct networks *n); /* one of them, by anybody */

/* The room is made anew when it is too small, or of another network: not beside a run in flight. In a turn, or while
 * nobody has one. */
int networks_make_room(struct networks *n, const struct htdemucs *net, int segments) MUST_USE;

/* A turn: nobody else has the exec and the room, but runs may be in flight. Entering waits for who has it; alone: also
 * for those runs. */
void networks_enter_turn(struct networks *n, const struct demucs_alive *alive);
void networks_enter_turn_alone(struct networks *n);
void networks_leave_turn(struct networks *n);

/* A second at most. */
void networks_wait(struct networks *n, pthread_cond_t *what);

/* Without the lock: where a network that was taken is. */
struct networks *networks_holder(struct networks *n, const struct htdemucs *net);

#endif
