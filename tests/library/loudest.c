/* loudest - a small program that uses libwavemill as any service would: analyses the files it is given and names the
 * one with the highest RMS. Built by tests/library/test_library.py against an installed tree. */
#include <client.h>
#include <kinds.h>
#include <stdio.h>

static int read_page(struct client_page *page, char **paths, double *best, const char **name)
{
    struct message_outcome o;
    struct kind_analyze_result r;
    while (client_next(page, &o)) {
        if (o.state != ITEM_DONE || wire_decode(&kind_analyze_result_schema, o.result.data, o.result.bytes, &r)) {
            fprintf(stderr, "%s: failed\n", paths[o.index]);
            continue;
        }
        if (r.rms > *best) {
            *best = r.rms;
            *name = paths[o.index];
        }
    }
    return page->over;
}

int main(int argc, char **argv)
{
    struct client *c = NULL;
    struct client_page page;
    uint64_t job = 0, cursor = 0;
    double best = -1;
    const char *name = "none";
    const struct client_options options = {.start = true, .name = "loudest", .program = argv[1]};
    int over = 0, code = client_open(&options, &c);
    if (!code)
        code = client_submit(c, &(struct client_job){.kind = KIND_ANALYZE}, &job);
    for (int i = 2; i < argc && !code; i++)
        code = client_add(c, job, &(struct client_item){.path = argv[i]}, 1);
    if (!code)
        code = client_seal(c, job);
    while (!code && !over && !(code = client_watch(c, job, cursor, 1000, &page))) {
        cursor = page.cursor;
        over = read_page(&page, argv + 2, &best, &name);
        client_page_release(&page);
    }
    client_close(&c);
    if (code) {
        fprintf(stderr, "loudest: %s\n", status_message());
        return 1;
    }
    printf("%s %.6f\n", name, best);
    return 0;
}
