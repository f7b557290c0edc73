#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static bool keeps_to_gpu; /* Landlock is there and holds */

#ifdef SYS_landlock_create_ruleset

/* The driver's device nodes may be opened; no other path. */
static int allow_nodes(int rules)
{
    glob_t nodes;
    int code = STATUS_OK;
    if (glob("/dev/nvidia*", GLOB_NOSORT, NULL, &nodes)) /* none: nothing is allowed */
        return STATUS_OK;
    for (size_t i = 0; i < nodes.gl_pathc && !code; i++) {
        struct landlock_path_beneath_attr one = {.allowed_access =
                                                     LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
                                                 .parent_fd = open(nodes.gl_pathv[i], O_PATH | O_CLOEXEC | O_NOFOLLOW)};
        if (one.parent_fd < 0)
            continue;
        struct stat s;
        if (fstat(one.parent_fd, &s) == 0 && S_ISCHR(s.st_mode) &&
            syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &one, 0))
            code = call_failed("landlock_add_rule");
        close(one.parent_fd);
    }
    globfree(&nodes);
    return code;
}

int sandbox_keep_to_gpu(void)
{
    /* Every right of the first version, which all kernels with Landlock know. */
    const struct landlock_ruleset_attr all = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (rules < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP ? STATUS_OK : call_failed("landlock_create_ruleset");
    int code = allow_nodes(rules);
    if (!code && syscall(SYS_landlock_restrict_self, rules, 0))
        code = call_failed("landlock_restrict_self");
    close(rules);
    keeps_to_gpu = !code;
    return code;
}

#else

int sandbox_keep_to_gpu(void)
{
    return STATUS_OK;
}

#endif

#ifdef SANDBOX_ARCH

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define ON(call, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RETURN(action)
#define ALLOW(call) ON(call, SECCOMP_RET_ALLOW)
#define KILL(call) ON(call, SECCOMP_RET_KILL_PROCESS)

enum { FILTER_MOST = 256 };

struct filter {
    struct sock_filter rules[FILTER_MOST];
    unsigned short count;
};

static void append(struct filter *f, const struct sock_filter *rules, size_t bytes)
{
    memcpy(&f->rules[f->count], rules, bytes);
    f->count = (unsigned short)(f->count + bytes / sizeof *rules);
}

/* What a driver does besides. Each part answers for its calls or leaves the number as it was. */
static void append_gpu(struct filter *f)
{
    static const struct sock_filter opens[] = {ALLOW(openat)};
    static const struct sock_filter calls[] = {
        /* ioctl: requests of its family 'F', and those of unified memory, which are bare numbers */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 8),
        LOAD(args[1]),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x100, 0, 5),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x300000, 3, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'F', 1, 0),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ALLOW),
        /* threads, no processes; the flags of clone3 cannot be seen from here, so the C library is to use the other */
        ON(clone3, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        ALLOW(set_tid_address),
        ALLOW(sched_setaffinity),
        ALLOW(getcpu),
        ALLOW(eventfd2),
        ALLOW(pipe2),
        ALLOW(fcntl),
        ALLOW(dup),
        ALLOW(epoll_create1),
        ALLOW(epoll_ctl),
        ALLOW(epoll_pwait),
#ifdef SYS_epoll_wait
        ALLOW(epoll_wait),
#endif
        ALLOW(mlock),
        ALLOW(munlock),
        ALLOW(mbind),
        ALLOW(get_mempolicy),
        ALLOW(set_mempolicy),
        ALLOW(membarrier),
        ALLOW(sysinfo),
        ALLOW(uname),
        ALLOW(clock_getres),
    };
    if (keeps_to_gpu)
        append(f, opens, sizeof opens);
    append(f, calls, sizeof calls);
}

int sandbox_close(enum sandbox_reach reach)
{
    static const struct sock_filter begin[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_ARCH, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
    };
    static const struct sock_filter calls[] = {
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
        ALLOW(fdatasync),
#ifdef SYS_poll
        ALLOW(poll),
#endif
        ALLOW(ppoll),
        /* memory; a file of nothing but memory is how a checkpoint goes up */
        ALLOW(memfd_create),
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
    struct filter f = {.count = 0};
    append(&f, begin, sizeof begin);
    if (reach == SANDBOX_GPU)
        append_gpu(&f);
    append(&f, calls, sizeof calls);
    const struct sock_fprog program = {.len = f.count, .filter = f.rules};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
        return call_failed("seccomp");
    return STATUS_OK;
}

#else

int sandbox_close(enum sandbox_reach reach)
{
    (void)reach;
    return fail(STATUS_UNSUPPORTED, "sandbox: no list of system calls for this machine");
}

#endif
