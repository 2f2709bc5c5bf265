"""What the pipeline tells about itself: counts, latency and CPU time by stage."""

from collections import Counter, deque
from dataclasses import dataclass, field

from firmware.core.frames import Verdict

WINDOW = 300
"""Frames over which latency and rate are told: ten seconds at 30 per second."""


@dataclass(slots=True)
class Measure:
    """Counters of one run; times in nanoseconds.

    Written on the event loop, but for `worked`, which the release thread calls and nobody else.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    released: int = 0
    verdict: Verdict = Verdict.BLIND
    mask_cpu_ns: int = 0
    encode_cpu_ns: int = 0
    latencies_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    released_at_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def release(self, verdict: Verdict, captured_ns: int, now_ns: int) -> None:
        """Count one released frame."""
        self.released += 1
        self.verdict = verdict
        self.verdicts[verdict] += 1
        self.latencies_ns.append(now_ns - captured_ns)
        self.released_at_ns.append(now_ns)

    def worked(self, mask_ns: int, encode_ns: int) -> None:
        """Add the CPU time that one frame took."""
        self.mask_cpu_ns += mask_ns
        self.encode_cpu_ns += encode_ns

    def fps(self, now_ns: int) -> float:
        """Return released frames per second over the window; 0 once frames stopped for two seconds."""
        times = self.released_at_ns
        if len(times) < 2 or now_ns - times[-1] > 2_000_000_000:
            return 0.0
        return (len(times) - 1) * 1e9 / (times[-1] - times[0])

    def latency_ms(self, quantile: float) -> float:
        """Return a quantile (0 to 1) of capture-to-packet latency over the window, in milliseconds."""
        ordered = sorted(self.latencies_ns)
        return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] / 1e6 if ordered else 0.0
