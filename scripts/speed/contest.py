"""The contest: all warm up and take turns for some rounds; then the parts of scratchnet's step, and memory."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from scratchnet.data import Dataset
from scratchnet.lab.comparison import compare
from scratchnet.lab.executors import STACK
from scratchnet.lab.experiment import Arm, Run, Settings
from scratchnet.lab.processes import cores
from speed import floor, images
from speed.agreement import Wrong, check, last_losses
from speed.clock import Clock
from speed.memory import peak_memory
from speed.parts import time_by_part
from speed.team import Team
from speed.variants import ON_CPU, ON_CUDA, Variant
from speed.workers import Workers

FEW = 500  # images with which scratchnet does little more than start


class Contest:
    """Who takes part, and what has been measured of them."""

    def __init__(
        self,
        arms: Sequence[Arm],
        seeds: Sequence[int],
        dataset: Dataset,
        settings: Settings,
        *,
        rounds: int,
        quick: bool = False,
    ) -> None:
        self.arms, self.seeds, self.dataset, self.settings = arms, seeds, dataset, settings
        self.rounds, self.quick = rounds, quick
        self.on_cpu = settings.device == "cpu"
        self.networks, self.steps = len(arms) * len(seeds), settings.steps(len(dataset.images))
        self.processes = min(cores(), len(seeds) * math.ceil(len(arms) / STACK)) if self.on_cpu else 1
        self.variants = ON_CPU if self.on_cpu else ON_CUDA
        self.skipped = {v.key: "--quick compiles nothing" for v in self.variants if v.compiled and quick}
        self.apart: dict[str, list[float]] = {}  # how far a variant's last loss is from scratchnet's, in each round
        self.last: dict[str, dict[str, float]] = {}  # the last losses of the last round
        # the machine's load: other people's work slows everyone, and programs with several threads most of all
        self.loads: list[float] = []
        self.memory: dict[str, int | None] = {}
        self.parts: dict[str, float] | None = None
        self.pytorch = ""

    def hold(self) -> None:
        """Measure everything."""
        each_round = 3 + len(self.variants) - len(self.skipped)
        self.clock = Clock(turns=(self.rounds + 1) * each_round - 1)
        with self.clock, TemporaryDirectory(prefix="scratchnet-benchmark-") as name:
            folder = Path(name)
            images.save(self.dataset, folder)
            self.clock.show("warming up")
            self.memory["scratchnet"] = peak_memory(self.scratchnet, myself=True)  # also its warm-up
            self.clock.bar.update()
            with Workers(self.processes) as bare, Team(1, None, folder) as one, Team(cores(), 1, folder) as many:
                self.teams = {False: one, True: many}  # by whether a variant has a process for each core
                self.warm_up(bare)
                for _ in range(self.rounds):
                    self.round(bare)
                if self.on_cpu:
                    self.clock.show("where the time goes")
                    [self.parts] = bare.map(time_by_part, [(self.arms[:STACK], self.dataset, self.settings)])
            self.clock.show("memory")
            self.measure_memory(folder)

    def scratchnet(self, dataset: Dataset | None = None) -> list[Run]:
        with redirect_stderr(io.StringIO()):  # one progress bar is enough
            return compare(self.arms, dataset or self.dataset, self.settings, seeds=self.seeds)

    def warm_up(self, bare: Workers) -> None:
        if self.on_cpu:
            bare.in_each(floor.seconds_in_this_process, 10, self.settings)
        self.clock.bar.update()
        for variant in self.taking_part():
            self.clock.show(f"warming up: PyTorch, {variant.label}")
            try:
                described = self.team(variant).warm_up(variant, self.arms, self.settings)
                self.pytorch = self.pytorch or described
            except BrokenProcessPool:
                raise
            except Exception as error:  # torch.compile without a C++ compiler, a GPU without memory, …
                if variant.kind == "learner":
                    raise Wrong(f"PyTorch does not work here: {error}") from error
                self.skipped[variant.key] = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            self.clock.bar.update()

    def round(self, bare: Workers) -> None:
        """Everyone's turn. PyTorch's losses are compared with scratchnet's; Wrong where they differ."""
        self.loads += [os.getloadavg()[0]] if hasattr(os, "getloadavg") else []
        ours = self.clock.turn("scratchnet", "scratchnet", self.scratchnet)
        self.last["scratchnet"] = last_losses(ours)
        self.clock.turn("scratchnet_start", "scratchnet, start", partial(self.scratchnet, self.dataset.first(FEW)))
        for variant in self.taking_part():
            train = partial(self.team(variant).train, variant, self.arms, self.seeds, self.settings)
            runs = self.clock.turn(variant.key, f"PyTorch, {variant.label}", train)
            self.apart.setdefault(variant.key, []).append(check(f"PyTorch, {variant.label},", runs, ours))
            self.last[variant.key] = last_losses(runs)
        self.clock.show("floor")
        work = (self.networks, self.steps, self.settings)
        self.clock.note("floor", floor.seconds_on_cpu(bare, *work) if self.on_cpu else floor.seconds_on_cuda(*work))

    def measure_memory(self, folder: Path) -> None:
        """The peaks of PyTorch as a learner writes it and at its best, in new processes that have done nothing else."""
        for name, variant in {"pytorch_eager": self.variants[0], "pytorch_best": self.best}.items():
            with Team(self.team(variant).processes, self.team(variant).threads, folder) as team:

                def work(team: Team = team, variant: Variant = variant) -> None:
                    team.warm_up(variant, self.arms, self.settings)
                    team.train(variant, self.arms, self.seeds, self.settings)

                self.memory[name] = peak_memory(work, myself=False)

    def taking_part(self) -> list[Variant]:
        """The variants that are not skipped."""
        return [variant for variant in self.variants if variant.key not in self.skipped]

    def team(self, variant: Variant) -> Team:
        return self.teams[variant.processes]

    @property
    def best(self) -> Variant:
        """PyTorch's fastest variant."""
        return min(self.taking_part(), key=lambda variant: self.clock.median(variant.key))
