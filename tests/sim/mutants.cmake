# Planted bugs, and the program that must find each: mutant(PROGRAM NAME FILE TEXT REPLACED_BY [CASE]). PROGRAM is sim,
# powercut (tests/scheduler/test_powercut.c) or journal (test_journal*.c); FILE is in scheduler/, or in tests/sim/ when it
# begins with sim_. Each text stands in its file exactly once.
#
# The rules of the queue:
mutant(sim token_kept queue_grant.c "    tokens_remove(&q->tokens, item->token);" "")
mutant(sim token_repeated queue_grant.c "| ++q->counter" "| (++q->counter % 50)")
mutant(sim attempt_free queue_items.c "item->attempts < j->max_attempts" "item->attempts <= j->max_attempts")
mutant(sim give_back_counts queue_items.c "    item->attempts--;\n    j->attempts--;" "")
mutant(sim done_too_early queue_jobs.c " && j->leased == 0)" ")")
mutant(sim cancel_skips_a_worker queue_jobs.c "i < q->worker_count && j->leased" "i + 1 < q->worker_count && j->leased")
mutant(sim cancel_unjournalled queue_jobs.c
    "    queue_record(q, &(struct journal_record){.type = JOURNAL_CANCELLED, .job = j->id});" "")
mutant(sim add_again queue_submit.c "repeated = m->first <= known && count <= known - m->first" "repeated = false")
mutant(sim page_skips queue_view.c "*next = at" "*next = at + (at - first == 5)")
mutant(sim order_reversed queue_kinds.c "a->priority > b->priority : a->id < b->id" "a->priority < b->priority : a->id < b->id")
mutant(sim crash_forgotten queue_grant.c "    if (!has_crashed(item, w))\n        return true;" "    return true;")
mutant(sim duplicate_unknown queue_reports.c "item && item->settled ? COMMIT_DUPLICATE" "item && 0 ? COMMIT_DUPLICATE")
mutant(sim beat_of_another queue_reports.c "l && l->worker == w;\n        if (good)" "l != NULL;\n        if (good)")
mutant(sim beat_unheard queue_reports.c "            note_progress(q, l, m.progress);\n            lease_extend(q, l);" "            note_progress(q, l, m.progress);")
mutant(sim tick_late queue.c "t->at_ms <= q->now_ms" "t->at_ms < q->now_ms")
mutant(sim succession_forgotten queue_workers.c "        old->timer.at_ms = q->now_ms;" "        old->timer.at_ms += 0;")
mutant(sim take_forgotten queue_workers.c "w->credits = (uint32_t)take->credits;" "w->credits = (uint32_t)take->credits + 1;")
mutant(sim urgent_for_all queue_grant.c " || (w->urgent && j->priority <= w->above)" "")
mutant(sim urgent_first queue_grant.c "    grant_waiting(q, false);\n    grant_waiting(q, true);" "    grant_waiting(q, true);\n    grant_waiting(q, false);")
mutant(sim pause_keeps queue_control.c "        tell_workers(q, j, VERDICT_YIELD);" "        (void)tell_workers;")
mutant(sim pause_asks_for_all queue_control.c "(verdict == VERDICT_YIELD && !j->items[l->index].saved)" "0")
mutant(sim priority_untold queue_control.c "    tell_workers(q, j, VERDICT_PRIORITY);\n" "")
mutant(sim save_of_paused_goes_on queue_reports.c "if (l && l->job->paused)" "if (0)")
mutant(sim resume_keeps_all queue_workers.c "    while (w->leases)\n        item_lapse(q, w->leases);\n    while (named" "    while (named")
mutant(sim retired_too_early queue_jobs.c "j->state == JOB_ACTIVE && j->queued == 0" "j->queued == 0")
mutant(sim return_of_another queue_reports.c "if (l && l->worker == w)\n            item_give_back" "if (l)\n            item_give_back")
mutant(sim outcome_unordered queue_items.c "j->order[number] = index" "j->order[j->done] = index")

# Restart:
mutant(sim attempts_forgotten queue_restore.c "    item->attempts = (uint8_t)r->attempts;\n" "")
mutant(sim attempts_uncounted queue_restore.c "    s->job->attempts += r->attempts;\n" "")
mutant(sim epoch_not_raised queue_restore.c "        q->epoch = (r->token >> 40) + 1;" "        (void)q;")
mutant(sim outcomes_by_index queue_restore.c "j->order[j->commits++] = r->index;" "j->order[j->commits] = j->commits; j->commits++;")
mutant(sim outcome_bytes_lost queue_restore.c
    "    code = code ? code : item_keep(s->queue, j, item, o);\n" "")
mutant(sim failure_forgotten queue_restore.c "    item->failure = (uint8_t)o->failure;\n" "")
mutant(sim duplicate_forgotten queue_restore.c "    item->settled = o->failure != FAILURE_STALE && o->failure != FAILURE_TIMEOUT;\n" "")
mutant(sim lease_not_restored queue_restore.c "JOURNAL_GRANTED ? restore_lease(s, item, r)"
    "JOURNAL_GRANTED ? set_token(s, item, r)")
mutant(sim lease_of_queued queue_restore.c
    " : set_token(s, item, r)" " : restore_lease(s, item, r)")
mutant(sim chain_lost queue_restore.c "    wave_begin(j);\n" "")
mutant(sim priority_lost queue_restore.c "                                     .priority = from->priority,\n" "")
mutant(sim tries_lost queue_restore.c "                                     .max_attempts = from->max_attempts,\n" "")
mutant(sim submitted_lost queue_restore.c
    "s->job->submitted_unix_ms = (int64_t)from->submitted_unix_ms;" "s->job->submitted_unix_ms += 0;")
mutant(sim ending_lost queue_restore.c "        s->job->finished_unix_ms = (int64_t)r->unix_ms;\n" "")
mutant(sim kept_too_short queue_restore.c "q->now_ms - (q->unix_ms" "q->now_ms - 2 * (q->unix_ms")
mutant(sim cancelled_comes_back queue_restore.c "        return job_stop(q, s->job);" "        return STATUS_OK;")
mutant(sim ids_repeat queue_restore.c "        q->last_job = out->last_job;" "        (void)out;")
mutant(sim sessions_outlive queue_restore.c "    code = code ? code : end_sessions(q);\n" "    (void)end_sessions;\n")
mutant(sim sessions_end_unrecorded queue_restore.c "    code = code ? code : end_sessions(q);\n"
    "    q->journal = NULL;\n    code = code ? code : end_sessions(q);\n    q->journal = journal;\n")
mutant(sim past_stays queue_workers.c "    w->timer.at_ms = q->now_ms + q->lease_ms;\n    worker_join"
    "    w->timer.at_ms = INT64_MAX;\n    worker_join")
mutant(sim resume_of_the_past_fails queue_workers.c "        if (!l || l->worker == &named)"
    "        if (!l || l->worker == &named || l->worker->past)")

# What the journal is told, and when answers leave:
mutant(sim outcome_unrecorded queue_items.c "    queue_record(q, &(struct journal_record){.type = JOURNAL_OUTCOME,"
    "    if (q->counter % 9) queue_record(q, &(struct journal_record){.type = JOURNAL_OUTCOME,")
mutant(sim removal_unrecorded queue_jobs.c
    "    queue_record(q, &(struct journal_record){.type = JOURNAL_REMOVED, .job = j->id});" "")
mutant(sim seal_unrecorded queue_submit.c
    "    queue_record(q, &(struct journal_record){.type = JOURNAL_SEALED, .job = j->id});" "")
mutant(sim add_unrecorded queue_submit.c "        record_items(q, j, (uint32_t)known);" "        (void)known;")
mutant(sim requeue_unrecorded_attempts queue_items.c "JOURNAL_QUEUED, .job = j->id, .index = index, .attempts = item->attempts"
    "JOURNAL_QUEUED, .job = j->id, .index = index, .attempts = j->max_attempts")
mutant(sim answers_before_commit sim_scheduler.c "[CRASH_IN_COMMIT_BEFORE] = {false, false}"
    "[CRASH_IN_COMMIT_BEFORE] = {false, true}")
mutant(sim answers_after_a_failed_commit sim_scheduler.c "[COMMIT_FAILS_ABSENT] = {false, false}"
    "[COMMIT_FAILS_ABSENT] = {false, true}")
mutant(sim memory_lost queue_items.c "        return code;\n    leave(q, j, item);"
    "        return leave(q, j, item), item->state = ITEM_QUEUED, j->queued++, code;\n    leave(q, j, item);")

# Keys, times, devices, checkpoints, and what people change:
mutant(sim key_forgotten queue_restore.c "    return job_set_key(s->queue, s->job, from->key, from->content);"
    "    return STATUS_OK;")
mutant(sim conflict_unseen queue_submit.c "memcmp(j->content, content, CONTENT_BYTES) != 0" "false")
mutant(sim pause_unrecorded queue_control.c "    kind_update(j);\n    control_record(q, j);" "    kind_update(j);")
mutant(sim pause_lost queue_restore.c "    j->paused = c->paused;\n" "")
mutant(sim pause_ignored queue_kinds.c "!j->paused && " "")
mutant(sim priority_unrecorded queue_control.c
    "    control_set_priority(j, (int32_t)e->priority->priority);\n    control_record(q, j);"
    "    control_set_priority(j, (int32_t)e->priority->priority);")
mutant(sim start_ignored queue_kinds.c "!j->early && " "")
mutant(sim deadline_lost queue_restore.c "                                     .deadline_unix_ms = from->deadline_unix_ms,\n" "")
mutant(sim deadline_comes_back queue_control.c "    if (had_deadline)\n        control_record(q, j);"
    "    (void)had_deadline;")
mutant(sim add_rings_again queue_submit.c "if (!repeated && j->expired)" "if (j->expired)")
mutant(sim backoff_ignored queue_items.c "if (j->expired || !times_wait(q, j, index))" "if (j || !times_wait(q, j, index))")
mutant(sim attempt_ignored queue_times.c "sooner(at, l->begun_ms, l->job->attempt_ms)" "at")
mutant(sim stall_ignored queue_times.c "sooner(at, l->moved_ms, l->job->stall_ms)" "at")
mutant(sim progress_unheard queue_reports.c "        l->moved_ms = q->now_ms;\n" "")
mutant(sim booking_kept queue_devices.c "        l->worker->room->booked -= l->booked;" "        (void)l;")
mutant(sim booking_ignored queue_grant.c "    most = device_fits(g->worker, j, most);\n" "")
mutant(sim ready_halfway queue_workers.c "    code = code ? code : device_use(q, m, &room);\n    code = code ? code : w ? kinds_change(q, w, m->kinds) : worker_create(q, m->kinds, &w);"
    "    code = code ? code : w ? kinds_change(q, w, m->kinds) : worker_create(q, m->kinds, &w);\n    code = code ? code : device_use(q, m, &room);")
mutant(sim checkpoint_unrecorded queue_reports.c "        queue_record(\n            q,\n            &(struct journal_record){\n                .type = JOURNAL_CHECKPOINT"
    "        if (q->counter % 5) queue_record(\n            q,\n            &(struct journal_record){\n                .type = JOURNAL_CHECKPOINT")
mutant(sim progress_counts_no_less queue_reports.c "        if (c.progress > most)\n" "        if (most > 2)\n")
mutant(sim no_progress_counts_anew queue_reports.c "        if (c.progress > most)\n" "")
mutant(sim anew_unrecorded queue_reports.c "    queue_record(q, &(struct journal_record){\n                        .type = JOURNAL_GRANTED" "    if (!q)\n        queue_record(q, &(struct journal_record){\n                        .type = JOURNAL_GRANTED")
mutant(sim checkpoint_of_another queue_reports.c "    if (l && l->worker == w) {\n        const struct journal_checkpoint"
    "    if (l) {\n        const struct journal_checkpoint")
mutant(sim checkpoint_lost queue_restore.c "    return item_save(s->queue, s->job, item, &r->checkpoint);" "    return STATUS_OK;")
mutant(journal checkpoint_untold journal_load.c "isnan(m.progress) ? 0 : m.progress};\n    return code ? code : l->each(l->context, r);"
    "isnan(m.progress) ? 0 : m.progress};\n    return code;")
mutant(journal checkpoint_stays journal_lmdb.c "    return code ? code : delete_key(j, r->job, PART_CHECKPOINT, r->index);" "    return code;")
mutant(sim reopened_unrecorded queue_jobs.c
    "    queue_record(q, &(struct journal_record){.type = JOURNAL_REOPENED, .job = j->id});" "")
mutant(sim retried_mark_lost queue_restore.c "            j->order[c - 1] |= ORDER_RETRIED;" "            j->order[c - 1] |= 0;")
mutant(sim retried_only_with_a_token queue_restore.c "    item->seen = true; /* until" "    item->seen = r->token != 0; /* until")
mutant(sim retry_keeps_attempts queue_control.c "        item->attempts = 0;\n" "")
mutant(sim session_ends_though_it_may_come_back queue_restore.c
    "        if (j->session & QUEUE_SESSION_KEYED)\n            continue;\n" "")
mutant(sim session_not_awaited queue_jobs.c "job_needs_session(j) && j->session > after"
    "j->cancel_on_disconnect && job_needs_session(j) && j->session > after")
mutant(journal session_of_a_stranger queue_restore.c "        j->session = 0;\n" "")
mutant(sim quarantine_ignored queue_grant.c "    if (w->blamed_count < BLAMED_KEPT)\n        return false;"
    "    if (w->blamed_count <= BLAMED_KEPT)\n        return false;")
mutant(sim everything_waits sim_scheduler.c "s->disk.waiting_count && s->disk.journal.can_wait(&s->disk.journal)"
    "s->disk.waiting_count")

# Waves:
mutant(sim wave_ignored queue_waves.c " && j->fresh < wave_end(j)" "")
mutant(sim wave_chains_ignored queue_items.c "    if (index < wave_end(j)) /* else when its wave opens */\n" "")
mutant(sim wave_dead_is_not_over queue_waves.c " || j->items[i].state == ITEM_DEAD" "")
mutant(sim wave_opens_unseen queue_waves.c "    fill_chains(j);\n    kind_update(j);" "    fill_chains(j);")
mutant(sim wave_forgets_what_waits queue_waves.c "    fill_chains(j);\n    kind_update(j);" "    kind_update(j);")
mutant(sim wave_stays_after_retry queue_control.c "    if (j->wave)\n        wave_begin(j);\n" "")
mutant(sim wave_lost queue_restore.c ".device_bytes = from->device_bytes,\n                                     .wave = from->wave}"
    ".device_bytes = from->device_bytes}")
mutant(sim wave_unhashed queue_submit.c "(m->wave ? 0 : sizeof numbers[0])" "sizeof numbers[0]")

# The disk; the last word is the case that must find it:
set(CUT a_power_cut_takes_back_nothing_that_was_committed)
mutant(powercut not_synced journal_lmdb.c "mdb_env_open(j->env, j->folder, 0, 0600)"
    "mdb_env_open(j->env, j->folder, MDB_NOSYNC, 0600)"
    ${CUT})
mutant(powercut meta_not_synced journal_lmdb.c "mdb_env_open(j->env, j->folder, 0, 0600)"
    "mdb_env_open(j->env, j->folder, MDB_NOMETASYNC, 0600)"
    ${CUT})
mutant(powercut commit_put_off journal_lmdb.c "    const int e = mdb_txn_commit(j->txn);\n"
    "    static int turn;\n    if (++turn % 2)\n        return STATUS_OK;\n    const int e = mdb_txn_commit(j->txn);\n"
    ${CUT})
mutant(powercut commit_in_two journal_lmdb.c "    if (!j->code)\n        remember(j, put_record(j, r));"
    "    if (j->txn && r->type == JOURNAL_OUTCOME) {\n        (void)!mdb_txn_commit(j->txn);\n        j->txn = NULL;\n    }\n    if (!j->code)\n        remember(j, put_record(j, r));"
    ${CUT})
mutant(powercut failure_unsaid journal_lmdb.c "return e ? fail(j->code, \"%s\", j->message) : STATUS_OK;" "return STATUS_OK;"
    a_write_or_sync_that_fails_is_not_acknowledged)
mutant(powercut restart_not_synced journal_lmdb.c "    e = e ? e : mdb_env_sync(j->env, 1);\n" ""
    what_a_restart_has_shown_stays)
mutant(journal outcomes_wait journal_lmdb.c "j->must |= r->type != JOURNAL_GRANTED" "j->must |= r->type == JOURNAL_JOB")
mutant(powercut file_made_in_place journal_lmdb.c "    code = code ? code : make_file(j);\n" "    (void)make_file;\n"
    ${CUT})
mutant(powercut new_file_not_synced journal_lmdb.c "    e = e ? e : mdb_env_sync(env, 1);\n" ""
    ${CUT})
mutant(powercut names_not_synced journal_lmdb.c "    code = code ? code : sync_names(j);\n" "    (void)sync_names;\n"
    the_names_of_new_files_are_durable_before_anything_is_acknowledged)
mutant(powercut last_job_lost journal_lmdb.c ".last_job = j->last_job}" ".last_job = 0}"
    ${CUT})
mutant(powercut reap_of_another journal_lmdb.c "j->removed[j->removed_count - 1];\n        bool"
    "j->removed[j->removed_count - 1] + 1;\n        bool"
    ${CUT})
mutant(powercut never_reaped journal_lmdb.c "        remember(j, reap(j));" "        (void)reap;"
    removed_jobs_leave_nothing_behind)
mutant(powercut lease_stays journal_lmdb.c "mdb_del(j->txn, j->table, &k, NULL)" "(k.mv_size ? 0 : 1)"
    ${CUT})
mutant(powercut end_time_lost journal_lmdb.c "PART_FINISHED, 0, &stored_end_schema, &end)"
    "PART_FINISHED, 0, &stored_end_schema, &(struct stored_end){0})"
    ${CUT})
mutant(powercut outcomes_unnumbered journal_load.c "    r->number = r->index;\n" ""
    ${CUT})
mutant(powercut queued_told_as_granted journal_load.c "m.queued ? JOURNAL_QUEUED : JOURNAL_GRANTED" "JOURNAL_GRANTED"
    ${CUT})
mutant(journal mark_goes_first journal_lmdb.c "PART_REMOVED + 1, &left" "PART_CONTROL + 1, &left")
mutant(journal removed_comes_back journal_load.c "!code && removed)" "!code && removed && job == 0)")
mutant(powercut tells_too_little journal_load.c "        code = tell(l, &key, &value);"
    "        code = journal_key_number(key.mv_data) == 3 ? STATUS_OK : tell(l, &key, &value);"
    ${CUT})
mutant(journal crc_unchecked journal_stored.c "(journal_checksum(key->mv_data, map->data, map->bytes) != crc)"
    "(crc == 1 && journal_checksum(key->mv_data, map->data, map->bytes) != crc)")
mutant(journal damage_told_in_part journal_load.c "        code = code ? code : journal_value(key, value, &map);"
    "        (void)map;")
mutant(journal epoch_not_kept broker.c "rundir_raise_epoch(&b->rundir, queue_epoch(b->queue))" "STATUS_OK")
mutant(journal epoch_not_written rundir.c "    r->epoch = epoch;\n    return write_lock(r);" "    r->epoch = epoch;\n    return STATUS_OK;")
