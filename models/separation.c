#include "separation.h"

int separation_push(struct separation *s, const float *x, int64_t frames)
{
    if (frames < 0)
        return fail(STATUS_ARGUMENT, "separation: %lld frames", (long long)frames);
    return s->methods->push(s, x, frames);
}

int separation_finish(struct separation *s)
{
    return s->methods->finish(s);
}

void separation_destroy(struct separation **s)
{
    if (*s)
        (*s)->methods->destroy(*s);
    *s = NULL;
}
