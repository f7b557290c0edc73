"""The spectral autoencoder against the same network in PyTorch, in double: the gradients of every parameter, ten steps
of training with the same noise, and what the trained one reconstructs; with factors that are rounded, against one that
rounds the same ones. Backend and instruction set as vae_dump takes
them from the environment."""
import functools
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

from network import DUMP, main

PROGRAM = os.path.join(os.path.dirname(DUMP), "vae_dump")
EMULATED = os.environ.get("WAVEMILL_TEST_BACKEND") == "emulated"
FLOOR, BETA, RATE, DECAY, CLIP, EMA = 0.05, 0.01, 1e-3, 0.02, 1.0, 0.99  # of vae_dump, and of the preset tiny
AUDIO = {"rate_hz": 22050, "n_fft": 1024, "hop": 256, "low_hz": 30.0, "high_hz": 11025.0, "floor_db": -80.0,
         "mean_db": 0.0, "deviation_db": 1.0}


def config(**changed) -> dict:
    return {"version": 1, "network": "spectral", "frames": 16, "mels": 32, "channels": [8, 16, 24],
            "stride_frames": [2, 2, 2], "stride_mels": [2, 2, 2], "groups": 4, "activation": "silu", "latent": 6,
            "dropout": 0.0, "audio": AUDIO, **changed}


class Run:
    """What vae_dump has made of a configuration."""

    def __init__(self, c: dict, batch: int, steps: int, precision: str = "fp32"):
        self.c, self.batch, self.steps, self.precision = c, batch, steps, precision
        shape = (steps, batch, c["frames"], c["mels"])
        self.examples = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
        self.examples[..., 1:] += self.examples[..., :-1]  # neighbours are alike, as in spectra
        with tempfile.TemporaryDirectory() as folder:
            self.examples.tofile(os.path.join(folder, "examples.raw"))
            path = os.path.join(folder, "config.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(c, f)
            done = subprocess.run([PROGRAM, path, str(batch), str(steps), folder, "2"], capture_output=True, text=True,
                                  check=False, env={**os.environ, "WAVEMILL_TEST_PRECISION": precision})
            assert done.returncode == 0, done.stdout + done.stderr
            lines = [line.split() for line in done.stdout.splitlines()]
            self.places = {w[1]: (int(w[2]), tuple(map(int, w[3:]))) for w in lines if w[0] == "tensor"}
            self.losses = np.array([list(map(float, w[1:])) for w in lines if w[0] == "losses"])
            self.launches = [int(w[1]) for w in lines if w[0] == "launches"][0]
            self.bytes, needs, most = next(map(int, w[1:]) for w in lines if w[0] == "bytes")
            assert 0.8 * needs < self.bytes <= needs <= most <= 1.25 * needs + (1 << 18) or not EMULATED, (self.bytes, needs, most)
            self.raw = {name: np.fromfile(os.path.join(folder, name + ".raw"), np.float32)
                        for name in ("weights", "gradients", "trained", "average", "noise", "y", "latent")}
        self.noise = self.raw["noise"].reshape(steps, batch, c["latent"])

    def tensors(self, block: str) -> dict:
        return {name: self.raw[block][at:at + int(np.prod(shape))].reshape(shape)
                for name, (at, shape) in self.places.items()}


def rounded(x, precision: str):
    x = x.detach().to(torch.float32)
    if precision == "tf32":  # ties away from zero
        x = ((x.contiguous().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
    return (x.to(torch.bfloat16) if precision == "bf16" else x).double()


class Rounded(torch.autograd.Function):
    """A product whose factors are rounded, forward and in both of its gradients."""

    @staticmethod
    def forward(ctx, product, precision, x, w):
        ctx.product, ctx.precision = product, precision
        ctx.save_for_backward(x, w)
        return product(rounded(x, precision), rounded(w, precision))

    @staticmethod
    def backward(ctx, dy):
        x, w = (rounded(t, ctx.precision).requires_grad_() for t in ctx.saved_tensors)
        with torch.enable_grad():
            y = ctx.product(x, w)
        return None, None, *torch.autograd.grad(y, (x, w), rounded(dy, ctx.precision))


def convolved(x, w, **options):
    return torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1), None, **options)


def transposed(x, w, **options):
    return torch.nn.functional.conv_transpose2d(x, w.permute(3, 2, 0, 1), None, **options)


class Network:
    """The same, of functions alone. Ours are [H][W][C]; convolutions [kernel][kernel][in][out]."""

    def __init__(self, run: Run, precision: str = "fp32"):
        self.c, self.precision = run.c, precision
        self.p = {name: torch.tensor(t.astype(np.float64), requires_grad=True)
                  for name, t in run.tensors("weights").items()}

    def multiply(self, product, x, w):
        return product(x, w) if self.precision == "fp32" else Rounded.apply(product, self.precision, x, w)

    def act(self, name: str, x):
        if self.c["groups"]:
            x = torch.nn.functional.group_norm(x, self.c["groups"], self.p[name + ".gain"], self.p[name + ".shift"])
        return torch.nn.functional.silu(x) if self.c["activation"] == "silu" else torch.nn.functional.leaky_relu(x, 0.2)

    def strides(self, i: int) -> dict:
        pair = (self.c["stride_frames"][i], self.c["stride_mels"][i])
        return {"stride": pair, "padding": tuple(1 if s == 1 else s // 2 for s in pair)}

    def encode(self, x):
        x = x[:, None]
        for i in range(len(self.c["channels"])):
            name = f"encoder.{i}"
            x = self.multiply(functools.partial(convolved, **self.strides(i)), x, self.p[name + ".weight"])
            x = self.act(name, x + self.p[name + ".bias"][:, None, None])
        self.top = x.shape
        x = self.multiply(torch.matmul, x.permute(0, 2, 3, 1).flatten(1), self.p["latent.weight"])
        return (x + self.p["latent.bias"]).chunk(2, 1)

    def decode(self, z):
        batch, channels, height, width = self.top
        x = self.multiply(torch.matmul, z, self.p["decoder.input.weight"]) + self.p["decoder.input.bias"]
        x = self.act("decoder.input", x.view(-1, height, width, channels).permute(0, 3, 1, 2))
        depth = len(self.c["channels"])
        for n in range(depth):
            name = f"decoder.{n}"
            x = self.multiply(functools.partial(transposed, **self.strides(depth - 1 - n)), x, self.p[name + ".weight"])
            x = x + self.p[name + ".bias"][:, None, None]
            x = self.act(name, x) if n + 1 < depth else x
        return x[:, 0]

    def losses(self, x, noise):
        mean, logvar = self.encode(x)
        logvar = logvar.clamp(-30, 20)
        y = self.decode(mean + torch.exp(logvar / 2) * noise)
        kl = ((mean**2 + torch.exp(logvar) - 1 - logvar) / 2).mean(0)
        return ((y - x)**2).mean(), kl.clamp(min=FLOOR).sum()


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    error = float(np.linalg.norm(got.astype(np.float64) - wanted) / np.linalg.norm(wanted))
    return error if np.isfinite(error) else float("inf")


def train(net: Network, run: Run) -> tuple:
    """Losses [steps][3], the gradients of the first step, the average of the weights."""
    decaying = [p for name, p in net.p.items() if name.endswith(".weight")]
    others = [p for name, p in net.p.items() if not name.endswith(".weight")]
    optimiser = torch.optim.AdamW([{"params": decaying, "weight_decay": DECAY}, {"params": others, "weight_decay": 0}],
                                  lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    average = {name: p.detach().clone() for name, p in net.p.items()}
    losses, first = [], None
    for step in range(run.steps):
        optimiser.zero_grad()
        x = torch.tensor(run.examples[step].astype(np.float64))
        reconstruction, kl = net.losses(x, torch.tensor(run.noise[step].astype(np.float64)))
        (reconstruction + BETA * kl).backward()
        first = first or {name: p.grad.numpy().copy() for name, p in net.p.items()}
        norm = torch.nn.utils.clip_grad_norm_(list(net.p.values()), CLIP)
        losses.append((reconstruction.item(), kl.item(), norm.item()))
        optimiser.step()
        for name, p in net.p.items():
            average[name] = EMA * average[name] + (1 - EMA) * p.detach()
    return np.array(losses), first, average


def compare(what: str, c: dict, batch: int, steps: int) -> None:
    run = Run(c, batch, steps)
    net = Network(run)
    losses, gradients, average = train(net, run)
    ours = run.tensors("gradients")
    # A bias before a norm over its own channel alone has no gradient but rounding: it counts by what the layer's have.
    largest = max(np.linalg.norm(g) for g in gradients.values())
    worst = max((relative(ours[n], g) if np.linalg.norm(g) > 1e-6 * largest else
                 float(np.linalg.norm(ours[n] - g) / largest), n) for n, g in gradients.items())
    whole = relative(np.concatenate([ours[n].ravel() for n in gradients]),
                     np.concatenate([g.ravel() for g in gradients.values()]))
    step = float(np.max(np.abs(run.losses[:, 1:3] / losses[:, :2] - 1)))
    norms = float(np.max(np.abs(run.losses[:, 3] / losses[:, 2] - 1)))
    net.p = average
    with torch.no_grad():
        mean, _ = net.encode(torch.tensor(run.examples[0].astype(np.float64)))
        y = relative(run.raw["y"].reshape(run.examples[0].shape), net.decode(mean).numpy())
    print(f"    {what}: gradients {whole:.1e}, worst {worst[1]} {worst[0]:.1e}; {steps} steps {step:.1e}, "
          f"norms {norms:.1e}; reconstructed {y:.1e}; launches {run.launches}")
    assert whole <= 1e-5 and worst[0] <= 1e-5, "gradients"
    assert run.launches == 0, "a step that was recorded launches nothing besides"
    assert step <= 1e-4 and norms <= 1e-4, "losses of steps"
    assert y <= 1e-3, "reconstruction by the averaged weights"


def network_with_norms() -> None:
    compare("norms, SiLU", config(), 5, 10)


def network_without_norms() -> None:
    compare("no norms, leaky ReLU", config(groups=0, activation="leaky_relu"), 4, 10)


def strides_of_one_and_four() -> None:
    compare("strides 1 and 4", config(frames=12, mels=16, channels=[4, 6], stride_frames=[1, 4], stride_mels=[4, 1],
                                      groups=2), 3, 10)


def all_of(tensors: dict, names) -> np.ndarray:
    return np.concatenate([np.asarray(tensors[n]).ravel() for n in names])


def factors_that_are_rounded() -> None:
    """Gradients are as far from the exact ones as those of a network are that rounds the same factors, and nearer to
    those; not as near as sums are: a sum on the edge is rounded to the other side, and layers follow."""
    if not EMULATED:
        return
    for precision, gradients_apart, losses_apart in (("tf32", 2e-3, 1e-3), ("bf16", 2e-2, 1e-2)):
        run = Run(config(), 5, 10, precision)
        ours = run.tensors("gradients")
        exact_losses, exact, _ = train(Network(run), run)
        _, wanted, _ = train(Network(run, precision), run)
        error = relative(all_of(ours, wanted), all_of(wanted, wanted))
        apart = relative(all_of(ours, wanted), all_of(exact, wanted))
        explained = relative(all_of(wanted, wanted), all_of(exact, wanted))
        losses = float(np.max(np.abs(run.losses[:, 1:3] / exact_losses[:, :2] - 1)))
        print(f"    {precision}: gradients {apart:.1e} from exact ones, where rounding explains {explained:.1e}, "
              f"{error:.1e} from rounded ones; losses of {run.steps} steps {losses:.1e}")
        assert 0.8 * explained < apart < 1.25 * explained and apart < gradients_apart, "gradients"
        assert error < 0.7 * apart and losses < losses_apart, "rounded as the other"


def network_of_the_benchmark() -> None:
    if not EMULATED:
        compare("128 x 128, 32-64-128-256", config(frames=128, mels=128, channels=[32, 64, 128, 256], groups=8,
                                                   latent=64, stride_frames=[2] * 4, stride_mels=[2] * 4), 2, 3)


if __name__ == "__main__":
    sys.exit(main([network_with_norms, network_without_norms, strides_of_one_and_four, factors_that_are_rounded,
                   network_of_the_benchmark]))
