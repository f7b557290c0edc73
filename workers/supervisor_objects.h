/* supervisor_objects - what the two files share that bring objects here and to the scheduler: supervisor_objects.c has
 * the transfers, and what is fetched and saved; supervisor_stems.c the stems of separations. */
#ifndef SUPERVISOR_OBJECTS_H
#define SUPERVISOR_OBJECTS_H
#include "objects_spool.h"
#include "supervisor_state.h"

/* One object on its way to us (spool) or to the scheduler: what was saved, or a stem. */
struct transfer {
    struct hash name;
    struct saving *saving; /* NULL: none */
    struct item *stems;    /* whose next stem it is; NULL: none. It is not over before this ends */
    int fd;                /* what goes up, borrowed; -1: a fetch */
    struct objects_spool *spool;
    uint64_t size, offset;
    uint32_t seq;     /* of the question that is open */
    int64_t next_ms;  /* when to ask again */
    int64_t wait_ms;  /* after the last question */
    int64_t moved_ms; /* when the scheduler last took some of a stem */
    struct transfer *next;
};

/* What an item has saved, until the scheduler has it. */
struct saving {
    struct pool_work work;
    uint64_t token;
    int fd;
    double progress;
    struct hash name;
    uint64_t size;
    int code;     /* of hashing */
    bool hashed;  /* back from the pool */
    bool put;     /* the object is there: CHECKPOINT is what is left */
    bool told;    /* that the scheduler does not take it */
    uint32_t seq; /* of CHECKPOINT */
    int64_t next_ms;
    struct saving *next;
};

/* NULL: out of memory; then a moment later. */
struct transfer *transfer_begin(struct supervisor *s, const struct hash *name);
void transfer_end(struct supervisor *s, struct transfer *t);

/* Stems: of items that wait for it the next one goes up, and those end whose last is there, or that were taken back. */
void stems_work(struct supervisor *s);
/* A stem's offset has grown, or it is whole: then the transfer ends. */
void stems_stored(struct supervisor *s, struct transfer *t, bool whole);
/* The scheduler does not take it: false when it may do so a moment later, else the item has failed. */
bool stems_refused(struct supervisor *s, struct transfer *t, enum wire_error error, const char *text);

#endif
