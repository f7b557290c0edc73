/* status - result codes: 0 is success, every other code is negative. The class of a code tells the queue what to do.
 *
 * Every function that can fail returns `int`: STATUS_OK or one of these. Results leave through pointers and are written
 * on success only. The first failure records its detail for the calling thread; later frames pass the code up. */
#ifndef STATUS_H
#define STATUS_H
#ifdef __cplusplus
extern "C" {
#endif

enum status {
    STATUS_OK = 0,
    STATUS_ARGUMENT = -1,    /* INPUT: a parameter is out of its documented range */
    STATUS_SHAPE = -2,       /* INPUT: sizes disagree with each other */
    STATUS_NOMEM = -3,       /* RESOURCE: host or device memory */
    STATUS_DEVICE = -4,      /* DEVICE: the context is lost; the process must end */
    STATUS_INTERNAL = -5,    /* INTERNAL: our own mistake */
    STATUS_FORMAT = -6,      /* INPUT: the bytes are not what they claim to be (audio, record, message) */
    STATUS_NOT_FOUND = -7,   /* INPUT: no such file, key or id */
    STATUS_IO = -8,          /* TRANSIENT: the system refused to read or write */
    STATUS_DAMAGED = -9,     /* INTERNAL: stored data fails its checksum */
    STATUS_TIMEOUT = -10,    /* TRANSIENT: no answer in time */
    STATUS_BUSY = -11,       /* TRANSIENT: a limit is reached, or somebody else holds it; try again later */
    STATUS_VERSION = -12,    /* INPUT: made by another, incompatible version */
    STATUS_CANCELLED = -13,  /* the caller asked to stop */
    STATUS_UNSUPPORTED = -14 /* INPUT: valid, but this build or machine cannot do it */
};

/* What the queue does about a failure. The numbers are part of the wire protocol. */
enum failure_class {
    FAILURE_NONE = 0,
    FAILURE_INPUT = 1,     /* do not retry */
    FAILURE_RESOURCE = 2,  /* smaller batch, other device, CPU */
    FAILURE_TRANSIENT = 3, /* retry */
    FAILURE_DEVICE = 4,    /* context lost: the child exits, the supervisor starts another, retry */
    FAILURE_INTERNAL = 5,  /* a bug: report */
    FAILURE_CRASH = 6,     /* only the scheduler and the supervisor use it: the compute child died or hung */
    FAILURE_STALE = 7,     /* only the scheduler uses it: the lease had ended */
    FAILURE_TIMEOUT = 8    /* only the scheduler uses it: a time-out or the deadline of the job */
};

/* Name of a code without its prefix, in lower case ("argument"); "unknown" for numbers that are not codes. */
const char *status_name(int code);

enum failure_class status_class(int code);

/* Upper-case name of a class ("INPUT"); "UNKNOWN" for other numbers. */
const char *failure_name(int failure);

/* Records for this thread what failed (message, file, line) and returns `code`: `return fail(...)`. */
int status_fail(enum status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define fail(code, ...) status_fail((code), __FILE__, __LINE__, __VA_ARGS__)

/* Puts "context: " before this thread's message and returns `code` unchanged; 0 passes through without effect. */
int status_context(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* This thread's last message, never NULL, valid until its next failure. status_where gives "file:line". */
const char *status_message(void);
const char *status_where(void);

#define MUST_USE __attribute__((warn_unused_result))

#ifdef __cplusplus
}
#endif
#endif
