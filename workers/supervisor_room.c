/* What a supervisor asks the scheduler for, and what it gives back, by the room that it has. */
#include "log.h"
#include "supervisor_state.h"

/* A lease that lasts longer than this is one behind which others wait. */
enum { URGENT_MS = 300 };

/* Trainings last: those that find no place here are better off with another worker, or a later one. */
static bool is_long(const struct item *it)
{
    return it->lease->task == TASK_TRAIN || it->lease->task == TASK_SWEEP;
}

/* Whoever made room stays away until what it made room for is over: it would only take the room again. */
static void forget_made_room(struct supervisor *s)
{
    bool is_here = false;
    EACH_ITEM (s, l, it)
        is_here |= it->got_room && !it->over && !it->aborted && it->priority > s->made_room_of;
    s->made_room = s->made_room && is_here;
}

/* What a TAKE is to say now; false: nothing is wanted. With leases enough, or places full of what lasts, only what is
 * more important than the least of that: it goes first, and trainings make room for it. One such at a time. */
static bool wanted(struct supervisor *s, bool *urgent, int64_t *above)
{
    const int64_t now = supervisor_now_ms();
    int open = 0, lasting = 0;
    bool waits = false;
    *above = INT64_MAX;
    for (const struct lease *l = s->leases; l; l = l->next) {
        open += !l->reported;
        waits |= !l->reported && now - l->granted_ms >= URGENT_MS;
    }
    EACH_ITEM (s, l, it)
        if (!it->over && !it->aborted) {
            lasting += is_long(it);
            *above = it->priority < *above ? it->priority : *above;
        }
    forget_made_room(s);
    *urgent = s->made_room || open >= LEASES_MOST || lasting >= s->options->threads;
    if (s->made_room && *above < s->made_room_of)
        *above = s->made_room_of;
    return !*urgent || (waits && open < 2 * LEASES_MOST && lasting <= s->options->threads && *above < LIMIT_PRIORITY);
}

void uplink_take(struct supervisor *s)
{
    bool urgent;
    int64_t above;
    if (!s->engaged || s->stop || s->drain_until_ms || !wanted(s, &urgent, &above))
        return;
    if (s->take_waits && s->take_urgent == urgent && (!urgent || s->take_above == above))
        return;
    uplink_send(s, MESSAGE_TAKE, &take_schema,
                &(struct message_take){.credits = s->credits, .urgent = urgent, .above = urgent ? above : 0});
    s->take_waits = true;
    s->take_urgent = urgent;
    s->take_above = above;
}

/* Of so many tokens, which it frees. */
static void send_return(struct supervisor *s, struct wire_buffer *tokens, uint32_t count)
{
    if (count)
        uplink_send(s, MESSAGE_RETURN, &returned_schema, &(struct message_returned){wire_list_of(tokens, count)});
    wire_free(tokens);
}

/* Gives back what has not reached the child; the rest goes on. */
void uplink_return(struct supervisor *s)
{
    struct wire_buffer tokens = {0};
    uint32_t count = 0;
    EACH_ITEM (s, l, it) {
        if (it->aborted || it->over || it->stage >= STAGE_RUNNING)
            continue;
        if (wire_append_uint(&tokens, it->token))
            break;
        supervisor_abort(s, it);
        count++;
    }
    send_return(s, &tokens, count);
    if (s->take_waits)
        uplink_send(s, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 0});
}

bool uplink_mark_yielding(struct item *it, const char *why)
{
    if (it->aborted || it->over || it->stage >= STAGE_FINISHING)
        return false;
    item_log_warn(&it->log, why);
    it->aborted = it->yields = true;
    return true;
}

void uplink_give_back(struct supervisor *s, struct item *it)
{
    if (!uplink_mark_yielding(it, "it makes room for what is more important, and goes on later"))
        return;
    uplink_send_lines(s);
    s->made_room_of = s->made_room && s->made_room_of > it->priority ? s->made_room_of : it->priority;
    s->made_room = true;
    if (s->take_waits && (!s->take_urgent || s->take_above < it->priority)) { /* it would bring what goes */
        uplink_send(s, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 0});
        s->take_waits = false;
    }
    supervisor_stop_aborted(s);
}

/* Not before: whoever gets it next must find it at rest. */
void uplink_returned(struct supervisor *s, const struct item *it)
{
    struct wire_buffer tokens = {0};
    send_return(s, &tokens, wire_append_uint(&tokens, it->token) == STATUS_OK);
}

/* A lease of more trainings than there are places: others may have room. Before they are looked at, since whoever gets
 * them does that too. */
void uplink_return_surplus(struct supervisor *s, struct lease *granted)
{
    struct wire_buffer tokens = {0};
    uint32_t count = 0;
    int lasting = 0;
    EACH_ITEM (s, l, it)
        lasting += l != granted && is_long(it) && !it->over && !it->aborted;
    for (size_t i = 0; i < granted->count; i++) {
        struct item *const it = &granted->items[i];
        if (it->stage == STAGE_OVER || !is_long(it) || i == 0 || ++lasting < s->options->threads)
            continue;
        if (wire_append_uint(&tokens, it->token))
            break;
        it->aborted = true;
        it->stage = STAGE_OVER;
        count++;
    }
    send_return(s, &tokens, count);
}
