/* sandbox - what the compute child gives up before it touches a byte of anybody's file.
 *
 * It decodes hostile input, so: no new privileges, no capabilities, no core dumps, first to die when memory is short,
 * dead when its supervisor dies; and a seccomp filter that leaves reading and writing of descriptors it was given,
 * memory, threads' synchronisation and time. Opening paths, sockets, exec, fork and ptrace are gone: those calls fail
 * with EPERM, and exec, fork and ptrace kill the process. The uid stays, so that limits and accounting of the user
 * hold.
 *
 * A GPU's driver needs more: its calls go through ioctl, it starts threads, and it opens its device again for mappings.
 * Then ioctl is left for the driver's own requests (none of a terminal's), clone for threads, and open for /dev/nvidia*
 * alone, which Landlock sees to; where the kernel has no Landlock, open stays refused.
 *
 *   errors    STATUS_IO with the call that failed: the child must then not go on; STATUS_UNSUPPORTED on a machine whose
 *             system calls the filter does not know */
#ifndef SANDBOX_H
#define SANDBOX_H
#include "status.h"

/* Before threads are started. */
int sandbox_give_up_privileges(void) MUST_USE;

/* With a GPU: after its device was opened, before threads are started, which it then covers. Those that the driver has
 * started by itself are not: Landlock holds for a thread and what it starts. They run the driver's code alone. */
int sandbox_keep_to_gpu(void) MUST_USE;

enum sandbox_reach { SANDBOX_CPU, SANDBOX_GPU };

/* After threads are started: covers all of them. */
int sandbox_close(enum sandbox_reach reach) MUST_USE;

#endif
