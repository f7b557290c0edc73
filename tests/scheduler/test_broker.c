/* The broker in this process, on a thread of its own, with real sockets and raw peers. */
#include "server.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool report(struct peer_end *p, uint64_t token, uint64_t failure)
{
    struct wire_buffer b = {0};
    const struct message_report_entry e = {.token = token, .failure = failure, .result = wire_str("result")};
    const bool encoded = wire_encode(&report_entry_schema, &e, &b) == STATUS_OK;
    const struct message_report m = {wire_list_of(&b, 1)};
    const bool sent = encoded && peer_send(p, MESSAGE_REPORT, &report_schema, &m);
    wire_free(&b);
    return sent;
}

static bool page(struct peer_end *p, int wait_ms, uint32_t count, uint64_t state)
{
    struct message_page m = {0};
    struct message_job job = {0};
    return peer_receive(p, wait_ms) == MESSAGE_PAGE && peer_decode(p, &page_schema, &m) &&
           wire_next(&m.job, &job_schema, &job) && m.outcomes.count == count && job.state == state;
}

TEST(hello_comes_first)
{
    struct server s = {0};
    struct peer_end client, worker;
    struct message_welcome first = {0}, second = {0};
    server_start(&s, (struct broker_options){0});
    CHECK(peer_open(&client, "run", "client") && peer_open(&worker, "run", "worker"));
    CHECK(peer_send_empty(&client, MESSAGE_PING) && peer_gets_error(&client, ERROR_SESSION));
    CHECK(peer_send_empty(&client, MESSAGE_BYE) && peer_receive(&client, 50) == 0);
    CHECK(peer_hello(&client, &first) && peer_hello(&client, &second));
    CHECK(first.session && first.session == second.session && first.epoch && first.body_max == 1 << 20);
    CHECK(first.beat_ms == 1000 && first.session_timeout_ms == 5000 && first.list_max == 4096);
    CHECK(peer_in_step(&client));
    CHECK(peer_send_empty(&client, MESSAGE_BYE) && peer_send_empty(&client, MESSAGE_STATS));
    CHECK(peer_gets_error(&client, ERROR_SESSION));
    CHECK(peer_take(&worker, 1) && peer_gets_error(&worker, ERROR_SESSION));
    CHECK(peer_send_empty(&worker, MESSAGE_PING) && peer_gets_error(&worker, ERROR_SESSION));
    CHECK(report(&worker, 1, 0) && peer_gets_error(&worker, ERROR_SESSION));
    CHECK(peer_send_empty(&worker, MESSAGE_LEAVE) && peer_receive(&worker, 50) == 0);
    CHECK(peer_ready(&worker, "w", "noop", NULL) && peer_ready(&worker, "w", "noop", NULL));
    CHECK(peer_in_step(&worker));
    server_stop(&s); /* first: it soon notices that a worker's connection has ended, and counts it no more */
    peer_close(&client);
    peer_close(&worker);
    CHECK(s.code == STATUS_OK && s.counts.workers == 1);
}

TEST(broken_messages_are_answered)
{
    static const uint8_t good[8] = {MESSAGE_HELLO, 0, 0, 0, 0, 0, 0, 9}, unknown[8] = {99}, ready[8] = {MESSAGE_READY};
    static const uint8_t submit[8] = {MESSAGE_SUBMIT}, map[] = {0x80}, array[] = {0x90}, cut[] = {0x81, 0x01};
    static const uint8_t bomb[] = {0x81, 0x07, 0xdd, 0xff, 0xff, 0xff, 0xff}, five[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t twice[] = {0x82, 0x01, 0xa1, 'a', 0x01, 0xa1, 'b'}, behind[] = {0x80, 0x80};
    static const uint8_t text[] = {0x81, 0x01, 0xa1, 0xff}, extension[] = {0x81, 0x01, 0xc7, 0x00, 0x01};
    struct frame {
        const void *data;
        size_t bytes;
    };
    static const struct {
        struct frame frames[5];
        int count;
        enum wire_error error;
    } cases[] = {
        {{{"", 0}}, 1, ERROR_BODY},
        {{{"WML\x01", 4}}, 1, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}}, 2, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {map, 1}, {map, 1}}, 4, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 7}, {map, 1}}, 3, ERROR_BODY},
        {{{"WML\x02", 4}, {good, 8}, {map, 1}}, 3, ERROR_VERSION},
        {{{"HTTP", 4}, {good, 8}, {map, 1}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {unknown, 8}, {map, 1}}, 3, ERROR_TYPE},
        {{{"WML\x01", 4}, {ready, 8}, {map, 1}}, 3, ERROR_TYPE},
        {{{"WML\x01", 4}, {submit, 8}, {map, 1}}, 3, ERROR_SESSION},
        {{{"WML\x01", 4}, {good, 8}, {"", 0}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {array, 1}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {cut, 2}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {five, 5}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {twice, 7}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {behind, 2}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {text, 4}}, 3, ERROR_BODY},
        {{{"WML\x01", 4}, {good, 8}, {extension, 5}}, 3, ERROR_BODY},
    };
    struct server s = {0};
    struct peer_end client;
    server_start(&s, (struct broker_options){0});
    CHECK(peer_open(&client, "run", "client"));
    const int count = sizeof cases / sizeof *cases;
    for (int i = 0; i < count; i++) {
        const void *frames[5];
        size_t bytes[5];
        for (int f = 0; f < cases[i].count; f++) {
            frames[f] = cases[i].frames[f].data;
            bytes[f] = cases[i].frames[f].bytes;
        }
        CHECK(peer_send_raw(&client, frames, bytes, cases[i].count));
        const bool answered = peer_gets_error(&client, cases[i].error);
        if (!answered)
            printf("    case %d\n", i);
        CHECK(answered);
    }
    CHECK(peer_hello(&client, NULL));
    CHECK(peer_send_raw(&client, (const void *[]){"WML\x01", submit, bomb}, (size_t[]){4, 8, sizeof bomb}, 3));
    CHECK(peer_gets_error(&client, ERROR_BODY));
    CHECK(peer_in_step(&client));
    peer_close(&client);
    server_stop(&s);
    CHECK(s.counts.bad_messages == (uint64_t)count + 1);
}

TEST(noise_on_both_sockets_harms_nobody)
{
    struct server s = {0};
    struct peer_end noise[2], client, worker;
    uint64_t seed = 5;
    static uint8_t bytes[3000];
    server_start(&s, server_patient);
    server_open_both(&client, &worker);
    CHECK(peer_open(&noise[0], "run", "client") && peer_open(&noise[1], "run", "worker"));
    CHECK(peer_hello(&noise[0], NULL) && peer_ready(&noise[1], "noise", "other", NULL));
    for (int i = 0; i < 4000; i++) {
        struct peer_end *p = &noise[i & 1];
        uint8_t head[8] = {(uint8_t)(test_random(&seed) % 60)};
        const size_t n = test_random(&seed) % (i % 50 ? 40 : sizeof bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)test_random(&seed);
        bytes[0] = 0x80 | (bytes[0] & 0x03);
        if (head[0] == MESSAGE_BYE || head[0] == MESSAGE_LEAVE)
            head[0] = 0;
        peer_send_raw(p, (const void *[]){"WML\x01", head, bytes, bytes}, (size_t[]){4, 8, n, 1}, i % 97 ? 3 : 4);
        while (peer_receive(p, 0))
            ;
    }
    const uint64_t job = peer_submit(&client, "noop", 1, true);
    struct message_lease lease = {0};
    CHECK(job && peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1);
    CHECK(report(&worker, lease.token, 0) && peer_verdict(&worker, MESSAGE_COMMITS, lease.token) == COMMIT_COMMITTED);
    /* A frame above the limit ends the connection it came over, and nothing else. */
    static uint8_t large[WIRE_BODY_MAX + 1];
    const uint8_t head[8] = {MESSAGE_SUBMIT};
    CHECK(peer_send_raw(&noise[0], (const void *[]){"WML\x01", head, large}, (size_t[]){4, 8, sizeof large}, 3));
    CHECK(peer_in_step(&client));
    peer_close(&noise[0]);
    peer_close(&noise[1]);
    peer_close(&client);
    peer_close(&worker);
    server_stop(&s);
    CHECK(s.code == STATUS_OK);
}

TEST(a_job_over_the_wire)
{
    struct server s = {0};
    struct peer_end client, worker;
    struct message_lease leases[8] = {0};
    struct message_job job = {0};
    struct message_jobs jobs = {0};
    struct message_server stats = {0};
    struct message_accepted accepted = {0};
    struct wire_buffer items = {0};
    server_start(&s, server_patient);
    server_open_both(&client, &worker);
    CHECK(peer_take(&worker, 8) && peer_receive(&worker, 50) == 0); /* waits */
    const uint64_t id = peer_submit(&client, "noop", 2, false);
    CHECK(id == 1 && peer_granted(&worker, leases, 8) == 2 && leases[1].index == 1 && leases[1].attempt == 1);
    CHECK(leases[0].path.bytes == 49);
    CHECK_OK(wire_encode(&item_schema, &(struct message_item){.path = wire_str("/x")}, &items));
    const struct message_add add = {.job = id, .first = 2, .items = wire_list_of(&items, 1), .sealed = true};
    CHECK(peer_send(&client, MESSAGE_ADD, &add_schema, &add) &&
          peer_receive(&client, PEER_PATIENCE_MS) == MESSAGE_ACCEPTED);
    CHECK(peer_decode(&client, &accepted_schema, &accepted) && accepted.items == 3);
    CHECK(report(&worker, leases[0].token, 0));
    CHECK(peer_verdict(&worker, MESSAGE_COMMITS, leases[0].token) == COMMIT_COMMITTED);
    CHECK(peer_watch(&client, id, 0, 0) && page(&client, PEER_PATIENCE_MS, 1, JOB_ACTIVE));
    CHECK(peer_send(&client, MESSAGE_SHOW, &job_ref_schema, &(struct message_job_ref){id}));
    CHECK(peer_receive(&client, PEER_PATIENCE_MS) == MESSAGE_JOB && peer_decode(&client, &job_schema, &job));
    CHECK(job.queued == 1 && job.leased == 1 && job.done == 1 && job.submitted_unix_ms > 1700000000000);
    CHECK(peer_send(&client, MESSAGE_LIST, &list_schema, &(struct message_list){0}));
    CHECK(peer_receive(&client, PEER_PATIENCE_MS) == MESSAGE_JOBS && peer_decode(&client, &jobs_schema, &jobs));
    CHECK(jobs.jobs.count == 1 && !jobs.more);
    CHECK(peer_send_empty(&client, MESSAGE_STATS) && peer_receive(&client, PEER_PATIENCE_MS) == MESSAGE_SERVER);
    CHECK(peer_decode(&client, &server_schema, &stats) && stats.jobs == 1 && stats.leased == 1 && stats.clients == 1);
    CHECK(stats.resident_bytes > 1000000 && stats.workers.count == 1);
    /* CANCEL takes the leased item away from its worker, unasked. */
    CHECK(peer_send(&client, MESSAGE_CANCEL, &job_ref_schema, &(struct message_job_ref){id}));
    CHECK(peer_receive(&client, PEER_PATIENCE_MS) == MESSAGE_JOB && peer_decode(&client, &job_schema, &job));
    CHECK(job.state == JOB_CANCELLED && job.cancelled == 2 && job.progress >= 1);
    CHECK(peer_verdict(&worker, MESSAGE_VERDICTS, leases[1].token) == VERDICT_ABORT && worker.packet.header.seq == 0);
    CHECK(report(&worker, leases[1].token, 0));
    CHECK(peer_verdict(&worker, MESSAGE_COMMITS, leases[1].token) == COMMIT_STALE);
    for (int type = MESSAGE_CANCEL; type <= MESSAGE_SHOW; type++) {
        CHECK(peer_send(&client, (enum message_type)type, &job_ref_schema, &(struct message_job_ref){99}));
        CHECK(peer_gets_error(&client, ERROR_NOT_FOUND));
    }
    CHECK(peer_watch(&client, 99, 0, 1000) && peer_gets_error(&client, ERROR_NOT_FOUND));
    CHECK(peer_send(&client, MESSAGE_ADD, &add_schema, &(struct message_add){.job = id, .first = 9}));
    CHECK(peer_gets_error(&client, ERROR_STATE));
    wire_free(&items);
    peer_close(&client);
    peer_close(&worker);
    server_stop(&s);
}

TEST(a_watch_waits_is_replaced_and_ends)
{
    struct server s = {0};
    struct peer_end client, other, worker;
    struct message_lease lease = {0};
    server_start(&s, server_patient);
    server_open_both(&client, &worker);
    CHECK(peer_open(&other, "run", "client") && peer_hello(&other, NULL));
    const uint64_t id = peer_submit(&client, "noop", 2, true);
    CHECK(peer_watch(&client, id, 0, 100) && page(&client, PEER_PATIENCE_MS, 0, JOB_ACTIVE)); /* time is over */
    CHECK(peer_watch(&client, id, 0, 60000));
    CHECK(peer_watch(&client, id, 0, 60000)); /* replaces */
    const uint32_t asked = client.seq;
    CHECK(peer_watch(&other, id, 0, 60000));
    CHECK(peer_in_step(&client) && peer_in_step(&other)); /* all three wait before there is anything new */
    CHECK(peer_receive(&client, 50) == 0);
    CHECK(peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1);
    CHECK(peer_receive(&client, 50) == 0); /* a grant is nothing new */
    CHECK(report(&worker, lease.token, 0));
    CHECK(peer_verdict(&worker, MESSAGE_COMMITS, lease.token) == COMMIT_COMMITTED);
    CHECK(page(&client, PEER_PATIENCE_MS, 1, JOB_ACTIVE) && client.packet.header.seq == asked);
    CHECK(page(&other, PEER_PATIENCE_MS, 1, JOB_ACTIVE));
    CHECK(peer_receive(&client, 50) == 0);
    CHECK(peer_watch(&client, id, 1, 60000) && peer_watch(&other, id, 1, 60000));
    CHECK(peer_send_empty(&other, MESSAGE_BYE)); /* its watch goes with it */
    CHECK(peer_send_empty(&other, MESSAGE_PING) && peer_gets_error(&other, ERROR_SESSION));
    CHECK(peer_in_step(&client));
    CHECK(peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1 &&
          report(&worker, lease.token, FAILURE_INPUT));
    CHECK(page(&client, PEER_PATIENCE_MS, 1, JOB_DONE));
    CHECK(peer_receive(&other, 50) == 0);
    CHECK(peer_watch(&client, id, 2, 60000) && page(&client, PEER_PATIENCE_MS, 0, JOB_DONE)); /* over: at once */
    CHECK(peer_watch(&client, peer_submit(&client, "noop", 1, true), 0, 60000));
    CHECK(peer_in_step(&client)); /* it waits when the scheduler ends */
    peer_close(&client);
    peer_close(&other);
    peer_close(&worker);
    server_stop(&s);
    CHECK(s.counts.watches == 1);
}

TEST(a_process_that_connects_again_is_the_same_worker)
{
    struct server s = {0};
    struct peer_end client, worker, again;
    struct message_engaged first = {0}, second = {0};
    struct message_lease lease = {0};
    struct wire_buffer kinds = {0}, held = {0};
    server_start(&s, (struct broker_options){0});
    server_open_both(&client, &worker);
    CHECK_OK(wire_append_str(&kinds, "noop"));
    struct message_ready ready = {.name = wire_str("w"), .pid = 77, .kinds = wire_list_of(&kinds, 1)};
    CHECK(peer_send(&worker, MESSAGE_READY, &ready_schema, &ready) &&
          peer_receive(&worker, PEER_PATIENCE_MS) == MESSAGE_ENGAGED);
    CHECK(peer_decode(&worker, &engaged_schema, &first));
    CHECK(peer_submit(&client, "noop", 1, true) && peer_take(&worker, 1) && peer_granted(&worker, &lease, 1) == 1);
    CHECK_OK(wire_append_uint(&held, lease.token));
    ready.held = wire_list_of(&held, 1);
    CHECK(peer_open(&again, "run", "worker") && peer_send(&again, MESSAGE_READY, &ready_schema, &ready));
    CHECK(peer_receive(&again, PEER_PATIENCE_MS) == MESSAGE_ENGAGED && peer_decode(&again, &engaged_schema, &second));
    CHECK(second.worker == first.worker && second.resumed.count == 1 && second.lease_ms == 10000);
    CHECK(peer_take(&worker, 1) && peer_gets_error(&worker, ERROR_SESSION));
    CHECK(report(&again, lease.token, 0));
    CHECK(peer_verdict(&again, MESSAGE_COMMITS, lease.token) == COMMIT_COMMITTED);
    wire_free(&kinds);
    wire_free(&held);
    server_stop(&s); /* first, as above */
    peer_close(&client);
    peer_close(&worker);
    peer_close(&again);
    CHECK(s.counts.workers == 1);
}

TEST(nothing_is_said_before_the_commit)
{
    struct journal_memory journal;
    struct server s = {0};
    struct peer_end client;
    journal_memory_init(&journal);
    server_start(&s, (struct broker_options){.journal = &journal.journal});
    CHECK(peer_open(&client, "run", "client") && peer_hello(&client, NULL));
    CHECK(peer_submit(&client, "noop", 1, true) == 1);
    journal.fail_at = journal.calls + 1;
    CHECK(peer_send_submit(&client, "noop", 1, true));
    pthread_join(s.thread, NULL); /* it has ended by itself */
    CHECK(s.code == STATUS_IO && peer_receive(&client, 200) == 0);
    close(s.stop_fd);
    peer_close(&client);
}

TEST(a_broker_needs_its_folder)
{
    struct broker *b = NULL, *other = NULL;
    bool over = false;
    struct broker_options options = {.run_dir = "run", .linger_ms = 0, .stop_fd = -1};
    CHECK_OK(broker_create(&options, &b));
    CHECK_CODE(broker_create(&options, &other), STATUS_BUSY);
    for (int i = 0; i < 100 && !over; i++)
        CHECK_OK(broker_turn(b, 10, &over));
    CHECK(over); /* nobody came */
    broker_destroy(&b);
    broker_destroy(&b);
    CHECK_OK(broker_create(&options, &b));
    CHECK(broker_epoch(b) > 0);
    broker_destroy(&b);
    options.run_dir = "";
    CHECK_CODE(broker_create(&options, &b), STATUS_ARGUMENT);
    options.run_dir = "new/folders/run/";
    CHECK_OK(broker_create(&options, &b));
    broker_destroy(&b);
    options.run_dir = "run";
    options.lease_ms = -1;
    CHECK_CODE(broker_create(&options, &b), STATUS_ARGUMENT);
    CHECK(b == NULL);
}
