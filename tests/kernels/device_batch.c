#include "device_batch.h"

#include "compare.h"
#include "device.h"
#include "test.h"

/* Guards: to 8 bytes and no more, which is what the fronts may ask of a batch; to 64, as packed weights are. */
enum { GUARD = 72, ALIGNED_GUARD = 128 };

struct device_batch device_batch(struct exec *ex)
{
    return (struct device_batch){.ex = ex};
}

static bool on_cpu(const struct device_batch *b)
{
    return exec_backend(b->ex) == BACKEND_CPU;
}

static void *copied(struct device_batch *b, const void *from, void *to, size_t bytes, size_t guard)
{
    const struct device_api *const api = exec_device_api(b->ex);
    struct device_piece *const p = &b->piece[b->pieces++];
    REQUIRE(b->pieces <= (int)(sizeof b->piece / sizeof *b->piece));
    unsigned char *const guarded = malloc(bytes + 2 * guard);
    REQUIRE(guarded);
    memset(guarded, 0x5a, bytes + 2 * guard);
    if (bytes)
        memcpy(guarded + guard, from, bytes);
    *p = (struct device_piece){.host = to, .bytes = bytes, .guard = guard};
    REQUIRE(api->allocate(exec_device(b->ex), bytes + 2 * guard, &p->memory) == STATUS_OK);
    REQUIRE(api->copy_in(exec_stream(b->ex), p->memory, guarded, bytes + 2 * guard) == STATUS_OK);
    REQUIRE(api->stream_wait(exec_stream(b->ex)) == STATUS_OK);
    free(guarded);
    return (char *)p->memory + guard;
}

const void *device_in(struct device_batch *b, const void *host, size_t bytes)
{
    return on_cpu(b) || !host ? host : copied(b, host, NULL, bytes, GUARD);
}

void *device_out(struct device_batch *b, void *host, size_t bytes)
{
    return on_cpu(b) || !host ? host : copied(b, host, host, bytes, GUARD);
}

void *device_aligned(struct device_batch *b, void *host, size_t bytes, bool back)
{
    return on_cpu(b) || !host ? host : copied(b, host, back ? host : NULL, bytes, ALIGNED_GUARD);
}

static struct ragged ragged_copied(struct device_batch *b, const struct ragged *host, bool back)
{
    static const size_t element[] = {[DTYPE_F32] = 4, [DTYPE_I16] = 2, [DTYPE_I24] = 3, [DTYPE_C64] = 8};
    const size_t bytes = (size_t)host->total * (size_t)host->channels * element[host->dtype];
    struct ragged r = *host;
    if (on_cpu(b))
        return r;
    r.data = copied(b, host->data, back ? host->data : NULL, bytes, GUARD);
    r.offset_device = device_in(b, host->offset, (size_t)(host->rows + 1) * sizeof *host->offset);
    r.piece_device = device_in(b, host->piece, (size_t)host->rows * sizeof *host->piece);
    return r;
}

struct ragged device_ragged_in(struct device_batch *b, const struct ragged *host)
{
    return ragged_copied(b, host, false);
}

struct ragged device_ragged_out(struct device_batch *b, const struct ragged *host)
{
    return ragged_copied(b, host, true);
}

static void bring_back(struct device_batch *b, struct device_piece *p)
{
    const struct device_api *const api = exec_device_api(b->ex);
    unsigned char *const guarded = malloc(p->bytes + 2 * p->guard);
    REQUIRE(guarded);
    REQUIRE(api->copy_out(exec_stream(b->ex), guarded, p->memory, p->bytes + 2 * p->guard) == STATUS_OK);
    REQUIRE(api->stream_wait(exec_stream(b->ex)) == STATUS_OK);
    for (size_t i = 0; i < p->guard; i++)
        REQUIRE(guarded[i] == 0x5a && guarded[p->guard + p->bytes + i] == 0x5a);
    if (p->host && p->bytes)
        memcpy(p->host, guarded + p->guard, p->bytes);
    free(guarded);
    api->release(exec_device(b->ex), p->memory);
}

int device_done(struct device_batch *b, int code)
{
    const int waited = on_cpu(b) ? STATUS_OK : exec_device_api(b->ex)->stream_wait(exec_stream(b->ex));
    for (int i = 0; i < b->pieces; i++)
        bring_back(b, &b->piece[i]);
    if (!on_cpu(b))
        REQUIRE(exec_device_arena(b->ex)->used == 0);
    b->pieces = 0;
    return code ? code : waited;
}
