#include "journal.h"

static void memory_put(struct journal *j, const struct journal_record *r)
{
    (void)r;
    ((struct journal_memory *)j)->waiting++;
}

static int memory_commit(struct journal *j)
{
    struct journal_memory *m = (struct journal_memory *)j;
    const uint64_t waiting = m->waiting;
    m->waiting = 0;
    if (++m->calls == m->fail_at)
        return fail(STATUS_IO, "journal: commit %llu was told to fail", (unsigned long long)m->calls);
    m->commits++;
    m->records += waiting;
    return STATUS_OK;
}

void journal_memory_init(struct journal_memory *j)
{
    *j = (struct journal_memory){.journal = {.put = memory_put, .commit = memory_commit}};
}
