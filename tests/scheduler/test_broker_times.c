/* Silence: of sessions, of workers, of connections; real sockets, raw peers. */
#include "server.h"
#include "test.h"

#include <unistd.h>

/* These tests let time pass that somebody must not let pass. A machine may stand still for so long: what was done in
 * time is measured, from before it was sent until it was answered, and a try in which it was not says nothing and is
 * made again. One that was in time must be right. */
enum { TRIES = 10, SHORT_MS = 1000 };

struct pace {
    int64_t before_ms;  /* when the last exchange began */
    int64_t longest_ms; /* from the begin of one to the end of the next */
};

/* An exchange that began then has just ended. */
static void pace_note(struct pace *p, int64_t began_ms)
{
    const int64_t silent_ms = peer_clock_ms() - (p->before_ms ? p->before_ms : began_ms);
    p->longest_ms = silent_ms > p->longest_ms ? silent_ms : p->longest_ms;
    p->before_ms = began_ms;
}

/* Too slow, then: what followed may be what silence brings. An answer that never came is no matter of the machine. */
static bool was_late(const struct pace *p)
{
    return p->longest_ms >= SHORT_MS && p->longest_ms < PEER_PATIENCE_MS;
}

static bool show_state(struct peer_end *p, uint64_t id, uint64_t state)
{
    struct message_job job = {0};
    return peer_send(p, MESSAGE_SHOW, &job_ref_schema, &(struct message_job_ref){id}) &&
           peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_JOB && peer_decode(p, &job_schema, &job) && job.state == state;
}

/* PING keeps a session over twice its time; one that is silent ends, and with it what depends on it. */
static bool a_session_ends_by_silence(void)
{
    struct server s = {0};
    struct peer_end client = {0}, silent = {0};
    struct pace pace = {0}, before = {0};
    server_start(&s, (struct broker_options){.session_timeout_ms = SHORT_MS});
    int64_t sent = peer_clock_ms();
    bool good = peer_open(&silent, "run", "client") && peer_hello(&silent, NULL);
    const uint64_t open = peer_submit(&silent, "noop", 1, false), sealed = peer_submit(&silent, "noop", 1, true);
    good = good && open && sealed && peer_watch(&silent, open, 0, 60000) && peer_in_step(&silent);
    pace_note(&before, sent);
    sent = peer_clock_ms();
    good = good && peer_open(&client, "run", "client") && peer_hello(&client, NULL);
    pace_note(&pace, sent);
    for (const int64_t end = sent + 5 * SHORT_MS / 2; good && sent < end;) {
        usleep(100000);
        sent = peer_clock_ms();
        good = peer_in_step(&client);
        pace_note(&pace, sent);
    }
    good = good && show_state(&client, open, JOB_CANCELLED) && show_state(&client, sealed, JOB_ACTIVE);
    pace_note(&pace, peer_clock_ms());
    const bool gone = good && peer_receive(&silent, 0) == 0 && /* its watch went with it */
                      peer_send_empty(&silent, MESSAGE_PING) && peer_gets_error(&silent, ERROR_SESSION);
    peer_close(&client);
    peer_close(&silent);
    server_stop(&s);
    const bool late = was_late(&before) || was_late(&pace);
    CHECK(late || (good && gone));
    return !late;
}

/* Beats keep an item over twice its lease, and an item that is given back counts no attempt. */
static bool a_worker_beats_and_returns(void)
{
    struct server s = {0};
    struct peer_end client = {0}, worker = {0};
    struct message_lease lease = {0}, again = {0};
    struct wire_buffer b = {0};
    struct pace pace = {0};
    server_start(&s, (struct broker_options){.lease_ms = SHORT_MS, .beat_ms = 100, .session_timeout_ms = 300000});
    server_open_both(&client, &worker);
    REQUIRE(peer_submit(&client, "noop", 1, true) == 1);
    int64_t sent = peer_clock_ms();
    bool good =
        peer_ready(&worker, "w", "noop", NULL) && peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1;
    pace_note(&pace, sent);
    CHECK_OK(wire_encode(&beat_entry_schema, &(struct message_beat_entry){.token = lease.token, .progress = 0.5}, &b));
    for (const int64_t end = sent + 2 * SHORT_MS; good && sent < end;) {
        usleep(100000);
        sent = peer_clock_ms();
        good = peer_send(&worker, MESSAGE_BEAT, &beat_schema, &(struct message_beat){wire_list_of(&b, 1)}) &&
               peer_verdict(&worker, MESSAGE_VERDICTS, lease.token) == VERDICT_EXTEND;
        pace_note(&pace, sent);
    }
    b.bytes = 0;
    CHECK_OK(wire_append_uint(&b, lease.token));
    good = good &&
           peer_send(&worker, MESSAGE_RETURN, &returned_schema, &(struct message_returned){wire_list_of(&b, 1)}) &&
           peer_take(&worker, 1) && peer_granted(&worker, &again, 1) == 1 && again.attempt == 1 &&
           again.token > lease.token;
    pace_note(&pace, sent);
    wire_free(&b);
    peer_close(&client);
    peer_close(&worker);
    server_stop(&s);
    CHECK(was_late(&pace) || good);
    return !was_late(&pace);
}

/* The silence of a worker ends its engagement; another, which beats, gets the item as a second attempt. */
static bool a_worker_dies_of_silence(void)
{
    struct server s = {0};
    struct peer_end client = {0}, worker = {0}, other = {0};
    struct message_lease lease = {0};
    struct pace pace = {0};
    server_start(&s, (struct broker_options){.lease_ms = SHORT_MS, .beat_ms = 100, .session_timeout_ms = 300000});
    server_open_both(&client, &worker);
    REQUIRE(peer_submit(&client, "noop", 1, true) == 1);
    int64_t sent = peer_clock_ms();
    bool good =
        peer_ready(&worker, "w", "noop", NULL) && peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1;
    pace_note(&pace, sent);
    sent = peer_clock_ms();
    good = good && peer_open(&other, "run", "worker") && peer_ready(&other, "x", "noop", NULL) && peer_take(&other, 1);
    pace_note(&pace, sent);
    const int64_t end = sent + PEER_PATIENCE_MS;
    for (int type = 0; good && type != MESSAGE_GRANT && sent < end;) {
        do /* answers to beats, and nothing for 100 ms */
            type = peer_receive(&other, 100);
        while (type && type != MESSAGE_GRANT);
        sent = peer_clock_ms();
        good = peer_send(&other, MESSAGE_BEAT, &beat_schema, &(struct message_beat){0});
        pace_note(&pace, sent);
    }
    good = good && sent < end && peer_take(&worker, 1) && peer_gets_error(&worker, ERROR_SESSION);
    good = good && peer_send_empty(&other, MESSAGE_LEAVE);
    good = good && peer_ready(&worker, "w", "noop", NULL) && peer_take(&worker, 1) &&
           peer_granted(&worker, &lease, 1) == 1;
    pace_note(&pace, sent);
    peer_close(&client);
    peer_close(&worker);
    peer_close(&other);
    server_stop(&s);
    CHECK(was_late(&pace) || (good && lease.attempt == 2));
    return !was_late(&pace);
}

/* On tcp a worker has 1.5 s to come back. In that time it is tried, for it waits longest; but the other gets the item.
 */
static bool a_lost_connection_gets_no_grant(void)
{
    struct server s = {0};
    struct peer_end client = {0}, worker = {0}, other = {0};
    struct message_lease lease = {0};
    struct broker_options options = server_patient;
    char address[PEER_ADDRESS];
    REQUIRE(peer_free_address(address));
    options.listen = address;
    server_start(&s, options);
    REQUIRE(peer_open(&client, "run", "client") && peer_hello(&client, NULL));
    REQUIRE(peer_open_at(&worker, address) && peer_ready(&worker, "w", "noop", NULL));
    bool good = peer_take(&worker, 1) && peer_in_step(&worker);
    good = good && peer_open(&other, "run", "worker") && peer_ready(&other, "x", "noop", NULL) && peer_take(&other, 1);
    const int64_t lost = peer_clock_ms();
    peer_close(&worker);
    usleep(500000); /* the scheduler has looked for who it was */
    good = good && peer_in_step(&other) && peer_submit(&client, "noop", 1, true) == 1;
    const bool late = peer_clock_ms() - lost >= 1500;
    other.seq--;
    good = good && peer_granted(&other, &lease, 1) == 1;
    peer_close(&client);
    peer_close(&other);
    server_stop(&s);
    CHECK(good && lease.attempt == 1 && (late || s.counts.unsent == 1));
    return !late;
}

/* A try until one was in time. */
static bool in_time(bool (*try)(void))
{
    for (int i = 0; i < TRIES; i++)
        if (try())
            return true;
    return false;
}

TEST(sessions_end_by_silence)
{
    CHECK(in_time(a_session_ends_by_silence));
}

TEST(workers_beat_and_return)
{
    CHECK(in_time(a_worker_beats_and_returns));
}

TEST(workers_die_of_silence)
{
    CHECK(in_time(a_worker_dies_of_silence));
}

TEST(a_grant_to_a_lost_connection_goes_back)
{
    CHECK(in_time(a_lost_connection_gets_no_grant));
}
