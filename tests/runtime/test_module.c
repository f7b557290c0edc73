#include "module.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* FAKE_MODULES: a folder with one folder for each fake. */
static void place(const char *name)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/%s", FAKE_MODULES, name);
    setenv("WAVEMILL_MODULES", folder, 1);
}

static void not_an_elf(void)
{
    FILE *f = fopen("libwavemill_emulated.so", "w");
    REQUIRE(f);
    fputs("#!/bin/sh\n", f);
    fclose(f);
    setenv("WAVEMILL_MODULES", ".", 1);
}

TEST(what_is_wrong_with_a_module_has_a_number_and_a_reason)
{
    static const struct {
        const char *folder;
        int code;
        const char *says;
    } cases[] = {
        {"refuses", STATUS_VERSION, "does not serve ABI"},
        {"abi", STATUS_VERSION, "has ABI"},
        {"bytes", STATUS_VERSION, "tables of"},
        {"version", STATUS_VERSION, "version 0.0.1, this program of " WAVEMILL_VERSION},
        {"parts", STATUS_VERSION, "lacks a part"},
        {"symbol", STATUS_VERSION, "has no wavemill_module"},
        {"library", STATUS_UNSUPPORTED, "libfake_library.so"},
        {NULL, STATUS_UNSUPPORTED, "cannot be loaded"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct module *m = NULL;
        if (cases[i].folder)
            place(cases[i].folder);
        else
            not_an_elf();
        CHECK_CODE(module_load(BACKEND_EMULATED, &m), cases[i].code);
        test_report(strstr(status_message(), cases[i].says) && strstr(status_message(), "libwavemill_emulated.so"),
                    __FILE__, __LINE__, "'%s' names the file and says '%s'", status_message(), cases[i].says);
        CHECK(!m && strcmp(module_path(BACKEND_EMULATED), "") == 0);
    }
}

TEST(a_module_is_loaded_once)
{
    const struct module *a = NULL, *b = NULL;
    place("good");
    CHECK_OK(module_load(BACKEND_EMULATED, &a));
    CHECK(a && strcmp(a->targets, "fake") == 0);
    CHECK(strstr(module_path(BACKEND_EMULATED), "/good/libwavemill_emulated.so"));
    place("version");
    CHECK_OK(module_load(BACKEND_EMULATED, &b));
    CHECK(a == b);
    CHECK(strstr(module_path(BACKEND_EMULATED), "/good/"));
}

TEST(after_a_failure_it_is_looked_for_again)
{
    const struct module *m = NULL;
    place("abi");
    CHECK_CODE(module_load(BACKEND_EMULATED, &m), STATUS_VERSION);
    place("good");
    CHECK_OK(module_load(BACKEND_EMULATED, &m));
}

TEST(no_module_says_where_it_was_looked_for)
{
    const struct module *m = NULL;
    setenv("WAVEMILL_MODULES", "/nowhere", 1);
    CHECK_CODE(module_load(BACKEND_CUDA, &m), STATUS_NOT_FOUND);
    CHECK(strstr(status_message(), "libwavemill_cuda.so in /nowhere, "));
    CHECK(strstr(status_message(), "/../lib"));
    unsetenv("WAVEMILL_MODULES");
    CHECK_CODE(module_load(BACKEND_CUDA, &m), STATUS_NOT_FOUND);
    CHECK(!strstr(status_message(), "/nowhere"));
    CHECK_CODE(module_load(BACKEND_CPU, &m), STATUS_ARGUMENT);
    CHECK(!m);
}

TEST(no_place_may_be_longer_than_a_path)
{
    const struct module *m = NULL;
    static char folder[8192];
    memset(folder, 'x', sizeof folder - 1);
    setenv("WAVEMILL_MODULES", folder, 1);
    CHECK_CODE(module_load(BACKEND_CUDA, &m), STATUS_NOT_FOUND);
}
