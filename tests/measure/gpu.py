"""What an NVIDIA GPU makes of the paper's networks: ``python -m tests.measure.gpu [--json FILE]``.

DeiT-base distilled 384, cut off after eight blocks, as teacher and as student of the same shape, with Eq. 1
behind them; weights are random, which changes no time. torch in several ways and our own engine look at the
same pictures. What a product of large matrices reaches is measured in between, so that the part of it that
each reaches does not depend on what else the machine does. Each row is printed when it is there; one that
fails says why, and the rest goes on.
"""

import argparse
import contextlib
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from inspector.detector.networks import Architecture, FeatureNetwork, perturbed_copy, write_graph
from inspector.engine.multiplications import multiplications
from inspector.engine.onnxruntime_cuda_network import OnnxRuntimeCudaNetwork
from inspector.recipe.graph import NORM_EPSILON

BASE = Architecture(
    rows=384, columns=384, width=768, depth=8, heads=12, patch=16, outputs=None, prefix_tokens=2
)
TINY = Architecture(
    rows=64, columns=64, width=64, depth=2, heads=2, patch=16, outputs=None, prefix_tokens=2
)
_EDGE = 8192
"""Of the matrices whose product says what the machine can do."""
Run = Callable[[], object]


@dataclass
class Row:
    """Times of one way to compute one batch.

    Attributes:
        way: in words.
        batch: pictures at once.
        ms: median of the time for all of them.
        fps: pictures a second.
        tflops: 10¹² operations a second, a multiplication and an addition being two.
        of_limit: these as a part of what a large product reached beside it.
        p50_ms, p99_ms, p999_ms: from pictures in this machine's memory to maps there, where measured.
    """

    way: str
    batch: int
    ms: float
    fps: float
    tflops: float
    of_limit: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0


class Pair(nn.Module):
    """Teacher and student of one shape, weights side by side, in few and large operations.

    Args:
        teacher: its weights are taken.
        student: likewise.
        kind: of products and residual stream; last norm and map are float32.
    """

    patch: Tensor
    place: Tensor

    def __init__(self, teacher: FeatureNetwork, student: FeatureNetwork, kind: torch.dtype) -> None:
        super().__init__()
        shape = teacher.architecture
        self.shape, self.kind = shape, kind
        states = [network.state_dict() for network in (teacher, student)]

        def both(name: str) -> Tensor:
            return torch.stack([state[name] for state in states]).float()

        scale = teacher.std.reshape(-1)
        mean = teacher.mean.reshape(-1)
        kernel = both("patch_embed.proj.weight")
        bias = both("patch_embed.proj.bias") - (kernel * (mean / scale)[:, None, None]).sum(
            (2, 3, 4)
        )
        kernel = kernel / scale[:, None, None]
        # (2, p·p·3, C), rows in the order in which a patch's pixels lie in memory.
        self._keep("patch", kernel.permute(0, 3, 4, 2, 1).reshape(2, -1, shape.width))
        place = both("transformer.pos_embed")[:, 0]
        place[:, 2:] += bias[:, None]
        place[:, 0] += both("transformer.cls_token")[:, 0, 0]
        place[:, 1] += both("transformer.dist_token")[:, 0, 0]
        self._keep("place", place)
        for index in range(shape.depth):
            block = f"transformer.blocks.{index}"
            for layer, norm in (
                ("attn.qkv", "norm1"),
                ("attn.proj", ""),
                ("mlp.fc1", "norm2"),
                ("mlp.fc2", ""),
            ):
                matrix, bias = both(f"{block}.{layer}.weight"), both(f"{block}.{layer}.bias")
                if norm:
                    before = both(f"{block}.{norm}.bias"), both(f"{block}.{norm}.weight")
                    bias = bias + torch.einsum("noi,ni->no", matrix, before[0])
                    matrix = matrix * before[1][:, None]
                own = f"{layer.replace('.', '_')}_{index}"
                self._keep(f"{own}_matrix", matrix.transpose(1, 2))
                self._keep(f"{own}_bias", bias[:, None])

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.to(self.kind).contiguous())

    def cells(self, images: Tensor) -> Tensor:
        """B×R×K×3 uint8 to B×T×(p·p·3), nought for tokens that are no patches."""
        rows, columns = self.shape.grid
        side = self.shape.patch
        x = images.view(-1, rows, side, columns, side, 3).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(len(images), rows * columns, -1).to(self.kind)
        return functional.pad(x, (0, 0, self.shape.prefix_tokens, 0))

    def weights(self, index: int, which: int | None) -> list[Tensor]:
        """Of a block: of one network, matrices as linear layers have them, or of both."""
        parts = []
        for layer in ("attn_qkv", "attn_proj", "mlp_fc1", "mlp_fc2"):
            matrix = getattr(self, f"{layer}_{index}_matrix")
            bias = getattr(self, f"{layer}_{index}_bias")
            parts += [matrix, bias] if which is None else [matrix[which], bias[which, 0]]
        return parts

    def distance(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Eq. 1 of the residual streams B×T×C, in float32."""
        first, second = (
            functional.layer_norm(
                x[:, self.shape.prefix_tokens :].float(), x.shape[-1:], eps=NORM_EPSILON
            )
            for x in (teacher, student)
        )
        distance = -0.5 * (second - first).square().mean(-1)
        return distance.view(-1, *self.shape.grid)


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """B×T×3C to B×T×C."""
    count, tokens, _ = qkv.shape
    query, key, value = qkv.view(count, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(count, tokens, -1)


def _norm(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)


def _block_in_epilogues(x: Tensor, heads: int, *weights: Tensor) -> Tensor:
    """One block of one network, B×T×C; biases and GELU (its tanh form) are part of the products."""
    qkv, qkv_bias, proj, proj_bias, fc1, fc1_bias, fc2, fc2_bias = weights
    shape = x.shape
    mixed = _attend(torch.addmm(qkv_bias, _flat(_norm(x)), qkv).view(*shape[:2], -1), heads)
    x = x + torch.addmm(proj_bias, _flat(mixed), proj).view(shape)
    inner = torch._addmm_activation(fc1_bias, _flat(_norm(x)), fc1, use_gelu=True)
    return x + torch.addmm(fc2_bias, inner, fc2).view(shape)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _twin_block(x: Tensor, heads: int, tokens: int, *weights: Tensor) -> Tensor:
    """One block of both networks at once: 2×(B·T)×C."""
    qkv, qkv_bias, proj, proj_bias, fc1, fc1_bias, fc2, fc2_bias = weights
    mixed = (_norm(x) @ qkv + qkv_bias).view(-1, tokens, qkv.shape[-1])
    x = x + _attend(mixed, heads).view(x.shape) @ proj + proj_bias
    return x + functional.gelu(_norm(x) @ fc1 + fc1_bias) @ fc2 + fc2_bias


def in_turn(pair: Pair, images: Tensor) -> Tensor:
    """Both networks one after the other, nothing compiled."""
    cells = pair.cells(images)
    ends = []
    for which in range(2):
        x = cells @ pair.patch[which] + pair.place[which]
        for index in range(pair.shape.depth):
            x = _block_in_epilogues(x, pair.shape.heads, *pair.weights(index, which))
        ends.append(x)
    return pair.distance(*ends)


def as_one(pair: Pair, images: Tensor, block: Callable[..., Tensor]) -> Tensor:
    """Both networks in the same products, each block compiled."""
    cells = pair.cells(images)
    count, tokens, _ = cells.shape
    x = cells.view(1, count * tokens, -1) @ pair.patch
    x = (x.view(2, count, tokens, -1) + pair.place[:, None]).view(2, count * tokens, -1)
    for index in range(pair.shape.depth):
        x = block(x, pair.shape.heads, tokens, *pair.weights(index, None))
    return pair.distance(*x.view(2, count, tokens, -1))


class Recorded:
    """A function of pictures as a CUDA graph.

    Args:
        function: of B×R×K×3 uint8 on the GPU, to maps.
        images: of that batch size.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], images: Tensor) -> None:
        self.images = images.clone()
        aside = _stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                function(self.images)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.maps = function(self.images)
        self.taken = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
        self.given = torch.empty(self.maps.shape, dtype=self.maps.dtype, pin_memory=True)

    def __call__(self) -> None:
        self.graph.replay()

    def whole(self) -> Tensor:
        """Pictures from this machine's memory, maps back there."""
        self.images.copy_(self.taken, non_blocking=True)
        self.graph.replay()
        self.given.copy_(self.maps, non_blocking=True)
        torch.cuda.synchronize()
        return self.given


class Bench:
    """What is measured with, and the rows so far.

    Args:
        given: command line.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.device = torch.device(given.device)
        shape = TINY if given.tiny else BASE
        torch.manual_seed(0)
        self.teacher = FeatureNetwork(shape).eval().requires_grad_(requires_grad=False)
        self.student = (
            perturbed_copy(self.teacher, 0.3, 1).eval().requires_grad_(requires_grad=False)
        )
        self.images = torch.randint(
            0, 255, (max(given.batches), shape.rows, shape.columns, 3), dtype=torch.uint8
        )
        self.folder = Path(tempfile.mkdtemp())
        for name in ("teacher", "student"):
            write_graph(getattr(self, name), self.folder / f"{name}.onnx")
        self.flop = 4e0 * multiplications(self.folder / "teacher.onnx")
        self.teacher.to(self.device)
        self.student.to(self.device)
        self.limits: dict[str, list[float]] = {}
        self.rows: list[Row] = []
        self.maps: Tensor | None = None

    def limit(self) -> float:
        """What a large bf16 product reaches now, 10¹² operations a second; the first time float16's, too."""
        edge = 256 if self.given.tiny else _EDGE
        for kind in (torch.bfloat16,) if self.limits else (torch.bfloat16, torch.float16):
            left, right = (torch.randn(edge, edge, device=self.device).to(kind) for _ in range(2))
            seconds = self.seconds(partial(torch.matmul, left, right), 5)
            self.limits.setdefault(str(kind), []).append(2 * edge**3 / seconds / 1e12)
        return float(np.median(self.limits[str(torch.bfloat16)]))

    def seconds(self, run: Run, times: int) -> float:
        """Median over a few repeats of the mean of as many calls, on the GPU's own clock."""
        for _ in range(2):
            run()
        spent = []
        for _ in range(3):
            if self.device.type == "cuda":
                began, ended = (_event() for _ in range(2))
                began.record()
                for _ in range(times):
                    run()
                ended.record()
                torch.cuda.synchronize()
                spent.append(began.elapsed_time(ended) / 1e3 / times)
            else:
                start = time.perf_counter()
                run()
                spent.append(time.perf_counter() - start)
        return float(np.median(spent))

    def add(self, way: str, batch: int, seconds: float, whole: Run | None = None) -> None:
        """A row; ``whole``: with copies, each call by itself, for the batch of one."""
        row = Row(way, batch, 1e3 * seconds, batch / seconds, 0.0, 0.0)
        row.tflops = self.flop * row.fps / 1e12
        row.of_limit = row.tflops / self.limit()
        if whole is not None:
            single = []
            for _ in range(self.given.calls + 20):
                began = time.perf_counter()
                whole()
                single.append(time.perf_counter() - began)
            quantiles = np.quantile(single[20:], (0.5, 0.99, 0.999)) * 1e3
            row.p50_ms, row.p99_ms, row.p999_ms = (float(q) for q in quantiles)
        self.rows.append(row)
        tail = ""
        if row.p50_ms:
            tail = f"{row.p50_ms:.3f} / {row.p99_ms:.3f} / {row.p999_ms:.3f}"
        print(
            f"| {way} | {batch} | {row.ms:.3f} | {row.fps:.0f} | {row.tflops:.0f} | {row.of_limit:.0%} "
            f"| {tail} |",
            flush=True,
        )
        self.save()

    def differ(
        self, way: str, maps: Tensor | np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ) -> None:
        """How far maps of the first pictures are from float32's."""
        found = torch.as_tensor(maps).float().cpu()
        if self.maps is None:
            self.maps = found
        expected = self.maps[: len(found)]
        error = float((found - expected).abs().max() / expected.std())
        print(f"  {way}: largest difference of a map {error:.3g} of its spread", flush=True)

    def save(self) -> None:
        """All rows so far, as JSON."""
        if self.given.json:
            whole = {
                "machine": _machine(self.device),
                "gflop_per_picture": self.flop / 1e9,
                "limits_tflops": self.limits,
                "rows": [asdict(row) for row in self.rows],
            }
            self.given.json.write_text(json.dumps(whole, indent=2) + "\n")

    @contextlib.contextmanager
    def attempt(self, way: str) -> Iterator[None]:
        """What fails here is told, and the rest goes on."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a row less is better than none
            told = (str(error).strip().splitlines() or [""])[0]
            print(f"| {way} | failed: {type(error).__name__}: {told[:300]} |", flush=True)
        print(f"  ({way}: {time.perf_counter() - began:.0f} s)", flush=True)


def eager(bench: Bench, kind: torch.dtype, batches: list[int]) -> None:
    """The networks as the method trains them."""
    way = f"torch eager {str(kind).removeprefix('torch.')}"
    with bench.attempt(way):
        mixed = torch.autocast(bench.device.type, kind, enabled=kind != torch.float32)
        images = bench.images.to(bench.device)

        def maps(count: int) -> Tensor:
            with mixed:
                first = bench.teacher(images[:count])
                second = bench.student(images[:count])
            distance: Tensor = -0.5 * (second.float() - first.float()).square().mean(1)
            return distance

        bench.differ(way, maps(min(4, len(images))))
        for batch in batches:
            bench.add(way, batch, bench.seconds(partial(maps, batch), 3))


def recorded(
    bench: Bench, way: str, function: Callable[[Tensor], Tensor], batches: list[int]
) -> None:
    """One way to compute the pair, recorded, for each batch size."""
    for batch in batches:
        with bench.attempt(f"{way}, {batch}"):
            images = bench.images[:batch].to(bench.device)
            if bench.device.type == "cuda":
                graph = Recorded(function, images)
                graph.taken.copy_(bench.images[:batch])
                graph()
                torch.cuda.synchronize()
                if batch == batches[0]:
                    bench.differ(way, graph.maps[:4])
                times = max(3, 200 // batch)
                bench.add(
                    way, batch, bench.seconds(graph, times), graph.whole if batch == 1 else None
                )
            else:
                bench.differ(way, function(images)[:4])
                bench.add(way, batch, bench.seconds(partial(function, images), 1))


def torch_ways(bench: Bench, batches: list[int]) -> None:
    """The pair in torch, twice: what is quicker for one picture, and what is for many."""
    block = (
        _twin_block
        if bench.given.tiny
        else torch.compile(_twin_block, fullgraph=True, dynamic=False)
    )
    for way, kind, compute, sizes in (
        ("compiled, as one, bfloat16", torch.bfloat16, partial(as_one, block=block), batches),
        ("in the products, float16", torch.float16, in_turn, [b for b in batches if b > 1]),
    ):
        pair = Pair(bench.teacher.cpu(), bench.student.cpu(), kind).to(bench.device)
        on_gpu = bench.device.type == "cuda"
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]) if on_gpu else contextlib.nullcontext():
            recorded(bench, f"torch {way}", partial(compute, pair), sizes)


def our_engine(bench: Bench, batches: list[int]) -> None:
    """Our own engine: pictures in this machine's memory to maps there, and without the copies."""
    way = "onnxruntime-cuda float16"
    with bench.attempt(way):
        network = OnnxRuntimeCudaNetwork(
            bench.folder / "teacher.onnx",
            half=True,
            compared=bench.folder / "student.onnx",
            most=max(batches),
        )
        print(f"  {way}: {'recorded' if network.recorded else 'not recorded'}", flush=True)
        pictures = bench.images.numpy()
        bench.differ(way, network.run(pictures[:4]))
        for batch in batches:
            with bench.attempt(f"{way}, {batch}"):
                ours = np.ascontiguousarray(pictures[:batch])
                whole = partial(network.run, ours)
                times = max(3, 100 // batch)
                whole()
                spent = []
                for _ in range(3):
                    began = time.perf_counter()
                    for _ in range(times):
                        whole()
                    spent.append((time.perf_counter() - began) / times)
                bench.add(
                    f"{way}, with copies",
                    batch,
                    float(np.median(spent)),
                    whole if batch == 1 else None,
                )
                replayed = network._hand.do(partial(_replay, network, batch, times))
                bench.add(f"{way}, on the GPU", batch, replayed)


def _replay(network: OnnxRuntimeCudaNetwork, batch: int, times: int) -> float:
    """Mean time of a run on what is on the GPU already, without copies, s; asked by the network's thread."""
    bound = network._bind(batch)
    network._session.run_with_iobinding(bound.binding, bound.options)
    began = time.perf_counter()
    for _ in range(times):
        network._session.run_with_iobinding(bound.binding, bound.options)
    return (time.perf_counter() - began) / times


def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    return f"{name}, torch {torch.__version__}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    parser.add_argument("--calls", type=int, default=1000, help="single calls of a batch of one")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes: does it run at all?")
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        bench = Bench(given)
        print(f"{_machine(bench.device)}; {bench.flop / 1e9:.1f} GFLOP a picture", flush=True)
        bench.limit()
        print(f"  limits, TFLOP/s: {bench.limits}", flush=True)
        print("| way | batch | ms | a second | TFLOP/s | of the limit | p50 / p99 / p99.9 ms |")
        print("|---|---|---|---|---|---|---|", flush=True)
        eager(bench, torch.float32, [b for b in given.batches if b in (1, 32)])
        our_engine(bench, given.batches)
        eager(bench, torch.bfloat16, [b for b in given.batches if b in (1, 64)])
        torch_ways(bench, given.batches)
        bench.limit()
        print(f"  limits, TFLOP/s: {bench.limits}", flush=True)
        bench.save()


if __name__ == "__main__":
    main()
