/* Methods and models by name, and which of their stems are written. */
#include "methods.h"
#include "test.h"

#include <math.h>
#include <string.h>

TEST(methods_by_name)
{
    struct method_model m;
    CHECK(method_find("hpss") && method_find("center") && !method_find("hps") && !method_find(""));
    CHECK_OK(method_resolve(".", "hpss", &m));
    CHECK(m.stems == 3 && strcmp(m.stem[2], "residual") == 0 && strcmp(m.name, "hpss") == 0 && !m.library.networks);
    CHECK_CODE(method_resolve(".", "other", &m), STATUS_NOT_FOUND);
    CHECK(strstr(status_message(), "'other'") && strstr(status_message(), "hpss, center"));
    CHECK_CODE(method_resolve(".", "a b\n", &m), STATUS_NOT_FOUND);
    CHECK_CODE(method_resolve(".", "", &m), STATUS_NOT_FOUND);
    CHECK_CODE(method_resolve(".", "./none.safetensors", &m), STATUS_NOT_FOUND);
}

TEST(options_of_networks)
{
    struct method_model m;
    CHECK_OK(method_resolve(".", "center", &m));
    CHECK_OK(method_check(&m, &(struct method_options){NAN, NAN, 0, 0, NULL}));
    static const struct method_options refused[] = {{0, NAN, 0, 0, NULL},
                                                    {NAN, 7, 0, 0, NULL},
                                                    {NAN, NAN, 1, 0, NULL},
                                                    {NAN, NAN, 0, 1, NULL},
                                                    {NAN, NAN, 0, 0, "tf32"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_CODE(method_check(&m, &refused[i]), STATUS_ARGUMENT);
    static const struct method network = {.name = "net", .is_network = true};
    m.method = &network;
    CHECK_OK(method_check(&m, &(struct method_options){0.5, 7, 2, 1, "bf16"}));
    CHECK_CODE(method_check(&m, &(struct method_options){NAN, NAN, 0, 0, "fp16"}), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "fp32, tf32 and bf16"));
}

TEST(outputs)
{
    struct method_model m;
    struct method_output o[BAG_STEMS_MOST];
    int n = 0;
    CHECK_OK(method_resolve(".", "hpss", &m));
    CHECK_OK(method_outputs(&m, NULL, 0, NULL, o, &n));
    CHECK(n == 3 && o[0].stems == 1 && o[1].stems == 2 && o[2].stems == 4 && strcmp(o[1].name, "percussive") == 0);
    CHECK_OK(method_outputs(&m, (const char *const[]){"residual", "harmonic", "residual"}, 3, NULL, o, &n));
    CHECK(n == 2 && o[0].stems == 1 && o[1].stems == 4); /* in the model's order, each once */
    CHECK_OK(method_outputs(&m, NULL, 0, "percussive", o, &n));
    CHECK(n == 2 && o[0].stems == 2 && o[1].stems == 5 && strcmp(o[1].name, "no_percussive") == 0);
    CHECK_CODE(method_outputs(&m, NULL, 0, "no_percussive", o, &n), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "harmonic, percussive, residual"));
    CHECK_CODE(method_outputs(&m, (const char *const[]){"vocals"}, 1, NULL, o, &n), STATUS_ARGUMENT);
    CHECK_CODE(method_outputs(&m, (const char *const[]){"residual"}, 1, "residual", o, &n), STATUS_ARGUMENT);
    m.stems = 1;
    CHECK_CODE(method_outputs(&m, NULL, 0, "harmonic", o, &n), STATUS_ARGUMENT);
}
