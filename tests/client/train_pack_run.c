/* train_pack_run HOME DATASET RATE - makes the pack of the files that standard input names, a line for each:
 *
 *     HASH PART LABEL PATH       split by tabs; HASH in hex, PART 0 or 1
 *
 * and prints `pack PATH`, `decoded N`, `left out INDEX WHY` of each, or `failed CODE WHY`. For the test of train_pack.
 */
#include "train_pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static int read_list(struct train_pack_file *files, size_t *count)
{
    static char lines[MOST][1024];
    for (*count = 0; *count < MOST && fgets(lines[*count], sizeof lines[0], stdin); ++*count) {
        char *rest = NULL, *field[4] = {lines[*count]};
        struct train_pack_file *const f = &files[*count];
        rest = lines[*count];
        for (int i = 0; i < 4; i++)
            if (!(field[i] = strsep(&rest, i < 3 ? "\t" : "\n")))
                return fail(STATUS_ARGUMENT, "line %zu has %d fields", *count, i);
        f->part = (enum pack_part)strtol(field[1], NULL, 10);
        f->label = field[2];
        f->path = field[3];
        const int code = hash_parse(field[0], &f->hash);
        if (code)
            return code;
    }
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static struct train_pack_file files[MOST];
    size_t count = 0;
    char path[4096];
    struct train_pack t = {0};
    struct progress progress;
    if (argc != 4)
        return 2;
    progress_init(&progress, PROGRESS_JSON, "pack");
    t.progress = &progress;
    int code = read_list(files, &count);
    if (!code)
        code = client_open(&(struct client_options){.home = argv[1]}, &t.client);
    if (!code)
        code = train_pack_make(&t, argv[1], argv[2], files, count, strtoll(argv[3], NULL, 10), path, sizeof path);
    if (code)
        printf("failed %s %s\n", status_name(code), status_message());
    else
        printf("pack %s\n", path);
    printf("decoded %zu\n", t.decoded);
    size_t failed = 0;
    for (size_t i = 0; i < t.count; i++)
        if (t.errors[i]) {
            printf("left out %zu %s\n", i, t.errors[i]);
            failed++;
        }
    if (failed != t.failed)
        printf("failed %zu, not %zu\n", failed, t.failed);
    train_pack_release(&t);
    client_close(&t.client);
    return code != 0;
}
