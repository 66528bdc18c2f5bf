"""Does a training step cost more than it must? Ours beside public packages, and beside plain passes of the same network.

    pip install easyfsl higher qpth
    pip install 'numpy>=2'  # qpth asks for less, and runs with it
    python -m benchmarks.step_cost --json step_cost.json

A step is forward and backward, without the optimiser, on random pictures. Where no package has the method, it stands beside the
passes that its algorithm cannot do without: so many of a plain network on as many images. No implementation takes less than
those. Both sides take turns on one thread. Times are those of the processor, which other programs hardly change. The ratio is
ours by theirs. What needs a package that is missing is left out, and said at the end.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from time import process_time

import torch

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import race, repeat
from benchmarks.step_cost import adaptation, continual, meta, packages, sharing
from benchmarks.step_cost.comparison import Comparison

_HEADER = "| method | beside | our step, ms | theirs, ms | ours by theirs (least, most) |\n|---|---|---|---|---|"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints milliseconds of our step, of theirs, and the ratio."""
    parser = benchmark_parser("step_cost", __doc__ or "", rounds=5, seconds=2.0)
    known = list(chain.from_iterable(part.comparisons() for part in (packages, meta, sharing, continual, adaptation)))
    names = list(dict.fromkeys(comparison.method for comparison in known))
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="METHOD", help=f"of {', '.join(names)}")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(_HEADER)
    figures, left_out = [], []
    for comparison in known:
        if comparison.method in arguments.methods:
            try:
                figures.append(_measured(comparison, arguments.rounds, arguments.seconds))
            except ImportError as error:
                left_out.append(f"{comparison.method} beside {comparison.beside} is left out: {error}.")
    print("\n".join(["", *left_out]) if left_out else "", end="\n" if left_out else "")
    write_json(arguments.json, figures)


def _measured(comparison: Comparison, rounds: int, seconds: float) -> dict[str, object]:
    torch.manual_seed(0)
    ours, other = comparison.prepare()
    rates = race({"ours": repeat(ours), "other": repeat(other)}, rounds, seconds, process_time)
    ours_ms, other_ms = (1000 / rates.median(side) for side in ("ours", "other"))
    ratio = rates.ratio("other", "ours")
    print(f"| {comparison.method} | {comparison.beside} | {ours_ms:.0f} | {other_ms:.0f} | {ratio} |", flush=True)
    return {
        "method": comparison.method,
        "beside": comparison.beside,
        "ours_ms": ours_ms,
        "theirs_ms": other_ms,
        "ratio": asdict(ratio),
    }


if __name__ == "__main__":
    main()
