"""What happens at three times what the server can do? Goodput beside its peak, how soon it refuses, and what comes late.

    python -m benchmarks.overload --json overload.json

Single raw images are sent on schedule whatever the server does, and timed from when they were due. The peak before each overload
is a closed loop of 64 connections. Both are divided by the cores that the load generator leaves.
"""

import resource
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, Outcome, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, sample_images, support_set
from models.processor import available_cores

_CONNECTIONS = 64
_WAITING = 2000  # connections of those who do not wait for others
_WARM_IMAGES = 500
_PATIENCE = 3.0  # seconds after which an answer is late: half as much again as the server lets requests wait


@dataclass(frozen=True)
class Turn:
    """One overload beside the peak before it.

    Attributes:
        peak, offered, goodput: requests per second; goodput counts answers in time.
        share: goodput by peak, both per core that the load generator left.
        refused, late, other: requests.
        refusal_p50, refusal_p99, answer_p99: seconds.
        without_retry_after: refusals that do not say when to come again.
        cores: the cores that the load generator kept busy.
    """

    peak: float
    offered: float
    goodput: float
    share: float
    refused: int
    late: int
    other: int
    refusal_p50: float
    refusal_p99: float
    answer_p99: float
    without_retry_after: int
    cores: float


def main() -> None:
    parser = benchmark_parser("overload", __doc__, rounds=5, seconds=8.0)
    parser.add_argument("--times", type=float, default=3.0, help="the capacity (default %(default)s)")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # A connection is a file, here and in the server.

    turns = []
    with TemporaryDirectory() as folder, ServerProcess(Path(folder) / "data") as server, LoadGenerator(server.url) as load:
        with httpx.Client(base_url=server.url, timeout=60) as api:
            path = f"{create_task(api, support_set())}/predict"
        requests = post_images(path, sample_images())
        peak = load.closed(requests, _CONNECTIONS, _WARM_IMAGES)
        for _ in range(arguments.rounds):
            peak = load.closed(requests, _CONNECTIONS, round(_rate(peak) * arguments.seconds))
            offered = arguments.times * _rate(peak)
            turns.append(_turn(peak, offered, load.open(requests, _WAITING, offered, arguments.seconds)))
    print(
        f"{'peak':>6}{'offered':>9}{'goodput':>9}{'share':>7}{'refused':>9}{'p50, p99 ms':>13}"
        f"{'answers, p99 ms':>17}{'late':>6}{'other':>7}{'load, cores':>13}"
    )
    for turn in turns:
        refusals = f"{1e3 * turn.refusal_p50:.0f}, {1e3 * turn.refusal_p99:.0f}"
        print(
            f"{turn.peak:>6.0f}{turn.offered:>9.0f}{turn.goodput:>9.0f}{turn.share:>7.2f}{turn.refused:>9}{refusals:>13}"
            f"{1e3 * turn.answer_p99:>17.0f}{turn.late:>6}{turn.other:>7}{turn.cores:>13.2f}"
        )
    print(f"goodput is {median(turn.share for turn in turns):.2f} of the peak in the median")
    print(f"{sum(turn.without_retry_after for turn in turns)} refusals without Retry-After")
    write_json(arguments.json, [asdict(turn) for turn in turns])


def _rate(outcome: Outcome) -> float:
    return outcome.count(200) / outcome.seconds


def _turn(peak: Outcome, offered: float, overload: Outcome) -> Turn:
    refusals = [reply for reply in overload.replies if reply.status == 503]
    in_time = sum(reply.status == 200 and reply.seconds <= _PATIENCE for reply in overload.replies)
    answered = overload.count(200)
    goodput = in_time / overload.seconds
    left = (available_cores() - overload.cores) / (available_cores() - peak.cores)
    return Turn(
        peak=_rate(peak),
        offered=offered,
        goodput=goodput,
        share=goodput / _rate(peak) / left,
        refused=len(refusals),
        late=answered - in_time,
        other=len(overload.replies) - answered - len(refusals),
        refusal_p50=overload.percentile(50, 503),
        refusal_p99=overload.percentile(99, 503),
        answer_p99=overload.percentile(99),
        without_retry_after=sum(not reply.retry_after for reply in refusals),
        cores=overload.cores,
    )


if __name__ == "__main__":
    main()
