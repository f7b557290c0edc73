/* models_fetch - getting a model's files from elsewhere.
 *
 * A file comes as NAME.part with NAME.etag beside it, and has its own name once its length and its checksum are right.
 * What was broken off goes on from there where the server can (Range with If-Range, so never with the rest of another
 * file), and begins anew where not.
 *
 *   errors       STATUS_NOT_FOUND (404, 410), STATUS_TIMEOUT, STATUS_IO (all else on the way), STATUS_FORMAT (other
 *                bytes than were recorded, more than expected), STATUS_CANCELLED (interrupted); the message names the
 *                URL */
#ifndef MODELS_FETCH_H
#define MODELS_FETCH_H
#include "cli.h"
#include "hash.h"

struct transfer {
    const char *url;
    const char *path; /* the file's own name; beside it the others */
    uint64_t bytes_most;
    int64_t stall_ms;          /* without data for so long: given up */
    bool any_scheme;           /* http too; else https only, wherever the server redirects to */
    const struct hash *sha256; /* what it must be; NULL: not known */
    struct progress *progress;
    struct hash found; /* out: SHA-256 */
    uint64_t bytes;    /* out */
};

int transfer_run(struct transfer *t) MUST_USE;

/* The library behind it, for doctor: "libcurl/7.88.1 OpenSSL/..". */
const char *transfer_library(void);

struct fetch_wish {
    const struct common *common;
    const char *home, *name;
    const char *url;              /* NULL: the official place */
    const char *licence, *source; /* NULL: what is known of it */
    bool yes, accept_changed;
};

/* Asks, fetches, imports. */
int fetch_model(const struct fetch_wish *w) MUST_USE;
bool fetch_is_offered(const char *name);
/* "htdemucs, htdemucs_ft, ..." */
const char *fetch_offers(void);

#endif
