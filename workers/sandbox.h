/* sandbox - what the compute child gives up before it touches a byte of anybody's file.
 *
 * It decodes hostile input, so: no new privileges, no capabilities, no core dumps, first to die when memory is short,
 * dead when its supervisor dies; and a seccomp filter that leaves reading and writing of descriptors it was given,
 * memory, threads' synchronisation and time. Opening paths, sockets, exec, fork and ptrace are gone: those calls fail
 * with EPERM, and exec, fork and ptrace kill the process. The uid stays, so that limits and accounting of the user
 * hold.
 *
 *   errors    STATUS_IO with the call that failed: the child must then not go on; STATUS_UNSUPPORTED on a machine whose
 *             system calls the filter does not know */
#ifndef SANDBOX_H
#define SANDBOX_H
#include "status.h"

/* Before threads are started. */
int sandbox_give_up_privileges(void) MUST_USE;

/* After threads are started: covers all of them. */
int sandbox_close(void) MUST_USE;

#endif
