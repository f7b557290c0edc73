#include "device_choice.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static void fakes(const char *folder, const char *device)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", FAKE_MODULES, folder);
    setenv("WAVEMILL_MODULES", path, 1);
    setenv("WAVEMILL_FAKE_DEVICE", device, 1);
}

TEST(words_that_name_a_device)
{
    static const struct {
        const char *text;
        int code;
        bool automatic;
        enum exec_backend backend;
        int index;
    } cases[] = {
        {"auto", 0, true, BACKEND_CPU, -1},          {"cpu", 0, false, BACKEND_CPU, -1},
        {"cuda", 0, false, BACKEND_CUDA, -1},        {"cuda:0", 0, false, BACKEND_CUDA, 0},
        {"cuda:12", 0, false, BACKEND_CUDA, 12},     {"emulated", 0, false, BACKEND_EMULATED, 0},
        {"cuda:1023", 0, false, BACKEND_CUDA, 1023},
    };
    static const char *const bad[] = {
        "",         "CPU",       "cuda:", "cuda:-1", "cuda:1x", "cuda:1024", "cuda: 1",
        "cudaless", "emulated:", "cpu:0", "toaster", "cuda:+1", "automatic", "cuda:99999999999999999999"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct device_choice c;
        char name[DEVICE_NAME];
        CHECK_OK(device_choice_parse(cases[i].text, &c));
        CHECK(c.automatic == cases[i].automatic && c.backend == cases[i].backend && c.index == cases[i].index);
        device_choice_name(&c, name);
        CHECK(strcmp(name, cases[i].text) == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct device_choice c;
        CHECK_CODE(device_choice_parse(bad[i], &c), STATUS_ARGUMENT);
        CHECK(strstr(status_message(), "auto, cpu, cuda"));
    }
}

TEST(what_a_worker_has_and_what_is_asked)
{
    static const struct {
        const char *asked, *has;
        bool fits;
    } cases[] = {{"auto", "cpu", true},
                 {"auto", "x", true},
                 {"cpu", "cpu", true},
                 {"cpu", "cuda:0", false},
                 {"cuda", "cuda:3", true},
                 {"cuda:1", "cuda:1", true},
                 {"cuda:1", "cuda:0", false},
                 {"emulated", "cuda:0", false},
                 {"emulated", "emulated", true},
                 {"cpu", "auto", false},
                 {"cuda", "", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct device_choice c;
        CHECK_OK(device_choice_parse(cases[i].asked, &c));
        CHECK(device_choice_fits(&c, cases[i].has) == cases[i].fits);
    }
}

/* Each in a process of its own: a module that was loaded stays. */
static void resolve(const char *text, const char *folder, const char *device, int code, const char *says)
{
    struct device_choice c;
    char name[DEVICE_NAME];
    fakes(folder, device);
    CHECK_OK(device_choice_parse(text, &c));
    CHECK_CODE(device_choice_resolve(&c), code);
    device_choice_name(&c, name);
    const char *got = code ? status_message() : name;
    test_report(code ? strstr(got, says) != NULL : strcmp(got, says) == 0, __FILE__, __LINE__, "'%s' where '%s'", got,
                says);
    CHECK((c.module != NULL) == (!code && strcmp(says, "cpu") != 0));
}

#define RESOLVES(name, ...) \
    TEST(name) \
    { \
        resolve(__VA_ARGS__); \
    }

RESOLVES(cpu_is_always_there, "cpu", "none", "", 0, "cpu")
RESOLVES(auto_takes_a_gpu, "auto", "good", "", 0, "cuda:0")
RESOLVES(auto_without_a_module_is_the_cpu, "auto", "none", "", 0, "cpu")
RESOLVES(auto_without_a_driver_is_the_cpu, "auto", "good", "driver", 0, "cpu")
RESOLVES(auto_without_a_device_is_the_cpu, "auto", "good", "none", 0, "cpu")
RESOLVES(auto_with_an_unsupported_device_is_the_cpu, "auto", "good", "unsupported", 0, "cpu")
RESOLVES(cuda_is_its_first_device, "cuda", "good", "", 0, "cuda:0")
RESOLVES(cuda_by_number, "cuda:0", "good", "", 0, "cuda:0")
RESOLVES(emulated_by_name, "emulated", "good", "", 0, "emulated")
RESOLVES(cuda_without_a_module, "cuda", "none", "", STATUS_UNSUPPORTED, "device cuda is not available: there is no lib")
RESOLVES(cuda_without_a_driver, "cuda", "good", "driver", STATUS_UNSUPPORTED, "no driver")
RESOLVES(cuda_without_a_device, "cuda", "good", "none", STATUS_UNSUPPORTED, "shows no device")
RESOLVES(cuda_with_a_number_too_large, "cuda:1", "good", "", STATUS_UNSUPPORTED, "there is no device 1")
RESOLVES(cuda_unsupported, "cuda:0", "good", "unsupported", STATUS_UNSUPPORTED, "this build has code for fake")
RESOLVES(emulated_of_another_version, "emulated", "version", "", STATUS_UNSUPPORTED, "version 0.0.1")
