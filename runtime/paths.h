/* paths - where Wavemill keeps its data and its sockets.
 *
 *   home      $WAVEMILL_HOME, else $XDG_DATA_HOME/wavemill, else ~/.local/share/wavemill: features/, objects/, queue/
 *   run       $XDG_RUNTIME_DIR/wavemill-HASH8, else /tmp/wavemill-UID/HASH8: sockets and locks. HASH8 = first 8 hex
 *             digits of BLAKE2b-256 of the home's real path, so that each home has its own scheduler. Mode 0700 and
 *             owned by the user: anything else is refused, because whoever owns the folder owns the queue
 *   errors    STATUS_ARGUMENT (too long for a socket), STATUS_IO (cannot make or use it; the message says the mend) */
#ifndef PATHS_H
#define PATHS_H
#include "status.h"

#include <stddef.h>

enum { PATHS_MAX = 4096, PATHS_SOCKET_MAX = 107 };

struct paths {
    char home[PATHS_MAX];
    char features[PATHS_MAX + 16];
    char objects[PATHS_MAX + 16];
    char queue[PATHS_MAX + 16]; /* the journal; made by who opens it */
    char run[PATHS_MAX];
    char client_socket[PATHS_MAX + 32]; /* ipc:// address */
    char worker_socket[PATHS_MAX + 32];
};

/* Fills *out and makes the folders. `home` NULL: from the environment. */
int paths_find(const char *home, struct paths *out) MUST_USE;

/* mkdir -p with mode 0700. */
int paths_make(const char *folder) MUST_USE;

/* STATUS_UNSUPPORTED where the folder is on a network file system, which LMDB must not be; `what` begins the message.
 */
int paths_refuse_network(const char *what, const char *folder) MUST_USE;

/* Flushes the folder, so that the names in it survive a power cut. STATUS_IO names the folder and the reason; a file
 * system that has no such thing counts as done. */
int paths_sync(const char *folder) MUST_USE;

/* Folder of the running program (its real path), for finding its siblings. In base: also the compute child asks. */
int paths_program_folder(char *out, size_t capacity) MUST_USE;

#endif
