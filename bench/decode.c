/* bench_decode THREADS FILE... - decodes the files to the end and prints the seconds it took: what any analysis of them
 * must take at least. Files that libsndfile does not open are passed over. */
#include "audio.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char **files;
static int count;
static atomic_int next, opened;

static void *work(void *unused)
{
    enum { FRAMES = 65536 };
    float *block = NULL;
    int64_t floats = 0;
    (void)unused;
    for (int i; (i = atomic_fetch_add(&next, 1)) < count;) {
        struct audio *a = NULL;
        const int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && audio_open(fd, &a) == STATUS_OK) {
            int64_t got = 1;
            const int64_t need = (int64_t)FRAMES * audio_info(a)->channels;
            if (need > floats) {
                free(block);
                block = malloc((size_t)need * sizeof *block);
                floats = need;
            }
            while (block && got > 0 && audio_read(a, block, FRAMES, &got) == STATUS_OK)
                ;
            atomic_fetch_add(&opened, 1);
        }
        audio_close(&a);
        if (fd >= 0)
            close(fd);
    }
    free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    const int threads = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    pthread_t ids[64];
    struct timespec a, b;
    int started = 0;
    if (threads < 1 || threads > 64) {
        fprintf(stderr, "usage: bench_decode THREADS FILE...\n");
        return 2;
    }
    files = argv + 2;
    count = argc - 2;
    clock_gettime(CLOCK_MONOTONIC, &a);
    while (started < threads && pthread_create(&ids[started], NULL, work, NULL) == 0)
        started++;
    for (int i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.6f %d\n", (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec), opened);
    return started == threads ? 0 : 1;
}
