/* doctor - what is here, what is missing, and the command that mends it. */
#include "cli.h"
#include "doctor.h"
#include "exec.h"
#include "library.h"
#include "models_fetch.h"
#include "png_write.h"
#include "store.h"
#include "store_care.h"

#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zmq.h>

static const char help[] =
    "usage: wavemill doctor [OPTION...]\n"
    "Says what was found (devices, libraries, store, scheduler) and what is missing with the command that\n"
    "mends it. Exit code 1 when something that is needed is missing.\n\n";

#define ROOM_LEAST (UINT64_C(64) << 20) /* the workers' own limit */
struct finding *doctor_find(struct findings *f, const char *name)
{
    struct finding *one = &f->list[f->count < FINDINGS_MOST - 1 ? f->count++ : f->count];
    *one = (struct finding){.mend = NULL};
    snprintf(one->name, sizeof one->name, "%s", name);
    return one;
}

static bool on_path(const char *program, char *out, size_t capacity)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        const size_t n = strcspn(path, ":");
        if (n && (size_t)snprintf(out, capacity, "%.*s/%s", (int)n, path, program) < capacity && access(out, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static void look_at_machine(struct findings *f)
{
    struct utsname u;
    if (uname(&u) == 0)
        snprintf(doctor_find(f, "system")->value, PATHS_MAX, "%s %s %s", u.sysname, u.release, u.machine);
    snprintf(doctor_find(f, "device cpu")->value, PATHS_MAX, "%ld processors; operations run on %s",
             sysconf(_SC_NPROCESSORS_ONLN), isa_name(isa_best()));
    doctor_look_at_gpu(f);
    struct finding *ffmpeg = doctor_find(f, "ffmpeg");
    if (!on_path("ffmpeg", ffmpeg->value, sizeof ffmpeg->value)) {
        snprintf(ffmpeg->value, sizeof ffmpeg->value, "not found: M4A, AAC, WMA and odd FLAC files cannot be read");
        ffmpeg->mend = "apt-get install ffmpeg";
    }
}

static void look_at_libraries(struct findings *f)
{
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    snprintf(doctor_find(f, "libzmq")->value, PATHS_MAX, "%d.%d.%d", major, minor, patch);
    const char *text = mdb_version(&major, &minor, &patch);
    struct finding *lmdb = doctor_find(f, "lmdb");
    snprintf(lmdb->value, sizeof lmdb->value, "%s", text);
    if (major == 0 && minor == 9 && patch > 25 && patch < 32) {
        lmdb->mend = "tools/bootstrap --lmdb builds a release without the mutex race of 0.9.26 to 0.9.31";
        lmdb->needed = true;
    }
    snprintf(doctor_find(f, "libsodium")->value, PATHS_MAX, "%s", sodium_version_string());
    snprintf(doctor_find(f, "jansson")->value, PATHS_MAX, "%s", JANSSON_VERSION);
    snprintf(doctor_find(f, "libpng")->value, PATHS_MAX, "%s", png_library());
    snprintf(doctor_find(f, "libcurl")->value, PATHS_MAX, "%s", transfer_library());
}

/* "htdemucs, htdemucs_ft", cut where there is no room for more. */
static int add_model(void *context, const char *name, const json_t *model)
{
    struct finding *const to = context;
    const size_t n = strlen(to->value);
    snprintf(to->value + n, sizeof to->value - n, "%s%s%s", n ? ", " : "", name, model ? "" : " (damaged)");
    if (!model)
        to->mend = "wavemill models verify says what is wrong with it; wavemill models remove, then fetch it again";
    return STATUS_OK;
}

static void look_at_models(struct findings *f, const char *home)
{
    struct finding *const models = doctor_find(f, "models");
    if (library_each(home, add_model, models))
        snprintf(models->value, sizeof models->value, "%s", status_message());
    else if (!models->value[0])
        snprintf(models->value, sizeof models->value,
                 "none: separate takes hpss (`wavemill models fetch htdemucs` gets a network)");
}

static void look_at_programs(struct findings *f)
{
    static const char *const names[] = {"wavemill-scheduler", "wavemill-worker", "wavemill-compute"};
    char folder[PATHS_MAX];
    if (paths_program_folder(folder, sizeof folder))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct finding *p = doctor_find(f, names[i]);
        snprintf(p->value, sizeof p->value, "%s/%s", folder, names[i]);
        if (access(p->value, X_OK)) {
            p->mend = "install it beside the wavemill program: cmake --install build";
            p->needed = true;
        }
    }
}

static void look_at_home(struct findings *f)
{
    struct paths paths;
    struct store *s = NULL;
    struct store_stats st;
    struct finding *home = doctor_find(f, "home");
    if (paths_find(NULL, &paths)) {
        snprintf(home->value, sizeof home->value, "%s", status_message());
        home->mend = "set WAVEMILL_HOME to a folder that you may write to";
        home->needed = true;
        return;
    }
    snprintf(home->value, sizeof home->value, "%s", paths.home);
    struct finding *store = doctor_find(f, "store");
    if (store_open(paths.features, &(struct store_options){0}, &s) || store_stats(s, &st)) {
        snprintf(store->value, sizeof store->value, "%s", status_message());
        store->mend = "move the features folder away; what was in it is computed again";
        store->needed = true;
    } else {
        snprintf(store->value, sizeof store->value, "%llu records of %llu files, %llu quarantined",
                 (unsigned long long)st.records, (unsigned long long)st.files, (unsigned long long)st.quarantined);
    }
    store_close(&s);
    uint64_t room = 0;
    struct finding *disk = doctor_find(f, "free space");
    if (store_room(paths.features, &room)) {
        snprintf(disk->value, sizeof disk->value, "%s", status_message());
    } else {
        snprintf(disk->value, sizeof disk->value, "%.1f MiB for the store", (double)room / 1048576);
        if (room < ROOM_LEAST)
            disk->mend = "below 64 MiB results are not stored: make room, or `wavemill store prune --to SIZE`";
    }
    look_at_models(f, paths.home);
    snprintf(doctor_find(f, "client socket")->value, PATHS_MAX, "%s", paths.client_socket);
    snprintf(doctor_find(f, "worker socket")->value, PATHS_MAX, "%s", paths.worker_socket);
}

static void look_at_scheduler(struct findings *f, const struct common *c)
{
    struct client *client = NULL;
    struct message_server m;
    struct finding *s = doctor_find(f, "scheduler");
    struct common quick = *c;
    quick.timeout_ms = quick.timeout_ms ? quick.timeout_ms : 2000;
    if (cli_connect(&quick, false, &client) || client_stats(client, &m)) {
        snprintf(s->value, sizeof s->value, "none running: a command that computes starts one for its own duration");
    } else {
        struct message_worker w;
        unsigned workers = 0;
        char devices[128] = "", one[LIMIT_NAME + 1];
        for (size_t n = 0; wire_next(&m.workers, &worker_schema, &w); workers++) {
            wire_copy(w.device, one, sizeof one);
            if (n < sizeof devices)
                n += (size_t)snprintf(devices + n, sizeof devices - n, "%s%s", n ? " " : "", one);
        }
        snprintf(s->value, sizeof s->value, "running: %u workers (%s), %llu jobs, %llu items queued, %.1f MiB resident",
                 workers, devices, (unsigned long long)m.jobs, (unsigned long long)m.queued,
                 (double)m.resident_bytes / 1048576);
    }
    client_close(&client);
}

static void print(const struct common *c, const struct findings *f)
{
    if (c->format == OUTPUT_JSON) {
        json_t *line = json_object(), *list = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
        for (int i = 0; i < f->count; i++) {
            json_t *one = json_object();
            bool exact;
            json_object_set_new(one, "value", output_path(f->list[i].value, &exact));
            json_object_set_new(one, "mend", f->list[i].mend ? json_string(f->list[i].mend) : json_null());
            json_object_set_new(list, f->list[i].name, one);
        }
        json_object_set_new(line, "findings", list);
        output_json_line(line);
        return;
    }
    printf("wavemill %s\n", WAVEMILL_VERSION);
    for (int i = 0; i < f->count; i++) {
        printf("%-19s %s\n", f->list[i].name, f->list[i].value);
        if (f->list[i].mend)
            printf("%-19s   mend: %s\n", "", f->list[i].mend);
    }
}

int cmd_doctor(int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct common common = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = cli_common(o, &common, "doctor", help);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return cli_usage("doctor", "what is %s?", argv[optind]);
    static struct findings f;
    look_at_machine(&f);
    look_at_libraries(&f);
    look_at_programs(&f);
    look_at_home(&f);
    look_at_scheduler(&f, &common);
    print(&common, &f);
    for (int i = 0; i < f.count; i++)
        if (f.list[i].mend && f.list[i].needed)
            return EXIT_SOME_FAILED;
    return EXIT_DONE;
}
