/* Source places of instructions, from the debugging information, by addr2line where it is there. */
#include "emulator.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>

void emulator_place_of(const void *address, char *out, std::size_t bytes)
{
    Dl_info info;
    std::snprintf(out, bytes, "%p", address);
    if (!dladdr(address, &info) || !info.dli_fname)
        return;
    const std::uintptr_t offset = (std::uintptr_t)address - (std::uintptr_t)info.dli_fbase - 1;
    std::snprintf(out, bytes, "%s+0x%zx", info.dli_fname, (std::size_t)offset);
    char command[1024], line[512];
    std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", info.dli_fname,
                  (std::size_t)offset);
    FILE *const answer = popen(command, "r");
    bool found = false; /* of the places that are inlined into each other: the innermost of a .cu file, if any */
    for (bool kernel = false; answer && !kernel && std::fgets(line, sizeof line, answer) && line[0] != '?';) {
        line[std::strcspn(line, " \n")] = 0;
        kernel = std::strstr(line, ".cu:") != nullptr || std::strstr(line, ".cuh:") != nullptr;
        if (!found || kernel)
            std::snprintf(out, bytes, "%s", line);
        found = true;
    }
    if (answer)
        pclose(answer);
}
