/* test_bugs NAME - the planted bug of that name must be caught with the right message, in every order of threads, and
 * its right form must pass. Each run is a process of its own, since what is caught ends it. */
#include "bugs.h"
#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

/* Words of the message; "count" for what is counted instead of forbidden. */
static const struct {
    const char *name, *says;
} bugs[] = {
    {"missing_barrier", "with no barrier between|read of unwritten shared"},
    {"divergent_barrier", "meet at different barriers"},
    {"exited_before_barrier", "exited before|thread exits without"},
    {"divergent_collective", "divergent: __shfl_xor_sync"},
    {"partial_collective", "divergent: __shfl_down_sync"},
    {"exited_lane", "which has exited"},
    {"unnamed_lane", "does not name the calling lane"},
    {"inactive_source", "inactive lane 20"},
    {"unwritten_shared", "read of unwritten shared 'tile'"},
    {"past_shared", "outside of any shared array"},
    {"past_global", "256 bytes into device memory of 256 bytes"},
    {"read_past_global", "read 256 bytes into device memory of 256 bytes"},
    {"missing_wait", "asynchronous copy has not been waited for"},
    {"warp_race", "race: write of shared 'total'"},
    {"lane_race", "with no barrier between|read of unwritten shared"},
    {"read_then_write", "race: "},
    {"misaligned", "8 bytes at a misaligned address"},
    {"uncoalesced", "count"},
    {"bank_conflict", "count"},
};

static const struct {
    emulator_order order;
    std::uint64_t seed;
} schedules[] = {
    {EMULATOR_RANDOM, 1}, {EMULATOR_RANDOM, 2}, {EMULATOR_RANDOM, 3}, {EMULATOR_REVERSE, 1}, {EMULATOR_FORWARD, 1}};

/* Sectors or bank passes beyond the fewest, over all places. */
static std::uint64_t wasted()
{
    const emulator_site *sites;
    std::uint64_t sum = 0, requests = 0;
    const size_t n = emulator_sites(&sites);
    for (size_t i = 0; i < n; i++) {
        sum += sites[i].moved - sites[i].least;
        requests += sites[i].requests;
    }
    return requests ? sum : 999999;
}

static int child(const char *name, bool bug, int schedule)
{
    emulator_current()->order = schedules[schedule].order;
    emulator_current()->seed = schedules[schedule].seed;
    if (!bug_run(name, bug))
        return 3;
    std::printf("wasted %llu\n", (unsigned long long)wasted());
    return 0;
}

struct outcome {
    int status;
    std::string text;
};

static outcome run(const char *name, bool bug, int schedule)
{
    int pipes[2];
    if (pipe(pipes))
        std::abort();
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        close(pipes[0]);
        const int code = child(name, bug, schedule);
        std::fflush(stdout);
        _exit(code);
    }
    close(pipes[1]);
    outcome o = {};
    char block[4096];
    for (ssize_t n; (n = read(pipes[0], block, sizeof block)) > 0;)
        o.text.append(block, (size_t)n);
    close(pipes[0]);
    waitpid(pid, &o.status, 0);
    return o;
}

static bool says(const std::string &text, const char *words)
{
    const std::string all = words;
    for (size_t from = 0; from <= all.size();) {
        const size_t bar = all.find('|', from), end = bar == std::string::npos ? all.size() : bar;
        if (text.find(all.substr(from, end - from)) != std::string::npos)
            return true;
        from = end + 1;
    }
    return false;
}

static std::uint64_t waste_of(const outcome &o)
{
    const size_t at = o.text.find("wasted ");
    return at == std::string::npos ? 999999 : std::strtoull(o.text.c_str() + at + 7, nullptr, 10);
}

int main(int argc, char **argv)
{
    int failed = 0, tried = 0;
    for (const auto &b : bugs)
        for (int s = 0; argc == 2 && std::strcmp(argv[1], b.name) == 0 && s < 5; s++) {
            const outcome right = run(b.name, false, s), wrong = run(b.name, true, s);
            const bool counted = std::strcmp(b.says, "count") == 0;
            const bool passes = right.status == 0 && (!counted || waste_of(right) == 0);
            const bool caught = counted ? wrong.status == 0 && waste_of(wrong) >= 28 && waste_of(wrong) < 999999
                                        : WIFSIGNALED(wrong.status) && says(wrong.text, b.says) &&
                                              (says(wrong.text, "bugs.cu:") || says(wrong.text, "runtime"));
            std::printf("schedule %d: right form %s, bug %s: %s", s, passes ? "passes" : "FAILS",
                        caught ? "caught" : "NOT CAUGHT", wrong.text.c_str());
            if (!passes)
                std::printf("    right form: %s", right.text.c_str());
            failed += !passes + !caught;
            tried++;
        }
    if (!tried)
        std::printf("no bug named %s\n", argc == 2 ? argv[1] : "(none)");
    return failed || !tried;
}
