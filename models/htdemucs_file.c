/* A network from a file as demucs exports it: what its metadata says, then its tensors. */
#include "htdemucs.h"
#include "safetensors.h"

#include <string.h>

static int check_metadata(const struct safetensors *file, const char *name, const char **kwargs)
{
    const char *const klass = safetensors_metadata(file, "klass");
    const char *const args = safetensors_metadata(file, "args");
    *kwargs = safetensors_metadata(file, "kwargs");
    if (!klass || !*kwargs)
        return fail(STATUS_FORMAT, "%s: no klass and kwargs among the metadata: not exported by demucs 4.1", name);
    if (strcmp(klass, "demucs.htdemucs.HTDemucs") != 0)
        return fail(STATUS_UNSUPPORTED, "%s: klass %.64s: only demucs.htdemucs.HTDemucs is implemented", name, klass);
    if (args && strcmp(args, "[]") != 0)
        return fail(STATUS_UNSUPPORTED, "%s: args %.64s: only kwargs are read", name, args);
    if (safetensors_metadata(file, "structure"))
        return fail(STATUS_UNSUPPORTED, "%s: structure: weights that are packed once more are not implemented", name);
    return STATUS_OK;
}

int htdemucs_load(const struct safetensors *file, const char *name, enum precision precision, struct exec *ex,
                  struct htdemucs **out)
{
    const char *kwargs = NULL;
    struct htdemucs_config c;
    int code = check_metadata(file, name, &kwargs);
    code = code ? code : htdemucs_config_parse(kwargs, name, &c);
    return code ? code : htdemucs_make(&c, safetensors_at(file, 0), safetensors_count(file), name, precision, ex, out);
}
