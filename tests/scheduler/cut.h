/* cut - stands between LMDB and the kernel in a test program: logs every write and sync of the file data.mdb, makes one
 * of them fail, and builds the file that a power cut would leave behind.
 *
 *   how          the functions that LMDB calls (pwrite, writev, fdatasync, ...) are defined in the program itself,
 *                which the dynamic linker prefers to the C library's. Real syncs are left out: they cost time and
 *                prove nothing
 *   durable      is a write that a later fdatasync on the file has covered, and one through a descriptor opened
 *                with O_DSYNC, once it has returned. Of all others any part may be there, in sectors of 512 bytes;
 *                a name in a folder is durable when the folder was synced
 *   limits       one file at a time, one thread; what is written through a map (LMDB's MDB_WRITEMAP) would not be
 *                seen */
#ifndef CUT_H
#define CUT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cut_type {
    CUT_WRITE,
    CUT_SYNC,
    CUT_NAMED,       /* the file has this name from now on: value 1 data.mdb.new, 2 data.mdb */
    CUT_FOLDER_SYNC, /* of the file's folder */
    CUT_PARENT_SYNC, /* of the folder above */
    CUT_MARK         /* by the test: value */
};

struct cut_op {
    enum cut_type type;
    uint64_t offset, value;
    uint8_t *data; /* owned by the log that recorded it */
    size_t bytes;
    bool lasting; /* WRITE: durable once it has returned */
};

struct cut_log {
    struct cut_op *ops;
    size_t count, capacity;
};

enum cut_failure {
    CUT_FAIL_BEFORE, /* nothing was done */
    CUT_FAIL_HALF,   /* half of a write was */
    CUT_FAIL_AFTER,  /* all was, and yet it fails */
    CUT_FAIL_SHORT,  /* a write says that it wrote half; a sync fails before */
    CUT_FAILURES
};

enum cut_choice { /* of what was not durable */
                  CUT_NONE,
                  CUT_ALL,
                  CUT_WRITES, /* whole writes, by chance */
                  CUT_SECTORS,
                  CUT_CHOICES
};

/* Records into the log what happens to FOLDER/data.mdb from now on; NULL: nothing. */
void cut_record(struct cut_log *log, const char *folder);
void cut_mark(uint64_t value);
void cut_fail(uint64_t nth, int error, enum cut_failure how); /* of the writes and syncs to come, from 1; 0: none */
bool cut_failed(void);                                        /* did it happen? */
void cut_free(struct cut_log *log);

/* A new folder with what is left when the power goes while operation `at` is under way: a part of it may be there. */
void cut_image(const struct cut_log *log, size_t at, enum cut_choice choice, uint64_t *random, const char *folder);

/* A copy of the first `count` operations as a killed process leaves them: all done, but the last was not durable. */
void cut_copy(const struct cut_log *log, size_t count, struct cut_log *out);
void cut_free_copy(struct cut_log *copy, size_t shared); /* operations from `shared` on are its own */

#endif
