"""The operations of training and their gradients against PyTorch in double: relative L2 of 1e-5, ten steps of AdamW with
clipping within 1e-6. What is dropped and drawn follows from Philox, written here a second time.

The seed is drawn from the clock and printed; WAVEMILL_SEED sets it again."""
import os
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

DUMP = os.path.join(os.path.dirname(os.environ.get("WAVEMILL_BIN", "build/bin")), "tests", "training_dump")
SEED = int(os.environ.get("WAVEMILL_SEED") or time.time_ns() % 2**31)
LIMIT, LIMIT_STEPS = 1e-5, 1e-6
worst: dict = {}


def ask(isa: str, op: str, arguments: tuple, *inputs: np.ndarray) -> np.ndarray:
    data = b"".join(np.ascontiguousarray(x, np.float32).tobytes() for x in inputs)
    done = subprocess.run([DUMP, op, *(f"{float(a):.17g}" for a in arguments)], input=data, capture_output=True,
                          check=True, env={**os.environ, "WAVEMILL_TEST_ISA": isa})
    return np.frombuffer(done.stdout, np.float32).astype(np.float64)


def close(what: str, got: np.ndarray, want, limit: float = LIMIT) -> None:
    want = want.detach().numpy() if isinstance(want, torch.Tensor) else np.asarray(want)
    want = want.reshape(-1)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    error = np.sqrt(((got - want)**2).sum() / (want**2).sum())
    assert error <= limit, f"{what}: {error:.1e}, limit {limit:.0e}"
    worst[what] = max(worst.get(what, 0), error)


def split(y: np.ndarray, *sizes: int) -> list:
    assert y.size == sum(sizes), (y.size, sizes)
    return np.split(y, np.cumsum(sizes)[:-1])


def philox(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Words of numbers 0 to count - 1."""
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xffffffff)
    c = [blocks, np.full_like(blocks, stream), np.full_like(blocks, step % 2**32), np.full_like(blocks, step >> 32)]
    for turn in range(10):
        key = [np.uint64((part + turn * add) % 2**32)
               for part, add in ((seed % 2**32, 0x9e3779b9), (seed >> 32, 0xbb67ae85))]
        a, b = c[0] * np.uint64(0xd2511f53), c[2] * np.uint64(0xcd9e8d57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ key[0], b & low, (a >> np.uint64(32)) ^ c[3] ^ key[1], a & low]
    return np.stack(c, 1).reshape(-1)[:count]


def normals(*which: int) -> np.ndarray:
    u = (philox(*which[:3], which[3] + 3) + 0.5) / 2**32
    u = u[:u.size // 4 * 4].reshape(-1, 2)
    size, turn = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack((size * np.cos(turn), size * np.sin(turn)), 1).reshape(-1)[:which[3]]


def noise(random, *shape: int) -> torch.Tensor:
    x = random.standard_normal(shape).astype(np.float32)
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


ACTIVATIONS = (lambda u, slope: u, lambda u, slope: F.silu(u), F.leaky_relu)


def activated(isa: str, random) -> None:
    for shape, groups, kind, rate in (((3, 64, 64, 32), 8, 1, 0.0), ((4, 8, 8, 256), 32, 1, 0.25),
                                      ((2, 5, 7, 12), 3, 2, 0.5), ((2, 6, 5, 9), 0, 1, 0.1), ((2, 3, 4, 7), 7, 0, 0.0)):
        b, h, w, channels = shape
        gain, shift, x, dy = noise(random, channels), noise(random, channels), noise(random, *shape), noise(random, *shape)
        rate32, seed, stream, step = float(np.float32(rate)), int(random.integers(2**52)), 3, 2**33 + 7
        got = ask(isa, "activate", (*shape, groups, kind, 0.2, rate, seed, stream, step),
                  *(v.detach().numpy() for v in (gain, shift, x, dy)))
        y, dx, dgain, dshift = split(got, x.numel(), x.numel(), channels, channels)
        u = F.group_norm(x.permute(0, 3, 1, 2), groups, gain, shift, 1e-5).permute(0, 2, 3, 1) if groups else x
        keep = philox(seed, stream, step, x.numel()) >= np.floor(rate32 * 2**32)
        want = ACTIVATIONS[kind](u, float(np.float32(0.2))) * torch.tensor(keep.reshape(shape) / (1 - rate32))
        want.backward(dy.detach())
        close("activate", y, want)
        close("activate dx", dx, x.grad)
        if groups:
            close("activate dgain", dgain, gain.grad)
            close("activate dshift", dshift, shift.grad)


def latent(isa: str, random) -> None:
    for items, dims, drawn, beta, floor in ((32, 64, 1, 0.5, 0.9), (7, 5, 1, 4.0, 0.0), (16, 128, 0, 1.0, 1.1)):
        h, dz = noise(random, items, 2 * dims), noise(random, items, dims)
        with torch.no_grad():
            h[0, dims] = -40.0
        seed, stream, step = int(random.integers(2**52)), 9, 3
        got = ask(isa, "latent", (items, dims, drawn, beta, floor, seed, stream, step), h.detach().numpy(),
                  dz.detach().numpy())
        z, kl, dh, total = split(got, items * dims, dims, 2 * items * dims, 1)
        mean, lv = h[:, :dims], h[:, dims:].clamp(-30, 20)
        e = torch.tensor(normals(seed, stream, step, items * dims)).reshape(items, dims) * drawn
        want = mean + torch.exp(lv / 2) * e
        each = ((mean**2 + torch.exp(lv) - 1 - lv) / 2).mean(0)
        all_of_it = each.clamp(min=floor).sum()
        ((want * dz.detach()).sum() + beta * all_of_it).backward()
        close("latent z", z, want)
        close("latent kl", kl, each)
        close("latent total", total, all_of_it)
        close("latent dh", dh, h.grad)


def reconstruction(isa: str, random) -> None:
    for shape, weight in (((4, 32, 33, 1), 0.0), ((2, 5, 7, 3), 0.25)):
        y, x = noise(random, *shape), noise(random, *shape)
        dy, loss = split(ask(isa, "reconstruction", (*shape, weight), y.detach().numpy(), x.detach().numpy()),
                         x.numel(), 1)
        want = F.mse_loss(y, x) + weight * F.l1_loss(y, x)
        want.backward()
        close("reconstruction dy", dy, y.grad)
        close("reconstruction loss", loss, want)


def adamw(isa: str, random) -> None:
    """torch's clip_grad_norm_ adds 1e-6 to the norm: here the gradients are multiplied as it says without."""
    count, steps, rate, decay, clip, ema_decay = 5001, 10, 1e-2, 0.1, 50.0, 0.9
    start, grads = random.standard_normal(count).astype(np.float32), random.standard_normal((steps, count))
    grads = grads.astype(np.float32)
    got = ask(isa, "adamw", (count, steps, rate, decay, 0.9, 0.999, 1e-8, clip, ema_decay), start, grads)
    param, ema = split(got, count, count)
    halves = [torch.tensor(part, dtype=torch.float64, requires_grad=True)
              for part in (start[:count // 2], start[count // 2:])]
    optimizer = torch.optim.AdamW([{"params": halves[:1], "weight_decay": decay},
                                   {"params": halves[1:], "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.999), eps=1e-8)
    average = start.astype(np.float64)
    for grad in grads.astype(np.float64):
        grad = grad * min(1.0, clip / np.sqrt((grad**2).sum()))
        halves[0].grad, halves[1].grad = torch.tensor(grad[:count // 2]), torch.tensor(grad[count // 2:])
        optimizer.step()
        average = ema_decay * average + (1 - ema_decay) * torch.cat(halves).detach().numpy()
    close("adamw", param, torch.cat(halves), LIMIT_STEPS)
    close("adamw average", ema, average, LIMIT_STEPS)


def isas() -> list:
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        flags = stream.read()
    return ["scalar"] + [isa for isa, flag in (("avx2", "avx2"), ("avx512", "avx512dq")) if f" {flag} " in flags]


def main() -> int:
    print(f"seed {SEED}, torch {torch.__version__}")
    torch.set_num_threads(1)
    for isa in isas():
        for test in (activated, latent, reconstruction, adamw):
            test(isa, np.random.default_rng(SEED))
    for what, error in worst.items():
        print(f"{what}: {error:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
