"""The time of day jumps under a running scheduler: leases, sessions and the keeping of jobs go by clocks that do not."""
from __future__ import annotations

import os
import time

import rig
from oracle import Ledger, check_end, read_all
from rig import SHIMS, Options, Rig

HOUR, DAY = 3600, 86400


def wall_clock_jumps(o: Options) -> None:
    """An hour and a day, forwards and back, every quarter of a second while items are computed: none is given to somebody else, the
    session stays, finished jobs stay. Started again two hours later, what finished before is forgotten; a day earlier, it is not;
    and tokens only grow."""
    jumps = [HOUR, -HOUR, DAY, -DAY, 0] * o.times(2)
    # Less than the smallest jump, and more than any machine stands still: a worker or session that is lost has lost it to a jump.
    with Rig("--lease-ms", "60000", "--beat-ms", "100", "--session-timeout-ms", "60000", workers=1, threads=4) as r:
        clock = r.home.path("clock")
        r.scheduler.stop()

        def put(seconds: int) -> None:
            with open(clock + ".new", "w", encoding="ascii") as f:
                f.write(str(seconds))
            os.rename(clock + ".new", clock)

        put(0)
        r.scheduler.environment |= {"LD_PRELOAD": os.path.join(SHIMS, "wall_clock.so"), "WAVEMILL_CLOCK": clock}
        r.scheduler.start()
        ledger, shown = Ledger(), []
        with r.session() as c:
            early, late = (ledger.intend(name, "noop", [b"\0"] * 4) for name in ("early", "late"))
            for sent, sleep_ms in ((early, 1), (late, 250 * len(jumps) + 500)):
                sent.job = c.submit("noop", [b""] * 4, {1: sleep_ms}, name=sent.name)
                sent.items, sent.sealed = 4, True
                if sent is early:
                    c.wait_over(early.job)
            c.wait_for(lambda: c.show(late.job).get(8) == 4)
            session = c.welcome[3]
            for seconds in jumps:
                put(seconds)
                time.sleep(0.25)
                row = c.show(late.job)
                assert row.get(8, 0) + row.get(9, 0) == 4 and row[13] == 4, (seconds, row)
                assert c.show(early.job)[2] == 2
                shown.append(c.submit("nobody", [], name=f"jump {len(shown)}"))
                assert abs(c.show(shown[-1])[14] / 1000 - time.time() - seconds) < 60, seconds  # the shim is there
            assert c.wait_over(late.job).get(9) == 4 and c.show(late.job)[13] == 4
            assert c.stats()[6] == 1 and c.ask(1, {1: "again"}, 2)[3] == session
            epochs = [c.welcome[1]]
            for job in shown:
                ledger.intend(f"jump {shown.index(job)}", "nobody", []).job = job
        put(0)
        check_end(r, ledger, finished=False)
        for seconds, kept in ((-DAY, True), (HOUR // 2, True), (2 * HOUR, False)):
            put(seconds)
            r.scheduler.kill()
            r.scheduler.start()
            with r.session() as c:
                epochs.append(c.welcome[1])
                c.wait_for(lambda: (early.job in read_all(c).jobs) == kept)
        assert epochs == sorted(set(epochs)), f"an epoch is not above the one before: {epochs}"
    print(f"    {len(jumps)} jumps of up to a day: no lease lost; {len(epochs)} starts, each with a larger epoch")


if __name__ == "__main__":
    rig.main([wall_clock_jumps])
