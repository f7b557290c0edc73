#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define SANDBOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH AUDIT_ARCH_AARCH64
#endif

static int call_failed(const char *call)
{
    return fail(STATUS_IO, "sandbox: %s: %s", call, strerror(errno));
}

/* The kernel's killer looks at this number first; a worker that is alive can report, a dead one cannot. */
static void be_first_to_die(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const ssize_t ignored = write(fd, "800", 3);
    (void)ignored;
    close(fd);
}

int sandbox_give_up_privileges(void)
{
    be_first_to_die();
    const struct rlimit no_core = {0, 0};
    if (setrlimit(RLIMIT_CORE, &no_core))
        return call_failed("setrlimit");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        return call_failed("PR_SET_PDEATHSIG");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return call_failed("PR_SET_NO_NEW_PRIVS");
    for (int c = 0, there; (there = prctl(PR_CAPBSET_READ, c, 0, 0, 0)) >= 0; c++) /* -1: the kernel knows no more */
        if (there && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) &&
            errno != EPERM) /* not ours to drop: then we have none either */
            return call_failed("PR_CAPBSET_DROP");
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    if (syscall(SYS_capset, &head, none))
        return call_failed("capset");
    return STATUS_OK;
}

#ifdef SANDBOX_ARCH

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define ON(call, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RETURN(action)
#define ALLOW(call) ON(call, SECCOMP_RET_ALLOW)
#define KILL(call) ON(call, SECCOMP_RET_KILL_PROCESS)

int sandbox_close(void)
{
    static struct sock_filter rules[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_ARCH, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        /* descriptors that were handed over */
        ALLOW(read),
        ALLOW(write),
        ALLOW(pread64),
        ALLOW(pwrite64),
        ALLOW(lseek),
        ALLOW(close),
        ALLOW(sendmsg),
        ALLOW(recvmsg),
        ALLOW(sendto),
        ALLOW(recvfrom),
        ALLOW(fstat),
        ALLOW(ftruncate),
#ifdef SYS_poll
        ALLOW(poll),
#endif
        ALLOW(ppoll),
        /* memory */
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(mprotect),
        ALLOW(madvise),
        ALLOW(brk),
        /* threads, time, signals of its own */
        /* rseq: glibc aborts a thread that may not register; writev: how it says why it aborts */
        ALLOW(rseq),
        ALLOW(writev),
        ALLOW(futex),
        ALLOW(sched_yield),
        ALLOW(sched_getaffinity),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(tgkill),
        ALLOW(clock_gettime),
        ALLOW(clock_nanosleep),
        ALLOW(nanosleep),
        ALLOW(gettimeofday),
        ALLOW(getrandom),
        ALLOW(rt_sigaction),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(sigaltstack),
        ALLOW(restart_syscall),
        ALLOW(set_robust_list),
        ALLOW(exit),
        ALLOW(exit_group),
        /* what an intruder would want first */
        KILL(execve),
        KILL(execveat),
        KILL(ptrace),
        KILL(process_vm_writev),
#ifdef SYS_fork
        KILL(fork),
        KILL(vfork),
#endif
        /* fstat comes as newfstatat(fd, "", ..., AT_EMPTY_PATH): no path may be looked at */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 4),
        LOAD(args[3]),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AT_EMPTY_PATH, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
    };
    const struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
        return call_failed("seccomp");
    return STATUS_OK;
}

#else

int sandbox_close(void)
{
    return fail(STATUS_UNSUPPORTED, "sandbox: no list of system calls for this machine");
}

#endif
