"""A small network of kernel namespaces, for partitions: one place in the middle and some around it, each with a cable of its own
to the middle, which can be cut, and can lose a part of the packets in one direction or both. Needs root, `ip` and `nft`."""
from __future__ import annotations

import os
import subprocess


def command(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError as e:
        raise AssertionError(f"{words[0]} is missing; on Debian: apt-get install iproute2 nftables") from e
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode().strip()} (network namespaces need root)"
    return done.stdout.decode()


class Network:
    """Namespaces: `middle`, and `far[i]`. The middle is 10.77.i.1 for far[i], which is 10.77.i.2."""

    def __init__(self, places: int) -> None:
        mark = f"wavemill-{os.getpid()}"
        self.middle = f"{mark}-middle"
        self.far = [f"{mark}-far{i}" for i in range(places)]
        self.made: list[str] = []

    def __enter__(self) -> "Network":
        try:
            for name in [self.middle, *self.far]:
                command("ip", "netns", "add", name)
                self.made.append(name)
                command("ip", "-n", name, "link", "set", "lo", "up")
            for i, name in enumerate(self.far):
                command("ip", "-n", self.middle, "link", "add", f"to{i}", "type", "veth", "peer", "name", "cable", "netns", name)
                command("ip", "-n", self.middle, "addr", "add", f"10.77.{i}.1/24", "dev", f"to{i}")
                command("ip", "-n", name, "addr", "add", f"10.77.{i}.2/24", "dev", "cable")
                command("ip", "-n", self.middle, "link", "set", f"to{i}", "up")
                command("ip", "-n", name, "link", "set", "cable", "up")
                self.lose(i, 0, 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False)

    @staticmethod
    def inside(place: str) -> list[str]:
        """What to put before a command that shall run there."""
        return ["ip", "netns", "exec", place]

    def lose(self, i: int, to_far: int, from_far: int) -> None:
        """From now on that many of 100 packets in each direction are dropped, by chance."""
        rules = "table inet loss\ndelete table inet loss\ntable inet loss {\n"
        for chain, hook, part in (("to", "input", to_far), ("from", "output", from_far)):
            rule = f"numgen random mod 100 <= {part - 1} counter drop;" if part else ""
            rules += f"chain {chain} {{ type filter hook {hook} priority 0; {rule} }}\n"
        subprocess.run([*self.inside(self.far[i]), "nft", "-f", "-"], input=(rules + "}\n").encode(), check=True)

    def lost(self, i: int) -> int:
        """Packets dropped since the last `lose`."""
        listed = command(*self.inside(self.far[i]), "nft", "list", "table", "inet", "loss").split()
        return sum(int(listed[at + 1]) for at, word in enumerate(listed) if word == "packets")

    def cut(self, i: int, whole: bool = False) -> None:
        """The cable is out, or (whole) in again."""
        command("ip", "-n", self.middle, "link", "set", f"to{i}", "up" if whole else "down")
