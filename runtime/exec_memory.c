#include "exec_memory.h"

#include "device.h"

#include <stdlib.h>
#include <string.h>

int exec_memory_allocate(struct exec *ex, size_t bytes, struct exec_memory *out)
{
    *out = (struct exec_memory){.device = exec_device(ex), .api = exec_device_api(ex)};
    if (out->device)
        return out->api->allocate(out->device, bytes, &out->data);
    out->data = aligned_alloc(ARENA_ALIGN, arena_round(bytes));
    return out->data ? STATUS_OK : fail(STATUS_NOMEM, "%zu bytes of memory", bytes);
}

void exec_memory_release(struct exec_memory *m)
{
    if (m->device && m->data)
        m->api->release(m->device, m->data);
    else
        free(m->data);
    *m = (struct exec_memory){.data = NULL};
}

int exec_memory_put(struct exec *ex, void *to, const void *from, size_t bytes)
{
    if (!exec_device(ex)) {
        memcpy(to, from, bytes);
        return STATUS_OK;
    }
    const int code = exec_device_api(ex)->copy_in(exec_stream(ex), to, from, bytes);
    return code ? code : exec_device_api(ex)->stream_wait(exec_stream(ex));
}

int exec_memory_get(struct exec *ex, void *to, const void *from, size_t bytes)
{
    if (!exec_device(ex)) {
        memcpy(to, from, bytes);
        return STATUS_OK;
    }
    const int code = exec_device_api(ex)->copy_out(exec_stream(ex), to, from, bytes);
    return code ? code : exec_device_api(ex)->stream_wait(exec_stream(ex));
}
